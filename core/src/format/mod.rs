//! The `.tin` file: constants, checked record views and, with the feature `alloc`, the writer.
//!
//! A file is little-endian and flat. It starts with a [`Header`](header::Header) and its section table; everything
//! else is reached by absolute offsets:
//!
//! ```text
//! header      magic, version, checksum, sizes, the tensors that go in and out, section table
//! data        weights (16-byte aligned), channel tables, LRN, softmax and sigmoid tables, names
//! tensors     records of tensor::SIZE bytes: where each tensor lies in the arena, its shape and quantisation
//! steps       records of step::SIZE bytes: what runs, in order
//! labels      UTF-8, one class a line
//! label ids   UTF-8, one class a line, where classes have ids beside their names
//! preprocess  how a picture becomes the input
//! provenance  UTF-8, `key: value` a line
//! self-test   a seed and the CRC-32 of every step's output for the input made from it
//! ```
//!
//! The section table gives each section's record size, and a reader steps by that size, so a newer minor version may
//! lengthen records or add sections and stays readable. The checksum is the CRC-32 of zlib and PNG (ISO 3309) over all
//! bytes of the file but its own four.
//!
//! Records are parsed field by field from fixed-size arrays; `parse` and `emit` of each mirror each other. Whether the
//! fields make sense together is not decided here but in [`model`](crate::model).

mod bytes;
pub mod header;
pub mod preprocess;
pub mod selftest;
pub mod step;
pub mod tensor;
#[cfg(feature = "alloc")]
pub mod writer;

use crc::{CRC_32_ISO_HDLC, Crc, Digest, Table};

/// First bytes of a file. The high bit and the line ends show damage by text-mode transfers, as PNG's do.
pub const MAGIC: [u8; 8] = *b"\x89TIN\r\n\x1a\n";
/// The newest version that this crate writes: readers refuse another major, and read every minor of their major. A file
/// that needs nothing of a minor version states an older one.
pub const VERSION: (u16, u16) = (1, 3);
/// Alignment of the file in memory and of the weights in it, in bytes.
pub const ALIGNMENT: usize = 16;
/// Index that stands for "no tensor".
pub const NO_TENSOR: u16 = u16::MAX;
/// Most scratch a file may ask for, in bytes.
pub const SCRATCH_LIMIT: u32 = 32 * 1024;

/// Most bytes of a step's name.
pub const NAME_LIMIT: usize = 255;
/// Most bytes of a class's name, and of its id.
pub const LABEL_LIMIT: usize = 255;
/// Most bytes of a line of the provenance.
pub const PROVENANCE_LIMIT: usize = 4096;

/// Whether no text of a file may have a character: it controls what shows it (C0, DELETE, C1), is a line or paragraph
/// separator, or turns the direction of the text around it (U+202A to U+202E, U+2066 to U+2069).
#[must_use]
pub const fn is_control(character: u32) -> bool {
    matches!(character, 0..0x20 | 0x7F..0xA0 | 0x2028..0x202F | 0x2066..0x206A)
}

/// One table, or none.
type Tables = Table<{ cfg!(feature = "checksum-table") as usize }>;

static CRC: Crc<u32, Tables> = Crc::<u32, Tables>::new(&CRC_32_ISO_HDLC);

/// The checksum of a whole file: CRC-32 of everything but the checksum's own field.
#[must_use]
pub fn checksum(file: &[u8]) -> u32 {
    let field = header::CHECKSUM;
    let mut digest = Crc32::new();
    digest.update(file.get(..field.start).unwrap_or(file));
    digest.update(file.get(field.end..).unwrap_or(&[]));
    digest.finish()
}

/// A running CRC-32 (ISO 3309, as zlib's `crc32`): the file's checksum and the hash of a step's output.
pub struct Crc32(Digest<'static, u32, Tables>);

impl Crc32 {
    /// A checksum of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self(CRC.digest())
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes taken in.
    #[must_use]
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

impl Default for Crc32 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_zlibs() {
        let mut crc = Crc32::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.finish(), 0xCBF4_3926, "the check value of CRC-32/ISO-HDLC");
    }
}
