//! No backend reads or writes past the ends of what it is given: inputs, weights, tables, scratch and outputs lie
//! between forbidden pages, once hard against the one in front and once hard against the one behind. Sizes are odd, so
//! that what ends at a page begins anywhere. The results are compared with the reference's as well.
//!
//! Processors of other kinds: `.ci/run bounds` runs this file under QEMU.

mod guard;

use guard::{Edge, Guarded};
use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tinception_core::arch::{AnyBackend, Backend, Gemm, Rows};
use tinception_core::kernels::conv::{self, Conv, minimum_scratch};
use tinception_core::kernels::lrn::{self, Lrn};
use tinception_core::kernels::{ChannelTable, Pixels, PixelsMut, dense, pool, reference};
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_tests::aligned::Aligned;
use tinception_tests::cases::{self, ConvCase, Style, Values};
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::single_operator::{KINDS, single_operator_model};
use tinception_tests::{Rng, backends, for_seeds, tables};

const EDGES: [Edge; 2] = [Edge::Start, Edge::End];

/// Random cases of each kernel, every one on every backend and at both edges.
const CASES: u64 = 400;

/// A layer's weights and tables between forbidden pages.
struct GuardedConv {
    weights: Guarded<i8>,
    table: [Guarded<i32>; 4],
}

impl GuardedConv {
    fn new(case: &ConvCase, edge: Edge) -> Self {
        let table = |index: usize| Guarded::new(&case.table[index], edge);
        Self { weights: Guarded::new(&case.weights, edge), table: [table(0), table(1), table(2), table(3)] }
    }

    fn conv<'a>(&'a self, case: &'a ConvCase) -> Conv<'a> {
        let [bias, multiplier, shift, weight_sum] = &self.table;
        let table = ChannelTable { bias, multiplier, shift, weight_sum };
        Conv { weights: &self.weights, table, ..case.conv() }
    }
}

/// Elements from one pixel to the next: as many as there are channels, or some more.
fn stride(rng: &mut Rng, shape: Shape) -> usize {
    shape.channels as usize + if rng.random_bool(0.5) { 0 } else { rng.random_range(1..9) }
}

/// `dense` with `stride` elements from pixel to pixel, nothing behind the last channel of the last pixel.
fn spread(dense: &[i8], shape: Shape, stride: usize, edge: Edge) -> Guarded<i8> {
    let channels = shape.channels as usize;
    let mut values = vec![0x55; (shape.pixels() as usize - 1) * stride + channels];
    for (to, from) in values.chunks_mut(stride).zip(dense.chunks(channels)) {
        to[..channels].copy_from_slice(from);
    }
    Guarded::new(&values, edge)
}

/// The channels of each pixel, and whether what lies between the pixels is as it was.
fn collect(values: &[i8], shape: Shape, stride: usize) -> (Vec<i8>, bool) {
    let channels = shape.channels as usize;
    let untouched = values.chunks(stride).all(|pixel| pixel[channels..].iter().all(|value| *value == 0x55));
    (values.chunks(stride).flat_map(|pixel| &pixel[..channels]).copied().collect(), untouched)
}

/// Runs a kernel on an output at the edge and compares what it wrote.
fn check(output: (Shape, usize), edge: Edge, expected: &[i8], what: &str, kernel: impl FnOnce(&mut [i8])) {
    let (shape, stride) = output;
    let mut out = spread(&vec![0x55; shape.elements() as usize], shape, stride, edge);
    kernel(&mut out);
    let (computed, untouched) = collect(&out, shape, stride);
    assert_eq!(computed, expected, "{what}");
    assert!(untouched, "{what} wrote between the pixels");
}

/// The layer on every backend at both edges, from as little scratch as possible to a lot, and with prepared weights.
fn check_conv(rng: &mut Rng, backends: &[AnyBackend], case: &ConvCase) {
    let values = Values::any(rng);
    let dense = values.fill(rng, case.input.elements() as usize);
    let mut expected = vec![0; case.output.elements() as usize];
    reference::conv(&case.conv(), &dense, case.input, &mut expected, case.output);
    let (in_stride, out_stride) = (stride(rng, case.input), stride(rng, case.output));
    let (window, layout) = (&case.window, case.layout());
    let least = minimum_scratch(window, &layout);
    for edge in EDGES {
        let input = spread(&dense, case.input, in_stride, edge);
        let guarded = GuardedConv::new(case, edge);
        let conv = guarded.conv(case);
        for backend in backends {
            let what = format!("{} at the {edge:?}, {case:?}", backend.name());
            let size = *[least, least + rng.random_range(0..2048), 32 * 1024].choose(rng).unwrap_or(&least);
            let mut scratch = Guarded::new(&vec![0x55; size], edge);
            let from = Pixels::new(&input, case.input, in_stride).expect("long enough");
            check((case.output, out_stride), edge, &expected, &what, |out| {
                let mut to = PixelsMut::new(out, case.output, out_stride).expect("long enough");
                assert_eq!(conv::run(*backend, &conv, from, &mut to, &mut scratch), Some(()), "{what}");
            });
            let size = backend.prepared_size(window, &layout);
            if size > 0 {
                let mut prepared = Guarded::new(&vec![0x5555_i16; size], edge);
                backend.prepare(window, &layout, conv.weights, &mut prepared).expect("it can prepare");
                let mut workspace = Guarded::new(&vec![0x5555_i16; backend.workspace_size(window, &layout)], edge);
                check((case.output, out_stride), edge, &expected, &format!("prepared, {what}"), |out| {
                    let rows =
                        Rows { shape: case.output, first: 0, count: case.output.height, out, stride: out_stride };
                    let run = backend.conv_prepared(&conv, &prepared, from, rows, &mut workspace);
                    assert_eq!(run, Some(()), "prepared, {what}");
                });
            }
        }
    }
}

