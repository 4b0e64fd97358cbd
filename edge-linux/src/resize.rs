//! The core's resize for processors with wide vectors: the same bytes in about half the time.
//!
//! ```text
//! rows of the picture -> filtered horizontally, rounded -> filtered vertically, rounded -> the network's pixels
//! ```
//!
//! `pulp` has the loops compiled for each of the processors that it knows and chooses when the program runs. They are
//! written so that the compiler finds vectors in them: four values of a pixel, of which the last belongs to the next one
//! and is dropped, and blocks of a row.

// Without cameras only rows that come one by one are resized.
#![cfg_attr(not(feature = "camera"), allow(dead_code))]

mod rows;

use pulp::{Arch, Simd, WithSimd};
use tinception_core::error::ImageError;
use tinception_core::image::{
    COEFFICIENT_BITS, Channels, Geometry, Picture, PixelFormat, Position, Resize, Size, resample,
};

pub(crate) use self::rows::RowResizer;

/// One half of a byte's unit, in a sum of coefficients times bytes.
const HALF: u32 = 1 << (COEFFICIENT_BITS - 1);

/// Values of a row that are filtered vertically at a time.
const BLOCK: usize = 32;

/// Resizes one frame after the other. Coefficients and buffers stay, for a picture of the same size.
#[derive(Debug, Default)]
pub(crate) struct Resizer {
    /// The widest that the processor has, if nothing else is said.
    instructions: Arch,
    plan: Option<Plan>,
    /// A row of the picture, and zeros behind it.
    source: Vec<u8>,
    /// The picture, horizontally resized.
    narrow: Vec<u8>,
    /// What the core needs for pictures and networks without colours.
    scratch: Vec<u32>,
}

/// How pictures of one size are resized.
#[derive(Debug)]
struct Plan {
    resize: Resize,
    geometry: Geometry,
    columns: Filter,
    rows: Filter,
}

impl Resizer {
    /// Writes `picture`, resized, to `pixels`: exactly what [`resample`] writes.
    ///
    /// # Errors
    /// Those of [`Geometry::plan`].
    pub(crate) fn resize(
        &mut self,
        picture: &Picture<'_>,
        resize: Resize,
        output: Size,
        channels: Channels,
        pixels: &mut Vec<u8>,
    ) -> Result<(), ImageError> {
        let wanted = (resize, picture.size(), output);
        let plan = match self.plan.take() {
            Some(plan) if (plan.resize, plan.geometry.picture(), plan.geometry.output()) == wanted => plan,
            _ => Plan::new(resize, Geometry::plan(resize, picture.size(), output)?),
        };
        let plan = self.plan.insert(plan);
        pixels.resize(plan.geometry.output_len(channels), 0);
        if channels == Channels::Grey || picture.format() != PixelFormat::Rgb888 {
            self.scratch.resize(plan.geometry.scratch_len(picture.format(), channels), 0);
            return resample(picture, &plan.geometry, channels, &mut self.scratch, pixels);
        }
        let (source, narrow) = (&mut self.source, &mut self.narrow);
        self.instructions.dispatch(Filtering { plan, picture, source, narrow, pixels });
        Ok(())
    }
}

impl Plan {
    fn new(resize: Resize, geometry: Geometry) -> Self {
        let (columns, rows) = (Filter::new(geometry.columns()), Filter::new(geometry.rows()));
        Self { resize, geometry, columns, rows }
    }
}

/// The output's positions in one direction.
#[derive(Debug)]
struct Filter {
    /// The first source position that any of them needs.
    origin: u32,
    /// Source positions from there to behind the last one that any of them needs.
    span: usize,
    /// Most source positions that one of them needs.
    taps: usize,
    /// For each of them its first source position, counted from `origin`.
    firsts: Vec<usize>,
    /// For each of them `taps` coefficients; those behind its own are zero.
    coefficients: Vec<u32>,
}

impl Filter {
    fn new(positions: impl Iterator<Item = Position>) -> Self {
        let positions: Vec<Position> = positions.collect();
        let origin = positions.iter().map(Position::first).min().unwrap_or(0);
        let taps = positions.iter().map(Position::taps).max().unwrap_or(1);
        let mut coefficients = vec![0; taps * positions.len()];
        for (position, coefficients) in positions.iter().zip(coefficients.chunks_exact_mut(taps)) {
            position.coefficients(coefficients);
        }
        let firsts: Vec<usize> = positions.iter().map(|position| (position.first() - origin) as usize).collect();
        let ends = positions.iter().zip(&firsts).map(|(position, first)| first + position.taps());
        Self { origin, span: ends.max().unwrap_or(0), taps, firsts, coefficients }
    }
}

