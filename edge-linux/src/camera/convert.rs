//! Frames to RGB. YUV has the matrix and the range that its source says. It is rounded as the core rounds BT.601 of limited
//! range, so that a microcontroller sees the same colours there. Each difference counts for all of its pixels alike.

use pulp::{Arch, Simd, WithSimd};
use tinception_core::image::Size;

use super::colour::{Factors, Range};
use super::frame::{BadFrame, Frame, FrameFormat, RgbFrame};
use super::jpeg;

/// Decodes `frame` into `rgb`.
///
/// # Errors
/// The frame is shorter than its layout says, or a damaged JPEG picture. `rgb` then holds nothing of use.
pub(crate) fn to_rgb(frame: &Frame, rgb: &mut RgbFrame) -> Result<(), BadFrame> {
    let Frame { layout, bytes, .. } = frame;
    if layout.format == FrameFormat::Mjpeg {
        return jpeg::decode(bytes, rgb);
    }
    let needed = layout.frame_bytes();
    if bytes.len() < needed {
        return Err(BadFrame(format!("the frame has {} bytes, and {needed} are needed", bytes.len())));
    }
    rgb.resize(layout.size);
    Arch::new().dispatch(Conversion { frame, rgb });
    Ok(())
}

/// What is done with the processor's widest instructions, so all of it has to be inlined.
struct Conversion<'a> {
    frame: &'a Frame,
    rgb: &'a mut RgbFrame,
}

impl WithSimd for Conversion<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        convert(self.frame, self.rgb);
    }
}

/// Decodes a frame that is as long as its layout says, and no JPEG picture, into a picture of its size.
#[inline(always)]
fn convert(frame: &Frame, rgb: &mut RgbFrame) {
    let Frame { layout, bytes, .. } = frame;
    let Size { width, height } = layout.size;
    let row_bytes = layout.format.row_bytes(width);
    let (first, differences) = bytes.split_at(layout.luma_bytes());
    let stride = layout.difference_stride();
    let rows = first.chunks_exact(layout.stride).map(|row| &row[..row_bytes]);
    let factors = layout.colours.factors();
    let lines = rgb.data.chunks_exact_mut(3 * width as usize).zip(rows);
    match layout.format {
        FrameFormat::Yuyv => lines.for_each(|(line, row)| yuyv_row(row, line, factors)),
        FrameFormat::Uyvy => lines.for_each(|(line, row)| uyvy_row(row, line, factors)),
        FrameFormat::Nv12 => {
            for ((line, luma), differences) in lines.zip(differences.chunks_exact(stride).flat_map(|row| [row; 2])) {
                yuv_row(luma, differences.as_chunks().0.iter().copied(), line, factors);
            }
        }
        FrameFormat::Yuv420 => {
            let (blue, red) = differences.split_at(stride * height.div_ceil(2) as usize);
            let differences = blue.chunks_exact(stride).zip(red.chunks_exact(stride)).flat_map(|rows| [rows; 2]);
            for ((line, luma), (blue, red)) in lines.zip(differences) {
                yuv_row(luma, blue.iter().zip(red).map(|(blue, red)| [*blue, *red]), line, factors);
            }
        }
        FrameFormat::Rgb24 => lines.for_each(|(line, row)| line.copy_from_slice(row)),
        FrameFormat::Bgr24 => lines.for_each(|(line, row)| packed_row::<3>(row, line, [2, 1, 0])),
        FrameFormat::Rgbx => lines.for_each(|(line, row)| packed_row::<4>(row, line, [0, 1, 2])),
        FrameFormat::Bgrx => lines.for_each(|(line, row)| packed_row::<4>(row, line, [2, 1, 0])),
        FrameFormat::Grey if layout.colours.range == Range::Limited => {
            lines.for_each(|(line, row)| yuv_row(row, std::iter::repeat([128; 2]), line, factors));
        }
        FrameFormat::Grey => {
            for (line, row) in lines {
                line.as_chunks_mut().0.iter_mut().zip(row).for_each(|(pixel, luma)| *pixel = [*luma; 3]);
            }
        }
        FrameFormat::Mjpeg => {}
    }
}

/// Pixels that are converted at a time: the arithmetic of so many becomes vector instructions, that of one does not.
const BLOCK: usize = 32;

/// A packed row: luma, blue difference, luma, red difference.
#[inline(always)]
fn yuyv_row(row: &[u8], line: &mut [u8], factors: Factors) {
    let words = row.as_chunks().0.iter();
    pairs_to_rgb(words.map(|&[first, blue, second, red]| ([first, second], [blue, red])), line, factors);
}

