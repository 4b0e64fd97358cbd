//! Sigmoid over int32 logits, each by itself, in integers, to u16 probabilities (65535 is 1.0).
//!
//! The sigmoid of a logit is its part in a softmax of two logits, 0 and that one, and is computed as such, with the
//! softmax's tables. So a score has the same probability whether it is one of several or one of two classes.

use super::softmax::{Softmax, quotient};

/// Reads little-endian i32 `logits`, writes as many little-endian u16 `probabilities`.
pub fn run(softmax: &Softmax<'_>, logits: &[u8], probabilities: &mut [u8]) -> Option<()> {
    for (bytes, probability) in logits.as_chunks().0.iter().zip(probabilities.as_chunks_mut().0) {
        let logit = i32::from_le_bytes(*bytes);
        let largest = logit.max(0);
        let power = softmax.power(largest, logit);
        let sum = softmax.power(largest, 0).saturating_add(power);
        let scaled = power.saturating_mul(u64::from(u16::MAX)).saturating_add(sum / 2);
        *probability = quotient(scaled, sum)?.to_le_bytes();
    }
    Some(())
}