/// What is done with the processor's widest instructions, so all of it has to be inlined.
struct Filtering<'a> {
    plan: &'a Plan,
    picture: &'a Picture<'a>,
    source: &'a mut Vec<u8>,
    narrow: &'a mut Vec<u8>,
    pixels: &'a mut [u8],
}

impl WithSimd for Filtering<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { plan: Plan { columns, rows, .. }, picture, source, narrow, pixels } = self;
        let row_len = 3 * columns.firsts.len();
        // Positions with fewer taps than the others read on behind their last one, with zero for a coefficient.
        source.resize(3 * (columns.span + columns.taps) + 1, 0);
        narrow.resize((rows.span + rows.taps) * row_len, 0);
        for (y, line) in (rows.origin..).zip(narrow.chunks_exact_mut(row_len).take(rows.span)) {
            let row = picture.row(y, columns.origin);
            source[..3 * columns.span].copy_from_slice(&row[..3 * columns.span]);
            filter_row(source, columns, line);
        }
        let lines = pixels.chunks_exact_mut(row_len).zip(&rows.firsts).zip(rows.coefficients.chunks_exact(rows.taps));
        for ((line, &first), coefficients) in lines {
            weigh_rows(&narrow[first * row_len..], row_len, coefficients, line);
        }
    }
}

/// Filters horizontally. The usual numbers of taps have code of their own, without a loop over them.
#[inline(always)]
fn filter_row(source: &[u8], columns: &Filter, line: &mut [u8]) {
    match columns.taps {
        1 => copy_row(source, columns, line),
        2 => filter_taps::<2>(source, columns, line),
        3 => filter_taps::<3>(source, columns, line),
        4 => filter_taps::<4>(source, columns, line),
        5 => filter_taps::<5>(source, columns, line),
        6 => filter_taps::<6>(source, columns, line),
        7 => filter_taps::<7>(source, columns, line),
        8 => filter_taps::<8>(source, columns, line),
        _ => filter_many_taps(source, columns, line),
    }
}

/// A single tap's coefficient is one: output pixels are source pixels.
#[inline(always)]
fn copy_row(source: &[u8], columns: &Filter, line: &mut [u8]) {
    if columns.span == columns.firsts.len() {
        return line.copy_from_slice(&source[..line.len()]);
    }
    for (pixel, &first) in line.as_chunks_mut::<3>().0.iter_mut().zip(&columns.firsts) {
        pixel.copy_from_slice(&source[3 * first..3 * first + 3]);
    }
}

#[inline(always)]
fn filter_taps<const TAPS: usize>(source: &[u8], columns: &Filter, line: &mut [u8]) {
    let coefficients = columns.coefficients.as_chunks::<TAPS>().0;
    for ((pixel, &first), coefficients) in line.as_chunks_mut().0.iter_mut().zip(&columns.firsts).zip(coefficients) {
        let from = &source[3 * first..3 * (first + TAPS) + 1];
        let mut sums = [HALF; 4];
        for tap in 0..TAPS {
            for channel in 0..4 {
                sums[channel] += coefficients[tap] * u32::from(from[3 * tap + channel]);
            }
        }
        *pixel = to_pixel(sums);
    }
}

#[inline(always)]
fn filter_many_taps(source: &[u8], columns: &Filter, line: &mut [u8]) {
    let coefficients = columns.coefficients.chunks_exact(columns.taps);
    for ((pixel, &first), coefficients) in line.as_chunks_mut().0.iter_mut().zip(&columns.firsts).zip(coefficients) {
        let mut sums = [HALF; 4];
        for (from, coefficient) in source[3 * first..].windows(4).step_by(3).zip(coefficients) {
            for channel in 0..4 {
                sums[channel] += coefficient * u32::from(from[channel]);
            }
        }
        *pixel = to_pixel(sums);
    }
}

