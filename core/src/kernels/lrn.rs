//! Local response normalisation across channels, in integers.
//!
//! With `d = q - zp_in`, `S` the sum of `d^2` over the window and `T` a table of u16:
//! `y = clamp(zp_out + ((d * T[S >> index_shift] + 2^(shift-1)) >> shift))`. The table holds
//! `(bias + alpha / size * scale^2 * S)^-beta` times the ratio of scales (Krizhevsky et al. 2012, section 3.3).

use super::PixelsMut;
use crate::arch::Backend;
use crate::quant::Output;

/// Parameters of a normalisation.
#[derive(Clone, Copy, Debug)]
pub struct Lrn<'a> {
    /// Channels in the sum: `(size - 1) / 2` below the channel and `size / 2` above, as in ONNX.
    pub size: usize,
    /// The factor of each class of sums.
    pub table: &'a [u16],
    /// The sum of squares is shifted right by this to index the table.
    pub index_shift: u32,
    /// The product is shifted right by this, `1..=30`.
    pub shift: u32,
    /// Zero point of the input.
    pub zero_point: i8,
    /// Zero point and range of the output.
    pub output: Output,
}

impl Lrn<'_> {
    /// Channels of the window below and above the one it normalises.
    #[must_use]
    pub const fn reach(&self) -> (usize, usize) {
        (self.size.saturating_sub(1) / 2, self.size / 2)
    }

    /// The normalised value of `q` in a window whose squares sum up to `sum`.
    #[must_use]
    pub fn apply(&self, q: i8, sum: u32) -> Option<i8> {
        let factor = *self.table.get((sum >> self.index_shift) as usize)?;
        let product = (i32::from(q) - i32::from(self.zero_point)) * i32::from(factor);
        Some(self.output.clamp(i64::from((product + (1 << (self.shift - 1))) >> self.shift)))
    }
}

/// Scratch a normalisation needs, in bytes: a copy of one pixel.
#[must_use]
pub const fn minimum_scratch(channels: u32) -> usize {
    channels as usize
}

/// Normalises the tensor in `output`, in place.
pub fn run<B: Backend>(backend: B, lrn: &Lrn<'_>, output: &mut PixelsMut<'_>, scratch: &mut [i8]) -> Option<()> {
    let channels = output.shape().channels as usize;
    let original = scratch.get_mut(..channels)?;
    if !(1..=30).contains(&lrn.shift) || lrn.index_shift > 31 {
        return None;
    }
    for pixel in output.pixels_mut() {
        original.copy_from_slice(pixel);
        backend.lrn(lrn, original, pixel)?;
    }
    Some(())
}

/// Normalises one pixel, portably: `original` has its channels, `out` gets as many.
pub(crate) fn pixel(lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
    let (below, above) = lrn.reach();
    let zero_point = i32::from(lrn.zero_point);
    let square = |q: &i8| {
        let difference = i32::from(*q) - zero_point;
        (difference * difference) as u32
    };
    let mut sum: u32 = original.iter().take(above).map(square).fold(0, u32::wrapping_add);
    // Before channel c is normalised, c + above enters the running sum; after it, c - below leaves.
    let mut entering = original.iter().skip(above);
    let mut leaving = original.iter();
    for (channel, (out, value)) in out.iter_mut().zip(original).enumerate() {
        sum = sum.wrapping_add(entering.next().map_or(0, square));
        *out = lrn.apply(*value, sum)?;
        if channel >= below {
            sum = sum.wrapping_sub(leaving.next().map_or(0, square));
        }
    }
    Some(())
}
