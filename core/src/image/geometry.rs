//! Which part of a picture becomes the network's input, and which source pixels each output pixel needs.
//!
//! A resize is two independent axes. Along each, output position `x` of `resized` is a weighted mean of the source
//! positions around it; the weights are a triangle as wide as two source pixels, or as two output pixels where the
//! picture shrinks (that is the antialiasing). Measured in units of `1 / (2 * resized)` source pixels all of it is
//! integers: the centre of `x` is `(2x + 1) * source`, that of source position `i` is `(2i + 1) * resized`, and the
//! weight of `i` is `2 * max(source, resized)` less their distance, if positive. Weights are then normalised to a sum
//! of 2^22. This is the arithmetic of Pillow's `src/libImaging/Resample.c`, which does it in floating point.

use super::picture::{check_sides, is_direct};
use super::{Channels, MAX_SIDE, PixelFormat, Size};
use crate::error::ImageError;

/// Longest side of a resized picture, in pixels, before the crop.
pub const MAX_RESIZED: u32 = 1 << 24;

/// Fractional bits of the resize's coefficients, as in Pillow: a sum of 255 times 2^22 stays within 32 bits.
pub const COEFFICIENT_BITS: u32 = 22;

/// How a picture becomes the network's input size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resize {
    /// The shorter side to this many pixels, the longer one to `N * longer / shorter`, truncated; then the centre of
    /// that, as torchvision's `Resize(N)` and `CenterCrop` do.
    ShorterSide(u16),
    /// The whole picture to the input size; its ratio isn't kept.
    Stretch,
    /// The central part of each side, in thousandths (1 to 1000), stretched to the input size. Of each side
    /// `floor(side * (1000 - N) / 2000)` pixels are dropped at both ends, as TensorFlow's `central_crop` does;
    /// its Inception preprocessing keeps 875 thousandths.
    CentralCrop(u16),
}

/// How a picture of one size becomes an output of another: a source rectangle, the size it is resized to, and the
/// part of that which is the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    picture: Size,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

impl Geometry {
    /// Plans the way from a picture of size `picture` to an output of size `output`.
    ///
    /// # Errors
    /// [`ImageError::Empty`] or [`ImageError::TooLarge`] (a side over [`MAX_SIDE`], or over [`MAX_RESIZED`] once
    /// resized), [`ImageError::BadResize`] (shorter side 0, or a central crop outside 1 to 1000), and
    /// [`ImageError::CropOutside`] where the output is larger than the resized picture.
    pub fn plan(resize: Resize, picture: Size, output: Size) -> Result<Self, ImageError> {
        check_sides(picture)?;
        check_sides(output)?;
        let (dropped, resized) = match resize {
            Resize::Stretch => (0, output),
            Resize::CentralCrop(kept @ 1..=1000) => (1000 - u32::from(kept), output),
            Resize::ShorterSide(side @ 1..) => (0, shorter_side(picture, side.into())?),
            Resize::CentralCrop(_) | Resize::ShorterSide(0) => return Err(ImageError::BadResize),
        };
        Ok(Self {
            picture,
            x: Axis::plan(picture.width, dropped, resized.width, output.width)?,
            y: Axis::plan(picture.height, dropped, resized.height, output.height)?,
        })
    }

    /// The size of the pictures this was planned for.
    #[must_use]
    pub const fn picture(&self) -> Size {
        self.picture
    }

    /// Column and row of the source rectangle's upper left pixel.
    #[must_use]
    pub const fn source_offset(&self) -> (u32, u32) {
        (self.x.offset, self.y.offset)
    }

    /// Size of the source rectangle.
    #[must_use]
    pub const fn source(&self) -> Size {
        Size::new(self.x.source, self.y.source)
    }

    /// The size that the source rectangle is resized to.
    #[must_use]
    pub const fn resized(&self) -> Size {
        Size::new(self.x.resized, self.y.resized)
    }

    /// Column and row of the output's upper left pixel in the resized picture.
    #[must_use]
    pub const fn crop_offset(&self) -> (u32, u32) {
        (self.x.crop, self.y.crop)
    }

    /// Size of the output.
    #[must_use]
    pub const fn output(&self) -> Size {
        Size::new(self.x.output, self.y.output)
    }

    /// Bytes in the output: height times width times channels.
    #[must_use]
    pub const fn output_len(&self, channels: Channels) -> usize {
        self.y.output as usize * self.x.output as usize * channels.count()
    }

