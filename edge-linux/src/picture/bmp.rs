//! BMP: Windows' bitmaps, with palettes, masks and run lengths, and OS/2's first version.
//!
//! ```text
//! file header, 14 bytes: "BM" ... where the pixels begin
//! header, 12 to 124 bytes: its own size, width, height, planes, bits a pixel, compression ...
//! masks of the channels, or a palette
//! rows of pixels, the lowest first (the highest first if the height is negative), each padded to four bytes
//! ```
//!
//! Rows that are not compressed lie in the file as they are, so that nothing is held besides the file and a row.

mod run_length;

use tinception_core::image::Size;

use self::run_length::Runs;
use super::{Budget, Rows, TRUNCATED, Turn, buffer, damaged};

/// Where the second header begins, whose fields are counted from its own start.
const HEADER: usize = 14;

pub(super) fn decode(bytes: &[u8], budget: &Budget, rows: &mut dyn Rows) -> Result<(), String> {
    let header = Header::read(bytes)?;
    let Header { size, pixels, .. } = header;
    let (width, height) = (size.width as usize, size.height as usize);
    let unpacked = match pixels {
        Pixels::Runs { .. } => 3 * u64::from(size.width) * u64::from(size.height),
        _ => 0,
    };
    let turn = Turn::default();
    let held = unpacked.saturating_add(bytes.len() as u64).saturating_add(rows.bytes(size, turn));
    budget.check(size, held)?;
    let _alone = budget.wait(held);
    rows.begin(size, turn)?;
    let data = bytes.get(header.data..).ok_or(TRUNCATED)?;
    if let Pixels::Runs { four_bits } = pixels {
        let mut rgb = buffer(unpacked, size)?;
        Runs { four_bits, palette: &header.palette, width, height }.unpack(data, rgb.as_chunks_mut().0)?;
        for (y, row) in (0..size.height).zip(rgb.chunks_exact(3 * width).rev()) {
            rows.row(y, row);
        }
        return Ok(());
    }
    // All rows have to be there before the first one is taken.
    let stride = pixels.row_len(width).next_multiple_of(4);
    let data = stride.checked_mul(height).and_then(|length| data.get(..length)).ok_or(TRUNCATED)?;
    let mut rgb = vec![0; 3 * width];
    for y in 0..size.height {
        let stored = if header.top_down { y as usize } else { height - 1 - y as usize };
        header.to_rgb(&data[stored * stride..][..stride], rgb.as_chunks_mut().0);
        rows.row(y, &rgb);
    }
    Ok(())
}

/// How pixels are stored.
#[derive(Clone, Copy)]
enum Pixels {
    /// Numbers of so many bits (1, 2, 4 or 8) into the palette, the first one in the highest bits.
    Indices(u32),
    /// Run lengths of indices of eight bits, or of four.
    Runs { four_bits: bool },
    /// Blue, green, red, and so many bytes that say nothing.
    Bytes { unused: usize },
    /// Little-endian numbers of 16 bits or 32, with a field for each channel.
    Fields { bytes: usize, channels: [Field; 3] },
}

impl Pixels {
    /// Bytes of a row, without those that pad it.
    const fn row_len(self, width: usize) -> usize {
        match self {
            Self::Indices(bits) => (width * bits as usize).div_ceil(8),
            Self::Runs { .. } => 0,
            Self::Bytes { unused } => width * (3 + unused),
            Self::Fields { bytes, .. } => width * bytes,
        }
    }
}

/// The bits of a channel in a pixel's number.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    /// The largest value; of channels with more than eight bits the highest eight count.
    most: u32,
}

impl Field {
    const fn new(shift: u32, bits: u32) -> Self {
        Self { shift, most: (1 << bits) - 1 }
    }

    /// The field that a mask has, in numbers of so many bits.
    fn of_mask(mask: u32, number_bits: u32) -> Result<Self, String> {
        let (shift, bits) = (mask.trailing_zeros(), mask.count_ones());
        // A mask of zero has no ones behind its zeros either.
        let is_one_field = mask != 0 && (mask >> shift).trailing_ones() == bits && shift + bits <= number_bits;
        if !is_one_field {
            return Err(damaged("the mask of a channel"));
        }
        let kept = bits.min(8);
        Ok(Self::new(shift + bits - kept, kept))
    }

    /// The channel's value in a pixel's number, as one of 0 to 255.
    const fn of(self, number: u32) -> u8 {
        (((number >> self.shift & self.most) * 255 + self.most / 2) / self.most) as u8
    }
}

