//! Convolution by rows: instead of a patch for each pixel, the rows of the input that some output rows need are copied
//! into scratch, padded on both sides. A patch is then one run of elements in each of as many rows as the kernel has,
//! neighbouring patches overlap, and every input element is copied once for each band of output rows, not once for each
//! kernel position.
//!
//! A run has to be a multiple of 4. Where it is not, as for three channels, it is read up to the next multiple, and the
//! weights are copied to the front of the scratch with zeros where it ends.

use core::ops::Range;

use super::conv::{Conv, Layout};
use super::{Pixels, copy};
use crate::arch::{Backend, Gemm, copy_rows_portable};
use crate::shape::Shape;

/// Whether whole patches make better tiles than rows do: there is nothing to put together, or a row has fewer pixels than a
/// tile.
pub(super) fn patches_are_better<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    layout: &Layout,
    width: u32,
    scratch: usize,
) -> bool {
    let tile = backend.tile_pixels();
    let is_narrow = (width as usize) < tile && scratch >= tile * backend.packed_size(layout.padded_depth);
    conv.window.area() <= 1 || is_narrow
}

/// How a convolution's rows lie in the scratch.
#[derive(Clone, Debug)]
pub(super) struct Strip<'a> {
    conv: &'a Conv<'a>,
    layout: &'a Layout,
    /// Elements of a kernel row.
    run: usize,
    /// Elements that are read for it: a multiple of 4.
    padded_run: usize,
    /// Bytes of the widened weights in front of the rows; 0 where the weights are used as they are.
    weights: usize,
    /// Elements of an input row that the windows of an output row read, padding included.
    elements: usize,
    /// Bytes of a packed row.
    row: usize,
    /// Output pixels in a row.
    width: usize,
    /// The output rows to compute.
    rows: Range<u32>,
    /// How many of them at a time.
    band: u32,
}

impl<'a> Strip<'a> {
    /// The strip for the output pixels `range` of an output of shape `output`. `None` where the backend wants whole
    /// patches, the pixels are not whole rows, or too few rows fit into the scratch.
    pub(super) fn new<B: Backend>(
        backend: B,
        conv: &'a Conv<'a>,
        layout: &'a Layout,
        output: Shape,
        range: &Range<usize>,
        scratch: usize,
    ) -> Option<Self> {
        let window = &conv.window;
        let width = output.width as usize;
        if !backend.reads_runs() || window.stride_height == 0 || width == 0 {
            return None;
        }
        if !range.start.is_multiple_of(width) || !range.end.is_multiple_of(width) {
            return None;
        }
        let run = window.kernel_width as usize * layout.group_inputs;
        let padded_run = run.next_multiple_of(4);
        let widened = layout.padded_outputs * window.kernel_height as usize * padded_run;
        let weights = if padded_run == run { 0 } else { widened };
        let columns = (width - 1).checked_mul(window.stride_width as usize)?;
        let elements = columns.checked_mul(layout.group_inputs)?.checked_add(padded_run)?;
        let row = backend.packed_size(elements);
        let fitting = u32::try_from(scratch.checked_sub(weights)?.checked_div(row)?).unwrap_or(u32::MAX);
        let band = fitting.checked_sub(window.kernel_height)?.checked_div(window.stride_height)? + 1;
        let rows = (range.start / width) as u32..(range.end / width) as u32;
        Some(Self { conv, layout, run, padded_run, weights, elements, row, width, rows, band })
    }

