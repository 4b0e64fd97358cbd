//! The header: what the file is, how large its arena is, where its sections are.

use super::bytes::{Field, u16_at, u32_at};

/// Bytes of the header without the section table.
pub const SIZE: usize = 48;
/// Bytes of one entry of the section table.
pub const SECTION_SIZE: usize = 12;

const MAGIC: Field = 0..8;
const MAJOR: Field = 8..10;
const MINOR: Field = 10..12;
/// Where the checksum lies.
pub const CHECKSUM: core::ops::Range<usize> = 12..16;
const FILE_LENGTH: Field = 16..20;
const ACTIVATION_SIZE: Field = 20..24;
const SCRATCH_SIZE: Field = 24..28;
const INPUT: Field = 28..30;
const LOGITS: Field = 30..32;
const PROBABILITIES: Field = 32..34;
const SECTION_COUNT: Field = 34..36;

/// The fixed part of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Must be [`MAGIC`](super::MAGIC).
    pub magic: [u8; 8],
    /// Major and minor version.
    pub version: (u16, u16),
    /// CRC-32 of the file but for this field.
    pub checksum: u32,
    /// Bytes of the whole file.
    pub file_length: u32,
    /// Bytes of the arena that hold activations.
    pub activation_size: u32,
    /// Bytes of scratch behind the activations.
    pub scratch_size: u32,
    /// Index of the tensor that takes the picture.
    pub input: u16,
    /// Index of the tensor that ranks the classes.
    pub logits: u16,
    /// Index of the softmax's or sigmoid's output, or [`NO_TENSOR`](super::NO_TENSOR).
    pub probabilities: u16,
    /// Entries of the section table, which follows at once.
    pub section_count: u16,
}

impl Header {
    /// Reads the fixed part.
    #[must_use]
    pub fn parse(record: &[u8; SIZE]) -> Self {
        let mut magic = [0; 8];
        magic.copy_from_slice(&record[MAGIC]);
        Self {
            magic,
            version: (u16_at(record, MAJOR), u16_at(record, MINOR)),
            checksum: u32_at(record, CHECKSUM),
            file_length: u32_at(record, FILE_LENGTH),
            activation_size: u32_at(record, ACTIVATION_SIZE),
            scratch_size: u32_at(record, SCRATCH_SIZE),
            input: u16_at(record, INPUT),
            logits: u16_at(record, LOGITS),
            probabilities: u16_at(record, PROBABILITIES),
            section_count: u16_at(record, SECTION_COUNT),
        }
    }

    /// Writes what [`parse`](Self::parse) reads.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> [u8; SIZE] {
        use super::bytes::put;
        let mut record = [0; SIZE];
        put(&mut record, MAGIC, &self.magic);
        put(&mut record, MAJOR, &self.version.0.to_le_bytes());
        put(&mut record, MINOR, &self.version.1.to_le_bytes());
        put(&mut record, CHECKSUM, &self.checksum.to_le_bytes());
        put(&mut record, FILE_LENGTH, &self.file_length.to_le_bytes());
        put(&mut record, ACTIVATION_SIZE, &self.activation_size.to_le_bytes());
        put(&mut record, SCRATCH_SIZE, &self.scratch_size.to_le_bytes());
        put(&mut record, INPUT, &self.input.to_le_bytes());
        put(&mut record, LOGITS, &self.logits.to_le_bytes());
        put(&mut record, PROBABILITIES, &self.probabilities.to_le_bytes());
        put(&mut record, SECTION_COUNT, &self.section_count.to_le_bytes());
        record
    }
}

/// What a section holds. A reader passes over kinds it doesn't know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum SectionKind {
    /// [`tensor`](super::tensor) records.
    Tensors = 1,
    /// [`step`](super::step) records.
    Steps = 2,
    /// Class names.
    Labels = 3,
    /// One [`preprocess`](super::preprocess) record.
    Preprocess = 4,
    /// Where the file comes from.
    Provenance = 5,
    /// A [`selftest`](super::selftest) record and its hashes.
    SelfTest = 6,
    /// Ids of the classes, one a line (since 1.3).
    LabelIds = 7,
}

const KIND: Field = 0..2;
const RECORD_SIZE: Field = 2..4;
const OFFSET: Field = 4..8;
const LENGTH: Field = 8..12;

/// One entry of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// A [`SectionKind`], or a number from a newer minor version.
    pub kind: u16,
    /// Bytes from one record to the next; 1 for text.
    pub record_size: u16,
    /// Where the section starts in the file.
    pub offset: u32,
    /// Bytes of the section.
    pub length: u32,
}

impl Section {
    /// Reads an entry.
    #[must_use]
    pub fn parse(record: &[u8; SECTION_SIZE]) -> Self {
        Self {
            kind: u16_at(record, KIND),
            record_size: u16_at(record, RECORD_SIZE),
            offset: u32_at(record, OFFSET),
            length: u32_at(record, LENGTH),
        }
    }

    /// Writes what [`parse`](Self::parse) reads.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> [u8; SECTION_SIZE] {
        use super::bytes::put;
        let mut record = [0; SECTION_SIZE];
        put(&mut record, KIND, &self.kind.to_le_bytes());
        put(&mut record, RECORD_SIZE, &self.record_size.to_le_bytes());
        put(&mut record, OFFSET, &self.offset.to_le_bytes());
        put(&mut record, LENGTH, &self.length.to_le_bytes());
        record
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::format::MAGIC;

    #[test]
    fn bytes_lie_where_the_layout_says() {
        let header = Header {
            magic: MAGIC,
            version: (1, 2),
            checksum: 0x0403_0201,
            file_length: 0x1000,
            activation_size: 0x2000,
            scratch_size: 0x300,
            input: 1,
            logits: 2,
            probabilities: 3,
            section_count: 6,
        };
        let record = header.emit();
        assert_eq!(&record[..8], b"\x89TIN\r\n\x1a\n");
        assert_eq!(record[8..12], [1, 0, 2, 0]);
        assert_eq!(record[12..20], [1, 2, 3, 4, 0, 0x10, 0, 0]);
        assert_eq!(record[28..36], [1, 0, 2, 0, 3, 0, 6, 0]);
        assert_eq!(record[36..], [0; 12]);
        assert_eq!(Header::parse(&record), header);

        let section = Section { kind: SectionKind::Steps as u16, record_size: 64, offset: 128, length: 640 };
        assert_eq!(section.emit(), [2, 0, 64, 0, 128, 0, 0, 0, 128, 2, 0, 0]);
        assert_eq!(Section::parse(&section.emit()), section);
    }
}
