//! Pictures for the tests.

/// A JPEG picture of a smooth gradient, with the standard Huffman tables.
pub(crate) fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let shade = |part: u32, whole: u32| (part * 255 / whole.max(1)) as u8;
    let picture = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([shade(x, width), shade(y, height), 90]));
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(&picture).expect("it is encoded");
    bytes
}
