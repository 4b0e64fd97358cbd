//! What a step or a run has computed.

use crate::format::Crc32;
use crate::format::tensor::{DataType, Tensor};

/// A tensor's values in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    pub(super) tensor: Tensor,
    pub(super) bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// Shape, type and quantisation.
    #[must_use]
    pub const fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The bytes of each pixel in row-major order, without what lies between them.
    fn pixels(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let size = self.tensor.data_type.size() as usize;
        let channels = self.tensor.shape.channels as usize * size;
        let stride = (self.tensor.pixel_stride as usize * size).max(1);
        self.bytes.chunks(stride).filter_map(move |pixel| pixel.get(..channels))
    }

    /// All elements in NHWC order, widened to i32.
    pub fn iter(&self) -> impl Iterator<Item = i32> + use<'a> {
        let Tensor { data_type, shape, pixel_stride, .. } = self.tensor;
        let mut channel = 0;
        self.bytes.chunks_exact(data_type.size() as usize).filter_map(move |bytes| {
            // What lies between two pixels is passed over.
            let is_inside = channel < shape.channels;
            channel = if channel + 1 < pixel_stride { channel + 1 } else { 0 };
            is_inside.then(|| match (data_type, bytes) {
                (DataType::Int8, [value]) => i32::from(*value as i8),
                (DataType::UInt16, [a, b]) => i32::from(u16::from_le_bytes([*a, *b])),
                (DataType::Int32, [a, b, c, d]) => i32::from_le_bytes([*a, *b, *c, *d]),
                _ => 0,
            })
        })
    }

    /// Whether the values are all there. Those of a step that streams into the next one are not: only
    /// [`Observer::part`](super::Observer::part) sees them.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.tensor.is_whole()
    }

    /// CRC-32 of the elements' little-endian bytes in NHWC order: the hash that the self-test holds.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        let mut crc = Crc32::new();
        self.pixels().for_each(|pixel| crc.update(pixel));
        crc.finish()
    }

    /// Writes the classes with the largest values into `best`, best first, and returns as many as there are. Of equal
    /// values the lower class comes first.
    pub fn top<'b>(&self, best: &'b mut [Ranked]) -> &'b [Ranked] {
        let mut count = 0;
        for (class, value) in (0..=u16::MAX).zip(self.iter()) {
            let ahead = best.iter().take(count).take_while(|other| other.value >= value).count();
            let end = best.len().min(count + 1);
            if let Some(moved @ [_, ..]) = best.get_mut(ahead..end) {
                moved.rotate_right(1);
                moved[0] = Ranked { class, value };
                count = end;
            }
        }
        best.get(..count).unwrap_or_default()
    }
}

/// A class and the value that ranks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    /// Index of the class.
    pub class: u16,
    /// Its logit or probability.
    pub value: i32,
}
