//! Picture files, decoded to RGB.
//!
//! JPEG, PNG, BMP and WebP, told apart by their content. Grey and CMYK pictures become RGB, 16 bits a channel become 8,
//! an alpha channel is dropped (the colours below it stay), and a photo's EXIF orientation is applied, so that the
//! network sees it upright.
//!
//! ```text
//! bytes -> format -> header, held against the budget -> rows as they are stored -> Rows: a picture, or a resize
//! ```
//!
//! A picture is a stranger's, so nothing is taken at its word: a [`Budget`] is held against what decoding would make of it
//! before anything is made. JPEG pictures go row by row, so that a photo of 100 megapixels needs no more memory than a row
//! of blocks, and so do BMP pictures that are not compressed; of the others the decoder holds the whole picture in its own
//! pixels.

mod bmp;
mod foreign;
mod jpeg;
mod png;
mod turn;
#[cfg(any(feature = "camera", test))]
#[cfg_attr(not(feature = "camera"), allow(dead_code))]
mod upright;
mod webp;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tinception_core::image::{MAX_SIDE, Size};

#[cfg(any(feature = "camera", test))]
pub(crate) use self::jpeg::Headers as JpegHeaders;
#[cfg(feature = "camera")]
pub(crate) use self::jpeg::decode_jpeg;
pub(crate) use self::png::encode as encode_png;
pub(crate) use self::turn::Turn;
#[cfg(feature = "camera")]
pub(crate) use self::upright::RgbPicture;
use crate::files;
use crate::output::file_error;

/// What a stranger's picture may cost, counted for what is made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Most pixels of a picture.
    pub(crate) pixels: u64,
    /// Most bytes of memory: the file, what its decoder holds and what is kept of the pixels.
    pub(crate) bytes: u64,
    /// Scans of a JPEG picture times its pixels. A progressive one has about ten.
    pub(crate) scanned: u64,
    /// Pictures that take more memory than this are decoded one at a time, whatever the number of threads: their sum counts.
    alone: u64,
}

impl Budget {
    /// For a file that somebody names on the command line: 268 megapixels, more than the largest cameras have, in the memory
    /// of a board with 512 MiB.
    pub(crate) const FILE: Self = Self { pixels: 1 << 28, bytes: 240 << 20, scanned: 1 << 30, alone: 32 << 20 };
    /// For what comes while a camera runs, posted or from a source: as many pixels as a frame may have.
    #[cfg(any(feature = "camera", test))]
    pub(crate) const FRAME: Self = Self { pixels: 1 << 26, bytes: 200 << 20, scanned: 1 << 29, alone: u64::MAX };

    /// Waits until a picture whose decoding takes `bytes` may be decoded. While the guard is there, no other large one is.
    fn wait(&self, bytes: u64) -> Option<MutexGuard<'static, ()>> {
        static LARGE: Mutex<()> = Mutex::new(());
        // One that panicked is over, too.
        (bytes > self.alone).then(|| LARGE.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Holds a picture of `size` against the budget, whose decoding takes `bytes` of memory.
    fn check(&self, size: Size, bytes: u64) -> Result<(), String> {
        let Size { width, height } = size;
        if width.max(height) > MAX_SIDE {
            return Err(format!("{width} x {height} pixels are too many, a side may have {MAX_SIDE}; make it smaller"));
        }
        let pixels = u64::from(width) * u64::from(height);
        if pixels == 0 {
            return Err("the picture has no pixels, its header says; copy it again".into());
        }
        if pixels > self.pixels {
            let (found, most) = (pixels / 1_000_000, self.pixels / 1_000_000);
            return Err(format!(
                "{width} x {height} pixels ({found} megapixels) are too many, {most} megapixels are the limit; make it \
                 smaller"
            ));
        }
        if bytes > self.bytes {
            let (needed, most) = (bytes.div_ceil(1 << 20), self.bytes >> 20);
            return Err(format!(
                "{width} x {height} pixels need {needed} MiB of memory in this format, and {most} are the limit; make it \
                 smaller, or save it as an ordinary JPEG"
            ));
        }
        Ok(())
    }
}

/// What takes a picture's rows while it is decoded.
pub(crate) trait Rows {
    /// Bytes of memory that it will hold for a picture of `stored` size.
    fn bytes(&self, stored: Size, turn: Turn) -> u64;

    /// Makes ready for the rows of a picture of `stored` size that `turn` brings upright.
    ///
    /// # Errors
    /// Why such a picture is of no use.
    fn begin(&mut self, stored: Size, turn: Turn) -> Result<(), String>;

