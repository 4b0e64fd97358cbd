//! How many activations lie at the end of int8's range, where larger ones would have been cut off.

use std::ops::ControlFlow;

use tinception_core::format::tensor::DataType;
use tinception_core::kernels::Pixels;
use tinception_core::model::Step;
use tinception_core::quant::QuantParams;
use tinception_core::session::{Observer, Values};

/// Counts int8 outputs of all steps, those that never exist as a whole among them.
#[derive(Debug, Default)]
pub(super) struct Saturation {
    /// How each step's output is quantised; `None` where it isn't int8.
    outputs: Vec<Option<QuantParams>>,
    saturated: u64,
    elements: u64,
}

impl Saturation {
    /// The share of them all, from 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.saturated as f64 / self.elements.max(1) as f64
    }

    fn count(&mut self, quant: QuantParams, values: impl Iterator<Item = i32>) {
        for value in values {
            self.elements += 1;
            self.saturated += u64::from(quant.is_saturated(value));
        }
    }
}

impl Observer for Saturation {
    fn before(&mut self, index: usize, step: &Step<'_>) {
        if self.outputs.len() <= index {
            self.outputs.resize(index + 1, None);
        }
        let output = &step.output;
        self.outputs[index] = (output.data_type == DataType::Int8).then_some(output.quant);
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn part(&mut self, index: usize, pixels: Pixels<'_>) {
        if let Some(quant) = self.outputs.get(index).copied().flatten() {
            self.count(quant, pixels.pixels().flatten().map(|value| i32::from(*value)));
        }
    }

    fn after(&mut self, _: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        if output.is_whole() && step.output.data_type == DataType::Int8 {
            self.count(step.output.quant, output.iter());
        }
        ControlFlow::Continue(())
    }
}