    /// The output's columns from left to right: which source columns each is a mean of. For those who resize rows in their
    /// own way; [`resample`](super::resample) takes the same.
    pub fn columns(&self) -> impl Iterator<Item = Position> {
        self.x.positions()
    }

    /// The output's rows from top to bottom, likewise.
    pub fn rows(&self) -> impl Iterator<Item = Position> {
        self.y.positions()
    }

    /// Words (`u32`) of scratch that [`resample`](super::resample) needs for pictures of `format`: exactly as many
    /// suffice, one less is refused.
    #[must_use]
    pub const fn scratch_len(&self, format: PixelFormat, channels: Channels) -> usize {
        let parts = self.scratch(format, channels);
        parts.table + parts.vertical + parts.ring + parts.row
    }

    pub(super) const fn scratch(&self, format: PixelFormat, channels: Channels) -> Scratch {
        let Self { x, y, .. } = self;
        let resizes_rows = !x.is_copy();
        let converts = resizes_rows && !is_direct(format, channels.count());
        Scratch {
            table: if resizes_rows { x.output as usize * x.entry_len() } else { 0 },
            vertical: y.ring_rows(),
            ring: (y.ring_rows() * x.output as usize * channels.count()).div_ceil(4),
            row: if converts { (x.span as usize * channels.count()).div_ceil(4) } else { 0 },
        }
    }
}

/// Words of each part of the resampling's scratch.
pub(super) struct Scratch {
    /// For each output column its first source column and its coefficients.
    pub(super) table: usize,
    /// The coefficients of one output row.
    pub(super) vertical: usize,
    /// Horizontally resized rows, as bytes.
    pub(super) ring: usize,
    /// One source row converted to RGB or luma, as bytes.
    pub(super) row: usize,
}

/// torchvision's `Resize(side)`.
fn shorter_side(picture: Size, side: u32) -> Result<Size, ImageError> {
    let Size { width, height } = picture;
    // A side below 2^16 times one below 2^15 fits.
    let longer = side * width.max(height) / width.min(height);
    if longer > MAX_RESIZED {
        return Err(ImageError::TooLarge);
    }
    Ok(if width <= height { Size::new(side, longer) } else { Size::new(longer, side) })
}

/// One direction of a resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Axis {
    /// Where the source rectangle begins in the picture.
    pub(super) offset: u32,
    /// Length of the source rectangle.
    source: u32,
    /// Length it is resized to.
    resized: u32,
    /// Where the output begins in that.
    crop: u32,
    /// Length of the output.
    pub(super) output: u32,
    /// Most source positions that any output position needs.
    pub(super) taps: u32,
    /// First source position that the output needs.
    pub(super) first: u32,
    /// Source positions from the first to the last one that the output needs.
    span: u32,
}

impl Axis {
    /// Plans one direction; of the picture's side `dropped` thousandths aren't used.
    fn plan(side: u32, dropped: u32, resized: u32, output: u32) -> Result<Self, ImageError> {
        let spare = resized.checked_sub(output).ok_or(ImageError::CropOutside)?;
        let offset = side * dropped / 2000;
        // Python's `round(spare / 2)`: halves go to the even neighbour.
        let crop = spare / 2 + (spare & (spare / 2) & 1);
        let mut axis = Self { offset, source: side - 2 * offset, resized, crop, output, taps: 0, first: 0, span: 0 };
        let mut window = FilterWindow::first_of(&axis);
        axis.first = window.first;
        for _ in 0..output {
            let taps = window.taps();
            axis.taps = axis.taps.max(taps);
            axis.span = window.first + taps - axis.first;
            window.advance();
        }
        Ok(axis)
    }

    /// The output's positions.
    fn positions(&self) -> impl Iterator<Item = Position> + use<> {
        let offset = self.offset;
        let mut next = FilterWindow::first_of(self);
        (0..self.output).map(move |_| {
            let window = next.clone();
            next.advance();
            Position { window, offset }
        })
    }

    /// Whether output positions are source positions.
    pub(super) const fn is_copy(&self) -> bool {
        self.source == self.resized
    }

    /// Words of an output position in the table: its first source position, then its coefficients.
    pub(super) const fn entry_len(&self) -> usize {
        (self.taps as usize).saturating_add(1)
    }

