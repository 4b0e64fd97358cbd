//! A camera's frame: a checked view of its bytes, and the conversion of its rows.

use super::Size;
use crate::EVERY_FORMAT;
use crate::error::ImageError;

/// Longest side of a picture and of an output, in pixels. Below it the resize's weights fit 31 bits.
pub const MAX_SIDE: u32 = 32_767;

/// How a pixel lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Three bytes: red, green, blue.
    Rgb888,
    /// Two bytes, low one first, of 5 bits red, 6 green, 5 blue from the top. V4L2's `RGBP`.
    Rgb565Le,
    /// The same with the high byte first: what most camera modules on microcontrollers send. V4L2's `RGBR`.
    Rgb565Be,
    /// Four bytes for two pixels: luma, blue difference, luma, red difference. Limited range (luma 16 to 235) by
    /// ITU-R BT.601. V4L2's `YUYV`.
    Yuyv,
    /// One byte of luma, full range. V4L2's `GREY`.
    Grey,
}

impl PixelFormat {
    /// Bytes in a pixel.
    #[must_use]
    pub const fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Rgb888 => 3,
            Self::Rgb565Le | Self::Rgb565Be | Self::Yuyv => 2,
            Self::Grey => 1,
        }
    }
}

/// A view of a picture: rows from top to bottom, pixels from left to right.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    format: PixelFormat,
    size: Size,
    stride: usize,
    data: &'a [u8],
}

impl<'a> Picture<'a> {
    /// A view of `data`, whose rows start `stride` bytes apart. Nothing behind the last row's pixels is read, so the
    /// last row may lack the stride's padding.
    ///
    /// # Errors
    /// [`ImageError::Empty`], [`ImageError::TooLarge`] (a side over [`MAX_SIDE`]), [`ImageError::OddWidth`],
    /// [`ImageError::StrideTooShort`] or [`ImageError::DataTooShort`]; [`ImageError::LeftOut`] without the feature
    /// `every-format`.
    pub fn new(format: PixelFormat, size: Size, stride: usize, data: &'a [u8]) -> Result<Self, ImageError> {
        check_sides(size)?;
        if !EVERY_FORMAT && !matches!(format, PixelFormat::Rgb565Le | PixelFormat::Rgb565Be) {
            return Err(ImageError::LeftOut);
        }
        if format == PixelFormat::Yuyv && !size.width.is_multiple_of(2) {
            return Err(ImageError::OddWidth);
        }
        let row = size.width as usize * format.bytes_per_pixel();
        if stride < row {
            return Err(ImageError::StrideTooShort { needed: row });
        }
        let above = stride.checked_mul(size.height as usize - 1);
        let needed = above.and_then(|above| above.checked_add(row)).unwrap_or(usize::MAX);
        if data.len() < needed {
            return Err(ImageError::DataTooShort { needed });
        }
        Ok(Self { format, size, stride, data })
    }

