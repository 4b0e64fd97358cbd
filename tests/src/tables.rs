//! Multipliers and tables as a compiler would choose them, from basic floating-point operations alone: those are
//! exact to the bit on every machine, library functions such as `exp` are not.

use rand::Rng as _;

use crate::Rng;

/// Multiplier and shift for `ratio`, sometimes with fewer bits than fit, so that all shifts occur.
///
/// # Panics
/// If the ratio is not in about `2^-30..2^28`.
#[must_use]
pub fn rule(rng: &mut Rng, ratio: f64) -> (i32, i32) {
    let (mut scaled, mut shift) = (ratio, 0);
    while scaled < f64::from(1 << 30) {
        scaled *= 2.0;
        shift += 1;
    }
    let dropped = if rng.random_bool(0.5) { rng.random_range(0..24).min(shift - 1) } else { 0 };
    let multiplier = (scaled as i32) >> dropped;
    let shift = shift - dropped;
    assert!((1..=62).contains(&shift), "no shift for {ratio}");
    (multiplier, shift)
}

/// `exp(-x)` for `0 <= x <= 32`.
#[must_use]
pub fn exp_of_minus(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..200 {
        term *= x / f64::from(n);
        sum += term;
    }
    1.0 / sum
}

/// The softmax's two tables one after the other: 32 whole powers, 256 fractions.
#[must_use]
pub fn softmax() -> Vec<u32> {
    let entry = |x: f64| (f64::from(1 << 30) * exp_of_minus(x)).round() as u32;
    let whole = (0..32).map(|i| entry(f64::from(i)));
    whole.chain((0..256).map(|i| entry(f64::from(i) / 256.0))).collect()
}

/// A falling LRN table that covers sums of up to `channels` squares: 65535 * k / (k + i) for a random k.
#[must_use]
pub fn lrn(rng: &mut Rng, channels: u32, index_shift: u32) -> Vec<u16> {
    let entries = ((u64::from(channels) * 255 * 255) >> index_shift) + 1;
    let half = rng.random_range(entries / 8 + 1..=entries / 2 + 1);
    (0..entries).map(|i| (65535 * half / (half + i)) as u16).collect()
}
