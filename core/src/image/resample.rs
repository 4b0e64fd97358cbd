//! The resize: antialiased bilinear, as Pillow's `Image.resize(size, BILINEAR)`.
//!
//! It filters horizontally, rounds to bytes, then filters vertically. Up to version 12 Pillow does so too, and the
//! bytes are the same. Version 13 takes the other order for some pictures that lose more of their height than of their
//! width; values then differ by at most 1. Where the ratio is kept it isn't one of them.
//!
//! Source rows are read from top to bottom, once. Each is converted to RGB or luma, resized horizontally, rounded to
//! bytes and put into a ring of as many rows as the vertical filter needs; an output row is the weighted sum of the
//! ring. Only what the output needs is read and computed. The horizontal coefficients are computed once per picture,
//! the vertical ones once per output row.

use super::geometry::{Axis, COEFFICIENT_BITS, FilterWindow};
use super::{Channels, Geometry, Picture};
use crate::EVERY_FORMAT;
use crate::error::ImageError;

/// Values of an output row that the vertical filter sums at a time: few enough for registers.
const BLOCK: usize = 16;

/// Crops and resizes `picture` as `geometry` says and writes it to `out`: rows from top to bottom, NHWC, three bytes
/// a pixel (red, green, blue) or one (luma), as `channels` says.
///
/// `scratch` must have at least [`Geometry::scratch_len`] words; its content doesn't matter.
///
/// # Errors
/// [`ImageError::PictureMismatch`], [`ImageError::OutputLength`] (`out` must have exactly
/// [`Geometry::output_len`] bytes) or [`ImageError::ScratchTooSmall`]; [`ImageError::LeftOut`] for luma without the feature
/// `every-format`.
pub fn resample(
    picture: &Picture<'_>,
    geometry: &Geometry,
    channels: Channels,
    scratch: &mut [u32],
    out: &mut [u8],
) -> Result<(), ImageError> {
    if picture.size() != geometry.picture() {
        return Err(ImageError::PictureMismatch);
    }
    if out.len() != geometry.output_len(channels) {
        return Err(ImageError::OutputLength { needed: geometry.output_len(channels) });
    }
    let parts = geometry.scratch(picture.format(), channels);
    let split = scratch.split_at_mut_checked(parts.table).and_then(|(table, rest)| {
        let (vertical, rest) = rest.split_at_mut_checked(parts.vertical)?;
        let (ring, rest) = rest.split_at_mut_checked(parts.ring)?;
        Some((table, vertical, ring, rest.get_mut(..parts.row)?))
    });
    let Some((table, vertical, ring, row)) = split else {
        return Err(ImageError::ScratchTooSmall { needed: geometry.scratch_len(picture.format(), channels) });
    };
    fill_table(&geometry.x, table);
    let mut rows = Rows { picture, geometry, table, converted: bytemuck::cast_slice_mut(row) };
    let ring = bytemuck::cast_slice_mut(ring);
    match channels {
        Channels::Grey if EVERY_FORMAT => rows.filter_all::<1>(vertical, ring, out),
        Channels::Rgb => rows.filter_all::<3>(vertical, ring, out),
        Channels::Grey => return Err(ImageError::LeftOut),
    }
    Ok(())
}

/// Writes for each output column its first source column, counted from the first one needed, and its coefficients.
fn fill_table(axis: &Axis, table: &mut [u32]) {
    let mut window = FilterWindow::first_of(axis);
    for entry in table.chunks_exact_mut(axis.entry_len()) {
        if let Some((first, coefficients)) = entry.split_first_mut() {
            *first = window.first - axis.first;
            window.coefficients(coefficients, 0);
        }
        window.advance();
    }
}

/// A picture whose rows can be had horizontally resized.
struct Rows<'a> {
    picture: &'a Picture<'a>,
    geometry: &'a Geometry,
    table: &'a [u32],
    converted: &'a mut [u8],
}

