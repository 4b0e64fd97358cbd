//! Exact Winograd from transformed weights as a file holds them: their arithmetic against the definition of a convolution,
//! and the kernels of backends that read them against the portable direct way.

// Safe code and millions of products, and no backend to compare: Miri would find nothing.
#![cfg(not(miri))]

use tinception_core::arch::scalar::Scalar;
use tinception_core::arch::{Backend, Rows, available};
use tinception_core::kernels::conv::{self, Conv, Layout, minimum_scratch};
use tinception_core::kernels::{ChannelTable, Pixels, PixelsMut, reference, winograd};
use tinception_core::quant::{Output, Requantize};
use tinception_core::shape::{Padding, Shape, Window};

#[derive(Clone, Copy, Debug)]
struct Case {
    height: u32,
    width: u32,
    channels: u32,
    outputs: u32,
    padding: Padding,
    /// Weights and activations at the ends of their ranges.
    extreme: bool,
    shift: i32,
    output: Output,
}

const PLAIN: Case = Case {
    height: 8,
    width: 8,
    channels: 8,
    outputs: 8,
    padding: Padding { top: 1, left: 1, bottom: 1, right: 1 },
    extreme: false,
    shift: 38,
    output: Output { zero_point: -5, min: -120, max: 127 },
};

/// A convolution's data.
struct Data {
    window: Window,
    layout: Layout,
    weights: Vec<i8>,
    /// At a multiple of 4.
    transformed: Vec<u32>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<i32>,
    output: Output,
    input: Vec<i8>,
    input_shape: Shape,
    shape: Shape,
}

/// Values that look random (a multiplicative hash), so that failures repeat.
fn hash(seed: u32, index: usize) -> u32 {
    let mixed = (index as u32 ^ seed.rotate_left(13)).wrapping_mul(0x9E37_79B1);
    (mixed ^ (mixed >> 15)).wrapping_mul(0x85EB_CA77) >> 8
}

impl Data {
    fn new(case: &Case) -> Self {
        let window = Window::square(3, 1).padded(case.padding);
        let (height, width) = window.output(case.height, case.width).expect("the window fits");
        let input_shape = Shape::new(case.height, case.width, case.channels);
        let layout = Layout::new(&window, 1, case.channels, case.outputs).expect("a layout");
        assert!(winograd::applies(&window, &layout), "{case:?}");
        let value = |seed, index, low: i32, high: i32| match (case.extreme, hash(seed, index)) {
            (true, bits) => [low, high][bits as usize % 2] as i8,
            (false, bits) => (low + bits as i32 % (high - low + 1)) as i8,
        };
        let mut weights = vec![0; layout.weights];
        for output in 0..layout.group_outputs {
            for k in 0..layout.depth {
                weights[layout.weight_index(output, k)] = value(1, output * layout.depth + k, -127, 127);
            }
        }
        let mut transformed = vec![0_u32; winograd::size(&layout) / 2];
        winograd::prepare(&layout, &weights, bytemuck::cast_slice_mut(&mut transformed)).expect("enough room");
        let entries = 0..layout.table;
        Self {
            window,
            layout,
            weights,
            transformed,
            bias: entries.clone().map(|index| hash(2, index) as i32 - (1 << 23)).collect(),
            multiplier: entries.clone().map(|index| (hash(3, index) << 7) as i32 & i32::MAX).collect(),
            shift: entries.map(|index| case.shift + index as i32 % 3).collect(),
            output: case.output,
            input: (0..input_shape.elements() as usize).map(|index| value(4, index, -128, 127)).collect(),
            input_shape,
            shape: Shape::new(height, width, case.outputs),
        }
    }

    fn conv(&self) -> Conv<'_> {
        Conv {
            window: self.window,
            groups: 1,
            weights: &self.weights,
            winograd: Some(bytemuck::cast_slice(&self.transformed)),
            table: ChannelTable {
                bias: &self.bias,
                multiplier: &self.multiplier,
                shift: &self.shift,
                weight_sum: &self.bias,
            },
            input_zero_point: -128,
            output: self.output,
        }
    }
}

