//! Depthwise convolution: each channel with its own kernel, weights `[ky][kx][channel]`.
//!
//! Four channels at a time, so that a few accumulators serve every channel count and no scratch is needed.

use core::ops::Range;

use super::Pixels;
use super::conv::{Conv, Layout};
use crate::quant::Requantize;
use crate::shape::Shape;

/// Runs a depthwise convolution for the output pixels `range` alone: see [`conv::run_pixels`](super::conv::run_pixels).
pub fn run_pixels(
    conv: &Conv<'_>,
    layout: &Layout,
    input: Pixels<'_>,
    shape: Shape,
    range: Range<usize>,
    out: &mut [i8],
    stride: usize,
) -> Option<()> {
    for (pixel, out) in range.zip(out.chunks_mut(stride.max(1))) {
        let (y, x) = (pixel as u32 / shape.width.max(1), pixel as u32 % shape.width.max(1));
        for (quad, out) in out.get_mut(..shape.channels as usize)?.chunks_mut(4).enumerate() {
            quad_of_channels(conv, layout, input, (y, x), quad * 4, out)?;
        }
    }
    Some(())
}

fn quad_of_channels(
    conv: &Conv<'_>,
    layout: &Layout,
    input: Pixels<'_>,
    (y, x): (u32, u32),
    first: usize,
    out: &mut [i8],
) -> Option<()> {
    let shape = input.shape();
    let rows = conv.window.rows(y, shape.height);
    let columns = conv.window.columns(x, shape.width);
    let table = conv.table.slice(first, 4)?;
    let mut sums = [0_i32; 4];
    let mut weights = conv.weights.chunks_exact(layout.weights.checked_div(layout.depth)?.max(1));
    for ky in 0..conv.window.kernel_height {
        for kx in 0..conv.window.kernel_width {
            let weights = weights.next()?.get(first..)?;
            let row_inside = ky >= rows.skipped && ky - rows.skipped < rows.length;
            let inside = row_inside && kx >= columns.skipped && kx - columns.skipped < columns.length;
            if inside {
                let (in_y, in_x) = (rows.start + ky - rows.skipped, columns.start + kx - columns.skipped);
                let values = input.pixel(in_y as usize, in_x as usize)?.get(first..)?;
                for (sum, (value, weight)) in sums.iter_mut().zip(values.iter().zip(weights)) {
                    *sum += i32::from(*value) * i32::from(*weight);
                }
            } else {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += i32::from(conv.input_zero_point) * i32::from(*weight);
                }
            }
        }
    }
    let channels = sums.iter().zip(table.bias).zip(table.multiplier.iter().zip(table.shift));
    for (((sum, bias), (multiplier, shift)), out) in channels.zip(out) {
        let rule = Requantize::new(*multiplier, *shift as u32)?;
        *out = conv.output.clamp(rule.apply(sum.wrapping_add(*bias)));
    }
    Some(())
}