    /// How the pixels lie in memory.
    #[must_use]
    pub const fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width and height.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Bytes of row `y` from the pixel at column `x` on. Empty outside the picture.
    #[must_use]
    pub fn row(&self, y: u32, x: u32) -> &'a [u8] {
        let start = y as usize * self.stride;
        let bytes = self.format.bytes_per_pixel();
        let from = start + x as usize * bytes;
        self.data.get(from..start + self.size.width as usize * bytes).unwrap_or_default()
    }

    /// Row `y` from column `x` on, where its pixels already are `CHANNELS` bytes of RGB or luma.
    pub(super) fn direct_row<const CHANNELS: usize>(&self, y: u32, x: u32) -> Option<&'a [u8]> {
        is_direct(self.format, CHANNELS).then(|| self.row(y, x))
    }

    /// Converts row `y` from column `x` on to pixels of `CHANNELS` bytes, as many as `out` holds.
    pub(super) fn convert_row<const CHANNELS: usize>(&self, y: u32, x: u32, out: &mut [u8]) {
        match self.format {
            PixelFormat::Rgb888 if EVERY_FORMAT => store::<CHANNELS>(self.row(y, x).as_chunks().0.iter().copied(), out),
            PixelFormat::Grey if EVERY_FORMAT => store::<CHANNELS>(self.row(y, x).iter().map(|&luma| [luma; 3]), out),
            PixelFormat::Rgb565Le | PixelFormat::Rgb565Be => {
                let swap = if self.format == PixelFormat::Rgb565Be { 8 } else { 0 };
                let words = self.row(y, x).as_chunks().0.iter();
                store::<CHANNELS>(words.map(|&word| rgb565(u16::from_le_bytes(word).rotate_left(swap))), out);
            }
            PixelFormat::Yuyv if EVERY_FORMAT => {
                let pairs = self.row(y, 0).as_chunks().0;
                let pixels = (x as usize..).map_while(|column| {
                    let &[first, blue, second, red] = pairs.get(column / 2)?;
                    Some(yuv_to_rgb([if column.is_multiple_of(2) { first } else { second }, blue, red]))
                });
                store::<CHANNELS>(pixels, out);
            }
            // Refused when the view was made.
            _ => {}
        }
    }
}

/// `Ok` for a size that pictures and outputs may have.
pub(super) const fn check_sides(size: Size) -> Result<(), ImageError> {
    if size.width == 0 || size.height == 0 {
        return Err(ImageError::Empty);
    }
    if size.width > MAX_SIDE || size.height > MAX_SIDE {
        return Err(ImageError::TooLarge);
    }
    Ok(())
}

/// Whether pixels of this format are read as they lie: they already are RGB or luma, as asked.
pub(super) const fn is_direct(format: PixelFormat, channels: usize) -> bool {
    EVERY_FORMAT && matches!((format, channels), (PixelFormat::Rgb888, 3) | (PixelFormat::Grey, 1))
}

fn store<const CHANNELS: usize>(pixels: impl Iterator<Item = [u8; 3]>, out: &mut [u8]) {
    for (stored, pixel) in out.as_chunks_mut::<CHANNELS>().0.iter_mut().zip(pixels) {
        if CHANNELS == 1 {
            stored.fill(luma(pixel));
        } else {
            for (stored, value) in stored.iter_mut().zip(pixel) {
                *stored = value;
            }
        }
    }
}

/// BT.601 luma in 16 fractional bits, as Pillow's `convert("L")`. The factors sum to 2^16: grey stays as it is.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16) as u8
}

/// `round(red * 255 / 31)`, `round(green * 255 / 63)`, `round(blue * 255 / 31)`, without division.
fn rgb565(word: u16) -> [u8; 3] {
    let five = |bits: u32| ((bits * 527 + 23) >> 6) as u8;
    let word = u32::from(word);
    [five(word >> 11), ((((word >> 5) & 63) * 259 + 33) >> 6) as u8, five(word & 31)]
}

/// Luma, blue difference and red difference to RGB: ITU-R BT.601, limited range. With `Kr` 0.299, `Kg` 0.587 and `Kb`
/// 0.114, red is `255/219 * luma + 255/224 * 2 (1 - Kr) * red difference`, blue likewise; green loses `Kr / Kg` and
/// `Kb / Kg` of the differences' parts. In 20 fractional bits: as many as keep the sums within an `i32`.
#[inline]
#[must_use]
pub fn yuv_to_rgb([luma, blue, red]: [u8; 3]) -> [u8; 3] {
    let luma = (i32::from(luma) - 16) * 1_220_945 + (1 << 19);
    let blue = i32::from(blue) - 128;
    let red = i32::from(red) - 128;
    [luma + 1_673_555 * red, luma - 410_793 * blue - 852_458 * red, luma + 2_115_221 * blue]
        .map(|sum| (sum >> 20).clamp(0, 255) as u8)
}
