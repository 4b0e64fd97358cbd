//! BMP pictures of every kind, made up and damaged, against what `image` makes of them: it decoded them before.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::{DynamicImage, ImageDecoder};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tinception_core::image::Size;

use super::super::upright::Upright;
use super::*;

/// What the decoder makes of a file.
fn decoded(bytes: &[u8]) -> Result<(Size, Vec<u8>), String> {
    let mut rows = Upright::new();
    decode(bytes, &Budget::FILE, &mut rows)?;
    let picture = rows.finish();
    Ok((picture.size, picture.data))
}

/// What `image` makes of it: pixels with an alpha channel lose it.
fn expected(bytes: &[u8]) -> Option<(Size, Vec<u8>)> {
    let decoder = BmpDecoder::new(Cursor::new(bytes)).ok()?;
    let (width, height) = decoder.dimensions();
    // The budget refuses more.
    if width.max(height) > 32_767 || u64::from(width) * u64::from(height) > 1 << 22 {
        return None;
    }
    Some((Size::new(width, height), DynamicImage::from_decoder(decoder).ok()?.into_rgb8().into_raw()))
}

/// What a picture is made of.
#[derive(Clone, Copy, Debug)]
struct Kind {
    header: u32,
    compression: u32,
    bits: u16,
    /// Of red, green, blue and alpha.
    masks: [u32; 4],
}

/// Every kind that there is.
fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for header in [12, 40, 52, 56, 108, 124] {
        let mut add = |compression, bits, masks| kinds.push(Kind { header, compression, bits, masks });
        for bits in [1, 2, 4, 8, 16, 24, 32] {
            if header > 12 || !matches!(bits, 2 | 16 | 32) {
                add(0, bits, [0; 4]);
            }
        }
        if header == 12 {
            continue;
        }
        add(1, 8, [0; 4]);
        add(2, 4, [0; 4]);
        for masks in [
            [0x7C00, 0x3E0, 0x1F, 0],
            [0xF800, 0x7E0, 0x1F, 0],
            [0xF00, 0xF0, 0xF, 0xF000],
            [0xE000, 0x1C00, 0x300, 0],
            [0x1, 0x2, 0xFE00, 0],
        ] {
            add(3, 16, masks);
        }
        for masks in [
            [0xFF_0000, 0xFF00, 0xFF, 0],
            [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000],
            [0xFF00_0000, 0xFF_0000, 0xFF00, 0],
            [0xFF00_0000, 0xFF_0000, 0xFF00, 0xFF],
            [0x3FF0_0000, 0xF_FC00, 0x3FF, 0xC000_0000],
            [0x7F, 0x3F80, 0x1F_C000, 0],
        ] {
            add(3, 32, masks);
        }
    }
    kinds
}

/// A file of this kind, with random colours.
fn file(kind: Kind, width: u32, height: i32, random: &mut SmallRng) -> Vec<u8> {
    let Kind { header, compression, bits, masks } = kind;
    let most = if bits <= 8 { 1_u32 << bits } else { 0 };
    let colours = if random.random() && header > 12 { random.random_range(0..=most) } else { 0 };
    let mut bytes = b"BM".to_vec();
    let mut number = |value: u32, length: usize| bytes.extend_from_slice(&value.to_le_bytes()[..length]);
    (0..3).for_each(|_| number(0, 4));
    number(header, 4);
    let side = if header == 12 { 2 } else { 4 };
    number(width, side);
    number(height.cast_unsigned(), side);
    number(1, 2);
    number(bits.into(), 2);
    if header > 12 {
        [compression, 0, 0, 0, colours, 0].into_iter().for_each(|value| number(value, 4));
        if compression == 3 || header > 40 {
            let count = if header == 40 || header == 52 { 3 } else { 4 };
            masks[..count].iter().for_each(|mask| number(*mask, 4));
        }
    }
    bytes.resize(bytes.len().max(14 + header as usize), 0);
    let entries = if colours == 0 { most } else { colours };
    let palette = entries as usize * if header == 12 { 3 } else { 4 };
    bytes.extend((0..palette).map(|_| random.random::<u8>()));
    // A gap that nothing says anything about.
    bytes.extend((0..random.random_range(0..4)).map(|_| 0xEE));
    let start = (bytes.len() as u32).to_le_bytes();
    bytes[10..14].copy_from_slice(&start);
    match compression {
        1 | 2 => runs(width, height.unsigned_abs(), compression == 2, random, &mut bytes),
        _ => {
            let stride = (width as usize * usize::from(bits)).div_ceil(32) * 4;
            bytes.extend((0..stride * height.unsigned_abs() as usize).map(|_| random.random::<u8>()));
        }
    }
    bytes
}