    /// Runs one group; `gemm` has its weights and channels, `out` begins at its first channel of the first pixel.
    pub(super) fn run<B: Backend>(
        &self,
        backend: B,
        (group, gemm): (usize, Gemm<'_>),
        input: Pixels<'_>,
        out: &mut [i8],
        scratch: &mut [i8],
    ) -> Option<()> {
        let (conv, layout) = (self.conv, self.layout);
        let window = &conv.window;
        let first_channel = group * layout.group_inputs;
        let (widened, scratch) = scratch.split_at_mut_checked(self.weights)?;
        let weights = if widened.is_empty() {
            gemm.weights
        } else {
            self.widen(gemm.weights, widened)?;
            &*widened
        };
        for first in self.rows.clone().step_by(self.band.max(1) as usize) {
            let count = self.band.min(self.rows.end - first);
            let rows = (count - 1) * window.stride_height + window.kernel_height;
            let top = i64::from(first) * i64::from(window.stride_height) - i64::from(window.padding.top);
            for (y, slot) in (top..top + i64::from(rows)).zip(scratch.chunks_exact_mut(self.row.max(1))) {
                let row = slot.get_mut(self.row - self.elements..)?;
                copy_row(conv, layout.group_inputs, input, (y, first_channel), row)?;
                backend.pack(slot);
            }
            for y in 0..count {
                let start = y as usize * window.stride_height as usize * self.row;
                let pixel = (first - self.rows.start + y) as usize * self.width;
                let gemm = Gemm {
                    patches: scratch.get(start..)?,
                    patch_stride: backend.packed_size(window.stride_width as usize * layout.group_inputs),
                    pixels: self.width,
                    depth: window.kernel_height as usize * self.padded_run,
                    runs: window.kernel_height as usize,
                    run_stride: self.row,
                    weights,
                    ..gemm
                };
                backend.gemm(&gemm, out.get_mut(pixel * gemm.output_stride..)?)?;
            }
        }
        Some(())
    }

    /// Copies `weights`, `[oc/4][k/4][4 oc][4 k]`, with zeros behind each kernel row.
    fn widen(&self, weights: &[i8], widened: &mut [i8]) -> Option<()> {
        let rows = self.layout.depth.checked_div(self.run)?;
        let from = weights.chunks_exact((4 * self.layout.padded_depth).max(1));
        for (block, from) in widened.chunks_exact_mut((4 * rows * self.padded_run).max(1)).zip(from) {
            block.fill(0);
            // Not by `enumerate`, which asks for the number of chunks: a division that could panic.
            for (row, block) in (0..).zip(block.chunks_exact_mut((4 * self.padded_run).max(1))) {
                for at in 0..self.run {
                    let k = row * self.run + at;
                    let channels = block.get_mut(at / 4 * 16 + at % 4..)?.iter_mut().step_by(4);
                    let from = from.get(k / 4 * 16 + k % 4..)?.iter().step_by(4);
                    channels.zip(from).take(4).for_each(|(to, from)| *to = *from);
                }
            }
        }
        Some(())
    }
}

/// Copies `channels` channels from `first_channel` on of input row `y`, with the padding to its left and right, into
/// `row`; all padding where there is no such row.
fn copy_row(
    conv: &Conv<'_>,
    channels: usize,
    input: Pixels<'_>,
    (y, first_channel): (i64, usize),
    row: &mut [i8],
) -> Option<()> {
    let (shape, channels) = (input.shape(), channels.max(1));
    if !(0..i64::from(shape.height)).contains(&y) {
        row.fill(conv.input_zero_point);
        return Some(());
    }
    let source = input.from_pixel(y as usize * shape.width as usize)?.get(first_channel..)?;
    let left = (conv.window.padding.left as usize * channels).min(row.len());
    let (left, rest) = row.split_at_mut_checked(left)?;
    let inside = (shape.width as usize * channels).min(rest.len());
    let (middle, right) = rest.split_at_mut_checked(inside)?;
    left.fill(conv.input_zero_point);
    right.fill(conv.input_zero_point);
    if channels == input.stride() {
        let length = middle.len();
        return copy(middle, source.get(..length)?);
    }
    copy_rows_portable(source, input.stride(), channels, middle)
}

// Under Miri no backend puts patches together from rows.
#[cfg(all(test, not(miri)))]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::Strip;
    use crate::arch::{Backend, available};
    use crate::kernels::conv::{Conv, Layout};
    use crate::kernels::{ChannelTable, Pixels, reference};
    use crate::quant::Output;
    use crate::shape::{Padding, Shape, Window};

    /// Kernel and stride as height and width, padding, groups, input shape and output channels.
    type Case = ([u32; 2], [u32; 2], [u32; 4], usize, [u32; 3], u32);

