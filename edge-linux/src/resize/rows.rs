//! The resize of a picture whose rows come one by one, as a decoder gives them: the same bytes as
//! [`Resizer::resize`](super::Resizer::resize) of the whole picture, turned upright, which is never in memory.
//!
//! ```text
//! upright:  stored row -> filtered horizontally -> held -> output row, once all rows that it needs are there
//! swapped:  stored row = upright column -> held -> output column, likewise -> in the end filtered vertically
//! ```
//!
//! Either way the horizontal filter comes first and its sums are rounded to bytes, so the order of the arithmetic is the
//! core's. A filter looks at neighbours only: no more rows are held than one output position needs.

use pulp::{Arch, Simd, WithSimd};
use tinception_core::error::ImageError;
use tinception_core::image::{Channels, Geometry, Picture, PixelFormat, Position, Resize, Size, resample};

use super::{Filter, filter_row, weigh_rows};
use crate::picture::{Rows, Turn};

/// Brings a picture to a network's size while it is decoded.
pub(crate) struct RowResizer {
    resize: Resize,
    output: Size,
    channels: Channels,
    work: Option<Work>,
}

impl RowResizer {
    /// For an output of this size and with these channels.
    pub(crate) const fn new(resize: Resize, output: Size, channels: Channels) -> Self {
        Self { resize, output, channels, work: None }
    }

    /// The pixels, NHWC: RGB or luma. Nothing where no picture has begun.
    pub(crate) fn finish(self) -> Vec<u8> {
        let pixels = self.work.map(Work::finish).unwrap_or_default();
        match self.channels {
            Channels::Rgb => pixels,
            // Three times the same.
            Channels::Grey => pixels.into_iter().step_by(3).collect(),
        }
    }

    fn plan(&self, stored: Size, turn: Turn) -> Result<Geometry, ImageError> {
        Geometry::plan(self.resize, turn.upright(stored), self.output)
    }
}

impl Rows for RowResizer {
    fn bytes(&self, stored: Size, turn: Turn) -> u64 {
        self.plan(stored, turn).map_or(0, |geometry| Work::bytes(&geometry, turn, stored))
    }

    fn begin(&mut self, stored: Size, turn: Turn) -> Result<(), String> {
        let geometry = self.plan(stored, turn).map_err(|error| {
            let Size { width, height } = self.output;
            format!("cannot become a picture of {width} x {height}: {error}; choose another --resize")
        })?;
        self.work = Some(Work::new(&geometry, turn, stored, self.channels));
        Ok(())
    }

    fn row(&mut self, y: u32, rgb: &[u8]) {
        if let Some(work) = &mut self.work {
            work.row(y, rgb);
        }
    }
}

/// An output position and the rows that it is the weighted sum of, in the order in which they come.
struct Window {
    output: usize,
    first: u32,
    coefficients: Vec<u32>,
}

/// The positions in the order in which their rows come, where these come from the last to the first if `reversed`.
fn windows(positions: impl Iterator<Item = Position>, side: u32, reversed: bool) -> Vec<Window> {
    let mut windows: Vec<Window> = positions
        .enumerate()
        .map(|(output, position)| {
            let mut coefficients = vec![0; position.taps()];
            position.coefficients(&mut coefficients);
            Window { output, first: position.first(), coefficients }
        })
        .collect();
    if reversed {
        windows.reverse();
        for window in &mut windows {
            window.first = side - window.first - window.coefficients.len() as u32;
            window.coefficients.reverse();
        }
    }
    windows
}

/// A picture on its way.
struct Work {
    instructions: Arch,
    turn: Turn,
    stored: Size,
    channels: Channels,
    /// Width of the output in bytes.
    row_len: usize,
    /// What is filtered across a stored row: columns, or rows where they are swapped.
    across: Filter,
    /// What is filtered over stored rows, and how many of these windows are done.
    over: Vec<Window>,
    done: usize,
    /// Rows that windows still need, and the number of the first one that is held.
    held: Vec<u8>,
    first_held: u32,
    /// Bytes of a held row.
    held_len: usize,
    /// A stored row, cut, turned and padded.
    source: Vec<u8>,
    line: Vec<u8>,
    /// The output; where columns and rows are swapped, the horizontally resized picture, whose rows are `across`.
    pixels: Vec<u8>,
}

