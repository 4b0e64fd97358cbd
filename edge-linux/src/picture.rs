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
//! of blocks; of the other formats the decoder holds the whole picture in its own pixels.

mod foreign;
mod jpeg;
mod turn;
#[cfg(any(feature = "camera", test))]
#[cfg_attr(not(feature = "camera"), allow(dead_code))]
mod upright;

use std::io::Cursor;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader, Limits};
use tinception_core::image::{MAX_SIDE, Size};

pub(crate) use self::jpeg::Headers as JpegHeaders;
#[cfg(feature = "camera")]
pub(crate) use self::jpeg::decode_jpeg;
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
    fn bytes(&self, stored: Size, orientation: Orientation) -> u64;

    /// Makes ready for the rows of a picture of `stored` size that is turned upright as `orientation` says.
    ///
    /// # Errors
    /// Why such a picture is of no use.
    fn begin(&mut self, stored: Size, orientation: Orientation) -> Result<(), String>;

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

fn decode(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    if bytes.is_empty() {
        return Err("the file is empty; copy it again".into());
    }
    let format = image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled);
    let Some(format) = format else { return Err(foreign::describe(bytes)) };
    if format == ImageFormat::Jpeg {
        return decode_jpeg_file(bytes, budget, rows);
    }
    // Its decoder doesn't look at the end.
    if format == ImageFormat::WebP && !is_complete_riff(bytes) {
        return Err(TRUNCATED.into());
    }
    decode_whole(bytes, format, budget, 0, rows)
}

const TRUNCATED: &str = "the picture is truncated; copy it again";

fn damaged(why: impl std::fmt::Display) -> String {
    format!("the picture is truncated or damaged ({why}); copy it again")
}

fn decode_jpeg_file(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    let headers = JpegHeaders::read(bytes).ok_or(TRUNCATED)?;
    headers.check(budget)?;
    let (size, orientation) = (headers.size, headers.orientation);
    let coefficients = headers.coefficient_bytes();
    if headers.is_cmyk() {
        return decode_whole(bytes, ImageFormat::Jpeg, budget, coefficients, rows);
    }
    let held = bytes.len() as u64 + coefficients + rows.bytes(size, orientation);
    budget.check(size, held)?;
    let _alone = budget.wait(held);
    rows.begin(size, orientation)?;
    jpeg::decode_rows(bytes, |y, row| rows.row(y, row)).map_err(damaged)?.ok_or_else(|| damaged("its colours"))
}

/// Decodes with a decoder that gives all pixels at once, and holds `held` bytes besides.
fn decode_whole(
    bytes: &[u8],
    format: ImageFormat,
    budget: &Budget,
    held: u64,
    rows: &mut dyn Rows,
) -> Result<(), String> {
    /// Most bytes that a PNG picture's colour profile and the like may inflate to.
    const PROFILE: u64 = 8 << 20;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(PROFILE);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height);
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (colour, pixels) = (decoder.color_type(), u64::from(width) * u64::from(height));
    let own = match format {
        ImageFormat::WebP => webp_bytes(bytes) * pixels,
        // Its decoder has a copy of the file.
        ImageFormat::Jpeg => bytes.len() as u64,
        ImageFormat::Png => PROFILE,
        _ => 0,
    };
    let held = held.saturating_add(bytes.len() as u64).saturating_add(own).saturating_add(decoder.total_bytes());
    let held = held.saturating_add(rows.bytes(size, orientation));
    budget.check(size, held)?;
    let _alone = budget.wait(held);
    rows.begin(size, orientation)?;
    let mut source = Vec::new();
    let length = usize::try_from(decoder.total_bytes()).map_err(damaged)?;
    source.try_reserve_exact(length).map_err(|_| format!("there is no memory for {width} x {height} pixels"))?;
    source.resize(length, 0);
    decoder.read_image(&mut source).map_err(damaged)?;
    let stride = width as usize * usize::from(colour.bytes_per_pixel());
    let mut rgb = Vec::with_capacity(width as usize * 3);
    for (y, row) in (0..height).zip(source.chunks_exact(stride.max(1))) {
        rgb.clear();
        to_rgb(colour, row, &mut rgb)?;
        rows.row(y, &rgb);
    }
    Ok(())
}

/// Turns a row of a decoder's pixels into RGB.
fn to_rgb(colour: ColorType, row: &[u8], rgb: &mut Vec<u8>) -> Result<(), String> {
    /// `round(value / 257)`: 16 bits to 8.
    fn byte(value: [u8; 2]) -> u8 {
        ((u32::from(u16::from_ne_bytes(value)) + 128) / 257) as u8
    }
    match colour {
        ColorType::Rgb8 => rgb.extend_from_slice(row),
        ColorType::Rgba8 => rgb.extend(row.as_chunks().0.iter().flat_map(|&[red, green, blue, _]| [red, green, blue])),
        ColorType::L8 => rgb.extend(row.iter().flat_map(|luma| [*luma; 3])),
        ColorType::La8 => rgb.extend(row.as_chunks().0.iter().flat_map(|&[luma, _]| [luma; 3])),
        ColorType::Rgb16 => rgb.extend(row.as_chunks().0.iter().map(|value| byte(*value))),
        ColorType::Rgba16 => {
            let pixels = row.as_chunks::<8>().0.iter();
            rgb.extend(pixels.flat_map(|&[a, b, c, d, e, f, _, _]| [byte([a, b]), byte([c, d]), byte([e, f])]));
        }
        ColorType::L16 => rgb.extend(row.as_chunks().0.iter().flat_map(|luma| [byte(*luma); 3])),
        ColorType::La16 => rgb.extend(row.as_chunks::<4>().0.iter().flat_map(|&[a, b, _, _]| [byte([a, b]); 3])),
        other => return Err(format!("pixels of {other:?} are not read; save it as an ordinary PNG")),
    }
    Ok(())
}

/// Bytes a pixel that a WebP picture's decoder holds besides the pixels it gives.
fn webp_bytes(bytes: &[u8]) -> u64 {
    /// Planes of luma and of colour differences at half the size.
    const LOSSY: u64 = 2;
    /// The same, and the alpha channel's own picture.
    const WITH_ALPHA: u64 = 8;
    /// A frame's and the canvas' four bytes a pixel besides.
    const ANIMATED: u64 = 16;
    /// Four bytes a pixel, and the tables of blocks.
    const LOSSLESS: u64 = 5;
    let mut rest = bytes.get(12..).unwrap_or_default();
    let mut most = LOSSY;
    while let Some(([a, b, c, d, length @ ..], body)) = rest.split_first_chunk::<8>() {
        most = most.max(match &[*a, *b, *c, *d] {
            b"VP8L" => LOSSLESS,
            b"ALPH" => WITH_ALPHA,
            b"ANIM" | b"ANMF" => ANIMATED,
            _ => LOSSY,
        });
        // Chunks have an even length.
        let length = u64::from(u32::from_le_bytes(*length)).next_multiple_of(2);
        rest = usize::try_from(length).ok().and_then(|length| body.get(length..)).unwrap_or_default();
    }
    most
}

/// Whether a RIFF file, as WebP is, has the length that its header says.
fn is_complete_riff(bytes: &[u8]) -> bool {
    let length = bytes.get(4..).and_then(<[u8]>::first_chunk).map(|length| u32::from_le_bytes(*length));
    length.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(length))
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ExtendedColorType, ImageEncoder};

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
