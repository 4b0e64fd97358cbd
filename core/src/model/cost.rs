//! How much a model has to compute: what tells whoever runs a stranger's file whether to begin.

use super::Model;
use super::resolve::{Operator, Step};
use crate::format::tensor::Tensor;
use crate::shape::Window;

/// Operations that each output pixel takes besides its own, in each group of a convolution.
const PIXEL: u64 = 64;
/// Channels that a pool works on at a time.
const CHANNELS: u64 = 16;

impl Model<'_> {
    /// Operations of a run: the [cost](Step::cost) of all steps. GoogLeNet's is 1.7 billion, VGG-19's 20 billion.
    ///
    /// A verified model runs to its end, but a file of a few hundred bytes can ask for hours of pooling. Who runs files of
    /// others compares this with what their processor does in the time that they have.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.steps().map(|step| step.cost()).fold(0, u64::saturating_add)
    }
}

impl Step<'_> {
    /// Operations of the step, exact up to the largest `u64`: multiply-accumulates of a convolution, comparisons or additions
    /// of a pool, one for each element of any other operator; channels padded to the multiples in which kernels work, windows
    /// no larger than the input; and 64 more for each output pixel, in each group of a convolution.
    #[must_use]
    pub fn cost(&self) -> u64 {
        let channels = self.output.shape.channels;
        let together = u64::from(channels).next_multiple_of(CHANNELS);
        let pooled = |window: &Window| area(window, &self.input).saturating_mul(together);
        let pixel = match (&self.operator, self.layout()) {
            (Operator::Conv(_), Some(layout)) if layout.depthwise => {
                (layout.depth as u64).saturating_mul(layout.table as u64)
            }
            (Operator::Conv(conv), Some(layout)) => {
                let group = (layout.padded_depth as u64).saturating_mul(layout.padded_outputs as u64);
                group.saturating_add(PIXEL).saturating_mul(conv.groups as u64)
            }
            (Operator::MaxPool(pool), _) => pooled(&pool.window),
            (Operator::AveragePool(pool), _) => pooled(&pool.window.window),
            _ => u64::from(channels),
        };
        self.output.shape.pixels().saturating_mul(pixel.saturating_add(PIXEL))
    }
}

/// The most positions of a window that lie inside a tensor.
fn area(window: &Window, input: &Tensor) -> u64 {
    let rows = window.kernel_height.min(input.shape.height);
    u64::from(rows) * u64::from(window.kernel_width.min(input.shape.width))
}