/// Run lengths that fit: runs, pixels as they are, jumps, and ends of rows; sometimes an early end of the picture.
fn runs(width: u32, height: u32, four_bits: bool, random: &mut SmallRng, bytes: &mut Vec<u8>) {
    let (mut x, mut y) = (0, 0);
    while y < height {
        let room = (width - x).min(255) as u8;
        match random.random_range(0..20) {
            0..8 if room > 0 => {
                let count = random.random_range(1..=room);
                bytes.extend([count, random.random()]);
                x += u32::from(count);
            }
            8..14 if room > 2 => {
                let count = random.random_range(3..=room);
                let length = if four_bits { usize::from(count).div_ceil(2) } else { count.into() };
                bytes.extend([0, count]);
                bytes.extend((0..length.next_multiple_of(2)).map(|_| random.random::<u8>()));
                x += u32::from(count);
            }
            14..17 => {
                let (across, up) = (random.random_range(0..=room), random.random_range(0..3));
                if y + up >= height {
                    continue;
                }
                bytes.extend([0, 2, across, up as u8]);
                (x, y) = (x + u32::from(across), y + up);
            }
            17 if random.random_range(0..9) == 0 => break,
            _ => {
                bytes.extend([0, 0]);
                (x, y) = (0, y + 1);
            }
        }
    }
    bytes.extend([0, 1]);
}

#[test]
fn every_kind_gives_the_pixels_that_a_peer_gives() {
    let mut random = SmallRng::seed_from_u64(3);
    for kind in kinds() {
        for _ in 0..30 {
            let width = random.random_range(1..=40);
            let upside = if kind.header == 12 || matches!(kind.compression, 1 | 2) { 1 } else { -1 };
            let height = random.random_range(1..=20) * if random.random() { 1 } else { upside };
            let bytes = file(kind, width, height, &mut random);
            let found = decoded(&bytes).unwrap_or_else(|error| panic!("{kind:?} {width} x {height}: {error}"));
            assert!(Some(&found) == expected(&bytes).as_ref(), "{kind:?} {width} x {height}");
        }
    }
}

/// Files with bytes changed and their ends cut off: whatever is read at all has the peer's pixels, and only what the peer
/// refuses is refused.
#[test]
fn damaged_files_are_read_as_a_peer_reads_them() {
    let mut random = SmallRng::seed_from_u64(4);
    let (mut read, mut refused) = (0, 0);
    for kind in kinds() {
        for _ in 0..60 {
            let mut bytes = file(kind, random.random_range(1..=20), random.random_range(1..=9), &mut random);
            for _ in 0..random.random_range(1..4) {
                // Mostly in the header.
                let end = if random.random() { bytes.len().min(66) } else { bytes.len() };
                let at = random.random_range(2..end);
                bytes[at] = if random.random() { random.random() } else { bytes[at] ^ 1 << random.random_range(0..8) };
            }
            if random.random_range(0..4) == 0 {
                bytes.truncate(random.random_range(2..bytes.len()));
            }
            match (decoded(&bytes), expected(&bytes)) {
                (Ok(found), Some(expected)) => {
                    assert!(found == expected, "{kind:?}: {bytes:?}");
                    read += 1;
                }
                (Err(_), None) => refused += 1,
                (found, expected) => {
                    let found = found.map(|(size, _)| size);
                    panic!("{kind:?}: {found:?} instead of {:?}: {bytes:?}", expected.map(|(size, _)| size))
                }
            }
        }
    }
    assert!(read > 500 && refused > 500, "{read} read, {refused} refused");
}