#[test]
fn convolutions_of_all_kinds() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let style = if rng.random_bool(0.5) { Style::Extreme } else { Style::Natural { spread: 50.0 } };
        let case = ConvCase::random(rng, style);
        check_conv(rng, &backends, &case);
    });
}

/// The windows of GoogLeNet, on pictures from one pixel on and with channels around the tiles' sizes.
#[test]
fn the_windows_of_googlenet_on_odd_sizes() {
    let backends = backends::all();
    let windows = [(1, 1, 0), (3, 1, 1), (5, 1, 2), (7, 2, 3), (3, 2, 1)];
    for (kernel, stride, padding) in windows {
        for_seeds(CASES / 10, |_, rng| {
            let window = Window::square(kernel, stride).padded(Padding::same(padding));
            let side = |rng: &mut Rng| *[1, 1, 2, 3, 5, 7, 8, 14, 17].choose(rng).unwrap_or(&1);
            let channels = *[1, 2, 3, 4, 5, 8, 16, 19, 32, 33].choose(rng).unwrap_or(&1);
            let outputs = *[1, 3, 4, 7, 16, 17, 24, 31, 64, 65].choose(rng).unwrap_or(&1);
            let input = (Shape::new(side(rng), side(rng), channels), cases::zero_point(rng));
            let output = (outputs, cases::output(rng));
            let case = ConvCase::new(rng, window, 1, input, output, Style::Natural { spread: 50.0 });
            check_conv(rng, &backends, &case);
        });
    }
}

/// Products as a backend gets them: patches and outputs at odd distances, alone and in tiles.
#[test]
fn matrix_products_and_dot_products() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let depth = 4 * *[1, 2, 3, 4, 5, 8, 16, 17, 37, 64].choose(rng).unwrap_or(&1);
        let (pixels, outputs) = (rng.random_range(1..=13), rng.random_range(1..=70));
        let input = Shape::new(1, pixels, depth);
        let window = Window::square(1, 1);
        let output = (outputs, cases::output(rng));
        let case = ConvCase::new(rng, window, 1, (input, 3), output, Style::Natural { spread: 50.0 });
        let dense = Values::any(rng).fill(rng, input.elements() as usize);
        let mut expected = vec![0; case.output.elements() as usize];
        reference::conv(&case.conv(), &dense, input, &mut expected, case.output);
        let (patch_stride, output_stride) = (stride(rng, input), stride(rng, case.output));
        for edge in EDGES {
            let guarded = GuardedConv::new(&case, edge);
            let conv = guarded.conv(&case);
            let in_place = spread(&dense, input, patch_stride, edge);
            for backend in &backends {
                let packed = backend.packed_size(depth as usize);
                let mut slots = Guarded::new(&vec![0x55; packed * pixels as usize], edge);
                for (slot, patch) in slots.chunks_exact_mut(packed).zip(dense.chunks_exact(depth as usize)) {
                    slot[packed - depth as usize..].copy_from_slice(patch);
                    backend.pack(slot);
                }
                let (patches, patch_stride) =
                    if backend.reads_in_place() { (&in_place, patch_stride) } else { (&slots, packed) };
                let gemm = Gemm {
                    patches,
                    patch_stride,
                    pixels: pixels as usize,
                    depth: depth as usize,
                    runs: 1,
                    run_stride: 0,
                    weights: conv.weights,
                    table: conv.table,
                    outputs: outputs as usize,
                    output: conv.output,
                    output_stride,
                };
                let what = format!("{} at the {edge:?}, {pixels} times {outputs}, depth {depth}", backend.name());
                check((case.output, output_stride), edge, &expected, &what, |out| {
                    assert_eq!(backend.gemm(&gemm, out), Some(()), "{what}");
                });
                let patch = Guarded::new(&dense[..depth as usize], edge);
                let block = Guarded::new(&case.weights[..4 * depth as usize], edge);
                let mut sums = [0; 4];
                for (k, value) in patch.iter().enumerate() {
                    for (channel, sum) in sums.iter_mut().enumerate() {
                        *sum += i32::from(*value) * i32::from(block[k / 4 * 16 + channel * 4 + k % 4]);
                    }
                }
                assert_eq!(backend.dot4(&patch, &block), sums, "{what}");
            }
        }
    });
}

