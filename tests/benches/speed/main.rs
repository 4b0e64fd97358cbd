//! How fast: every kernel, every inception module of GoogLeNet and whole networks, on every backend of this machine and,
//! with the feature `tract`, in tract's float beside them.
//!
//! `cargo bench -p tinception-tests -- "inception module/3a"` runs what the words match; `--no-default-features` leaves tract
//! out, and with it the modules, which it takes to compile them.

mod kernels;
#[cfg(feature = "tract")]
mod modules;
mod nets;
mod timing;

use criterion::{criterion_group, criterion_main};

#[cfg(feature = "tract")]
use modules::inception_modules;

/// Without tract there is nothing to compile modules with.
#[cfg(not(feature = "tract"))]
fn inception_modules(_: &mut criterion::Criterion) {}

criterion_group! {
    name = speed;
    config = timing::short();
    targets = kernels::convolutions, kernels::dense_layer, kernels::pools_and_lrn, inception_modules, nets::whole_nets
}
criterion_main!(speed);
