//! Softmax over int32 logits, in integers, to u16 probabilities (65535 is 1.0).
//!
//! With `d` the distance to the largest logit, at most 2^31 - 1, `x = requantize(d)` is that distance in 1/256. Its
//! power is the product of two table entries of 2^30, `E = (whole[x >> 8] * fraction[x & 255]) >> 30`, and 0 from 32
//! on. The probability is `(E * 65535 + sum / 2) / sum`, `sum` over all classes.

use crate::quant::Requantize;

/// Entries of the table of whole powers: `round(2^30 * exp(-i))`.
pub const WHOLE: usize = 32;
/// Entries of the table of fractions: `round(2^30 * exp(-i / 256))`.
pub const FRACTION: usize = 256;

/// Parameters of a softmax, and of a [sigmoid](super::sigmoid).
#[derive(Clone, Copy, Debug)]
pub struct Softmax<'a> {
    /// Brings a difference of logits to 1/256.
    pub rule: Requantize,
    /// `round(2^30 * exp(-i))`.
    pub whole: &'a [u32; WHOLE],
    /// `round(2^30 * exp(-i / 256))`.
    pub fraction: &'a [u32; FRACTION],
}

impl Softmax<'_> {
    /// `2^30 * exp(logit - largest)`, at most 2^30 for tables that are.
    #[must_use]
    pub fn power(&self, largest: i32, logit: i32) -> u64 {
        let distance = (i64::from(largest) - i64::from(logit)).min(i64::from(i32::MAX)) as i32;
        let x = self.rule.apply(distance);
        let whole = usize::try_from(x >> 8).ok().and_then(|index| self.whole.get(index));
        let fraction = self.fraction.get((x & 255) as usize);
        match (whole, fraction) {
            (Some(whole), Some(fraction)) => (u64::from(*whole) * u64::from(*fraction)) >> 30,
            _ => 0,
        }
    }
}

/// `numerator / denominator`, at most 65535; `None` where the denominator is 0 or more than 2^47.
pub(super) fn quotient(numerator: u64, denominator: u64) -> Option<u16> {
    if denominator == 0 || denominator > 1 << 47 {
        return None;
    }
    if cfg!(target_pointer_width = "64") {
        return Some((numerator / denominator).min(u64::from(u16::MAX)) as u16);
    }
    // Bit by bit: with 32-bit registers the division of 64 bits is a function of nearly a kilobyte.
    let (mut rest, mut quotient) = (numerator, 0);
    for bit in (0..16).rev() {
        if rest >= denominator << bit {
            rest -= denominator << bit;
            quotient |= 1 << bit;
        }
    }
    Some(quotient)
}

/// Reads little-endian i32 `logits`, writes as many little-endian u16 `probabilities`.
pub fn run(softmax: &Softmax<'_>, logits: &[u8], probabilities: &mut [u8]) -> Option<()> {
    let values = || logits.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes));
    let largest = values().max()?;
    let sum: u64 = values().map(|logit| softmax.power(largest, logit)).fold(0, u64::saturating_add);
    for (logit, probability) in values().zip(probabilities.as_chunks_mut().0) {
        let scaled = softmax.power(largest, logit).saturating_mul(u64::from(u16::MAX)).saturating_add(sum / 2);
        *probability = quotient(scaled, sum)?.to_le_bytes();
    }
    Some(())
}