#[test]
fn dense_layers() {
    let backends = backends::all();
    for_seeds(CASES / 4, |_, rng| {
        let input = Shape::new(rng.random_range(1..=3), rng.random_range(1..=3), rng.random_range(1..=40));
        let window = Window::global(input.height, input.width);
        let outputs = rng.random_range(1..=70);
        let output = (outputs, cases::output(rng));
        let case = ConvCase::new(rng, window, 1, (input, 3), output, Style::Natural { spread: 1e6 });
        let dense_input = Values::any(rng).fill(rng, input.elements() as usize);
        let mut expected = vec![0; outputs as usize];
        reference::conv_logits(&case.conv(), &dense_input, input, &mut expected, case.output);
        let expected: Vec<u8> = expected.iter().flat_map(|logit: &i32| logit.to_le_bytes()).collect();
        for edge in EDGES {
            let guarded = GuardedConv::new(&case, edge);
            let values = Guarded::new(&dense_input, edge);
            let from = Pixels::new(&values, input, input.channels as usize).expect("long enough");
            for backend in &backends {
                let mut scratch = Guarded::new(&vec![0x55; minimum_scratch(&window, &case.layout())], edge);
                let mut logits = Guarded::new(&vec![0x55_u8; 4 * outputs as usize], edge);
                let run = dense::run(*backend, &guarded.conv(&case), from, outputs, &mut logits, &mut scratch);
                assert_eq!(run, Some(()));
                assert_eq!(*logits, expected, "{} at the {edge:?}, {case:?}", backend.name());
            }
        }
    });
}

#[test]
fn max_pools() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let window = cases::pool_window(rng);
        let channels = rng.random_range(1..=70);
        let (shape, out) = cases::shapes(rng, &window, channels, 9);
        let dense = Values::any(rng).fill(rng, shape.elements() as usize);
        let range = cases::output(rng);
        let range = (range.min, range.max);
        let mut expected = vec![0; out.elements() as usize];
        reference::max_pool(&window, range, &dense, shape, &mut expected, out);
        let (in_stride, out_stride) = (stride(rng, shape), stride(rng, out));
        for edge in EDGES {
            let input = spread(&dense, shape, in_stride, edge);
            let from = Pixels::new(&input, shape, in_stride).expect("long enough");
            for backend in &backends {
                let what = format!("{} at the {edge:?}: {window:?} on {shape:?}", backend.name());
                check((out, out_stride), edge, &expected, &what, |values| {
                    let mut to = PixelsMut::new(values, out, out_stride).expect("long enough");
                    assert_eq!(pool::max(*backend, &window, range, from, &mut to), Some(()), "{what}");
                });
            }
        }
    });
}

#[test]
fn normalisations() {
    let backends = backends::all();
    for_seeds(CASES, |_, rng| {
        let shape = Shape::new(rng.random_range(1..=3), rng.random_range(1..=3), rng.random_range(1..=70));
        let (size, index_shift) = (rng.random_range(1..=12), rng.random_range(6..=12));
        let table = tables::lrn(rng, size.min(shape.channels), index_shift);
        let (zero_point, output) = (cases::zero_point(rng), cases::output(rng));
        let dense = Values::any(rng).fill(rng, shape.elements() as usize);
        let lrn = Lrn { size: size as usize, table: &table, index_shift, shift: 16, zero_point, output };
        let mut expected = vec![0; shape.elements() as usize];
        reference::lrn(&lrn, &dense, shape, &mut expected);
        let stride = stride(rng, shape);
        for edge in EDGES {
            let table = Guarded::new(&table, edge);
            let lrn = Lrn { table: &table, ..lrn };
            let mut scratch = Guarded::new(&vec![0x55; lrn::minimum_scratch(shape.channels)], edge);
            for backend in &backends {
                let what = format!("{} at the {edge:?}: {size} of {shape:?}", backend.name());
                let mut values = spread(&dense, shape, stride, edge);
                let mut to = PixelsMut::new(&mut values, shape, stride).expect("long enough");
                assert_eq!(lrn::run(*backend, &lrn, &mut to, &mut scratch), Some(()), "{what}");
                assert_eq!(collect(&values, shape, stride), (expected.clone(), true), "{what}");
            }
        }
    });
}

/// Whole models in an arena of just the right size, which ends at the forbidden page; so does the prepared memory.
#[test]
fn whole_models_in_their_arena() {
    let backends = backends::all();
    for seed in 0..10 * KINDS + 8 {
        let bytes = if seed < 8 { every_operator_model(seed) } else { single_operator_model(seed) };
        let file = Aligned::new(&bytes);
        let model = Model::new(&file).expect("a valid model");
        for edge in EDGES {
            for backend in &backends {
                let mut arena = Guarded::new(&vec![0x55_u8; model.arena_size()], edge);
                let mut session = Session::with_backend(&model, &mut arena, *backend).expect("large enough");
                let mut memory = Guarded::new(&vec![0x5555_i16; session.prepared_size()], edge);
                session.prepare(&mut memory).expect("large enough");
                assert_eq!(session.self_test(), Ok(None), "{} at the {edge:?}, model {seed}", backend.name());
            }
        }
    }
}