/// Filters vertically: the sum of as many rows as there are coefficients, each times its own.
#[inline(always)]
fn weigh_rows(rows: &[u8], row_len: usize, coefficients: &[u32], line: &mut [u8]) {
    if coefficients.len() == 1 {
        return line.copy_from_slice(&rows[..row_len]);
    }
    let (blocks, rest) = line.as_chunks_mut::<BLOCK>();
    for (number, block) in blocks.iter_mut().enumerate() {
        let mut sums = [HALF; BLOCK];
        for (tap, coefficient) in coefficients.iter().enumerate() {
            let from = tap * row_len + number * BLOCK;
            for (sum, &value) in sums.iter_mut().zip(&rows[from..from + BLOCK]) {
                *sum += coefficient * u32::from(value);
            }
        }
        *block = sums.map(to_byte);
    }
    for (at, value) in rest.iter_mut().enumerate() {
        let from = rows[blocks.len() * BLOCK + at..].iter().step_by(row_len);
        *value = to_byte(
            from.zip(coefficients).fold(HALF, |sum, (&value, coefficient)| sum + coefficient * u32::from(value)),
        );
    }
}

#[inline(always)]
fn to_pixel(sums: [u32; 4]) -> [u8; 3] {
    let [red, green, blue, _] = sums.map(to_byte);
    [red, green, blue]
}

/// Drops the fractional bits. Coefficients are rounded one by one: hence the clamp.
#[inline(always)]
fn to_byte(sum: u32) -> u8 {
    (sum >> COEFFICIENT_BITS).min(255) as u8
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// What the core makes of a picture.
    fn expected(
        picture: &Picture<'_>,
        resize: Resize,
        output: Size,
        channels: Channels,
    ) -> Result<Vec<u8>, ImageError> {
        let geometry = Geometry::plan(resize, picture.size(), output)?;
        let mut scratch = vec![0; geometry.scratch_len(picture.format(), channels)];
        let mut pixels = vec![0; geometry.output_len(channels)];
        resample(picture, &geometry, channels, &mut scratch, &mut pixels)?;
        Ok(pixels)
    }

    #[test]
    fn every_picture_is_resized_as_the_core_does() {
        let all = [Arch::Scalar, Arch::new()];
        println!("instructions: {all:?}");
        let mut generator = SmallRng::seed_from_u64(22);
        let mut resizers = all.map(|instructions| Resizer { instructions, ..Resizer::default() });
        let (mut pixels, mut compared) = (Vec::new(), 0);
        for round in 0..400 {
            let mut side = |most| generator.random_range(1..=most);
            let size = Size::new(side(150), side(150));
            let output = Size::new(side(60), side(60));
            let resize = match round % 4 {
                0 => Resize::Stretch,
                1 => Resize::CentralCrop(side(1000) as u16),
                2 => Resize::ShorterSide((output.width.max(output.height) + side(20)) as u16),
                _ => Resize::ShorterSide(size.width.min(size.height) as u16),
            };
            let stride = size.width as usize * 3 + side(9) as usize;
            let mut data = vec![[0, 255, 128][round % 3]; stride * size.height as usize];
            if round % 5 > 0 {
                generator.fill(&mut data[..]);
            }
            let picture = Picture::new(PixelFormat::Rgb888, size, stride, &data).unwrap();
            let channels = if round % 7 == 0 { Channels::Grey } else { Channels::Rgb };
            let expected = expected(&picture, resize, output, channels);
            for resizer in &mut resizers {
                // The second time with the plan of the first.
                for _ in 0..2 {
                    let done = resizer.resize(&picture, resize, output, channels, &mut pixels);
                    assert_eq!(done.err(), expected.as_ref().err().copied());
                    assert!(
                        expected.as_ref().map_or(true, |expected| *expected == pixels),
                        "{size:?} {resize:?} {output:?}"
                    );
                }
            }
            compared += usize::from(expected.is_ok());
        }
        assert!(compared > 250, "{compared}");
    }

    /// A camera's sizes, with every number of taps that has code of its own, and more.
    #[test]
    fn every_number_of_taps_is_as_in_the_core() {
        let mut generator = SmallRng::seed_from_u64(23);
        let mut seen = Vec::new();
        for width in [64, 40, 80, 120, 150, 180, 200, 250, 640] {
            let mut data = vec![0; width as usize * 7 * 3];
            generator.fill(&mut data[..]);
            let picture = Picture::new(PixelFormat::Rgb888, Size::new(width, 7), width as usize * 3, &data).unwrap();
            let output = Size::new(64, 5);
            let (mut resizer, mut pixels) = (Resizer::default(), Vec::new());
            resizer.resize(&picture, Resize::Stretch, output, Channels::Rgb, &mut pixels).unwrap();
            assert!(pixels == expected(&picture, Resize::Stretch, output, Channels::Rgb).unwrap());
            seen.extend(resizer.plan.map(|plan| plan.columns.taps));
        }
        assert!((1..=8).all(|taps| seen.contains(&taps)) && seen.iter().any(|taps| *taps > 8), "{seen:?}");
    }
}
