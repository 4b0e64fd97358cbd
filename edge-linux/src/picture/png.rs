//! PNG: read as every kind of it is, and written as eight bits of grey or RGB.

use std::io::Cursor;

use anyhow::Result;
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Filter, Limits, Transformations};
use tinception_core::image::Size;

use super::{Budget, Rows, Turn, buffer, damaged};

/// Most bytes that a colour profile and the like may inflate to.
const METADATA: usize = 8 << 20;

pub(super) fn decode(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: METADATA });
    // Palettes and fewer than 8 bits become 8 bits a channel; 16 bits stay, to be rounded here.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (info, colour) = (reader.info(), reader.output_color_type());
    let size = Size::new(info.width, info.height);
    let turn = info.exif_metadata.as_deref().and_then(Turn::from_exif).unwrap_or_default();
    let length = reader.output_buffer_size().ok_or_else(|| damaged("its size"))? as u64;
    let stride = (length / u64::from(size.height).max(1)).max(1) as usize;
    let held = length.saturating_add(bytes.len() as u64).saturating_add(METADATA as u64);
    let held = held.saturating_add(rows.bytes(size, turn));
    budget.check(size, held)?;
    let _alone = budget.wait(held);
    rows.begin(size, turn)?;
    let mut pixels = buffer(length, size)?;
    reader.next_frame(&mut pixels).map_err(damaged)?;
    let mut rgb = Vec::with_capacity(size.width as usize * 3);
    for (y, row) in (0..size.height).zip(pixels.chunks_exact(stride)) {
        rgb.clear();
        to_rgb(colour, row, &mut rgb)?;
        rows.row(y, &rgb);
    }
    Ok(())
}

/// Turns a row of pixels into RGB. Numbers of 16 bits have the high byte first.
fn to_rgb(colour: (ColorType, BitDepth), row: &[u8], rgb: &mut Vec<u8>) -> Result<(), String> {
    /// `round(value / 257)`: 16 bits to 8.
    fn byte(value: [u8; 2]) -> u8 {
        ((u32::from(u16::from_be_bytes(value)) + 128) / 257) as u8
    }
    match colour {
        (ColorType::Rgb, BitDepth::Eight) => rgb.extend_from_slice(row),
        (ColorType::Rgba, BitDepth::Eight) => {
            rgb.extend(row.as_chunks().0.iter().flat_map(|&[red, green, blue, _]| [red, green, blue]));
        }
        (ColorType::Grayscale, BitDepth::Eight) => rgb.extend(row.iter().flat_map(|luma| [*luma; 3])),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
            rgb.extend(row.as_chunks().0.iter().flat_map(|&[luma, _]| [luma; 3]));
        }
        (ColorType::Rgb, BitDepth::Sixteen) => rgb.extend(row.as_chunks().0.iter().map(|value| byte(*value))),
        (ColorType::Rgba, BitDepth::Sixteen) => {
            let pixels = row.as_chunks::<8>().0.iter();
            rgb.extend(pixels.flat_map(|&[a, b, c, d, e, f, _, _]| [byte([a, b]), byte([c, d]), byte([e, f])]));
        }
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            rgb.extend(row.as_chunks().0.iter().flat_map(|luma| [byte(*luma); 3]));
        }
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => {
            rgb.extend(row.as_chunks::<4>().0.iter().flat_map(|&[a, b, _, _]| [byte([a, b]); 3]));
        }
        (other, depth) => {
            return Err(format!("pixels of {other:?}, {depth:?} are not read; save it as an ordinary PNG"));
        }
    }
    Ok(())
}

/// A picture as a PNG file, quickly rather than small: `pixels` are RGB, or grey if there is one byte for each of them.
pub(crate) fn encode(size: Size, pixels: &[u8]) -> Result<Vec<u8>> {
    let is_grey = pixels.len() as u64 == u64::from(size.width) * u64::from(size.height);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, size.width, size.height);
    encoder.set_color(if is_grey { ColorType::Grayscale } else { ColorType::Rgb });
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}
