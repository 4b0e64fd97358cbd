//! Run lengths, as BMP pictures have them: pairs of bytes, a length and what is repeated, or an escape of zero and what it
//! means.

use crate::picture::{TRUNCATED, damaged};

/// A picture in run lengths.
pub(super) struct Runs<'a> {
    /// Whether a byte holds two pixels, which take turns.
    pub(super) four_bits: bool,
    pub(super) palette: &'a [[u8; 3]; 256],
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Runs<'_> {
    /// Writes the pixels to `rgb`, which is black, the lowest row first. What no run covers stays as it is.
    pub(super) fn unpack(&self, mut data: &[u8], rgb: &mut [[u8; 3]]) -> Result<(), String> {
        let mut next = || -> Result<u8, String> {
            let (byte, rest) = data.split_first().ok_or(TRUNCATED)?;
            data = rest;
            Ok(*byte)
        };
        let too_far = || damaged("its run lengths lead out of the picture");
        let (mut x, mut y) = (0, 0);
        while y < self.height {
            let room = self.width.saturating_sub(x);
            let row = &mut rgb[(y + 1) * self.width - room..][..room];
            match (next()?, next()?) {
                (0, 0) => (x, y) = (0, y + 1),
                (0, 1) => break,
                // What is passed over stays black.
                (0, 2) => {
                    let (across, up) = (next()?, next()?);
                    (x, y) = (x + usize::from(across), y + usize::from(up));
                    if (x > self.width && (across, up) != (0, 0)) || y >= self.height {
                        return Err(too_far());
                    }
                }
                // So many pixels as they are, padded to an even number of bytes.
                (0, count) => {
                    let count = usize::from(count);
                    let bytes = if self.four_bits { count.div_ceil(2) } else { count };
                    let pixels = row.get_mut(..count).ok_or_else(too_far);
                    let stored = (0..bytes.next_multiple_of(2)).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
                    for (at, pixel) in pixels?.iter_mut().enumerate() {
                        *pixel = self.colour(stored[if self.four_bits { at / 2 } else { at }], at);
                    }
                    x += count;
                }
                (count, value) => {
                    let count = usize::from(count);
                    // ImageMagick writes runs of eight bits that are longer than the row; it means the rest of it.
                    if count > room && self.four_bits {
                        return Err(too_far());
                    }
                    for (at, pixel) in row.iter_mut().take(count).enumerate() {
                        *pixel = self.colour(value, at);
                    }
                    x += count;
                }
            }
        }
        Ok(())
    }

    /// The colour of pixel `at` of a run whose byte is `value`.
    fn colour(&self, value: u8, at: usize) -> [u8; 3] {
        let index = match (self.four_bits, at % 2) {
            (false, _) => value,
            (true, 0) => value >> 4,
            (true, _) => value & 15,
        };
        self.palette[usize::from(index)]
    }
}
