//! Max and average pooling. Padding is never read: a window is clipped to the input.

use core::ops::Range;

use super::{AverageWindow, Divisors, Pixels, PixelsMut};
use crate::quant::Output;
use crate::shape::{Shape, Window};

/// Parameters of a max pool. Input and output have the same scale and zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Max {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Range of the output.
    pub output: Output,
}

/// Largest value of each window, clamped to the output's range.
pub fn max(pool: &Max, input: Pixels<'_>, output: &mut PixelsMut<'_>) -> Option<()> {
    let (shape, stride) = (output.shape(), output.stride());
    max_pixels(pool, input, shape, 0..shape.pixels() as usize, output.from_pixel_mut(0)?, stride)
}

/// The output pixels `range` alone, counted in row-major order over an output of `shape`. `out` begins at the first of
/// them, and they are `stride` elements apart. The input may be a ring that holds the rows under these pixels.
pub fn max_pixels(
    pool: &Max,
    input: Pixels<'_>,
    shape: Shape,
    range: Range<usize>,
    out: &mut [i8],
    stride: usize,
) -> Option<()> {
    let (window, source) = (&pool.window, input.shape());
    let channels = shape.channels as usize;
    if source.channels != shape.channels || pool.output.min > pool.output.max {
        return None;
    }
    for (pixel, out) in range.zip(out.chunks_mut(stride)) {
        let out = out.get_mut(..channels)?;
        let rows = window.rows(pixel as u32 / shape.width, source.height);
        let columns = window.columns(pixel as u32 % shape.width, source.width);
        out.fill(pool.output.min);
        for y in rows.start..rows.start + rows.length {
            let row = input.row(y)?.get(columns.start as usize * input.stride()..)?;
            for values in row.chunks(input.stride()).take(columns.length as usize) {
                for (out, value) in out.iter_mut().zip(values.get(..channels)?) {
                    *out = (*out).max(*value);
                }
            }
        }
        for out in out {
            *out = (*out).min(pool.output.max);
        }
    }
    Some(())
}

/// Channels that an average pool sums at a time.
const CHANNELS: usize = 16;

/// Parameters of an average pool.
#[derive(Clone, Copy, Debug)]
pub struct Average<'a> {
    /// Window and counted padding.
    pub window: AverageWindow,
    /// One rule per distinct divisor.
    pub divisors: Divisors<'a>,
    /// Zero point of the input.
    pub zero_point: i8,
    /// Zero point and range of an int8 output.
    pub output: Output,
}

/// Mean of each window: `clamp(zp_out + requantize(sum(q - zp_in)))`, the rule chosen by the window's divisor.
pub fn average(pool: &Average<'_>, input: Pixels<'_>, output: &mut PixelsMut<'_>) -> Option<()> {
    let (shape, stride) = (output.shape(), output.stride());
    average_pixels(pool, input, shape, 0..shape.pixels() as usize, output.from_pixel_mut(0)?, stride)
}

/// The output pixels `range` alone, as [`max_pixels`] has them.
pub fn average_pixels(
    pool: &Average<'_>,
    input: Pixels<'_>,
    shape: Shape,
    range: Range<usize>,
    out: &mut [i8],
    stride: usize,
) -> Option<()> {
    if input.shape().channels != shape.channels {
        return None;
    }
    for (pixel, out) in range.zip(out.chunks_mut(stride)) {
        means(pool, input, (pixel as u32 / shape.width, pixel as u32 % shape.width), |channel, mean| {
            if let Some(value) = out.get_mut(channel) {
                *value = pool.output.clamp(mean);
            }
        })?;
    }
    Some(())
}

/// Mean of each window as int32 logits: 4 little-endian bytes for each element, pixel by pixel, no zero point.
/// `width` is the output's.
pub fn average_logits(pool: &Average<'_>, input: Pixels<'_>, width: u32, logits: &mut [u8]) -> Option<()> {
    let channels = input.shape().channels as usize;
    for (pixel, logits) in (0..).zip(logits.chunks_exact_mut(channels * 4)) {
        means(pool, input, (pixel / width, pixel % width), |channel, mean| {
            if let Some(logit) = logits.get_mut(channel * 4..).and_then(|rest| rest.first_chunk_mut()) {
                *logit = crate::quant::clamp_to_i32(mean).to_le_bytes();
            }
        })?;
    }
    Some(())
}

/// Calls `emit` with each channel and its requantised mean at one output pixel.
fn means(pool: &Average<'_>, input: Pixels<'_>, (y, x): (u32, u32), mut emit: impl FnMut(usize, i64)) -> Option<()> {
    let shape = input.shape();
    let rows = pool.window.window.rows(y, shape.height);
    let columns = pool.window.window.columns(x, shape.width);
    let rule = pool.divisors.rule(pool.window.divisor(y, x, shape.height, shape.width))?;
    let offset = (rows.length as i32).wrapping_mul(columns.length as i32).wrapping_mul(i32::from(pool.zero_point));
    let channels = shape.channels as usize;
    for first in (0..channels).step_by(CHANNELS) {
        let mut sums = [0_i32; CHANNELS];
        for y in rows.start..rows.start + rows.length {
            let row = input.row(y)?.get(columns.start as usize * input.stride()..)?;
            for pixel in row.chunks(input.stride()).take(columns.length as usize) {
                let values = pixel.get(..channels)?.get(first..)?;
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += i32::from(*value);
                }
            }
        }
        for (channel, sum) in (first..channels).zip(sums) {
            emit(channel, rule.apply(sum.wrapping_sub(offset)));
        }
    }
    Some(())
}
