//! GoogLeNet's inception modules one by one, on every backend and in tract's float.
//!
//! The modules have the network's shapes and random weights. tract's time holds the mean over the module's output.

use criterion::Criterion;
use tinception_tests::googlenet::{self, MODULES};

use crate::timing;

pub(crate) fn inception_modules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inception module");
    for module in &MODULES {
        let (graph, mean) = googlenet::module(module);
        timing::time_file(&mut group, module.name, &timing::float::quantized(&graph), Some("mean"));
        timing::float::time_tract(&mut group, module.name, &graph, mean);
    }
    group.finish();
}
