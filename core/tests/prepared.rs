//! Convolutions with prepared weights (exact Winograd, where a backend has it) against the portable direct way.
// Under Miri there is the portable backend alone, and nothing to compare it with.
#![cfg(not(miri))]

use tinception_core::arch::scalar::Scalar;
use tinception_core::arch::{Backend, Rows, available};
use tinception_core::kernels::conv::{self, Conv, Layout, minimum_scratch};
use tinception_core::kernels::{ChannelTable, Pixels, PixelsMut};
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};

struct Case {
    height: u32,
    width: u32,
    channels: u32,
    outputs: u32,
    padding: Padding,
    /// Weights and activations at the ends of their ranges.
    extreme: bool,
    shift: i32,
}

/// Values that look random (a multiplicative hash), so that failures repeat.
fn hash(seed: u32, index: usize) -> u32 {
    let mixed = (index as u32 ^ seed.rotate_left(13)).wrapping_mul(0x9E37_79B1);
    (mixed ^ (mixed >> 15)).wrapping_mul(0x85EB_CA77) >> 8
}

/// Runs the case on every backend that prepares weights for it, whole and in bands of rows; tells how many did.
fn check(case: &Case) -> usize {
    check_window(&Window::square(3, 1).padded(case.padding), case)
}

/// As [`check`], with a window of its own.
fn check_window(window: &Window, case: &Case) -> usize {
    let (height, width) = window.output(case.height, case.width).expect("the window fits");
    let (input_shape, shape) =
        (Shape::new(case.height, case.width, case.channels), Shape::new(height, width, case.outputs));
    let layout = Layout::new(window, 1, case.channels, case.outputs).expect("a layout");
    let value = |seed, index, low: i32, high: i32| match (case.extreme, hash(seed, index)) {
        (true, bits) => [low, high][bits as usize % 2] as i8,
        (false, bits) => (low + bits as i32 % (high - low + 1)) as i8,
    };
    let weights: Vec<i8> = (0..layout.weights).map(|index| value(1, index, -127, 127)).collect();
    let bias: Vec<i32> = (0..layout.table).map(|index| hash(2, index) as i32 - (1 << 23)).collect();
    let multiplier: Vec<i32> = (0..layout.table).map(|index| (hash(3, index) << 7) as i32 & i32::MAX).collect();
    let shift: Vec<i32> = (0..layout.table).map(|index| case.shift + index as i32 % 3).collect();
    let table = ChannelTable { bias: &bias, multiplier: &multiplier, shift: &shift, weight_sum: &bias };
    let output = Output { zero_point: -5, min: -120, max: 127 };
    let conv =
        Conv { window: *window, groups: 1, weights: &weights, winograd: None, table, input_zero_point: -128, output };
    let in_stride = case.channels as usize + 3;
    let in_size = (input_shape.pixels() as usize - 1) * in_stride + case.channels as usize;
    let input: Vec<i8> = (0..in_size).map(|index| value(4, index, -128, 127)).collect();
    let input = Pixels::new(&input, input_shape, in_stride).expect("a tensor");
    let stride = case.outputs as usize + 2;
    let out_size = (shape.pixels() as usize - 1) * stride + case.outputs as usize;

    let mut expected = vec![77; out_size];
    let mut scratch = vec![0; minimum_scratch(window, &layout)];
    let mut tensor = PixelsMut::new(&mut expected, shape, stride).expect("a tensor");
    conv::run(Scalar, &conv, input, &mut tensor, &mut scratch).expect("the case is consistent");

    let mut count = 0;
    for backend in available().filter(|backend| backend.prepared_size(window, &layout) > 0) {
        let mut prepared = vec![0; backend.prepared_size(window, &layout)];
        let mut workspace = vec![0; backend.workspace_size(window, &layout)];
        backend.prepare(window, &layout, &weights, &mut prepared).expect("enough room");
        for band in [height, 1, 2, 3] {
            let mut computed = vec![77; out_size];
            for first in (0..height).step_by(band as usize) {
                let start = first as usize * width as usize * stride;
                let rows = Rows { shape, first, count: band.min(height - first), out: &mut computed[start..], stride };
                backend.conv_prepared(&conv, &prepared, input, rows, &mut workspace).expect("the case is consistent");
            }
            assert_eq!(computed, expected, "{}: {shape:?} of {input_shape:?}, bands of {band}", backend.name());
        }
        let rows = || Rows { shape, first: 0, count: height, out: &mut [], stride };
        assert_eq!(backend.conv_prepared(&conv, &prepared, input, rows(), &mut workspace), None);
        let mut out = vec![0; out_size];
        let rows = Rows { out: &mut out, ..rows() };
        assert_eq!(backend.conv_prepared(&conv, &prepared[1..], input, rows, &mut workspace), None);
        count += 1;
    }
    count
}

#[test]
fn every_size_gives_the_direct_bits() {
    let same = Padding::same(1);
    let mut count = 0;
    for (height, width) in [(1, 1), (2, 1), (1, 5), (3, 3), (4, 4), (7, 7), (5, 10)] {
        for (channels, outputs) in [(8, 16), (16, 24), (24, 17), (8, 33), (16, 62)] {
            count += check(&Case { height, width, channels, outputs, padding: same, extreme: false, shift: 40 });
        }
    }
    assert_eq!(count > 0, cfg!(target_arch = "aarch64"), "NEON has a Winograd kernel");
    for padding in [Padding::NONE, Padding { top: 2, left: 0, bottom: 1, right: 3 }] {
        check(&Case { height: 5, width: 6, channels: 8, outputs: 20, padding, extreme: false, shift: 41 });
    }
}

#[test]
fn extremes_and_all_shifts_give_the_direct_bits() {
    for shift in [1, 20, 31, 32, 45, 60] {
        for channels in [8, 64, 3664] {
            let padding = Padding::same(1);
            check(&Case { height: 3, width: 2, channels, outputs: 16, padding, extreme: true, shift });
        }
    }
}

#[test]
fn sums_near_the_largest_give_the_direct_bits() {
    // From 3670 channels on, four times a convolution can be more than 32 bits hold.
    for channels in [3664, 3672] {
        let padding = Padding::same(1);
        check(&Case { height: 3, width: 3, channels, outputs: 16, padding, extreme: true, shift: 50 });
    }
}

#[test]
fn other_windows_give_the_direct_bits_too() {
    for (kernel, stride, channels) in [(1, 1, 24), (1, 2, 8), (5, 1, 16), (2, 2, 12), (7, 2, 3)] {
        let window = Window::square(kernel, stride).padded(Padding::same(kernel / 2));
        check_window(
            &window,
            &Case { height: 9, width: 7, channels, outputs: 22, padding: Padding::NONE, extreme: false, shift: 39 },
        );
    }
}
