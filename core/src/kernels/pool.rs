//! Max and average pooling. Padding is never read: a window is clipped to the input.

use super::{AverageWindow, Divisors, Pixels, PixelsMut};
use crate::arch::{Backend, PoolWindow};
use crate::quant::Output;
use crate::shape::Window;

/// Largest value of each window, clamped to `min..=max`. Input and output have the same scale and zero point.
pub fn max<B: Backend>(
    backend: B,
    window: &Window,
    (min, max): (i8, i8),
    input: Pixels<'_>,
    output: &mut PixelsMut<'_>,
) -> Option<()> {
    if input.shape().channels != output.shape().channels || min > max {
        return None;
    }
    let (shape, out) = (input.shape(), output.shape());
    for y in 0..out.height {
        let rows = window.rows(y, shape.height);
        for x in 0..out.width {
            let columns = window.columns(x, shape.width);
            let pixel = output.pixel_mut(y as usize, x as usize)?;
            if rows.length == 0 || columns.length == 0 {
                pixel.fill(min);
                continue;
            }
            let first = rows.start as usize * shape.width as usize + columns.start as usize;
            let window = PoolWindow {
                values: input.from_pixel(first)?,
                pixel_stride: input.stride(),
                row_stride: shape.width as usize * input.stride(),
                rows: rows.length as usize,
                columns: columns.length as usize,
            };
            backend.max_pool(&window, (min, max), pixel)?;
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
}

/// Mean of each window: `clamp(zp_out + requantize(sum(q - zp_in)))`, the rule chosen by the window's divisor.
pub fn average(pool: &Average<'_>, requantized: Output, input: Pixels<'_>, output: &mut PixelsMut<'_>) -> Option<()> {
    let out = output.shape();
    if input.shape().channels != out.channels {
        return None;
    }
    for y in 0..out.height {
        for x in 0..out.width {
            let pixel = output.pixel_mut(y as usize, x as usize)?;
            means(pool, input, (y, x), |channel, mean| {
                if let Some(value) = pixel.get_mut(channel) {
                    *value = requantized.clamp(mean);
                }
            })?;
        }
    }
    Some(())
}

/// Mean of each window as int32 logits: 4 little-endian bytes for each element, pixel by pixel, no zero point.
/// `width` is the output's.
pub fn average_logits(pool: &Average<'_>, input: Pixels<'_>, width: u32, logits: &mut [u8]) -> Option<()> {
    let channels = input.shape().channels as usize;
    for (pixel, logits) in (0..).zip(logits.chunks_exact_mut((channels * 4).max(1))) {
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
        for in_y in rows.start..rows.start + rows.length {
            for in_x in columns.start..columns.start + columns.length {
                let values = input.pixel(in_y as usize, in_x as usize)?.get(first..)?;
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
