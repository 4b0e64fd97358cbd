//! Operators on one element at a time: addition, and copies that change the scale or apply an activation.
//!
//! Each works in place on its output; a session copies the first input there if it lies elsewhere.

use super::{Pixels, PixelsMut};
use crate::quant::{Output, Requantize};

/// An addition's parameters: `clamp(zp + ((a - zp_a) * m_a + (b - zp_b) * m_b + 2^(shift-1)) >> shift)`. Each side has
/// its own multiplier; the sum is exact and rounded once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// Zero points of the inputs.
    pub zero_points: [i8; 2],
    /// Multipliers of the inputs, `0..2^31`.
    pub multipliers: [i32; 2],
    /// Common shift, `1..=62`.
    pub shift: u32,
    /// Zero point and range of the output.
    pub output: Output,
}

impl Add {
    /// The sum of one element of each input.
    #[must_use]
    pub fn apply(&self, a: i8, b: i8) -> i8 {
        let [zero_a, zero_b] = self.zero_points.map(i64::from);
        let [multiplier_a, multiplier_b] = self.multipliers.map(i64::from);
        let sum = (i64::from(a) - zero_a) * multiplier_a + (i64::from(b) - zero_b) * multiplier_b;
        self.output.clamp((sum + (1 << (self.shift - 1))) >> self.shift)
    }
}

/// Adds `second` to the tensor in `output`.
pub fn add(add: &Add, output: &mut PixelsMut<'_>, second: Pixels<'_>) -> Option<()> {
    if output.shape() != second.shape() || !(1..=62).contains(&add.shift) {
        return None;
    }
    for (pixel, second) in output.pixels_mut().zip(second.pixels()) {
        for (a, b) in pixel.iter_mut().zip(second) {
            *a = add.apply(*a, *b);
        }
    }
    Some(())
}

/// A rescale's parameters: `clamp(zp_out + requantize(q - zp_in))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// Zero point of the input.
    pub zero_point: i8,
    /// The ratio of the scales.
    pub rule: Requantize,
    /// Zero point and range of the output.
    pub output: Output,
}

impl Rescale {
    /// The output for one element.
    #[must_use]
    pub fn apply(&self, value: i8) -> i8 {
        self.output.clamp(self.rule.apply(i32::from(value) - i32::from(self.zero_point)))
    }
}

/// Rescales the tensor in `output`.
pub fn rescale(rescale: &Rescale, output: &mut PixelsMut<'_>) {
    for pixel in output.pixels_mut() {
        for value in pixel {
            *value = rescale.apply(*value);
        }
    }
}
