//! Max and average pooling. Padding is never read: a window is clipped to the input.

use core::ops::Range;

use super::{AverageWindow, Divisors, Pixels, PixelsMut};
use crate::arch::{Backend, PoolWindow};
use crate::quant::Output;
use crate::shape::{Shape, Span, Window};

/// Parameters of a max pool. Input and output have the same scale and zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Max {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Range of the output.
    pub output: Output,
}

/// Largest value of each window, clamped to the output's range.
pub fn max<B: Backend>(backend: B, pool: &Max, input: Pixels<'_>, output: &mut PixelsMut<'_>) -> Option<()> {
    let (shape, stride) = (output.shape(), output.stride());
    max_pixels(backend, pool, input, shape, 0..shape.pixels() as usize, output.from_pixel_mut(0)?, stride)
}

/// The output pixels `range` alone, counted in row-major order over an output of `shape`. `out` begins at the first of
/// them, and they are `stride` elements apart. The input may be a ring that holds the rows under these pixels.
pub fn max_pixels<B: Backend>(
    backend: B,
    pool: &Max,
    input: Pixels<'_>,
    shape: Shape,
    range: Range<usize>,
    out: &mut [i8],
    stride: usize,
) -> Option<()> {
    let source = input.shape();
    if source.channels != shape.channels || pool.output.min > pool.output.max || shape.width == 0 {
        return None;
    }
    // Not by `zip`, which asks for the number of chunks: a division that could panic.
    let mut places = out.chunks_mut(stride.max(1));
    for pixel in range {
        let out = places.next()?;
        let rows = pool.window.rows(pixel as u32 / shape.width, source.height);
        let columns = pool.window.columns(pixel as u32 % shape.width, source.width);
        max_pixel(backend, pool.output, input, (rows, columns), out.get_mut(..shape.channels as usize)?)?;
    }
    Some(())
}

/// Channels at a time of a window that runs over a ring's end.
const BLOCK: usize = 64;

/// One output pixel, from the input's `rows` and `columns`.
fn max_pixel<B: Backend>(
    backend: B,
    output: Output,
    input: Pixels<'_>,
    (rows, columns): (Span, Span),
    out: &mut [i8],
) -> Option<()> {
    let limits = (output.min, output.max);
    if rows.length == 0 || columns.length == 0 {
        out.fill(output.min);
        return Some(());
    }
    let window = |start: u32, count: u32| {
        Some(PoolWindow {
            values: input.row(start)?.get(columns.start as usize * input.stride()..)?,
            pixel_stride: input.stride(),
            row_stride: input.shape().width as usize * input.stride(),
            rows: count as usize,
            columns: columns.length as usize,
        })
    };
    let upper_rows = rows.length.min(input.rows_to_end(rows.start)?);
    let upper = window(rows.start, upper_rows)?;
    backend.max_pool(&upper, limits, out)?;
    if upper_rows < rows.length {
        // The rest of the window lies at the ring's start.
        let lower = window(rows.start + upper_rows, rows.length - upper_rows)?;
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let mut others = [0; BLOCK];
            let others = others.get_mut(..out.len())?;
            let values = lower.values.get(block * BLOCK..)?;
            backend.max_pool(&PoolWindow { values, ..lower }, limits, others)?;
            for (out, other) in out.iter_mut().zip(others) {
                *out = (*out).max(*other);
            }
        }
    }
    Some(())
}

/// Channels that an average pool sums at a time.
pub(crate) const CHANNELS: usize = 16;

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
    let width = shape.width.max(1);
    let mut places = out.chunks_mut(stride.max(1));
    for pixel in range {
        let out = places.next()?;
        means(pool, input, (pixel as u32 / width, pixel as u32 % width), |channel, mean| {
            if let Some(value) = out.get_mut(channel) {
                *value = pool.output.clamp(mean);
            }
        })?;
    }
    Some(())
}

/// Mean of each window as int32 logits: 4 little-endian bytes for each element, pixel by pixel from pixel `first` on, no zero
/// point. `width` is the output's.
pub fn average_logits(pool: &Average<'_>, input: Pixels<'_>, width: u32, first: u32, logits: &mut [u8]) -> Option<()> {
    let channels = input.shape().channels as usize;
    for (pixel, logits) in (first..).zip(logits.chunks_exact_mut((channels * 4).max(1))) {
        means(pool, input, (pixel / width.max(1), pixel % width.max(1)), |channel, mean| {
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
            for pixel in row.chunks(input.stride().max(1)).take(columns.length as usize) {
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
