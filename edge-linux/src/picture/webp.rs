//! WebP, lossy and lossless; of an animation the first picture.

use std::io::Cursor;

use image_webp::WebPDecoder;
use tinception_core::image::Size;

use super::{Budget, Rows, TRUNCATED, Turn, buffer, damaged};

pub(super) fn decode(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    // The decoder doesn't look at the end.
    if !is_complete_riff(bytes) {
        return Err(TRUNCATED.into());
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let (size, pixels) = (Size::new(width, height), u64::from(width) * u64::from(height));
    let turn = decoder.exif_metadata().ok().flatten().as_deref().and_then(Turn::from_exif).unwrap_or_default();
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let length = channels * pixels;
    let held = length.saturating_add(bytes.len() as u64).saturating_add(own_bytes(bytes) * pixels);
    let held = held.saturating_add(rows.bytes(size, turn));
    budget.check(size, held)?;
    let _alone = budget.wait(held);
    rows.begin(size, turn)?;
    let mut decoded = buffer(length, size)?;
    decoder.read_image(&mut decoded).map_err(damaged)?;
    let mut rgb = Vec::with_capacity(width as usize * 3);
    for (y, row) in (0..height).zip(decoded.chunks_exact(width as usize * channels as usize)) {
        if channels == 3 {
            rows.row(y, row);
            continue;
        }
        rgb.clear();
        rgb.extend(row.as_chunks().0.iter().flat_map(|&[red, green, blue, _]| [red, green, blue]));
        rows.row(y, &rgb);
    }
    Ok(())
}

/// Bytes a pixel that the decoder holds besides the pixels it gives.
fn own_bytes(bytes: &[u8]) -> u64 {
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

/// Whether a RIFF file has the length that its header says.
fn is_complete_riff(bytes: &[u8]) -> bool {
    let length = bytes.get(4..).and_then(<[u8]>::first_chunk).map(|length| u32::from_le_bytes(*length));
    length.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(length))
}
