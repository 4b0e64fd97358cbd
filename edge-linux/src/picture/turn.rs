//! How a photo is turned upright, and where a file says so.

use tinception_core::image::Size;

/// Where an upright picture's pixels lie in the stored one. The default is a picture that is stored upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Whether upright columns are stored rows.
    pub(crate) swaps: bool,
    /// Whether the stored rows come from the last to the first: upright columns if they are swapped, else upright rows.
    pub(crate) rows_reversed: bool,
    /// Whether a stored row's pixels come from the last to the first.
    pub(crate) pixels_reversed: bool,
}

impl Turn {
    /// The turn that brings a stored picture upright whose orientation has this number (Exif 2.32, tag 0x0112). There are
    /// eight of them, from 1 to 8.
    pub(crate) const fn numbered(orientation: u16) -> Option<Self> {
        let (swaps, rows_reversed, pixels_reversed) = match orientation {
            1 => (false, false, false),
            2 => (false, false, true),
            3 => (false, true, true),
            4 => (false, true, false),
            // Mirrored at the main diagonal, a quarter clockwise, mirrored at the other diagonal, a quarter anticlockwise.
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => return None,
        };
        Some(Self { swaps, rows_reversed, pixels_reversed })
    }

    /// The turn that a file's EXIF data ask for, which begin with a TIFF header. `None` where they are damaged, have no
    /// orientation, or an unknown one.
    pub(crate) fn from_exif(exif: &[u8]) -> Option<Self> {
        /// The orientation: tag 0x0112, one number of 16 bits (type 3).
        const TAG: (u16, u16, u32) = (0x0112, 3, 1);
        let is_big_endian = match exif.first_chunk()? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        let short = |at: usize| {
            let bytes = *exif.get(at..)?.first_chunk()?;
            Some(if is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
        };
        let long = |at: usize| {
            let bytes = *exif.get(at..)?.first_chunk()?;
            Some(if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        // The first directory: the number of its entries, then entries of twelve bytes.
        let directory = usize::try_from(long(4)?).ok()?;
        let entries = usize::from(short(directory)?);
        for entry in 0..entries {
            let at = directory.checked_add(2 + 12 * entry)?;
            // The value has four bytes, of which a number of 16 bits takes the first two. A directory that is cut within
            // an entry says nothing.
            let (tag, value, _) = ((short(at)?, short(at + 2)?, long(at + 4)?), short(at + 8)?, short(at + 10)?);
            if tag == TAG {
                return Self::numbered(value);
            }
        }
        None
    }

    /// The upright size of a picture of `stored` size.
    pub(crate) const fn upright(self, stored: Size) -> Size {
        if self.swaps { Size::new(stored.height, stored.width) } else { stored }
    }
}

#[cfg(test)]
mod tests {
    use image::metadata::Orientation;

    use super::*;

    /// EXIF data of entries: tag, type, count and value.
    fn exif(is_big_endian: bool, entries: &[(u16, u16, u32, u16)]) -> Vec<u8> {
        let mut bytes = if is_big_endian { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        let mut number = |value: u32, length: usize| {
            let (big, little) = (value.to_be_bytes(), value.to_le_bytes());
            bytes.extend_from_slice(if is_big_endian { &big[4 - length..] } else { &little[..length] });
        };
        number(8, 4);
        number(entries.len() as u32, 2);
        for &(tag, kind, count, value) in entries {
            number(tag.into(), 2);
            number(kind.into(), 2);
            number(count, 4);
            number(value.into(), 2);
            number(0, 2);
        }
        bytes
    }

    /// All numbers, both byte orders, other entries before, other types, and every byte of it cut off or changed: what
    /// `image` reads.
    #[test]
    fn exif_is_read_as_a_peer_reads_it() {
        let same = |bytes: &[u8]| {
            let expected =
                Orientation::from_exif_chunk(bytes).map(|found| Turn::numbered(found.to_exif().into()).unwrap());
            assert_eq!(Turn::from_exif(bytes), expected, "{bytes:?}");
            expected
        };
        let mut found = 0;
        for is_big_endian in [false, true] {
            for value in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 256, 262, 65535] {
                for (kind, count) in [(3, 1), (4, 1), (3, 2)] {
                    let other = (0x0110, 2, 1, 6);
                    let bytes = exif(is_big_endian, &[other, (0x0112, kind, count, value), other]);
                    found += usize::from(same(&bytes).is_some());
                    for length in 0..bytes.len() {
                        same(&bytes[..length]);
                        let mut changed = bytes.clone();
                        changed[length] ^= 0x81;
                        same(&changed);
                    }
                }
            }
        }
        assert_eq!(found, 16);
    }
}