impl Work {
    fn new(geometry: &Geometry, turn: Turn, stored: Size, channels: Channels) -> Self {
        let output = geometry.output();
        let row_len = 3 * output.width as usize;
        let (across, over) = if turn.swaps {
            (Filter::new(geometry.rows()), windows(geometry.columns(), stored.height, turn.rows_reversed))
        } else {
            (Filter::new(geometry.columns()), windows(geometry.rows(), stored.height, turn.rows_reversed))
        };
        let (held_len, rows) =
            if turn.swaps { (3 * across.span, across.span + across.taps) } else { (row_len, output.height as usize) };
        Self {
            instructions: Arch::default(),
            turn,
            stored,
            channels,
            row_len,
            over,
            done: 0,
            held: Vec::new(),
            first_held: 0,
            held_len,
            source: vec![0; 3 * (across.span + across.taps) + 1],
            line: vec![0; held_len],
            pixels: vec![0; rows * row_len],
            across,
        }
    }

    /// Bytes that it will take, no less.
    fn bytes(geometry: &Geometry, turn: Turn, stored: Size) -> u64 {
        let output = geometry.output();
        let taps = |positions: &mut dyn Iterator<Item = Position>| {
            positions.map(|position| position.taps()).max().unwrap_or(1) as u64
        };
        let row_len = 3 * u64::from(output.width);
        if turn.swaps {
            let len = 3 * u64::from(stored.width);
            2 * taps(&mut geometry.columns()) * len + (len + taps(&mut geometry.rows()) * 3) / 3 * row_len
        } else {
            2 * taps(&mut geometry.rows()) * row_len + u64::from(output.height) * row_len
        }
    }

    fn row(&mut self, y: u32, rgb: &[u8]) {
        // Neither before the first window nor behind the last one is anything needed.
        let Some(next) = self.over.get(self.done) else { return };
        if y < next.first {
            return;
        }
        if self.held.is_empty() {
            self.first_held = y;
        }
        match self.channels {
            Channels::Rgb => self.hold(rgb),
            Channels::Grey => self.hold(&luma(rgb, self.stored.width)),
        }
        self.complete(y + 1);
        self.drop_rows(y + 1);
    }

    /// Holds what windows need of a row: cut, turned, and horizontally resized unless that comes later.
    fn hold(&mut self, rgb: &[u8]) {
        let Self { across, source, line, held, turn, .. } = self;
        let (start, end) = (across.origin as usize, across.origin as usize + across.span);
        let pixels = rgb.as_chunks::<3>().0;
        if turn.pixels_reversed {
            let from = pixels[pixels.len() - end..pixels.len() - start].iter().rev();
            source.as_chunks_mut::<3>().0.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        } else {
            source.as_chunks_mut::<3>().0[..across.span].copy_from_slice(&pixels[start..end]);
        }
        if turn.swaps {
            held.extend_from_slice(&source[..3 * across.span]);
        } else {
            self.instructions.dispatch(Across { source, filter: across, line });
            held.extend_from_slice(line);
        }
    }

    /// Writes the output's rows or columns whose windows end before row `next_row`.
    fn complete(&mut self, next_row: u32) {
        let Self { over, done, held, first_held, held_len, line, pixels, row_len, turn, .. } = self;
        let ending = |window: &&Window| window.first + window.coefficients.len() as u32 == next_row;
        while let Some(Window { output, first, coefficients }) = over.get(*done).filter(ending) {
            let rows = &held[(first - *first_held) as usize * *held_len..];
            self.instructions.dispatch(Over { rows, coefficients, line });
            if turn.swaps {
                for (row, pixel) in pixels.chunks_exact_mut(*row_len).zip(line.as_chunks::<3>().0) {
                    row[3 * output..3 * output + 3].copy_from_slice(pixel);
                }
            } else {
                pixels[output * *row_len..][..*row_len].copy_from_slice(line);
            }
            *done += 1;
        }
    }

    /// Drops the rows that no window needs any more, once they are as many as those that are left: then each is moved once.
    fn drop_rows(&mut self, next_row: u32) {
        let needed = self.over.get(self.done).map_or(next_row, |window| window.first).min(next_row);
        let dropped = (needed.saturating_sub(self.first_held)) as usize * self.held_len;
        if 2 * dropped >= self.held.len() {
            self.held.drain(..dropped);
            self.first_held = needed;
        }
    }

