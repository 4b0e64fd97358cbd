//! Frames as JPEG pictures with the label on them.

use std::convert::Infallible;

use anyhow::{Result, anyhow};
use embedded_graphics::Drawable;
use embedded_graphics::mono_font::MonoTextStyleBuilder;
use embedded_graphics::mono_font::iso_8859_1::FONT_10X20;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{Dimensions, DrawTarget, OriginDimensions, Pixel, Point, RgbColor, Size};
use embedded_graphics::text::{Baseline, Text};

use crate::camera::frame::RgbFrame;

/// JPEG quality of the pictures, of 100.
const QUALITY: f32 = 80.0;
/// Where the label begins, in pixels from the left and the top.
const MARGIN: i32 = 8;

/// Something to draw on.
struct Canvas<'a>(&'a mut RgbFrame);

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.size.width, self.0.size.height)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let bounds = self.bounding_box();
        let stride = self.0.stride();
        for Pixel(point, colour) in pixels {
            if bounds.contains(point) {
                let start = point.y as usize * stride + point.x as usize * 3;
                if let Some(bytes) = self.0.data.get_mut(start..start + 3) {
                    bytes.copy_from_slice(&[colour.r(), colour.g(), colour.b()]);
                }
            }
        }
        Ok(())
    }
}

/// Writes a line of text onto the picture's upper left corner, white on black. What does not fit is cut off.
pub(super) fn annotate(picture: &mut RgbFrame, text: &str) {
    let style = MonoTextStyleBuilder::new().font(&FONT_10X20).text_color(Rgb888::WHITE).background_color(Rgb888::BLACK);
    let line = Text::with_baseline(text, Point::new(MARGIN, MARGIN), style.build(), Baseline::Top);
    // Drawing can't fail: what lies outside is left out.
    let _ = line.draw(&mut Canvas(picture));
}

/// The picture as JPEG.
///
/// # Errors
/// libjpeg refuses it, as it does a picture without pixels.
pub(super) fn encode(picture: &RgbFrame) -> Result<Vec<u8>> {
    let encoded = std::panic::catch_unwind(|| {
        let mut settings = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        settings.set_size(picture.size.width as usize, picture.size.height as usize);
        // Smaller files would take three times as long.
        settings.set_fastest_defaults();
        settings.set_quality(QUALITY);
        let mut encoder = settings.start_compress(Vec::new())?;
        encoder.write_scanlines(&picture.data)?;
        encoder.finish()
    });
    // libjpeg reports errors by unwinding.
    encoded.map_err(|_| anyhow!("libjpeg cannot encode the frame"))?.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use tinception_core::image::Size;

    use super::*;

    fn grey(width: u32, height: u32) -> RgbFrame {
        let mut picture = RgbFrame::default();
        picture.resize(Size::new(width, height));
        picture.data.fill(128);
        picture
    }

    #[test]
    fn the_label_is_white_on_black_in_the_corner() {
        let mut picture = grey(200, 60);
        annotate(&mut picture, "cat 93 %");
        let at = |x: usize, y: usize| picture.data[(y * 200 + x) * 3];
        let (mut white, mut black) = (0, 0);
        for y in 0..60 {
            for x in 0..200 {
                let inside = (8..88).contains(&x) && (8..28).contains(&y);
                match at(x, y) {
                    255 if inside => white += 1,
                    0 if inside => black += 1,
                    value => assert!(!inside && value == 128, "{x}, {y}: {value}"),
                }
            }
        }
        assert!(white > 100 && black > 2 * white, "{white} white, {black} black");
        // Longer than the picture, and on one that is smaller than a letter.
        annotate(&mut picture, &"long ".repeat(50));
        annotate(&mut grey(3, 2), "cat");
    }

    #[test]
    fn others_decode_what_is_encoded() {
        let picture = grey(63, 41);
        let decoded = image::load_from_memory(&encode(&picture).unwrap()).unwrap().into_rgb8();
        assert_eq!(decoded.dimensions(), (63, 41));
        assert!(decoded.iter().all(|value| value.abs_diff(128) < 3));
        assert!(encode(&RgbFrame::default()).is_err());
    }
}
