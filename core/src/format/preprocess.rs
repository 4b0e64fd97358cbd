//! How a picture becomes the network's input.
//!
//! The device needs the resize, the colour order and the table: one int8 per channel and pixel value. Mean and scale
//! are what the table was made from, `x = (pixel - mean) * scale` in the network's channel order, kept for float
//! engines and for people.

use super::bytes::{Field, f32_at, u16_at, u32_at};
use crate::EVERY_CHECK;
use crate::image::{ColourOrder, Resize};
use crate::quant::is_scale;

/// Bytes of a record.
pub const SIZE: usize = 36;
/// Entries of the table per channel: one per pixel value.
pub const TABLE_ENTRIES: usize = 256;

const COLOUR_ORDER: usize = 0;
const RESIZE: usize = 1;
const RESIZE_ARGUMENT: Field = 2..4;
const MEAN: [Field; 3] = [4..8, 8..12, 12..16];
const SCALE: [Field; 3] = [16..20, 20..24, 24..28];
const TABLE: Field = 28..32;

/// The bits of a float that are all set in an infinity and in what is no number.
const INFINITY: u32 = 0x7F80_0000;

/// A preprocessing record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// Order of the input's channels.
    pub order: ColourOrder,
    /// How the picture comes to size.
    pub resize: Resize,
    /// Subtracted from a pixel value of 0 to 255, per channel; unused channels are 0.
    pub mean: [f32; 3],
    /// Then multiplied by this, per channel; unused channels are 0.
    pub scale: [f32; 3],
    /// Where the table of [`TABLE_ENTRIES`] int8 per channel starts in the file.
    pub table: u32,
}

impl Preprocess {
    /// Reads a record; `None` where the colour order or the resize is unknown or leaves nothing, a scale is none or a mean is
    /// not finite.
    #[must_use]
    pub fn parse(record: &[u8; SIZE]) -> Option<Self> {
        let argument = u16_at(record, RESIZE_ARGUMENT);
        let preprocess = Self {
            order: match record[COLOUR_ORDER] {
                0 => ColourOrder::Rgb,
                1 => ColourOrder::Bgr,
                2 => ColourOrder::Grey,
                _ => return None,
            },
            resize: match record[RESIZE] {
                0 if argument > 0 => Resize::ShorterSide(argument),
                1 => Resize::Stretch,
                2 if (1..=1000).contains(&argument) => Resize::CentralCrop(argument),
                _ => return None,
            },
            mean: [f32_at(record, MEAN[0].clone()), f32_at(record, MEAN[1].clone()), f32_at(record, MEAN[2].clone())],
            scale: [
                f32_at(record, SCALE[0].clone()),
                f32_at(record, SCALE[1].clone()),
                f32_at(record, SCALE[2].clone()),
            ],
            table: u32_at(record, TABLE),
        };
        let used = preprocess.order.channels().count();
        let is_finite = |number: &f32| number.to_bits() & INFINITY != INFINITY;
        let scales = preprocess
            .scale
            .iter()
            .enumerate()
            .all(|(channel, scale)| is_scale(*scale) || (channel >= used && is_finite(scale)));
        (!EVERY_CHECK || (scales && preprocess.mean.iter().all(is_finite))).then_some(preprocess)
    }

    /// Writes what [`parse`](Self::parse) reads.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> [u8; SIZE] {
        use super::bytes::put;
        let mut record = [0; SIZE];
        record[COLOUR_ORDER] = match self.order {
            ColourOrder::Rgb => 0,
            ColourOrder::Bgr => 1,
            ColourOrder::Grey => 2,
        };
        let (resize, argument) = match self.resize {
            Resize::ShorterSide(pixels) => (0, pixels),
            Resize::Stretch => (1, 0),
            Resize::CentralCrop(thousandths) => (2, thousandths),
        };
        record[RESIZE] = resize;
        put(&mut record, RESIZE_ARGUMENT, &argument.to_le_bytes());
        for channel in 0..3 {
            put(&mut record, MEAN[channel].clone(), &self.mean[channel].to_bits().to_le_bytes());
            put(&mut record, SCALE[channel].clone(), &self.scale[channel].to_bits().to_le_bytes());
        }
        put(&mut record, TABLE, &self.table.to_le_bytes());
        record
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_where_the_layout_says() {
        let preprocess = Preprocess {
            order: ColourOrder::Bgr,
            resize: Resize::ShorterSide(256),
            mean: [104.0, 117.0, 123.0],
            scale: [1.0, 1.0, 0.5],
            table: 0x200,
        };
        let record = preprocess.emit();
        assert_eq!(record[..4], [1, 0, 0, 1]);
        assert_eq!(record[4..8], 104.0_f32.to_le_bytes());
        assert_eq!(record[24..32], [0, 0, 0, 0x3f, 0, 2, 0, 0]);
        assert_eq!(Preprocess::parse(&record), Some(preprocess));
        for (order, resize, argument) in [(3, 0, 1), (0, 3, 1), (0, 0, 0), (0, 2, 0), (0, 2, 1001)] {
            let mut wrong = record;
            wrong[..2].copy_from_slice(&[order, resize]);
            wrong[2..4].copy_from_slice(&u16::to_le_bytes(argument));
            assert_eq!(Preprocess::parse(&wrong), None);
        }
    }
}
