//! Picture files, decoded to RGB.
//!
//! JPEG, PNG, BMP and WebP, told apart by their content. Grey and CMYK pictures become RGB, 16 bits a channel become 8,
//! an alpha channel is dropped (the colours below it stay), and a photo's EXIF orientation is applied, so that the
//! network sees it upright.

use std::fs;
use std::io::{self, Cursor};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use anyhow::{Context, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use tinception_core::error::ImageError;
use tinception_core::image::{MAX_SIDE, Picture, PixelFormat, Size};

use crate::output::file_error;

/// Largest picture that is decoded, in bytes of its pixels, whatever its header promises: 512 MiB.
const MOST_BYTES: u64 = 512 << 20;
/// Largest picture file that is read: as many bytes as its pixels may have.
const LARGEST_FILE: u64 = MOST_BYTES;

/// A decoded picture: three bytes a pixel, rows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RgbPicture {
    size: Size,
    data: Vec<u8>,
}

impl RgbPicture {
    /// Reads a picture file.
    ///
    /// # Errors
    /// The file's name and what is wrong with it: unreadable, of another format, truncated, too large.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let unreadable = || format!("{}: cannot be read", path.display());
        if fs::metadata(path).with_context(unreadable)?.len() > LARGEST_FILE {
            return Err(file_error(path, "too large a file for a picture; make it smaller"));
        }
        Self::parse(&fs::read(path).with_context(unreadable)?, path)
    }

    /// Decodes the bytes of a picture file; errors name it as `path`.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        Self::decode(bytes).map_err(|message| file_error(path, message))
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("the file is empty; copy it again".into());
        }
        let format = image::guess_format(bytes).ok().filter(ImageFormat::reading_enabled);
        let Some(format) = format else {
            return Err("not a JPEG, PNG, BMP or WebP picture, or its first bytes are damaged; convert it".into());
        };
        // These decoders fill up with grey what a cut file lacks, or don't look at its end.
        let complete = match format {
            ImageFormat::Jpeg => is_complete_jpeg(bytes),
            ImageFormat::WebP => is_complete_riff(bytes),
            _ => true,
        };
        if !complete {
            return Err("the picture is truncated; copy it again".into());
        }
        let damaged =
            |error: image::ImageError| format!("the picture is truncated or damaged ({error}); copy it again");
        let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        if width.max(height) > MAX_SIDE {
            let limit = format!("a side may have {MAX_SIDE}");
            return Err(format!("{width} x {height} pixels are too many, {limit}; make it smaller"));
        }
        if decoder.total_bytes() > MOST_BYTES {
            let size = decoder.total_bytes() >> 20;
            return Err(format!(
                "{width} x {height} pixels need {size} MiB, and {} are the limit; make it smaller",
                MOST_BYTES >> 20
            ));
        }
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(2 * MOST_BYTES);
        decoder.set_limits(limits).map_err(damaged)?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut rgb = RgbImage::default();
        let jpeg = if format == ImageFormat::Jpeg {
            let decoded = decode_jpeg(bytes, |size| {
                rgb = RgbImage::new(size.width, size.height);
                Ok(&mut *rgb)
            });
            decoded.map_err(|why| format!("the picture is truncated or damaged ({why}); copy it again"))?
        } else {
            None
        };
        let mut picture = match jpeg {
            Some(()) => rgb.into(),
            None => DynamicImage::from_decoder(decoder).map_err(damaged)?,
        };
        picture.apply_orientation(orientation);
        let rgb = picture.into_rgb8();
        Ok(Self { size: Size::new(rgb.width(), rgb.height()), data: rgb.into_raw() })
    }

    /// Width and height.
    #[cfg(feature = "camera")]
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Red, green, blue of each pixel.
    #[cfg(feature = "camera")]
    pub(crate) fn pixels(&self) -> &[u8] {
        &self.data
    }

    /// The picture, as the core takes it.
    pub(crate) fn view(&self) -> Result<Picture<'_>, ImageError> {
        Picture::new(PixelFormat::Rgb888, self.size, self.size.width as usize * 3, &self.data)
    }
}