    fn finish(self) -> Vec<u8> {
        if !self.turn.swaps {
            return self.pixels;
        }
        let (narrow, filter, row_len) = (&self.pixels, &self.across, self.row_len);
        let mut pixels = vec![0; filter.firsts.len() * row_len];
        let lines = pixels.chunks_exact_mut(row_len).zip(&filter.firsts);
        for ((line, &first), coefficients) in lines.zip(filter.coefficients.chunks_exact(filter.taps)) {
            self.instructions.dispatch(Over { rows: &narrow[first * row_len..], coefficients, line });
        }
        pixels
    }
}

/// Three times the luma of each pixel, which the core's own conversion gives.
fn luma(rgb: &[u8], width: u32) -> Vec<u8> {
    let size = Size::new(width, 1);
    let mut luma = vec![0; width as usize];
    let converted = Picture::new(PixelFormat::Rgb888, size, rgb.len(), rgb).and_then(|row| {
        let geometry = Geometry::plan(Resize::Stretch, size, size)?;
        let mut scratch = vec![0; geometry.scratch_len(PixelFormat::Rgb888, Channels::Grey)];
        resample(&row, &geometry, Channels::Grey, &mut scratch, &mut luma)
    });
    debug_assert!(converted.is_ok());
    luma.into_iter().flat_map(|luma| [luma; 3]).collect()
}

/// Filters a row horizontally.
struct Across<'a> {
    source: &'a [u8],
    filter: &'a Filter,
    line: &'a mut [u8],
}

impl WithSimd for Across<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        filter_row(self.source, self.filter, self.line);
    }
}

/// Writes the weighted sum of rows as long as the line.
struct Over<'a> {
    rows: &'a [u8],
    coefficients: &'a [u32],
    line: &'a mut [u8],
}

impl WithSimd for Over<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        weigh_rows(self.rows, self.line.len(), self.coefficients, self.line);
    }
}

#[cfg(test)]
mod tests {
    use image::metadata::Orientation;
    use image::{DynamicImage, RgbImage};
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Rows one by one give what the core makes of the whole picture, turned upright by a peer.
    #[test]
    fn rows_give_what_the_whole_picture_gives() {
        let mut generator = SmallRng::seed_from_u64(91);
        let mut compared = 0;
        for round in 0..640 {
            let mut side = |most| generator.random_range(1..=most);
            let (stored, output) = (Size::new(side(120), side(120)), Size::new(side(50), side(50)));
            let resize = match round % 4 {
                0 => Resize::Stretch,
                1 => Resize::CentralCrop(side(1000) as u16),
                2 => Resize::ShorterSide((output.width.max(output.height) + side(20)) as u16),
                _ => Resize::ShorterSide(stored.width.min(stored.height) as u16),
            };
            let channels = if round % 5 == 0 { Channels::Grey } else { Channels::Rgb };
            let orientation = Orientation::from_exif((round / 4 % 8 + 1) as u8).unwrap();
            let mut data = vec![0; 3 * stored.width as usize * stored.height as usize];
            generator.fill(&mut data[..]);

            let mut turned = DynamicImage::from(RgbImage::from_raw(stored.width, stored.height, data.clone()).unwrap());
            turned.apply_orientation(orientation);
            let (size, whole) = (Size::new(turned.width(), turned.height()), turned.into_rgb8().into_raw());
            let picture = Picture::new(PixelFormat::Rgb888, size, 3 * size.width as usize, &whole).unwrap();
            let geometry = Geometry::plan(resize, size, output);

            let mut rows = RowResizer::new(resize, output, channels);
            let turn = Turn::numbered(orientation.to_exif().into()).unwrap();
            let begun = rows.begin(stored, turn);
            assert_eq!(begun.is_ok(), geometry.is_ok(), "{begun:?}");
            let Ok(geometry) = geometry else { continue };
            let mut scratch = vec![0; geometry.scratch_len(PixelFormat::Rgb888, channels)];
            let mut expected = vec![0; geometry.output_len(channels)];
            resample(&picture, &geometry, channels, &mut scratch, &mut expected).unwrap();
            let stated = rows.bytes(stored, turn);
            let mut most = 0;
            for (y, row) in (0..).zip(data.chunks_exact(3 * stored.width as usize)) {
                rows.row(y, row);
                let work = rows.work.as_ref().unwrap();
                most = most.max(work.held.len() + work.pixels.len());
            }
            assert!(most as u64 <= stated + 3 * 170, "{most} bytes instead of {stated}: {stored:?} {output:?}");
            assert!(rows.finish() == expected, "{stored:?} {orientation:?} {resize:?} {output:?} {channels:?}");
            compared += 1;
        }
        assert!(compared > 400, "{compared}");
    }
}
