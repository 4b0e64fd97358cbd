//! A histogram of fixed size over values of unknown range.
//!
//! Values of either sign have their own bins, which cover `0..range`. The range is a power of two and doubles when a
//! larger value comes: neighbouring bins merge, nothing else is lost. Since every range is a power of two, two
//! histograms merge exactly, in any order.

/// Bins of each sign.
pub const BINS: usize = 2048;

/// Counts of values, zeros apart: int8 stands for zero exactly, whatever the scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    zeros: u64,
    negative: Side,
    positive: Side,
}

/// The magnitudes of one sign.
#[derive(Clone, Debug, PartialEq)]
struct Side {
    /// Exponent of the range: bins cover `0..2^exponent`. Meaningless without counts.
    exponent: i32,
    /// Largest magnitude seen.
    largest: f32,
    counts: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// A histogram of nothing.
    #[must_use]
    pub fn new() -> Self {
        let side = Side { exponent: i32::MIN, largest: 0.0, counts: Vec::new() };
        Self { zeros: 0, negative: side.clone(), positive: side }
    }

    /// Counts finite values; `false`, and none of them counted, where one isn't finite.
    pub fn add(&mut self, values: &[f32]) -> bool {
        let (mut least, mut largest) = (0.0_f32, 0.0_f32);
        for value in values {
            if !value.is_finite() {
                return false;
            }
            least = least.min(*value);
            largest = largest.max(*value);
        }
        let negative = self.negative.prepare(-least);
        let positive = self.positive.prepare(largest);
        for value in values {
            if *value > 0.0 {
                self.positive.count(*value, positive);
            } else if *value < 0.0 {
                self.negative.count(-*value, negative);
            } else {
                self.zeros += 1;
            }
        }
        true
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        self.zeros += other.zeros;
        self.negative.merge(&other.negative);
        self.positive.merge(&other.positive);
    }

    /// How many values there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.zeros + self.negative.counts.iter().sum::<u64>() + self.positive.counts.iter().sum::<u64>()
    }

    /// Least and largest value, zero included.
    #[must_use]
    pub fn range(&self) -> (f32, f32) {
        (-self.negative.largest, self.positive.largest)
    }

    /// The bins with values in them, as lower end, upper end and count, ascending; zeros are not among them.
    pub fn bins(&self) -> impl Iterator<Item = (f64, f64, u64)> {
        let negative = self.negative.bins().rev().map(|(from, to, count)| (-to, -from, count));
        negative.chain(self.positive.bins())
    }

    /// The range that holds all but a share of `(1 - kept) / 2` of the values at each end; zero included. Values are
    /// taken as spread evenly over their bins.
    #[must_use]
    pub fn percentile(&self, kept: f64) -> (f32, f32) {
        let spare = self.total() as f64 * (1.0 - kept) / 2.0;
        let (least, largest) = self.range();
        ((-self.negative.cut(spare)).max(least), self.positive.cut(spare).min(largest))
    }
}

impl Side {
    /// Grows the range until it holds `largest`; returns the factor from a magnitude to its bin.
    fn prepare(&mut self, largest: f32) -> f64 {
        if largest > 0.0 {
            // The exponent of the smallest power of two above the value.
            let mut exponent = f64::from(largest).log2().floor() as i32 + 1;
            while f64::from(largest) >= 2_f64.powi(exponent) {
                exponent += 1;
            }
            self.grow(exponent);
            self.largest = self.largest.max(largest);
        }
        BINS as f64 / 2_f64.powi(self.exponent.max(-1000))
    }

    fn grow(&mut self, exponent: i32) {
        if self.counts.is_empty() {
            self.counts = vec![0; BINS];
            self.exponent = exponent;
        }
        while self.exponent < exponent {
            for bin in 0..BINS / 2 {
                self.counts[bin] = self.counts[2 * bin] + self.counts[2 * bin + 1];
            }
            self.counts[BINS / 2..].fill(0);
            self.exponent += 1;
        }
    }

    fn count(&mut self, magnitude: f32, factor: f64) {
        let bin = (f64::from(magnitude) * factor) as usize;
        self.counts[bin.min(BINS - 1)] += 1;
    }

    fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        let mut other = other.clone();
        self.grow(other.exponent);
        other.grow(self.exponent);
        self.largest = self.largest.max(other.largest);
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
    }

    fn width(&self) -> f64 {
        2_f64.powi(self.exponent) / BINS as f64
    }

    fn bins(&self) -> impl DoubleEndedIterator<Item = (f64, f64, u64)> {
        let used = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        used.map(|(bin, count)| (bin as f64 * self.width(), (bin + 1) as f64 * self.width(), *count))
    }

    /// The magnitude above which `spare` values lie.
    fn cut(&self, spare: f64) -> f32 {
        let mut above = 0.0;
        for (from, to, count) in self.bins().rev() {
            let count = count as f64;
            if above + count > spare {
                return (to - (to - from) * (spare - above) / count) as f32;
            }
            above += count;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_doubles_loses_no_count() {
        let mut grown = Histogram::new();
        let mut values: Vec<f32> = (1..=1000).map(|index| (index as f32) * 0.01 - 3.0).collect();
        for part in values.chunks(10) {
            assert!(grown.add(part));
        }
        let mut whole = Histogram::new();
        values.reverse();
        assert!(whole.add(&values));
        assert_eq!(grown, whole, "the order of values doesn't matter");
        assert_eq!(grown.total(), 1000);
        assert_eq!(grown.range(), (-2.99, 7.0));
        for (from, to, count) in grown.bins() {
            let inside = values.iter().filter(|value| f64::from(**value) > from && f64::from(**value) <= to).count();
            let at_ends = values.iter().filter(|value| [from, to].contains(&f64::from(**value))).count();
            assert!((inside as i64 - count as i64).unsigned_abs() as usize <= at_ends);
        }
    }

    #[test]
    fn merging_is_adding() {
        let (mut first, mut second, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        let (small, large) = ([0.0, 0.25, -0.5, 0.001], [100.0, -3.0, 0.0, 64.0]);
        assert!(first.add(&small) && second.add(&large) && both.add(&small) && both.add(&large));
        let mut other_way = second.clone();
        other_way.merge(&first);
        first.merge(&second);
        assert_eq!(first, both);
        assert_eq!(other_way, both);
    }

    #[test]
    fn percentiles_of_a_uniform_spread() {
        let mut histogram = Histogram::new();
        let values: Vec<f32> = (0..100_000).map(|index| (index as f32 + 0.5) / 1000.0 - 40.0).collect();
        assert!(histogram.add(&values));
        let (least, largest) = histogram.percentile(0.9);
        assert!((least + 35.0).abs() < 0.05 && (largest - 55.0).abs() < 0.05, "{least} to {largest}");
        assert_eq!(histogram.percentile(1.0), histogram.range());
    }

    #[test]
    fn infinities_are_refused() {
        let mut histogram = Histogram::new();
        assert!(!histogram.add(&[1.0, f32::INFINITY]));
        assert!(!histogram.add(&[f32::NAN]));
        assert_eq!(histogram.total(), 0);
    }
}
