//! Values for tests and measurements.

/// Xorshift (Marsaglia 2003, 32 bits): no 64-bit arithmetic, since that is slow on a Cortex-M0.
#[derive(Clone, Debug)]
pub struct Random(u32);

impl Random {
    /// A generator; `seed` must not be 0.
    #[must_use]
    pub const fn new(seed: u32) -> Self {
        Self(seed)
    }

    /// The next 32 bits.
    pub fn word(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// Between `low` and `high`, both included.
    pub fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = high.wrapping_sub(low) as u32;
        let value = self.word() >> 1;
        low.wrapping_add(value.checked_rem(span.wrapping_add(1)).unwrap_or(value) as i32)
    }

    /// Fills with int8 of which every fourth is an end of the range.
    pub fn fill(&mut self, values: &mut [i8], low: i8, high: i8) {
        for value in values {
            *value = match self.word() & 7 {
                0 => low,
                1 => high,
                _ => self.between(i32::from(low), i32::from(high)) as i8,
            };
        }
    }
}