/// A packed row: blue difference, luma, red difference, luma.
#[inline(always)]
fn uyvy_row(row: &[u8], line: &mut [u8], factors: Factors) {
    let words = row.as_chunks().0.iter();
    pairs_to_rgb(words.map(|&[blue, first, red, second]| ([first, second], [blue, red])), line, factors);
}

/// Pixels of `BYTES` bytes, in which red, green and blue lie at `places`.
#[inline(always)]
fn packed_row<const BYTES: usize>(row: &[u8], line: &mut [u8], places: [usize; 3]) {
    for (pixel, packed) in line.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<BYTES>().0) {
        *pixel = places.map(|place| packed[place]);
    }
}

/// A row of luma with a pair of differences, blue and red, for each two of its pixels.
#[inline(always)]
fn yuv_row(luma: &[u8], differences: impl Iterator<Item = [u8; 2]>, line: &mut [u8], factors: Factors) {
    let (pairs, last) = luma.as_chunks();
    let last = last.iter().map(|&luma| [luma; 2]);
    pairs_to_rgb(pairs.iter().copied().chain(last).zip(differences), line, factors);
}

/// Two pixels' luma with the differences that they share, blue and red, for as many pixels as `line` has room for.
#[inline(always)]
fn pairs_to_rgb(mut pairs: impl Iterator<Item = ([u8; 2], [u8; 2])>, line: &mut [u8], factors: Factors) {
    for pixels in line.as_chunks_mut::<3>().0.chunks_mut(BLOCK) {
        let (mut lumas, mut blues, mut reds) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
        for (at, ([first, second], [blue, red])) in (0..BLOCK / 2).zip(&mut pairs) {
            (lumas[2 * at], lumas[2 * at + 1]) = (first, second);
            (blues[2 * at], blues[2 * at + 1]) = (blue, blue);
            (reds[2 * at], reds[2 * at + 1]) = (red, red);
        }
        // A plane for each colour: pixels as they lie in memory would keep the arithmetic from becoming vectors.
        let mut planes = [[0; BLOCK]; 3];
        for at in 0..BLOCK {
            [planes[0][at], planes[1][at], planes[2][at]] = factors.to_rgb([lumas[at], blues[at], reds[at]]);
        }
        for (at, pixel) in pixels.iter_mut().enumerate() {
            *pixel = [planes[0][at], planes[1][at], planes[2][at]];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use tinception_core::image::{Channels, Geometry, Picture, PixelFormat, Resize, resample};

    use super::*;
    use crate::camera::colour::{Colours, Matrix};
    use crate::camera::frame::Layout;

    /// YUV to RGB in floating point, from the standards' own constants.
    fn exact(colours: Colours, luma: u8, blue: u8, red: u8) -> [f64; 3] {
        let (kr, kb) = match colours.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
            Matrix::Smpte240m => (0.212, 0.087),
        };
        let full = colours.range == Range::Full;
        let luma = if full { f64::from(luma) / 255.0 } else { (f64::from(luma) - 16.0) / 219.0 };
        let width = if full { 255.0 } else { 224.0 };
        let (blue, red) = ((f64::from(blue) - 128.0) / width, (f64::from(red) - 128.0) / width);
        let (r, b) = (luma + 2.0 * (1.0 - kr) * red, luma + 2.0 * (1.0 - kb) * blue);
        let g = (luma - kr * r - kb * b) / (1.0 - kr - kb);
        [r, g, b].map(|value| (value * 255.0).clamp(0.0, 255.0))
    }

    /// A frame of random bytes, its padding among them.
    fn random(format: FrameFormat, size: Size, padding: usize) -> Frame {
        let least = Layout::new(format, size, None).unwrap().stride;
        let layout = Layout::new(format, size, Some(least + padding)).unwrap();
        let mut bytes = vec![0; layout.frame_bytes()];
        SmallRng::seed_from_u64(601).fill(&mut bytes[..]);
        Frame { layout, bytes, number: 0, captured: Instant::now() }
    }

    /// Where the formats' definitions say that a pixel's luma and differences lie.
    fn sample(frame: &Frame, x: usize, y: usize) -> [f64; 3] {
        let Layout { format, size, stride, colours } = frame.layout;
        let height = size.height as usize;
        let at = |index: usize| frame.bytes[index];
        let rgb = |first: usize, places: [usize; 3]| places.map(|place| f64::from(at(y * stride + first + place)));
        match format {
            FrameFormat::Yuyv => {
                let pair = y * stride + x / 2 * 4;
                exact(colours, at(y * stride + 2 * x), at(pair + 1), at(pair + 3))
            }
            FrameFormat::Uyvy => {
                let pair = y * stride + x / 2 * 4;
                exact(colours, at(y * stride + 2 * x + 1), at(pair), at(pair + 2))
            }
            FrameFormat::Nv12 => {
                let pair = stride * height + y / 2 * stride.next_multiple_of(2) + x / 2 * 2;
                exact(colours, at(y * stride + x), at(pair), at(pair + 1))
            }
            FrameFormat::Yuv420 => {
                let half = stride.div_ceil(2);
                let blue = stride * height + y / 2 * half + x / 2;
                exact(colours, at(y * stride + x), at(blue), at(blue + half * height.div_ceil(2)))
            }
            FrameFormat::Rgb24 => rgb(3 * x, [0, 1, 2]),
            FrameFormat::Bgr24 => rgb(3 * x, [2, 1, 0]),
            FrameFormat::Rgbx => rgb(4 * x, [0, 1, 2]),
            FrameFormat::Bgrx => rgb(4 * x, [2, 1, 0]),
            FrameFormat::Grey => exact(colours, at(y * stride + x), 128, 128),
            FrameFormat::Mjpeg => unreachable!(),
        }
    }

    /// Every pixel of a random frame, converted, and by its definition.
    fn compare(mut frame: Frame, colours: Colours) {
        frame.layout.colours = colours;
        let Layout { format, size: Size { width, height }, .. } = frame.layout;
        let mut rgb = RgbFrame::default();
        to_rgb(&frame, &mut rgb).unwrap();
        assert_eq!(rgb.data.len(), (width * height * 3) as usize);
        for (index, pixel) in rgb.data.chunks(3).enumerate() {
            let (x, y) = (index % width as usize, index / width as usize);
            for (value, expected) in pixel.iter().zip(sample(&frame, x, y)) {
                let error = (f64::from(*value) - expected).abs();
                let context = format!("{format:?} {width} x {height}, {colours:?}, {x} {y}");
                assert!(error < 0.501, "{context}: {value}, not {expected}");
            }
        }
    }

    #[test]
    fn every_format_is_what_its_definition_says() {
        use FrameFormat::{Bgr24, Bgrx, Grey, Nv12, Rgb24, Rgbx, Uyvy, Yuv420, Yuyv};
        for format in [Yuyv, Uyvy, Nv12, Yuv420, Rgb24, Bgr24, Rgbx, Bgrx, Grey] {
            for (width, height) in [(64, 48), (66, 3), (2, 1), (130, 5), (63, 47), (1, 1), (33, 2)] {
                if matches!(format, Yuyv | Uyvy) && width % 2 == 1 {
                    continue;
                }
                for padding in [0, 2, 64] {
                    let frame = random(format, Size::new(width, height), padding);
                    let colours = frame.layout.colours;
                    compare(frame, colours);
                }
            }
        }
    }

    #[test]
    fn every_matrix_and_range_is_what_its_standard_says() {
        for format in [FrameFormat::Yuyv, FrameFormat::Nv12, FrameFormat::Yuv420, FrameFormat::Grey] {
            for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020, Matrix::Smpte240m] {
                for range in [Range::Limited, Range::Full] {
                    compare(random(format, Size::new(64, 32), 0), Colours { matrix, range });
                }
            }
        }
    }

    #[test]
    fn a_short_frame_is_an_error() {
        let mut frame = random(FrameFormat::Nv12, Size::new(8, 6), 0);
        frame.bytes.pop();
        let error = to_rgb(&frame, &mut RgbFrame::default()).unwrap_err();
        assert_eq!(error.0, "the frame has 71 bytes, and 72 are needed");
    }

    /// Microcontrollers resize YUYV as it is, by the core alone.
    #[test]
    fn yuyv_is_what_the_core_makes_of_it() {
        let size = Size::new(640, 480);
        let frame = random(FrameFormat::Yuyv, size, 0);
        let mut rgb = RgbFrame::default();
        to_rgb(&frame, &mut rgb).unwrap();
        let picture = Picture::new(PixelFormat::Yuyv, size, 1280, &frame.bytes).unwrap();
        let geometry = Geometry::plan(Resize::Stretch, size, size).unwrap();
        let mut scratch = vec![0; geometry.scratch_len(PixelFormat::Yuyv, Channels::Rgb)];
        let mut exact = vec![0; geometry.output_len(Channels::Rgb)];
        resample(&picture, &geometry, Channels::Rgb, &mut scratch, &mut exact).unwrap();
        assert!(rgb.data == exact);
    }
}
