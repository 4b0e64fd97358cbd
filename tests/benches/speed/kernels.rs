//! GoogLeNet's kinds of layers on every backend and, with the feature `tract`, its convolutions in tract's float: time
//! and multiply-accumulates (or elements) per second. tract's time holds the mean over the layer's output.

use criterion::{BenchmarkId, Criterion, Throughput};
use tinception_core::arch::{Backend, available};
use tinception_core::format::SCRATCH_LIMIT;
use tinception_core::kernels::conv;
use tinception_core::kernels::lrn::{self, Lrn};
use tinception_core::kernels::{dense, pool};
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_tests::cases::{ConvCase, Strided, Style, Values};
use tinception_tests::googlenet::same;
use tinception_tests::{rng, tables};

#[cfg(feature = "tract")]
use crate::timing;

const PLAIN: Output = Output { zero_point: -128, min: i8::MIN, max: i8::MAX };

/// A tensor without gaps.
fn tensor(shape: Shape) -> Strided {
    let mut rng = rng(1);
    let data = Values::Random.fill(&mut rng, shape.elements() as usize);
    Strided { shape, stride: shape.channels as usize, first: 0, data }
}

pub(crate) fn convolutions(criterion: &mut Criterion) {
    // Szegedy et al. 2014, table 1: name, window, input, output channels.
    let layers = [
        ("stem 7x7/2", same(7, 2), Shape::new(224, 224, 3), 64),
        ("conv2 1x1", same(1, 1), Shape::new(56, 56, 64), 64),
        ("3a 3x3", same(3, 1), Shape::new(28, 28, 96), 128),
        ("3a 5x5", same(5, 1), Shape::new(28, 28, 16), 32),
        ("4e 1x1", same(1, 1), Shape::new(14, 14, 528), 256),
        ("5b 3x3", same(3, 1), Shape::new(7, 7, 192), 384),
    ];
    let mut group = criterion.benchmark_group("conv");
    for (name, window, input, outputs) in layers {
        let mut rng = rng(2);
        let style = Style::Natural { spread: 50.0 };
        let case = ConvCase::new(&mut rng, window, 1, (input, 3), (outputs, PLAIN), style);
        let (input, mut output) = (tensor(case.input), tensor(case.output));
        let mut scratch = vec![0; SCRATCH_LIMIT as usize];
        group.throughput(Throughput::Elements(case.output.elements() * case.layout().depth as u64));
        for backend in available() {
            group.bench_function(BenchmarkId::new(name, backend.name()), |bencher| {
                bencher
                    .iter(|| conv::run(backend, &case.conv(), input.pixels(), &mut output.pixels_mut(), &mut scratch));
            });
        }
        #[cfg(feature = "tract")]
        {
            let mut net = tinception_tests::googlenet::Network::new(name, case.input);
            let value = net.conv(name, net.input(), outputs, window);
            let (graph, mean) = net.finish(value, 8);
            timing::float::time_tract(&mut group, name, &graph, mean);
        }
    }
    group.finish();
}

pub(crate) fn dense_layer(criterion: &mut Criterion) {
    let mut rng = rng(3);
    let style = Style::Natural { spread: 1e6 };
    let input = Shape::new(1, 1, 1024);
    let case = ConvCase::new(&mut rng, Window::square(1, 1), 1, (input, 3), (1000, PLAIN), style);
    let (input, mut logits) = (tensor(case.input), vec![0; 4000]);
    let mut group = criterion.benchmark_group("dense");
    group.throughput(Throughput::Elements(1_024_000));
    for backend in available() {
        group.bench_function(BenchmarkId::new("1024 to 1000", backend.name()), |bencher| {
            bencher.iter(|| dense::run(backend, &case.conv(), input.pixels(), 1000, &mut logits, &mut []));
        });
    }
    group.finish();
}

pub(crate) fn pools_and_lrn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("elementwise");
    let ceil = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
    for (name, window, shape) in
        [("max pool 3x3/2", ceil, Shape::new(112, 112, 64)), ("max pool 3x3", same(3, 1), Shape::new(28, 28, 192))]
    {
        let (height, width) = window.output(shape.height, shape.width).expect("the window fits");
        let (input, mut output) = (tensor(shape), tensor(Shape { height, width, ..shape }));
        group.throughput(Throughput::Elements(output.shape.elements()));
        for backend in available() {
            group.bench_function(BenchmarkId::new(name, backend.name()), |bencher| {
                bencher.iter(|| pool::max(backend, &window, (-128, 127), input.pixels(), &mut output.pixels_mut()));
            });
        }
    }
    let shape = Shape::new(56, 56, 64);
    let (mut rng, mut data, mut scratch) = (rng(4), tensor(shape), vec![0; 64]);
    let table = tables::lrn(&mut rng, 5, 8);
    let lrn = Lrn { size: 5, table: &table, index_shift: 8, shift: 16, zero_point: -128, output: PLAIN };
    group.throughput(Throughput::Elements(shape.elements()));
    for backend in available() {
        group.bench_function(BenchmarkId::new("lrn 5", backend.name()), |bencher| {
            bencher.iter(|| lrn::run(backend, &lrn, &mut data.pixels_mut(), &mut scratch));
        });
    }
    group.finish();
}