    /// Takes row `y` as it is stored, three bytes a pixel; all rows come in order.
    fn row(&mut self, y: u32, rgb: &[u8]);
}

/// Reads a picture file and gives its rows to `rows`.
///
/// # Errors
/// The file's name and what is wrong with it: unreadable, no file, of another format, truncated, over the budget.
pub(crate) fn read(path: &Path, budget: &Budget, rows: &mut dyn Rows) -> Result<()> {
    let bytes = files::read(path, budget.bytes)?;
    parse(&bytes, path, budget, rows)
}

/// Decodes the bytes of a picture file; errors name it as `path`.
pub(crate) fn parse(bytes: &[u8], path: &Path, budget: &Budget, rows: &mut dyn Rows) -> Result<()> {
    decode(bytes, budget, rows).map_err(|message| file_error(path, message))
}

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// ITU-T T.81.
    Jpeg,
    /// The W3C's recommendation.
    Png,
    /// Windows' bitmaps.
    Bmp,
    /// RFC 9649.
    WebP,
}

impl Format {
    /// The format of a file with these bytes, as its first ones say.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xFF, 0xD8, 0xFF, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1A, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'B', b'M', ..] => Some(Self::Bmp),
            _ => None,
        }
    }
}

fn decode(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    if bytes.is_empty() {
        return Err("the file is empty; copy it again".into());
    }
    match Format::of(bytes) {
        Some(Format::Jpeg) => jpeg::decode(bytes, budget, rows),
        Some(Format::Png) => png::decode(bytes, budget, rows),
        Some(Format::Bmp) => bmp::decode(bytes, budget, rows),
        Some(Format::WebP) => webp::decode(bytes, budget, rows),
        None => Err(foreign::describe(bytes)),
    }
}

const TRUNCATED: &str = "the picture is truncated; copy it again";

fn damaged(why: impl std::fmt::Display) -> String {
    format!("the picture is truncated or damaged ({why}); copy it again")
}