struct Header {
    size: Size,
    /// Whether the highest row is the first one.
    top_down: bool,
    pixels: Pixels,
    /// Where the rows begin.
    data: usize,
    /// Black behind its end.
    palette: [[u8; 3]; 256],
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let short = |at: usize| bytes.get(HEADER + at..).and_then(<[u8]>::first_chunk).copied().map(u16::from_le_bytes);
        let long = |at: usize| bytes.get(HEADER + at..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes);
        let long = |at: usize| long(at).ok_or(TRUNCATED);
        let short = |at: usize| short(at).ok_or(TRUNCATED);
        let data = bytes.get(10..).and_then(<[u8]>::first_chunk).ok_or(TRUNCATED)?;
        let (data, length) = (u32::from_le_bytes(*data) as usize, long(0)?);
        // The first version, then Windows' later ones.
        let is_first = length == 12;
        if !matches!(length, 12 | 40 | 52 | 56 | 108 | 124) {
            return Err(format!(
                "a BMP picture of a kind that is not read ({length} bytes of header); convert it to PNG"
            ));
        }
        let (width, height, planes, bits, compression, colours) = if is_first {
            (short(4)?.into(), i32::from(short(6)?), short(8)?, short(10)?, 0, 0)
        } else {
            (long(4)?, long(8)?.cast_signed(), short(12)?, short(14)?, long(16)?, long(32)?)
        };
        if planes != 1 {
            return Err(damaged(format_args!("{planes} planes")));
        }
        let masks = |number_bits: u32| -> Result<[Field; 3], String> {
            let field = |at: usize| Field::of_mask(long(at)?, number_bits);
            // Later headers have a mask of the alpha channel, which may be empty.
            if length >= 56 && long(52)? != 0 {
                field(52)?;
            }
            Ok([field(40)?, field(44)?, field(48)?])
        };
        let five = |shift| Field::new(shift, 5);
        let pixels = match (compression, bits) {
            (0, 2 | 16 | 32) if is_first => None,
            (0, 1 | 2 | 4 | 8) => Some(Pixels::Indices(bits.into())),
            (0, 16) => Some(Pixels::Fields { bytes: 2, channels: [five(10), five(5), five(0)] }),
            (0, 24) => Some(Pixels::Bytes { unused: 0 }),
            (0, 32) => Some(Pixels::Bytes { unused: 1 }),
            (1, 8) => Some(Pixels::Runs { four_bits: false }),
            (2, 4) => Some(Pixels::Runs { four_bits: true }),
            (3, 16) => Some(Pixels::Fields { bytes: 2, channels: masks(16)? }),
            (3, 32) => Some(Pixels::Fields { bytes: 4, channels: masks(32)? }),
            _ => None,
        };
        let unread = || {
            format!(
                "a BMP picture of compression {compression} with {bits} bits a pixel, which is not read; \
            convert it to PNG"
            )
        };
        let pixels = pixels.ok_or_else(unread)?;
        if height < 0 && matches!(pixels, Pixels::Runs { .. }) {
            return Err(damaged("run lengths from the top down"));
        }
        let mut palette = [[0; 3]; 256];
        if matches!(pixels, Pixels::Indices(_) | Pixels::Runs { .. }) {
            let most = 1 << bits;
            if colours > most {
                return Err(damaged(format_args!("{colours} colours in its palette")));
            }
            let entry_len = if is_first { 3 } else { 4 };
            let colours = if colours == 0 { most } else { colours } as usize;
            let start = HEADER + length as usize;
            let entries = bytes.get(start..start + colours * entry_len).ok_or(TRUNCATED)?;
            for (colour, entry) in palette.iter_mut().zip(entries.chunks_exact(entry_len)) {
                *colour = [entry[2], entry[1], entry[0]];
            }
        }
        Ok(Self { size: Size::new(width, height.unsigned_abs()), top_down: height < 0, pixels, data, palette })
    }

    /// Turns a stored row into pixels of RGB.
    fn to_rgb(&self, row: &[u8], rgb: &mut [[u8; 3]]) {
        match self.pixels {
            Pixels::Indices(bits) => {
                for (x, pixel) in (0..).zip(rgb) {
                    let at = x * bits;
                    let index = row[(at / 8) as usize] >> (8 - bits - at % 8) & ((1_u16 << bits) - 1) as u8;
                    *pixel = self.palette[usize::from(index)];
                }
            }
            Pixels::Runs { .. } => {}
            Pixels::Bytes { unused } => {
                for (pixel, stored) in rgb.iter_mut().zip(row.chunks_exact(3 + unused)) {
                    *pixel = [stored[2], stored[1], stored[0]];
                }
            }
            Pixels::Fields { bytes, channels } => {
                for (pixel, stored) in rgb.iter_mut().zip(row.chunks_exact(bytes)) {
                    let number = stored.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
                    *pixel = channels.map(|channel| channel.of(number));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