    const CASES: [Case; 11] = [
        ([7, 7], [2, 2], [3, 3, 3, 3], 1, [33, 40, 3], 20),
        ([3, 3], [1, 1], [1, 1, 1, 1], 1, [16, 16, 8], 33),
        ([5, 5], [1, 1], [2, 2, 2, 2], 1, [9, 14, 4], 7),
        ([3, 3], [2, 2], [0, 0, 1, 1], 2, [20, 31, 12], 10),
        ([1, 3], [1, 1], [0, 2, 0, 0], 1, [4, 17, 5], 4),
        ([3, 1], [3, 2], [2, 0, 2, 0], 1, [11, 40, 6], 5),
        ([2, 2], [3, 3], [0, 1, 0, 4], 3, [10, 50, 3], 9),
        ([4, 1], [1, 1], [3, 1, 3, 1], 1, [1, 15, 4], 16),
        // Where patches would be better, and a build that has none runs rows.
        ([1, 1], [2, 2], [0, 0, 0, 0], 1, [9, 20, 5], 6),
        ([1, 1], [1, 1], [1, 0, 0, 2], 1, [5, 9, 8], 4),
        ([3, 3], [1, 1], [1, 1, 1, 1], 1, [3, 3, 6], 5),
    ];

    fn bytes(seed: usize, count: usize, low: i32, high: i32) -> Vec<i8> {
        let value = |at: usize| (at * 7919 + seed * 104_729 + at * at % 1013) as i32 % (high - low + 1) + low;
        (0..count).map(|at| value(at) as i8).collect()
    }

    fn check(index: usize, backend: impl Backend) {
        let (kernel, stride, [top, left, bottom, right], groups, [height, width, channels], outputs) = CASES[index];
        let window = Window {
            kernel_height: kernel[0],
            kernel_width: kernel[1],
            stride_height: stride[0],
            stride_width: stride[1],
            padding: Padding { top, left, bottom, right },
        };
        let shape = Shape::new(height, width, channels);
        let (out_height, out_width) = window.output(height, width).unwrap();
        let out_shape = Shape::new(out_height, out_width, outputs);
        let layout = Layout::new(&window, groups, channels, outputs).unwrap();
        let weights = bytes(index, layout.weights, -127, 127);
        let bias: Vec<i32> = (0..layout.table as i32).map(|channel| channel * 1000 - 5000).collect();
        let (multiplier, shift) = (vec![1_700_000_000; layout.table], vec![41; layout.table]);
        let table = ChannelTable { bias: &bias, multiplier: &multiplier, shift: &shift, weight_sum: &bias };
        let output = Output { zero_point: -3, min: -100, max: 127 };
        let conv = Conv { window, groups, weights: &weights, winograd: None, table, input_zero_point: 17, output };

        let input = bytes(index + 50, shape.elements() as usize, -128, 127);
        let mut expected = vec![0; out_shape.elements() as usize];
        reference::conv(&conv, &input, shape, &mut expected, out_shape);
        // The input's pixels lie apart, so that nothing can be copied as a whole; so do the output's.
        let (gap, out_stride) = (channels as usize + 3, outputs as usize + 2);
        let mut spread = vec![55; gap * shape.pixels() as usize];
        for (to, from) in spread.chunks_exact_mut(gap).zip(input.chunks_exact(channels as usize)) {
            to[..channels as usize].copy_from_slice(from);
        }
        let pixels = 0..out_shape.pixels() as usize;
        let enough = Strip::new(backend, &conv, &layout, out_shape, &pixels, usize::MAX >> 8)
            .map_or(0, |strip| strip.weights + strip.row * (kernel[0] + stride[0]) as usize);
        // All of it at once, then two rows at a time.
        for scratch in [1 << 16, enough] {
            let strip = Strip::new(backend, &conv, &layout, out_shape, &pixels, scratch);
            assert_eq!(strip.is_some(), backend.reads_runs(), "{} case {index}", backend.name());
            let Some(strip) = strip else { continue };
            for (data, stride) in [(&input, channels as usize), (&spread, gap)] {
                let mut out = vec![99; out_stride * out_shape.pixels() as usize];
                let from = Pixels::new(data, shape, stride).unwrap();
                for group in 0..groups {
                    let gemm = conv.gemm(&layout, group, out_stride).unwrap();
                    let out = &mut out[group * layout.group_outputs..];
                    strip.run(backend, (group, gemm), from, out, &mut vec![0; scratch]).unwrap();
                }
                for (computed, expected) in out.chunks(out_stride).zip(expected.chunks(outputs as usize)) {
                    let (values, between) = computed.split_at(outputs as usize);
                    assert_eq!(values, expected, "{} case {index} scratch {scratch}", backend.name());
                    assert_eq!(between, [99, 99]);
                }
            }
        }
    }

    #[test]
    fn rows_give_the_references_bits() {
        for backend in available() {
            for index in 0..CASES.len() {
                check(index, backend);
            }
        }
    }
}
