//! Quantisation: the affine map between reals and integers, and the one rounding rule of the whole project.
//!
//! A real value is `scale * (q - zero_point)`. Kernels never see the scale: the compiler turns ratios of scales into
//! a [`Requantize`], an integer multiplier and a shift, which is all that runs on a device. The rule is what the
//! field calls single rounding: the product is exact in 64 bits and rounded half up once
//! (Jacob et al. 2018, section 2.2, without its second rounding).

/// Scale and zero point of an int8 tensor: `real = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantParams {
    /// Size of one step, in the units of the real value. Positive and finite.
    pub scale: f32,
    /// The integer that stands for 0.0.
    pub zero_point: i8,
}

impl QuantParams {
    /// Whether a larger real value than that of `q` may have been cut off: `q` is an end of int8's range. The zero point is
    /// none; behind a ReLU it is -128, and stands for a zero that nothing was cut off from.
    #[must_use]
    pub const fn is_saturated(self, q: i32) -> bool {
        (q == i8::MIN as i32 || q == i8::MAX as i32) && q != self.zero_point as i32
    }
}

/// Whether a number can be a scale: positive, finite and not subnormal, of which some processors make 0.
#[must_use]
pub const fn is_scale(number: f32) -> bool {
    // From the least normal number up to infinity, by their bits: no float is computed with on a device.
    matches!(number.to_bits(), 0x0080_0000..0x7F80_0000)
}

/// Largest multiplier of a [`Requantize`], exclusive: 2^31.
pub const MULTIPLIER_LIMIT: i64 = 1 << 31;

/// The shifts of convolutions to int8 that every build and every backend runs: the high half of a product is enough from
/// 33 on, and up to 54 the zero point fits next to it. The compiler makes these wherever the scales allow it.
pub const COMMON_SHIFTS: core::ops::RangeInclusive<i32> = 33..=54;

/// `round_half_up(value * multiplier / 2^shift)`: a ratio of scales as integers.
///
/// `0 <= multiplier < 2^31` and `1 <= shift <= 62`. With `|value| <= 2^31 - 1` the product stays below 2^62 and the
/// rounding constant below 2^62, so nothing overflows an `i64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requantize {
    multiplier: i32,
    shift: u8,
}

impl Requantize {
    /// The identity: `value * 2^30 / 2^30`.
    pub const IDENTITY: Self = Self { multiplier: 1 << 30, shift: 30 };

    /// A rule of `multiplier` and `shift`, or `None` where either is out of range.
    #[must_use]
    pub const fn new(multiplier: i32, shift: u32) -> Option<Self> {
        if multiplier < 0 || shift < 1 || shift > 62 {
            return None;
        }
        Some(Self { multiplier, shift: shift as u8 })
    }

    /// The multiplier, `0..2^31`.
    #[must_use]
    pub const fn multiplier(self) -> i32 {
        self.multiplier
    }

    /// The shift, `1..=62`.
    #[must_use]
    pub const fn shift(self) -> u32 {
        self.shift as u32
    }

    /// `(value * multiplier + 2^(shift-1)) >> shift`: rounds half up, once.
    #[must_use]
    pub const fn apply(self, value: i32) -> i64 {
        (value as i64 * self.multiplier as i64 + (1 << (self.shift - 1))) >> self.shift
    }
}

/// An accumulator's way to int8: requantise, add the zero point, clamp to the activation's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The output tensor's zero point.
    pub zero_point: i8,
    /// Lower end of the fused activation, in output units (-128 where there is none).
    pub min: i8,
    /// Upper end of the fused activation, in output units (127 where there is none).
    pub max: i8,
}

impl Output {
    /// `clamp(zero_point + value)`.
    #[must_use]
    pub const fn clamp(self, value: i64) -> i8 {
        let shifted = value + self.zero_point as i64;
        if shifted < self.min as i64 {
            self.min
        } else if shifted > self.max as i64 {
            self.max
        } else {
            shifted as i8
        }
    }
}

/// Clamps to the range of `i32`: how logits are stored.
#[must_use]
pub const fn clamp_to_i32(value: i64) -> i32 {
    if value < i32::MIN as i64 {
        i32::MIN
    } else if value > i32::MAX as i64 {
        i32::MAX
    } else {
        value as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_saturated_unless_they_are_zero() {
        for (q, zero_point, saturated) in [
            (127, 0, true),
            (-128, 0, true),
            (-128, -128, false),
            (127, -128, true),
            (126, 0, false),
            (127, 127, false),
        ] {
            assert_eq!(QuantParams { scale: 1.0, zero_point }.is_saturated(q), saturated, "{q} {zero_point}");
        }
    }

    #[test]
    fn scales_are_positive_normal_numbers() {
        for scale in [f32::MIN_POSITIVE, 1e-30, 0.5, 1.0, f32::MAX] {
            assert!(is_scale(scale) && !is_scale(-scale), "{scale}");
        }
        let subnormal = f32::MIN_POSITIVE / 2.0;
        for none in [0.0, -0.0, subnormal, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN, f32::from_bits(1)] {
            assert!(!is_scale(none), "{none}");
        }
    }

    #[test]
    fn rounds_half_up_once() {
        let half = Requantize::new(1 << 30, 31).unwrap();
        for (value, expected) in [(0, 0), (1, 1), (-1, 0), (3, 2), (-3, -1), (5, 3), (-5, -2)] {
            assert_eq!(half.apply(value), expected, "{value} / 2");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let largest = Requantize::new(i32::MAX, 62).unwrap();
        let bound = i64::from(i32::MAX);
        assert_eq!(largest.apply(i32::MAX), (bound * bound + (1 << 61)) >> 62);
        assert_eq!(Requantize::new(i32::MAX, 1).unwrap().apply(-i32::MAX), (-bound * bound + 1) >> 1);
        assert_eq!(Requantize::new(-1, 31), None);
        assert_eq!(Requantize::new(1, 0), None);
        assert_eq!(Requantize::new(1, 63), None);
    }

    #[test]
    fn a_high_product_gives_the_same_bits_from_shift_33() {
        // What SMMUL and SQDMULH based backends rely on.
        for shift in [33, 38, 47, 62] {
            for (value, multiplier) in [(12_345, 1_518_500_249), (-98_765_432, 1_073_741_825), (i32::MAX, i32::MAX)] {
                let rule = Requantize::new(multiplier, shift).unwrap();
                let high = (i64::from(value) * i64::from(multiplier)) >> 32;
                let rounded = (high + (1 << (shift - 33))) >> (shift - 32);
                assert_eq!(rule.apply(value), rounded);
            }
        }
    }
}
