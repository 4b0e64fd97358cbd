//! How a histogram becomes the range that int8 will cover.

use super::Histogram;
use crate::quantize::{parameters, quantize};

/// How the range of an activation is chosen from its histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// The range of all values seen.
    MinMax,
    /// The range without the outermost 0.005 % at each end.
    Percentile,
    /// The range whose quantisation has the least mean squared error, what is cut off included.
    #[default]
    MeanSquaredError,
}

/// Share of the values that [`Method::Percentile`] keeps.
const KEPT: f64 = 0.9999;

impl Method {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::MinMax, Self::Percentile, Self::MeanSquaredError];

    /// The method's name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MinMax => "min-max",
            Self::Percentile => "percentile",
            Self::MeanSquaredError => "mse",
        }
    }

    /// The method of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The range to cover, zero included.
    #[must_use]
    pub fn range(self, histogram: &Histogram) -> (f32, f32) {
        match self {
            Self::MinMax => histogram.range(),
            Self::Percentile => histogram.percentile(KEPT),
            Self::MeanSquaredError => least_error(histogram),
        }
    }
}

/// Steps of the search in each direction.
const STEPS: u32 = 100;

/// Cuts both ends by the same share first, then each end alone.
fn least_error(histogram: &Histogram) -> (f32, f32) {
    let (least, largest) = histogram.range();
    let bins: Vec<(f64, f64)> = histogram.bins().map(|(from, to, count)| ((from + to) / 2.0, count as f64)).collect();
    let shares = || (STEPS / 5..=STEPS).map(|step| step as f32 / STEPS as f32);
    let best = |candidates: &mut dyn Iterator<Item = (f32, f32)>| {
        let errors = candidates.map(|range| (range, squared_error(&bins, range)));
        errors.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or((least, largest), |(range, _)| range)
    };
    let both = best(&mut shares().map(|share| (least * share, largest * share)));
    if least == 0.0 || largest == 0.0 {
        return both;
    }
    let upper = best(&mut shares().map(|share| (both.0, largest * share)));
    best(&mut shares().map(|share| (least * share, upper.1)))
}

/// Sum of squared errors of int8 over this range.
fn squared_error(bins: &[(f64, f64)], (least, largest): (f32, f32)) -> f64 {
    let quant = parameters(least, largest);
    let (scale, zero_point) = (f64::from(quant.scale), f64::from(quant.zero_point));
    bins.iter()
        .map(|(value, count)| {
            let error = scale * (f64::from(quantize(*value, quant)) - zero_point) - value;
            error * error * count
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_are_cut_where_that_pays() {
        // A hundred thousand values of 0 to 1 and a single 20.
        let mut values: Vec<f32> = (0..100_000_u32).map(|index| index as f32 / 100_000.0).collect();
        values.push(20.0);
        let mut histogram = Histogram::new();
        assert!(histogram.add(&values));
        assert_eq!(Method::MinMax.range(&histogram), (0.0, 20.0));
        let (least, percentile) = Method::Percentile.range(&histogram);
        assert!(least == 0.0 && (0.98..1.01).contains(&percentile), "{percentile}");

        let (_, chosen) = Method::MeanSquaredError.range(&histogram);
        let error = |largest: f32| -> f64 {
            let quant = parameters(0.0, largest);
            let real = |x: f32| {
                quant.scale * f32::from(i16::from(quantize(f64::from(x), quant)) - i16::from(quant.zero_point))
            };
            values.iter().map(|x| f64::from(real(*x) - x).powi(2)).sum()
        };
        // The measured error of the choice is within 2 % of the best of a fine grid.
        let best = (1..=400).map(|step| error(step as f32 * 0.05)).fold(f64::INFINITY, f64::min);
        assert!(error(chosen) <= best * 1.02, "{chosen}: {} against {best}", error(chosen));
    }

    #[test]
    fn names_lead_back() {
        for method in Method::ALL {
            assert_eq!(Method::from_name(method.name()), Some(method));
        }
        assert_eq!(Method::from_name("kl"), None);
    }
}