/// Runs the case on every backend that reads transformed weights, in bands of rows; tells how many did.
fn check(case: &Case) -> usize {
    let data = Data::new(case);
    let Data { shape, input_shape, .. } = data;
    let conv = data.conv();
    let (in_stride, stride) = (case.channels as usize + 3, case.outputs as usize + 2);
    let mut input = vec![55; input_shape.pixels() as usize * in_stride];
    for (to, from) in input.chunks_mut(in_stride).zip(data.input.chunks(case.channels as usize)) {
        to[..from.len()].copy_from_slice(from);
    }
    input.truncate(input.len() - 3);
    let input = Pixels::new(&input, input_shape, in_stride).expect("a tensor");
    let size = shape.pixels() as usize * stride - 2;
    let mut expected = vec![77; size];
    let mut scratch = vec![0; minimum_scratch(&data.window, &data.layout)];
    let direct = Conv { winograd: None, ..conv };
    let mut tensor = PixelsMut::new(&mut expected, shape, stride).expect("a tensor");
    conv::run(Scalar, &direct, input, &mut tensor, &mut scratch).expect("the case is consistent");

    let mut count = 0;
    for backend in available().filter(|backend| backend.reads_winograd()) {
        let mut scratch = vec![0; winograd::scratch(&data.layout)];
        for band in [shape.height, 1, 2, 3] {
            let mut computed = vec![77; size];
            for first in (0..shape.height).step_by(band as usize) {
                let start = first as usize * shape.width as usize * stride;
                let count = band.min(shape.height - first);
                let rows = Rows { shape, first, count, out: &mut computed[start..], stride };
                let weights = conv.winograd.expect("they are there");
                backend.conv_winograd(&conv, weights, input, rows, &mut scratch).expect("the case is consistent");
            }
            assert_eq!(computed, expected, "{}: {case:?}, bands of {band}", backend.name());
        }
        let mut computed = vec![77; size];
        let mut tensor = PixelsMut::new(&mut computed, shape, stride).expect("a tensor");
        conv::run(backend, &conv, input, &mut tensor, &mut scratch).expect("the case is consistent");
        assert_eq!(computed, expected, "{}: {case:?}", backend.name());
        count += 1;
    }
    count
}

/// Whether this build has a backend that reads transformed weights: it has at least one on 32-bit ARM.
fn expected_backends() -> std::ops::RangeInclusive<usize> {
    if cfg!(all(target_arch = "arm", feature = "winograd")) { 1..=1 } else { 0..=0 }
}

#[test]
fn the_transformed_weights_give_the_convolution() {
    let (height, width) = (5, 7);
    let case = Case { height, width, channels: 16, outputs: 6, ..PLAIN };
    let data = Data::new(&case);
    let conv = data.conv();
    let mut expected = vec![0; data.shape.elements() as usize];
    reference::conv(&conv, &data.input, data.input_shape, &mut expected, data.shape);
    let transformed: &[i16] = bytemuck::cast_slice(&data.transformed);
    let at = |y: i64, x: i64, channel: usize| {
        let inside = (0..i64::from(case.height)).contains(&y) && (0..i64::from(case.width)).contains(&x);
        let index = || (y * i64::from(case.width) + x) as usize * case.channels as usize + channel;
        if inside { i64::from(data.input[index()]) } else { i64::from(conv.input_zero_point) }
    };
    // The matrices of F(2x2, 3x3), and sums as their products read.
    let input_matrix = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]];
    let output_matrix = [[1, 1, 1, 0], [0, 1, -1, -1]];
    let weight = |output: usize, position: usize, channel: usize| {
        let pair = ((output / 2 * 16 + position) * 4 + channel / 4) * 2 + channel % 2;
        i64::from(transformed[pair * 4 + output % 2 * 2 + channel % 4 / 2])
    };
    for y in 0..data.shape.height as usize {
        for x in 0..data.shape.width as usize {
            let (top, left) = ((y / 2 * 2) as i64 - 1, (x / 2 * 2) as i64 - 1);
            for output in 0..data.shape.channels as usize {
                let mut four = 0;
                for position in 0..16 {
                    let (row, column) = (position / 4, position % 4);
                    let product = |channel: usize| {
                        let element = |i: usize, j: usize| {
                            input_matrix[row][i]
                                * input_matrix[column][j]
                                * at(top + i as i64, left + j as i64, channel)
                        };
                        let value: i64 = (0..16).map(|index| element(index / 4, index % 4)).sum();
                        value * weight(output, position, channel)
                    };
                    let sum: i64 = (0..case.channels as usize).map(product).sum();
                    four += output_matrix[y % 2][row] * output_matrix[x % 2][column] * sum;
                }
                assert_eq!(four % 4, 0, "row {y}, column {x}, channel {output}");
                let sum = i64::from(data.bias[output]) + four / 4;
                let rule = Requantize::new(data.multiplier[output], data.shift[output] as u32).expect("in range");
                let value = data.output.clamp(rule.apply(i32::try_from(sum).expect("it fits")));
                let index = (y * data.shape.width as usize + x) * data.shape.channels as usize + output;
                assert_eq!(value, expected[index], "row {y}, column {x}, channel {output}");
            }
        }
    }
    assert!(winograd::agrees(&data.layout, &data.weights, transformed));
}