    /// Rows that must be held to filter vertically: none where each output row needs one source row.
    pub(super) const fn ring_rows(&self) -> usize {
        if self.taps > 1 { self.taps as usize } else { 0 }
    }
}

/// An output column or row: a weighted mean of neighbouring source columns or rows.
#[derive(Clone, Debug)]
pub struct Position {
    window: FilterWindow,
    offset: u32,
}

impl Position {
    /// The first source position that counts, in the picture.
    #[must_use]
    pub const fn first(&self) -> u32 {
        self.offset + self.window.first
    }

    /// How many source positions count, at least one; none lies outside the picture.
    #[must_use]
    pub fn taps(&self) -> usize {
        self.window.taps() as usize
    }

    /// Writes how much each counts to `out`, with [`COEFFICIENT_BITS`] fractional bits, and zero behind them.
    ///
    /// The mean is their sum, each value times its coefficient, plus a half, without the fraction and at most 255. The sum of
    /// bytes stays within a `u32`. `out` must have room for [`taps`](Self::taps); with less it is filled with zeros.
    pub fn coefficients(&self, out: &mut [u32]) {
        if out.len() < self.taps() {
            return out.fill(0);
        }
        self.window.coefficients(out, 0);
    }
}

/// The source positions that one output position needs, and their coefficients. It moves from one output position to
/// the next by additions alone, as Bresenham's line does.
#[derive(Clone, Debug)]
pub(super) struct FilterWindow {
    /// First source position with a positive weight, within the source rectangle.
    pub(super) first: u32,
    /// From the output position's centre to that of `first`, in units of `1 / (2 * resized)` source pixels.
    distance: i32,
    /// Distance from which on weights are zero. At most 2^25, so that sums of two stay within an `i32`.
    reach: i32,
    source: u32,
    resized: u32,
}

impl FilterWindow {
    /// The window of the output's first position.
    pub(super) fn first_of(axis: &Axis) -> Self {
        let &Axis { source, resized, crop, .. } = axis;
        let reach = 2 * source.max(resized) as i32;
        let mut window = Self { first: 0, distance: resized as i32 - source as i32, reach, source, resized };
        for _ in 0..crop {
            window.advance();
        }
        window
    }

    /// Moves to the next output position.
    pub(super) fn advance(&mut self) {
        self.distance -= 2 * self.source as i32;
        while self.distance <= -self.reach {
            self.first += 1;
            self.distance += 2 * self.resized as i32;
        }
    }

    /// How many source positions have a positive weight.
    ///
    /// At least one: `distance` lies strictly between `-reach` and `reach`.
    pub(super) fn taps(&self) -> u32 {
        let mut taps = 0;
        let mut distance = self.distance;
        while distance < self.reach && self.first + taps < self.source {
            taps += 1;
            distance += 2 * self.resized as i32;
        }
        taps
    }

    /// Writes the coefficients of this window's source positions to `out`, beginning at `start` and going on at its
    /// beginning; what is left over becomes zero. `out` must have room for [`Self::taps`].
    pub(super) fn coefficients(&self, out: &mut [u32], start: usize) {
        out.fill(0);
        let Some((before, after)) = out.split_at_mut_checked(start) else {
            return;
        };
        let mut distance = self.distance;
        let mut sum: u32 = 0;
        for coefficient in after.iter_mut().chain(before).take(self.taps() as usize) {
            *coefficient = (self.reach - distance.abs()) as u32;
            sum += *coefficient;
            distance += 2 * self.resized as i32;
        }
        for coefficient in out {
            *coefficient = normalise(*coefficient, sum);
        }
    }
}

/// `round(weight / sum * 2^22)`, halves up, by long division: cheap where a 64-bit division is a library call.
/// `weight <= sum < 2^31`; the sum of an axis stays below `1.5 * MAX_SIDE^2` or `4 * MAX_RESIZED`.
fn normalise(weight: u32, sum: u32) -> u32 {
    let mut rest = weight;
    let mut quotient: u32 = 0;
    for _ in 0..=COEFFICIENT_BITS {
        rest *= 2;
        quotient *= 2;
        if rest >= sum {
            rest -= sum;
            quotient += 1;
        }
    }
    quotient.div_ceil(2)
}

const _: () = assert!(3 * (MAX_SIDE as u64).pow(2) / 2 < 1 << 31 && 4 * MAX_RESIZED as u64 <= 1 << 31);
