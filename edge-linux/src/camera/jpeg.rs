//! JPEG frames, decoded with libjpeg as picture files are, so that a frame gives the same pixels as a file with its bytes.
//!
//! USB cameras leave out the Huffman tables (DHT), as Motion JPEG's tables are the standard's own (ITU-T T.81, annex K);
//! libjpeg puts them in. It fills up with grey what a cut picture lacks, so those without an end are refused before.

use super::frame::{BadFrame, MOST_PIXELS, RgbFrame};
use crate::picture::{Budget, JpegHeaders, decode_jpeg};

/// Decodes a picture into `rgb`.
///
/// # Errors
/// The bytes are no whole JPEG picture, or one of CMYK, or too large.
pub(crate) fn decode(bytes: &[u8], rgb: &mut RgbFrame) -> Result<(), BadFrame> {
    if !bytes.starts_with(&[0xFF, 0xD8]) {
        return Err(BadFrame("the frame is no JPEG picture".into()));
    }
    let headers = JpegHeaders::read(bytes).ok_or_else(|| BadFrame("the JPEG picture is truncated".into()))?;
    headers.check(&Budget::FRAME).map_err(BadFrame)?;
    let decoded = decode_jpeg(bytes, |size| {
        if u64::from(size.width) * u64::from(size.height) > MOST_PIXELS {
            return Err("too large");
        }
        rgb.resize(size);
        Ok(&mut rgb.data)
    });
    match decoded {
        Ok(Some(())) => Ok(()),
        Ok(None) => Err(BadFrame("the JPEG picture is CMYK".into())),
        Err(error) => Err(BadFrame(format!("the JPEG picture is damaged ({error})"))),
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, RngCore, SeedableRng};
    use tinception_core::image::{ColourOrder, Resize, Size};
    use tinception_models::preprocess::Preprocessing;

    use super::*;
    use crate::camera::testing::jpeg;
    use crate::preprocess::Preprocessor;

    /// The segments of a JPEG picture without those with this marker.
    fn without(marker: u8, bytes: &[u8]) -> Vec<u8> {
        let mut kept = bytes[..2].to_vec();
        let mut rest = &bytes[2..];
        while rest[1] != 0xDA {
            let end = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            if rest[1] != marker {
                kept.extend_from_slice(&rest[..end]);
            }
            rest = &rest[end..];
        }
        kept.extend_from_slice(rest);
        kept
    }

    #[test]
    fn a_frame_has_the_pixels_of_a_picture_file() {
        let bytes = jpeg(33, 17);
        let mut rgb = RgbFrame::default();
        decode(&bytes, &mut rgb).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frame.jpg");
        std::fs::write(&path, &bytes).unwrap();
        let settings =
            Preprocessing { order: ColourOrder::Rgb, resize: Resize::Stretch, mean: [0.0; 3], scale: [1.0; 3] };
        let same_size = Preprocessor { settings, size: rgb.size };
        assert_eq!((rgb.size, rgb.data), (Size::new(33, 17), same_size.read(&path).unwrap()));
    }

    #[test]
    fn standard_huffman_tables_need_not_be_there() {
        let bytes = jpeg(40, 24);
        let bare = without(0xC4, &bytes);
        assert!(bare.len() + 400 < bytes.len(), "the tables have 420 bytes");
        let (mut with, mut without) = (RgbFrame::default(), RgbFrame::default());
        decode(&bytes, &mut with).unwrap();
        decode(&bare, &mut without).unwrap();
        assert_eq!(with, without);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = jpeg(16, 16);
        let mut rgb = RgbFrame::default();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], &mut rgb).is_err(), "cut to {length} of {}", bytes.len());
        }
    }

    #[test]
    fn random_frames_do_no_harm() {
        let mut random = SmallRng::seed_from_u64(81);
        let good = jpeg(48, 32);
        let mut rgb = RgbFrame::default();
        for _ in 0..500 {
            let mut noise = vec![0; random.random_range(0..2000)];
            random.fill_bytes(&mut noise);
            assert!(decode(&noise, &mut rgb).is_err());
            let mut damaged = good.clone();
            for _ in 0..random.random_range(1..9) {
                let at = random.random_range(2..damaged.len());
                damaged[at] = random.random();
            }
            let _ = decode(&damaged, &mut rgb);
            assert_eq!(rgb.data.len(), (rgb.size.width * rgb.size.height * 3) as usize);
        }
        decode(&good, &mut rgb).unwrap();
        assert_eq!(rgb.size, Size::new(48, 32));
    }
}