#[test]
fn other_weights_do_not_agree() {
    let data = Data::new(&PLAIN);
    let mut transformed: Vec<i16> = bytemuck::cast_slice(&data.transformed).to_vec();
    assert!(!winograd::agrees(&data.layout, &data.weights, &transformed[1..]));
    let last = transformed.len() - 1;
    for at in [0, 100, last] {
        transformed[at] ^= 1;
        assert!(!winograd::agrees(&data.layout, &data.weights, &transformed), "element {at}");
        transformed[at] ^= 1;
    }
    assert!(winograd::agrees(&data.layout, &data.weights, &transformed));
    assert_eq!(winograd::prepare(&data.layout, &data.weights, &mut transformed[..last]), None);
}

#[test]
fn all_sizes_have_the_bits_of_the_direct_way() {
    for (height, width) in [(1, 1), (2, 3), (4, 4), (5, 5), (6, 7), (8, 8), (9, 16), (3, 17), (14, 10)] {
        for (channels, outputs) in [(8, 1), (8, 16), (16, 5), (24, 18), (40, 33), (248, 4)] {
            let case = Case { height, width, channels, outputs, ..PLAIN };
            assert!(expected_backends().contains(&check(&case)), "{case:?}");
        }
    }
}

#[test]
fn all_paddings_rules_and_extremes_have_the_bits_of_the_direct_way() {
    let paddings = [(0, 0, 0, 0), (1, 0, 0, 1), (2, 2, 2, 2), (0, 3, 1, 2), (4, 0, 5, 0)];
    for (top, left, bottom, right) in paddings {
        let padding = Padding { top, left, bottom, right };
        for (shift, (min, max)) in
            [(33, (-128, 127)), (38, (-7, 90)), (1, (-128, 127)), (54, (-128, 127)), (60, (0, 5))]
        {
            for extreme in [false, true] {
                let output = Output { zero_point: 3, min, max };
                let case = Case { height: 7, width: 9, channels: 32, outputs: 12, padding, extreme, shift, output };
                assert!(expected_backends().contains(&check(&case)), "{case:?}");
            }
        }
    }
}

#[test]
fn short_slices_are_refused_and_wrong_weights_run() {
    let data = Data::new(&PLAIN);
    let conv = data.conv();
    let (shape, stride) = (data.shape, data.shape.channels as usize);
    let size = shape.elements() as usize;
    let input = Pixels::new(&data.input, data.input_shape, data.input_shape.channels as usize).expect("a tensor");
    let weights: &[i16] = bytemuck::cast_slice(&data.transformed);
    for backend in available().filter(|backend| backend.reads_winograd()) {
        let run = |conv: &Conv<'_>, weights: &[i16], length: usize, scratch: usize| {
            let (mut out, mut scratch) = (vec![0; length], vec![0; scratch]);
            let rows = Rows { shape, first: 0, count: shape.height, out: &mut out, stride };
            backend.conv_winograd(conv, weights, input, rows, &mut scratch)
        };
        let scratch = winograd::scratch(&data.layout);
        assert_eq!(run(&conv, weights, size, scratch), Some(()));
        assert_eq!(run(&conv, weights, size - 1, scratch), None);
        assert_eq!(run(&conv, weights, size, scratch - 8), None);
        assert_eq!(run(&conv, &weights[2..], size, scratch), None);
        assert_eq!(run(&conv, &weights[1..], size, scratch), None, "not at a multiple of 4");
        assert_eq!(run(&Conv { window: Window::square(3, 2), ..conv }, weights, size, scratch), None);
        assert_eq!(run(&Conv { window: Window::square(1, 1), ..conv }, weights, size, scratch), None);
        // The wrong answer, and nothing else.
        assert_eq!(run(&conv, &vec![i16::MIN; weights.len() + 4][..], size, scratch), Some(()));
    }
}
