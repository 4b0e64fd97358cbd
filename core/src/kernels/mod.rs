//! The operators on int8 tensors, and the plain data they work on.
//!
//! Kernels know nothing of files, sessions or instruction sets: they get tensors as [`Pixels`], parameters as small
//! structs of slices, and the inner loops from a [`Backend`](crate::arch::Backend).
//! [`reference`](mod@reference) has each operator once more, written to be read; every backend must give its bits.
//!
//! A kernel returns `None` where its parameters contradict each other. A verified model never makes that happen, and
//! so no kernel needs to panic.

pub mod conv;
pub mod dense;
pub mod depthwise;
pub mod elementwise;
pub mod lrn;
pub mod pool;
pub mod reference;
pub mod sigmoid;
pub mod softmax;
mod strip;
pub mod winograd;

use core::ops::Range;

use crate::EVERY_CHECK;
use crate::quant::Requantize;
use crate::shape::{Padding, Shape, Window};

/// An int8 tensor to read: NHWC, its pixels `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a> {
    data: &'a [i8],
    shape: Shape,
    stride: usize,
    stored_rows: u32,
}

/// An int8 tensor to write: NHWC, its pixels `stride` elements apart. What lies between the pixels is not touched.
#[derive(Debug)]
pub struct PixelsMut<'a> {
    data: &'a mut [i8],
    shape: Shape,
    stride: usize,
}

/// Copies elements, with `None` for lengths that differ where `copy_from_slice` would panic.
pub(crate) fn copy<T: Copy>(to: &mut [T], from: &[T]) -> Option<()> {
    if to.len() != from.len() {
        return None;
    }
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    Some(())
}

fn fits(length: usize, shape: Shape, stride: usize) -> bool {
    let channels = shape.channels as usize;
    let last = (shape.height as usize).checked_mul(shape.width as usize).and_then(|pixels| pixels.checked_sub(1));
    let needed = last.and_then(|last| last.checked_mul(stride)?.checked_add(channels));
    channels > 0 && stride >= channels && needed.is_some_and(|needed| length >= needed)
}

impl<'a> Pixels<'a> {
    /// A tensor over `data`, or `None` where it is empty, the stride is less than the channels or the data too short.
    #[must_use]
    pub fn new(data: &'a [i8], shape: Shape, stride: usize) -> Option<Self> {
        Self::ring(data, shape, stride, shape.height)
    }

    /// A tensor of which `data` holds the last `stored_rows` rows made: row `y` in the place of row `y % stored_rows`.
    /// Only [`row`](Self::row) and [`rows_to_end`](Self::rows_to_end) know of it; everything else wants whole tensors.
    #[must_use]
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn ring(data: &'a [i8], shape: Shape, stride: usize, stored_rows: u32) -> Option<Self> {
        let stored = Shape { height: stored_rows, ..shape };
        fits(data.len(), stored, stride).then_some(Self { data, shape, stride, stored_rows })
    }

    /// Height, width, channels.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Elements from one pixel to the next.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// All elements, gaps included.
    #[must_use]
    pub const fn data(&self) -> &'a [i8] {
        self.data
    }

    /// The pixels from number `first` on, gaps included.
    #[must_use]
    pub fn from_pixel(&self, first: usize) -> Option<&'a [i8]> {
        self.data.get(first.checked_mul(self.stride)?..)
    }

    /// The pixels of row `y`, gaps included, from the first to the end of the data.
    #[must_use]
    pub fn row(&self, y: u32) -> Option<&'a [i8]> {
        let row = y.checked_rem(self.stored_rows)? as usize;
        self.data.get(row * self.shape.width as usize * self.stride..)
    }

    /// How many rows from row `y` on follow each other in memory.
    #[must_use]
    pub fn rows_to_end(&self, y: u32) -> Option<u32> {
        Some(self.stored_rows - y.checked_rem(self.stored_rows)?)
    }

    /// The same pixels with the channels `range` alone.
    #[must_use]
    pub fn channels(&self, range: &Range<usize>) -> Option<Self> {
        let shape = Shape { channels: range.len() as u32, ..self.shape };
        Self::ring(self.data.get(range.start..)?, shape, self.stride, self.stored_rows)
    }

    /// The channels of the pixel at row `y`, column `x`.
    #[must_use]
    pub fn pixel(&self, y: usize, x: usize) -> Option<&'a [i8]> {
        let first = (y * self.shape.width as usize + x) * self.stride;
        self.data.get(first..)?.get(..self.shape.channels as usize)
    }

    /// All pixels in row-major order.
    pub fn pixels(&self) -> impl Iterator<Item = &'a [i8]> {
        let channels = self.shape.channels as usize;
        let pixels = self.data.chunks(self.stride.max(1)).take(self.shape.pixels() as usize);
        pixels.filter_map(move |pixel| pixel.get(..channels))
    }
}

impl PixelsMut<'_> {
    /// A tensor over `data`, or `None` where it is empty, the stride is less than the channels or the data too short.
    #[must_use]
    pub fn new(data: &mut [i8], shape: Shape, stride: usize) -> Option<PixelsMut<'_>> {
        fits(data.len(), shape, stride).then_some(PixelsMut { data, shape, stride })
    }

    /// Height, width, channels.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Elements from one pixel to the next.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// The tensor, to read.
    #[must_use]
    pub fn as_pixels(&self) -> Pixels<'_> {
        Pixels { data: self.data, shape: self.shape, stride: self.stride, stored_rows: self.shape.height }
    }

    /// The pixels from number `first` on, gaps included.
    #[must_use]
    pub fn from_pixel_mut(&mut self, first: usize) -> Option<&mut [i8]> {
        self.data.get_mut(first.checked_mul(self.stride)?..)
    }

    /// All pixels in row-major order.
    pub fn pixels_mut(&mut self) -> impl Iterator<Item = &mut [i8]> {
        let channels = self.shape.channels as usize;
        let pixels = self.data.chunks_mut(self.stride.max(1)).take(self.shape.pixels() as usize);
        pixels.filter_map(move |pixel| pixel.get_mut(..channels))
    }

    /// Copies a tensor of the same shape, each with its own stride.
    pub fn copy_from(&mut self, source: Pixels<'_>) -> Option<()> {
        if self.shape != source.shape {
            return None;
        }
        for (to, from) in self.pixels_mut().zip(source.pixels()) {
            to.copy_from_slice(from);
        }
        Some(())
    }
}