/// Decodes a JPEG with libjpeg, bit for bit what Pillow, PyTorch's loaders and most cameras' viewers show: networks are
/// trained and measured on these pixels, and a borderline picture changes its class for less than one unit.
///
/// `room` makes room for the RGB pixels of a picture of that size, or refuses it. `None` stands for a picture that is CMYK,
/// which libjpeg does not turn into RGB.
///
/// # Errors
/// What libjpeg or `room` says. The pixels are then of no use.
pub(crate) fn decode_jpeg<'a>(
    bytes: &[u8],
    room: impl FnOnce(Size) -> Result<&'a mut [u8], &'static str>,
) -> Result<Option<()>, String> {
    // libjpeg reports errors by unwinding, without a message on standard error.
    let decoded = std::panic::catch_unwind(AssertUnwindSafe(|| -> io::Result<Option<()>> {
        let decoder = mozjpeg::Decompress::new_mem(bytes)?;
        if matches!(decoder.color_space(), mozjpeg::ColorSpace::JCS_CMYK | mozjpeg::ColorSpace::JCS_YCCK) {
            return Ok(None);
        }
        let (width, height) = decoder.size();
        let pixels = room(Size::new(width as u32, height as u32)).map_err(io::Error::other)?;
        let mut started = decoder.rgb()?;
        started.read_scanlines_into(pixels)?;
        started.finish()?;
        Ok(Some(()))
    }));
    match decoded {
        Ok(decoded) => decoded.map_err(|error| error.to_string()),
        Err(panic) => Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "libjpeg".into())),
    }
}

/// Whether a JPEG picture has its end-of-image marker where its segments say it should be (ITU-T T.81, annex B).
pub(crate) fn is_complete_jpeg(bytes: &[u8]) -> bool {
    const START_OF_IMAGE: u8 = 0xD8;
    const END_OF_IMAGE: u8 = 0xD9;
    const START_OF_SCAN: u8 = 0xDA;
    let mut rest = bytes;
    let mut in_scan = false;
    loop {
        // Between segments nothing but fill bytes may lie; decoders pass over whatever does.
        let Some(at) = rest.iter().position(|byte| *byte == 0xFF) else { return false };
        rest = rest.get(at + 1..).unwrap_or_default();
        let Some((&marker, after)) = rest.split_first() else { return false };
        match marker {
            END_OF_IMAGE => return true,
            // A fill byte: the next byte may be the marker.
            0xFF => {}
            // A stuffed zero in a scan, restart markers, and the start: no length follows.
            0x00 | 0x01 | 0xD0..=0xD7 | START_OF_IMAGE => rest = after,
            _ => {
                let Some(length) = after.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes))) else {
                    return false;
                };
                in_scan |= marker == START_OF_SCAN;
                match after.get(length..) {
                    Some(behind) => rest = behind,
                    // A scan whose data hold a stray marker: its "length" is none.
                    None if in_scan => rest = after,
                    None => return false,
                }
            }
        }
    }
}

/// Whether a RIFF file, as WebP is, has the length that its header says.
fn is_complete_riff(bytes: &[u8]) -> bool {
    let length = bytes.get(4..).and_then(<[u8]>::first_chunk).map(|length| u32::from_le_bytes(*length));
    length.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(length))
}

#[cfg(test)]
mod tests {
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    fn encode(format: ImageFormat, picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn lossless_formats_give_the_pixels_that_went_in() {
        let picture = image::RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8 * 80, y as u8 * 90, 7]));
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let decoded = RgbPicture::decode(&encode(format, &picture.clone().into())).unwrap();
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
            assert_eq!(RgbPicture::decode(&encode(ImageFormat::Png, &picture)).unwrap().data, expected);
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
        let decoded = RgbPicture::decode(&bytes).unwrap();
        assert_eq!((decoded.size, decoded.data), (Size::new(1, 2), vec![255, 0, 0, 0, 0, 255]));
    }

    #[test]
    fn every_truncation_of_every_format_is_an_error() {
        let picture: DynamicImage =
            image::RgbImage::from_fn(9, 9, |x, y| image::Rgb([(x * y * 3) as u8, (x * 20) as u8, (y * 25) as u8]))
                .into();
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let bytes = encode(format, &picture);
            assert!(RgbPicture::decode(&bytes).is_ok(), "{format:?}");
            // PNG's last chunk says nothing but "end": 12 bytes that its readers don't insist on.
            let spared = if format == ImageFormat::Png { 12 } else { 0 };
            for length in 0..bytes.len() - spared {
                let result = RgbPicture::decode(&bytes[..length]);
                assert!(result.is_err(), "{format:?} cut to {length} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn headers_that_promise_too_much_are_refused_before_memory_is_taken() {
        let mut bmp = encode(ImageFormat::Bmp, &image::RgbImage::new(1, 1).into());
        bmp[18..22].copy_from_slice(&30_000_u32.to_le_bytes());
        bmp[22..26].copy_from_slice(&30_000_u32.to_le_bytes());
        assert!(RgbPicture::decode(&bmp).unwrap_err().contains("30000 x 30000 pixels need 2574 MiB"));
        bmp[18..22].copy_from_slice(&40_000_u32.to_le_bytes());
        assert!(RgbPicture::decode(&bmp).unwrap_err().contains("40000 x 30000 pixels are too many"));
    }
}
