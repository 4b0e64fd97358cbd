//! Whole networks on every backend and, with the feature `tract`, in tract's float: GoogLeNet with random weights.
//! `TINCEPTION_MODEL`, the path of a `.tin` file, adds another network.

use criterion::Criterion;

use crate::timing;

pub(crate) fn whole_nets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole net");
    #[cfg(feature = "tract")]
    {
        let (graph, _) = tinception_tests::googlenet::whole();
        timing::time_file(&mut group, "googlenet", &timing::float::quantized(&graph), None);
        timing::float::time_tract(&mut group, "googlenet", &graph, graph.output);
    }
    if let Ok(path) = std::env::var("TINCEPTION_MODEL") {
        let bytes = std::fs::read(&path).expect("TINCEPTION_MODEL names a readable file");
        timing::time_file(&mut group, path.rsplit('/').next().unwrap_or_default(), &bytes, None);
    } else if cfg!(not(feature = "tract")) {
        println!("no network: set TINCEPTION_MODEL, or build with the feature `tract`");
    }
    group.finish();
}