/// Per-channel parameters of a convolution, each as long as the output channels rounded up to 4 within each group.
#[derive(Clone, Copy, Debug)]
pub struct ChannelTable<'a> {
    /// Bias, the input's zero point folded in: `bias - zero_point * sum(weights)`.
    pub bias: &'a [i32],
    /// Multiplier of the [`Requantize`] of each channel, `0..2^31`.
    pub multiplier: &'a [i32],
    /// Shift of the [`Requantize`] of each channel, `1..=62`.
    pub shift: &'a [i32],
    /// Sum of each channel's weights, for backends that offset the activations.
    pub weight_sum: &'a [i32],
}

impl<'a> ChannelTable<'a> {
    /// The channels `first..first + count`, or `None` where there are not as many.
    #[must_use]
    pub fn slice(&self, first: usize, count: usize) -> Option<ChannelTable<'a>> {
        let end = first.checked_add(count)?;
        Some(ChannelTable {
            bias: self.bias.get(first..end)?,
            multiplier: self.multiplier.get(first..end)?,
            shift: self.shift.get(first..end)?,
            weight_sum: self.weight_sum.get(first..end)?,
        })
    }
}

/// Average pooling's window and the part of its padding that counts in the divisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AverageWindow {
    /// Kernel, stride, padding.
    pub window: Window,
    /// At most the window's own padding on each side.
    pub counted: Padding,
}

impl AverageWindow {
    /// The divisor of the window at output row `y`, column `x` over an input of `height` x `width`: its positions
    /// inside the input or the counted padding.
    #[must_use]
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn divisor(&self, y: u32, x: u32, height: u32, width: u32) -> u32 {
        self.rows(height).count(y).saturating_mul(self.columns(width).count(x))
    }

    /// How the rows of windows count over an input of this height.
    pub(crate) const fn rows(&self, height: u32) -> Counted {
        let Window { kernel_height, stride_height, padding, .. } = self.window;
        let (top, bottom) = (self.counted.top, self.counted.bottom);
        Counted::new(kernel_height, stride_height, padding.top, (top, height, bottom))
    }

    /// How the columns of windows count over an input of this width.
    pub(crate) const fn columns(&self, width: u32) -> Counted {
        let Window { kernel_width, stride_width, padding, .. } = self.window;
        let (left, right) = (self.counted.left, self.counted.right);
        Counted::new(kernel_width, stride_width, padding.left, (left, width, right))
    }
}

/// Which positions count along one axis, from the edge of the padding, so that nothing is negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    kernel: u32,
    stride: u32,
    /// First position that counts.
    start: u32,
    /// One past the last position that counts.
    end: u32,
}

impl Counted {
    const fn new(kernel: u32, stride: u32, padding: u32, (before, size, after): (u32, u32, u32)) -> Self {
        let end = padding.saturating_add(size).saturating_add(after);
        Self { kernel, stride, start: padding.saturating_sub(before), end }
    }

    /// How many positions of window `index` count.
    pub(crate) fn count(&self, index: u32) -> u32 {
        let first = index.saturating_mul(self.stride);
        let stop = first.saturating_add(self.kernel).min(self.end);
        stop.saturating_sub(first.max(self.start))
    }

    /// The next window behind window `index` that may count otherwise. The counts grow as long as windows begin in front of
    /// `start` and end in front of `end`, stay what they are, and fall once windows do neither.
    pub(crate) fn next_count(&self, index: u32) -> u32 {
        if !EVERY_CHECK {
            return index.saturating_add(1);
        }
        let first = index.saturating_mul(self.stride);
        // Where a window begins that ends at the end.
        let full = self.end.saturating_sub(self.kernel);
        let flat = full.min(self.start)..=full.max(self.start);
        if flat.contains(&first) {
            // Behind the last one that is among the flat ones.
            return flat.end().checked_div(self.stride).unwrap_or(u32::MAX).saturating_add(1);
        }
        index.saturating_add(1)
    }
}

/// How an average pool turns sums into means: one rule per distinct divisor.
#[derive(Clone, Copy, Debug)]
pub struct Divisors<'a> {
    entries: &'a [[i32; 3]],
}

impl<'a> Divisors<'a> {
    /// A table of `[divisor, multiplier, shift]`.
    #[must_use]
    pub const fn new(entries: &'a [[i32; 3]]) -> Self {
        Self { entries }
    }

    /// The rule for `divisor`, or `None` where the table lacks it.
    #[must_use]
    pub fn rule(&self, divisor: u32) -> Option<Requantize> {
        let place = if EVERY_CHECK {
            self.entries.binary_search_by_key(&divisor, |entry| entry[0] as u32).ok()?
        } else {
            self.entries.iter().position(|entry| entry[0] as u32 == divisor)?
        };
        let [_, multiplier, shift] = self.entries.get(place)?;
        Requantize::new(*multiplier, *shift as u32)
    }
}
