//! How many activations lie at the end of int8's range, where larger ones would have been cut off.

use std::ops::ControlFlow;

use tinception_core::format::tensor::DataType;
use tinception_core::kernels::Pixels;
use tinception_core::model::Step;
use tinception_core::session::{Observer, Values};

/// Counts int8 outputs of all steps, those that never exist as a whole among them. The zero point itself does not count: behind a
/// ReLU it is -128, and stands for a zero that nothing was cut off from.
#[derive(Debug, Default)]
pub(super) struct Saturation {
    /// Zero point of each step's output; `None` where it isn't int8.
    zero_points: Vec<Option<i32>>,
    saturated: u64,
    elements: u64,
}

impl Saturation {
    /// The share of them all, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.saturated as f64 / self.elements.max(1) as f64
    }

    fn count(&mut self, zero_point: i32, values: impl Iterator<Item = i32>) {
        for value in values {
            self.elements += 1;
            self.saturated += u64::from(is_saturated(value, zero_point));
        }
    }
}

/// Whether a value may have been cut off.
fn is_saturated(value: i32, zero_point: i32) -> bool {
    (value == i32::from(i8::MIN) || value == i32::from(i8::MAX)) && value != zero_point
}

impl Observer for Saturation {
    fn before(&mut self, index: usize, step: &Step<'_>) {
        if self.zero_points.len() <= index {
            self.zero_points.resize(index + 1, None);
        }
        let output = &step.output;
        self.zero_points[index] = (output.data_type == DataType::Int8).then_some(output.quant.zero_point.into());
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn part(&mut self, index: usize, pixels: Pixels<'_>) {
        if let Some(zero_point) = self.zero_points.get(index).copied().flatten() {
            self.count(zero_point, pixels.pixels().flatten().map(|value| i32::from(*value)));
        }
    }

    fn after(&mut self, _: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        if output.is_whole() && step.output.data_type == DataType::Int8 {
            self.count(step.output.quant.zero_point.into(), output.iter());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_count_unless_they_are_zero() {
        for (value, zero_point, saturated) in [
            (127, 0, true),
            (-128, 0, true),
            (-128, -128, false),
            (127, -128, true),
            (126, 0, false),
            (127, 127, false),
        ] {
            assert_eq!(is_saturated(value, zero_point), saturated, "{value} {zero_point}");
        }
        let mut saturation = Saturation::default();
        assert!(saturation.share().abs() < 1e-12);
        saturation.count(-128, [127, -128, 0, 127].into_iter());
        assert!((saturation.share() - 0.5).abs() < 1e-12);
    }
}
