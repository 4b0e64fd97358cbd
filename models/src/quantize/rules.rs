//! Reals to integers: scales and zero points, and ratios of scales as multipliers and shifts.

use tinception_core::quant::{QuantParams, Requantize};

/// Scale and zero point of a range; zero is made part of it and has an integer of its own.
///
/// A range without extent, as a value that is always 0, gets the scale 1.
#[must_use]
pub fn parameters(least: f32, largest: f32) -> QuantParams {
    let (least, largest) = (f64::from(least.min(0.0)), f64::from(largest.max(0.0)));
    let scale = ((largest - least) / 255.0) as f32;
    if scale < f32::MIN_POSITIVE {
        return QuantParams { scale: 1.0, zero_point: -128 };
    }
    let zero_point = (-128.0 - least / f64::from(scale)).round().clamp(-128.0, 127.0) as i8;
    QuantParams { scale, zero_point }
}

/// The int8 that stands for `real`: rounded half up, clamped.
#[must_use]
pub fn quantize(real: f64, quant: QuantParams) -> i8 {
    let value = (real / f64::from(quant.scale) + f64::from(quant.zero_point) + 0.5).floor();
    value.clamp(-128.0, 127.0) as i8
}

/// The rule for a ratio of scales: its multiplier lies in `2^30..2^31` unless the ratio is below 2^-32. `None` for a
/// ratio of 2^30 or more, or one that is not a number.
#[must_use]
pub fn requantize(ratio: f64) -> Option<Requantize> {
    if !(0.0..2_f64.powi(30)).contains(&ratio) {
        return None;
    }
    let mut shift = 62;
    while shift > 1 && (ratio * 2_f64.powi(shift)).round() >= 2_f64.powi(31) {
        shift -= 1;
    }
    let multiplier = (ratio * 2_f64.powi(shift)).round();
    Requantize::new(multiplier as i32, shift as u32)
}

/// Multipliers of two ratios with a common shift, the larger multiplier in `2^30..2^31`.
#[must_use]
pub fn common_shift(ratios: [f64; 2]) -> Option<([i32; 2], u32)> {
    let largest = requantize(ratios[0].max(ratios[1]))?;
    let factor = 2_f64.powi(largest.shift() as i32);
    Some((ratios.map(|ratio| (ratio * factor).round() as i32), largest.shift()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_an_integer_of_its_own() {
        assert_eq!(parameters(0.0, 6.0), QuantParams { scale: 6.0 / 255.0, zero_point: -128 });
        assert_eq!(parameters(2.0, 6.0).zero_point, -128, "the range reaches down to zero");
        assert_eq!(parameters(-255.0, 0.0), QuantParams { scale: 1.0, zero_point: 127 });
        assert_eq!(parameters(-128.0, 127.0), QuantParams { scale: 1.0, zero_point: 0 });
        assert_eq!(parameters(0.0, 0.0), QuantParams { scale: 1.0, zero_point: -128 });
        for (least, largest) in [(-1.0, 3.0), (-0.3, 0.1), (-7e-5, 2e5)] {
            let quant = parameters(least, largest);
            assert_eq!(quantize(0.0, quant), quant.zero_point);
        }
    }

    #[test]
    fn ratios_become_rules() {
        let half = requantize(0.5).unwrap();
        assert_eq!((half.multiplier(), half.shift()), (1 << 30, 31));
        assert_eq!(requantize(1.0), Some(Requantize::IDENTITY));
        for ratio in [3.7e-4, 0.999_999_999_9, 1.0, 1.000_000_1, 17.3, 1.0e6] {
            let rule = requantize(ratio).unwrap();
            assert!(rule.multiplier() >= 1 << 30, "{ratio}");
            let error = f64::from(rule.multiplier()) / 2_f64.powi(rule.shift() as i32) / ratio - 1.0;
            assert!(error.abs() <= 2_f64.powi(-31), "{ratio}: {error}");
        }
        assert_eq!(requantize(0.0), Requantize::new(0, 62));
        assert_eq!(requantize(2_f64.powi(-40)), Requantize::new(1 << 22, 62));
        assert_eq!(requantize(2_f64.powi(30)), None);
        assert_eq!(requantize(-1.0), None);
        assert_eq!(requantize(f64::NAN), None);
    }

    #[test]
    fn two_ratios_share_a_shift() {
        let (multipliers, shift) = common_shift([0.75, 0.0625]).unwrap();
        assert_eq!((multipliers, shift), ([3 << 29, 1 << 27], 31));
        assert_eq!(common_shift([0.5, 1.0]).unwrap(), ([1 << 29, 1 << 30], 30));
    }
}
