//! A tensor: where it lies in the arena, its shape, its quantisation.
//!
//! A tensor may be a slice of the channels of a wider one: then its pixel stride is the wide tensor's channel count and
//! its offset is the wide tensor's plus the first channel. That is how a concatenation costs nothing.

use super::bytes::{Field, f32_at, u16_at, u32_at};
use crate::quant::QuantParams;
use crate::shape::Shape;

/// Bytes of a record.
pub const SIZE: usize = 32;

const OFFSET: Field = 0..4;
const HEIGHT: Field = 4..8;
const WIDTH: Field = 8..12;
const CHANNELS: Field = 12..16;
const PIXEL_STRIDE: Field = 16..20;
const DATA_TYPE: usize = 20;
const ZERO_POINT: usize = 21;
const STORED: Field = 22..24;
const SCALE: Field = 24..28;

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DataType {
    /// Quantised activations.
    Int8 = 0,
    /// Scores before the softmax or sigmoid.
    Int32 = 1,
    /// Probabilities: 65535 is 1.0.
    UInt16 = 2,
}

impl DataType {
    /// The type of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Int8),
            1 => Some(Self::Int32),
            2 => Some(Self::UInt16),
            _ => None,
        }
    }

    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> u32 {
        match self {
            Self::Int8 => 1,
            Self::Int32 => 4,
            Self::UInt16 => 2,
        }
    }
}

/// Which rows of a tensor have memory in the arena. Only what the next step consumes while it is made can do with less
/// than all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stored {
    /// All of them.
    #[default]
    Whole,
    /// The last so many, at least 1: row `y` lies where row `y % rows` of a whole tensor would.
    Ring(u16),
    /// None.
    Nothing,
}

impl Stored {
    /// The number of [`Nothing`](Self::Nothing).
    const NOTHING: u16 = u16::MAX;

    /// What this number says; 0 is [`Whole`](Self::Whole).
    #[must_use]
    pub const fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Whole,
            Self::NOTHING => Self::Nothing,
            rows => Self::Ring(rows),
        }
    }

    /// The number that says so.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Whole => 0,
            Self::Ring(rows) => rows,
            Self::Nothing => Self::NOTHING,
        }
    }
}

/// A tensor record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tensor {
    /// First byte in the arena.
    pub offset: u32,
    /// Height, width, channels.
    pub shape: Shape,
    /// Elements from one pixel to the next: at least the channels.
    pub pixel_stride: u32,
    /// Which of its rows have memory.
    pub stored: Stored,
    /// What the elements are.
    pub data_type: DataType,
    /// Scale and zero point. The zero point is 0 for logits and probabilities.
    pub quant: QuantParams,
}

impl Tensor {
    /// Reads a record; `None` where the data type is unknown.
    #[must_use]
    pub fn parse(record: &[u8; SIZE]) -> Option<Self> {
        Some(Self {
            offset: u32_at(record, OFFSET),
            shape: Shape::new(u32_at(record, HEIGHT), u32_at(record, WIDTH), u32_at(record, CHANNELS)),
            pixel_stride: u32_at(record, PIXEL_STRIDE),
            stored: Stored::from_number(u16_at(record, STORED)),
            data_type: DataType::from_number(record[DATA_TYPE])?,
            quant: QuantParams { scale: f32_at(record, SCALE), zero_point: record[ZERO_POINT] as i8 },
        })
    }

    /// Writes what [`parse`](Self::parse) reads.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> [u8; SIZE] {
        use super::bytes::put;
        let mut record = [0; SIZE];
        put(&mut record, OFFSET, &self.offset.to_le_bytes());
        put(&mut record, HEIGHT, &self.shape.height.to_le_bytes());
        put(&mut record, WIDTH, &self.shape.width.to_le_bytes());
        put(&mut record, CHANNELS, &self.shape.channels.to_le_bytes());
        put(&mut record, PIXEL_STRIDE, &self.pixel_stride.to_le_bytes());
        put(&mut record, STORED, &self.stored.number().to_le_bytes());
        record[DATA_TYPE] = self.data_type as u8;
        record[ZERO_POINT] = self.quant.zero_point as u8;
        put(&mut record, SCALE, &self.quant.scale.to_bits().to_le_bytes());
        record
    }

    /// Bytes from the tensor's first stored element to its last, in the arena. For a slice of channels this is less
    /// than pixels times stride, and the bytes between its pixels belong to its neighbours.
    #[must_use]
    pub fn extent(&self) -> u64 {
        let pixels = saturating_product(u64::from(self.stored_rows()), self.shape.width);
        if pixels == 0 {
            return 0;
        }
        let elements = saturating_product(pixels - 1, self.pixel_stride).saturating_add(u64::from(self.shape.channels));
        saturating_product(elements, self.data_type.size())
    }

    /// Rows that have memory.
    #[must_use]
    pub fn stored_rows(&self) -> u32 {
        match self.stored {
            Stored::Whole => self.shape.height,
            Stored::Ring(rows) => u32::from(rows),
            Stored::Nothing => 0,
        }
    }

    /// Whether every row has its own memory.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.stored == Stored::Whole
    }

    /// One past the tensor's last byte in the arena.
    #[must_use]
    pub fn end(&self) -> u64 {
        u64::from(self.offset).saturating_add(self.extent())
    }

    /// Whether the pixels follow each other without a gap.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.pixel_stride == self.shape.channels
    }
}

/// `a * b`. One function on machines of 32 bits, where it is many instructions.
#[cfg_attr(target_pointer_width = "32", inline(never))]
fn saturating_product(a: u64, b: u32) -> u64 {
    a.saturating_mul(u64::from(b))
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_where_the_layout_says() {
        let tensor = Tensor {
            offset: 0x0102_0304,
            shape: Shape::new(28, 27, 64),
            pixel_stride: 256,
            stored: Stored::Whole,
            data_type: DataType::Int8,
            quant: QuantParams { scale: 0.5, zero_point: -128 },
        };
        let record = tensor.emit();
        assert_eq!(record[..8], [4, 3, 2, 1, 28, 0, 0, 0]);
        assert_eq!(record[16..24], [0, 1, 0, 0, 0, 0x80, 0, 0]);
        assert_eq!(record[24..28], [0, 0, 0, 0x3f]);
        assert_eq!(Tensor::parse(&record), Some(tensor));
        assert_eq!(tensor.extent(), 28 * 27 * 256 - 256 + 64);
        for (stored, bytes, extent) in
            [(Stored::Ring(3), [3, 0], 3 * 27 * 256 - 256 + 64), (Stored::Nothing, [0xFF, 0xFF], 0)]
        {
            let part = Tensor { stored, ..tensor };
            assert_eq!(part.emit()[22..24], bytes);
            assert_eq!(Tensor::parse(&part.emit()), Some(part));
            assert_eq!(part.extent(), extent);
        }
        let mut unknown = record;
        unknown[DATA_TYPE] = 3;
        assert_eq!(Tensor::parse(&unknown), None);
    }
}
