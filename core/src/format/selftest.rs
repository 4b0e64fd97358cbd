//! The self-test: a seed and, for each step, the CRC-32 of its output for the input made from that seed.
//!
//! The section is a record of [`SIZE`] bytes and then one little-endian `u32` per step.

use super::bytes::{Field, u32_at};

/// Bytes of the record in front of the hashes.
pub const SIZE: usize = 8;

const SEED: Field = 0..4;
const STEPS: Field = 4..8;

/// The record in front of the hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// What [`selftest::fill_input`](crate::selftest::fill_input) makes the input from.
    pub seed: u32,
    /// Hashes that follow: one per step, or none.
    pub steps: u32,
}

impl SelfTest {
    /// Reads a record.
    #[must_use]
    pub fn parse(record: &[u8; SIZE]) -> Self {
        Self { seed: u32_at(record, SEED), steps: u32_at(record, STEPS) }
    }

    /// Writes what [`parse`](Self::parse) reads.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> [u8; SIZE] {
        use super::bytes::put;
        let mut record = [0; SIZE];
        put(&mut record, SEED, &self.seed.to_le_bytes());
        put(&mut record, STEPS, &self.steps.to_le_bytes());
        record
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_where_the_layout_says() {
        let record = SelfTest { seed: 0x0102_0304, steps: 71 };
        assert_eq!(record.emit(), [4, 3, 2, 1, 71, 0, 0, 0]);
        assert_eq!(SelfTest::parse(&record.emit()), record);
    }
}