/// Room for so many bytes of a picture's pixels.
fn buffer(length: u64, Size { width, height }: Size) -> Result<Vec<u8>, String> {
    let mut pixels = Vec::new();
    let length = usize::try_from(length).map_err(damaged)?;
    pixels.try_reserve_exact(length).map_err(|_| format!("there is no memory for {width} x {height} pixels"))?;
    pixels.resize(length, 0);
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat};

    use super::upright::{RgbPicture, Upright};
    use super::*;

    /// The whole picture, as files may have it.
    fn whole(bytes: &[u8]) -> Result<RgbPicture, String> {
        let mut rows = Upright::new();
        decode(bytes, &Budget::FILE, &mut rows)?;
        Ok(rows.finish())
    }

    fn encode(format: ImageFormat, picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn lossless_formats_give_the_pixels_that_went_in() {
        let picture = image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8 * 80, y as u8 * 90, 7]));
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let decoded = whole(&encode(format, &picture.clone().into())).unwrap();
            assert_eq!((decoded.size, decoded.data), (Size::new(3, 2), picture.to_vec()), "{format:?}");
        }
    }

    #[test]
    fn grey_sixteen_bit_and_alpha_become_rgb() {
        let grey = image::GrayImage::from_pixel(1, 1, image::Luma([77]));
        let deep: image::ImageBuffer<image::Rgb<u16>, _> =
            image::ImageBuffer::from_pixel(1, 1, image::Rgb([0, 257 * 100, 65535]));
        let alpha = image::RgbaImage::from_pixel(1, 1, image::Rgba([10, 20, 30, 0]));
        for (picture, expected) in [
            (DynamicImage::from(grey), [77, 77, 77]),
            (DynamicImage::from(deep), [0, 100, 255]),
            (DynamicImage::from(alpha), [10, 20, 30]),
        ] {
            assert_eq!(whole(&encode(ImageFormat::Png, &picture)).unwrap().data, expected);
        }
    }

    #[test]
    fn exif_orientation_is_applied() {
        // A 2 x 1 picture, red then blue, to be turned by 90 degrees clockwise (orientation 6): red above blue.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let mut bytes = Vec::new();
        let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.set_exif_metadata(exif.to_vec()).unwrap();
        encoder.write_image(&[255, 0, 0, 0, 0, 255], 2, 1, ExtendedColorType::Rgb8).unwrap();
        let decoded = whole(&bytes).unwrap();
        assert_eq!((decoded.size, decoded.data), (Size::new(1, 2), vec![255, 0, 0, 0, 0, 255]));
    }

    #[test]
    fn every_truncation_of_every_format_is_an_error() {
        let picture: DynamicImage =
            image::RgbImage::from_fn(9, 9, |x, y| image::Rgb([(x * y * 3) as u8, (x * 20) as u8, (y * 25) as u8]))
                .into();
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let bytes = encode(format, &picture);
            assert!(whole(&bytes).is_ok(), "{format:?}");
            // PNG's last chunk says nothing but "end": 12 bytes that its readers don't insist on.
            let spared = if format == ImageFormat::Png { 12 } else { 0 };
            for length in 0..bytes.len() - spared {
                let result = whole(&bytes[..length]);
                assert!(result.is_err(), "{format:?} cut to {length} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn headers_that_promise_too_much_are_refused_before_memory_is_taken() {
        let mut bmp = encode(ImageFormat::Bmp, &image::RgbImage::new(1, 1).into());
        bmp[18..22].copy_from_slice(&30_000_u32.to_le_bytes());
        bmp[22..26].copy_from_slice(&30_000_u32.to_le_bytes());
        assert!(whole(&bmp).unwrap_err().contains("30000 x 30000 pixels (900 megapixels) are too many"));
        bmp[18..22].copy_from_slice(&40_000_u32.to_le_bytes());
        assert!(whole(&bmp).unwrap_err().contains("40000 x 30000 pixels are too many"));
    }

    /// `image` converts the same way, and is what this replaced.
    #[test]
    fn pixels_of_every_kind_become_rgb_as_a_peer_makes_them() {
        use image::{GrayAlphaImage, ImageBuffer, LumaA, Rgba};

        let all = |at: u32| (at * 7) as u16;
        let pictures: [DynamicImage; 4] = [
            ImageBuffer::<image::Luma<u16>, Vec<u16>>::from_raw(256, 256, (0..=65535).collect()).unwrap().into(),
            ImageBuffer::from_fn(64, 64, |x, y| LumaA([all(x * y), 9_u16])).into(),
            ImageBuffer::from_fn(64, 64, |x, y| Rgba([all(x * 9), all(y * 99), all(x * y), 7_u16])).into(),
            GrayAlphaImage::from_fn(16, 16, |x, y| LumaA([(x * y) as u8, 0])).into(),
        ];
        for picture in pictures {
            let decoded = whole(&encode(ImageFormat::Png, &picture)).unwrap();
            assert!(decoded.data == picture.to_rgb8().into_raw(), "{:?}", picture.color());
        }
    }

    /// A JPEG of one colour with this frame header and so many empty scans.
    fn tiny_jpeg(process: u8, side: u16, components: u8, scans: usize) -> Vec<u8> {
        let small = encode(ImageFormat::Jpeg, &DynamicImage::from(image::RgbImage::new(8, 8)));
        let mut tables = Vec::new();
        let mut rest = &small[2..];
        while rest[1] != 0xDA {
            let (segment, behind) = rest.split_at(2 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            // Quantisation and Huffman tables.
            if matches!(segment[1], 0xDB | 0xC4) {
                tables.extend_from_slice(segment);
            }
            rest = behind;
        }
        let [high, low] = side.to_be_bytes();
        let mut bytes = [&[0xFF, 0xD8][..], &tables].concat();
        bytes.extend([0xFF, 0xC0 + process, 0, 8 + 3 * components, 8, high, low, high, low, components]);
        for component in 1..=components {
            bytes.extend([component, 0x11, 0]);
        }
        for _ in 0..scans {
            bytes.extend([0xFF, 0xDA, 0, 6 + 2 * components, components]);
            for component in 1..=components {
                bytes.extend([component, 0]);
            }
            bytes.extend([0, 0, 0]);
        }
        bytes.extend([0xFF, 0xD9]);
        bytes
    }

    #[test]
    fn a_few_bytes_cannot_cost_much() {
        // What it is, what is said, and whether a file on the command line may cost it.
        for (bytes, word) in [
            (tiny_jpeg(0, 65_500, 1, 1), "a side may have 32767"),
            (tiny_jpeg(0, 23_100, 1, 1), "megapixels) are too many"),
            (tiny_jpeg(0, 16_500, 3, 1), "megapixels) are too many"),
            (tiny_jpeg(2, 13_300, 1, 200), "in 200 scans"),
            (tiny_jpeg(2, 4_000, 1, 200), "in 200 scans"),
            // Coefficients of three components: 6 bytes a pixel.
            (tiny_jpeg(2, 7_000, 3, 1), "MiB of memory"),
            (tiny_jpeg(9, 100, 1, 1), "arithmetic coding"),
            (tiny_jpeg(3, 100, 1, 1), "lossless JPEG"),
            (tiny_jpeg(5, 100, 1, 1), "hierarchical"),
            (tiny_jpeg(0, 0, 1, 1), "no pixels"),
        ] {
            let error = whole(&bytes).unwrap_err();
            assert!(error.contains(word), "{word} is missing in: {error}");
        }
        assert!(whole(&tiny_jpeg(0, 500, 1, 1)).is_ok());
        assert!(whole(&tiny_jpeg(2, 500, 3, 12)).is_ok());
    }

    #[test]
    fn a_photo_of_a_hundred_megapixels_is_within_the_budget() {
        let photo = JpegHeaders::read(&tiny_jpeg(0, 10_100, 3, 1)).unwrap();
        assert_eq!((photo.coefficient_bytes(), photo.check(&Budget::FILE)), (0, Ok(())));
        assert_eq!(Budget::FILE.check(photo.size, 30 << 20), Ok(()));
        // One of several scans has its coefficients in memory: 64 of two bytes for a block.
        let several = JpegHeaders::read(&tiny_jpeg(2, 1_001, 3, 10)).unwrap();
        assert_eq!(several.coefficient_bytes(), 3 * 126 * 126 * 128);
        assert_eq!(several.check(&Budget::FRAME), Ok(()));
    }
}