impl Rows<'_> {
    /// Filters vertically: the whole output, from rows that are filtered horizontally as they are needed.
    fn filter_all<const CHANNELS: usize>(&mut self, coefficients: &mut [u32], ring: &mut [u8], out: &mut [u8]) {
        let axis = &self.geometry.y;
        let row_len = self.geometry.x.output as usize * CHANNELS;
        let ring_rows = axis.ring_rows() as u32;
        let mut window = FilterWindow::first_of(axis);
        let mut next = 0;
        // It is at least 1. Saying so leaves no way to panic.
        for line in out.chunks_exact_mut(row_len.max(1)) {
            if ring_rows == 0 {
                self.filter_row::<CHANNELS>(window.first, line);
            } else {
                next = next.max(window.first);
                let end = window.first + window.taps();
                while next < end {
                    let slot = (next % ring_rows) as usize * row_len;
                    self.filter_row::<CHANNELS>(next, ring.get_mut(slot..slot + row_len).unwrap_or_default());
                    next += 1;
                }
                // The coefficients go where their rows are; a row that is no longer needed gets zero.
                window.coefficients(coefficients, (window.first % ring_rows) as usize);
                weigh_rows(ring, row_len, coefficients, line);
            }
            window.advance();
        }
    }

    /// Writes row `y` of the source rectangle, horizontally resized, to `line`.
    fn filter_row<const CHANNELS: usize>(&mut self, y: u32, line: &mut [u8]) {
        let Geometry { x: axis, y: vertical, .. } = self.geometry;
        let (x, y) = (axis.offset + axis.first, vertical.offset + y);
        let direct = self.picture.direct_row::<CHANNELS>(y, x);
        if axis.is_copy() {
            match direct {
                Some(source) => line.iter_mut().zip(source).for_each(|(to, from)| *to = *from),
                None => self.picture.convert_row::<CHANNELS>(y, x, line),
            }
            return;
        }
        let source = match direct {
            Some(source) => source,
            None => {
                self.picture.convert_row::<CHANNELS>(y, x, self.converted);
                &*self.converted
            }
        };
        let (source, _) = source.as_chunks::<CHANNELS>();
        let entries = self.table.chunks_exact(axis.entry_len());
        for (pixel, entry) in line.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(entries) {
            let Some((&first, coefficients)) = entry.split_first() else {
                return;
            };
            let mut sums = [HALF; CHANNELS];
            for (from, &coefficient) in source.get(first as usize..).unwrap_or_default().iter().zip(coefficients) {
                for (sum, &value) in sums.iter_mut().zip(from) {
                    *sum += coefficient * u32::from(value);
                }
            }
            *pixel = sums.map(to_byte);
        }
    }
}

/// Writes the sum of the ring's rows, each times its coefficient, to `line`.
fn weigh_rows(ring: &[u8], row_len: usize, coefficients: &[u32], line: &mut [u8]) {
    let mut start = 0;
    for block in line.chunks_mut(BLOCK) {
        let mut sums = [HALF; BLOCK];
        let mut at = start;
        for &coefficient in coefficients {
            let values = ring.get(at..at + block.len()).unwrap_or_default();
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += coefficient * u32::from(value);
            }
            at += row_len;
        }
        for (to, sum) in block.iter_mut().zip(sums) {
            *to = to_byte(sum);
        }
        start += BLOCK;
    }
}

/// One half of a byte's unit, in a sum of coefficients times bytes.
const HALF: u32 = 1 << (COEFFICIENT_BITS - 1);

/// Drops the fractional bits. Coefficients are rounded one by one, so nothing holds a sum of tens of thousands of them
/// to one exactly: hence the clamp. No sum overflows: `255 * (2^22 + MAX_SIDE / 2) + HALF < 2^32`.
fn to_byte(sum: u32) -> u8 {
    (sum >> COEFFICIENT_BITS).min(255) as u8
}
