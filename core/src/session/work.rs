//! What a step costs.

use crate::model::{Operator, Step};

/// What a step takes on one thread of a fast processor, in nanoseconds: an estimate that only has to tell whether the
/// work is worth sharing.
pub(super) fn work(step: &Step<'_>) -> u64 {
    let elements = step.output.shape.elements();
    match &step.operator {
        // One pixel waits for its weights.
        Operator::Conv(_) if step.output.shape.pixels() == 1 => step.macs() / 32,
        Operator::Conv(_) => step.macs() / 256,
        Operator::MaxPool(pool) => elements.saturating_mul(pool.window.area()) / 32,
        Operator::AveragePool(pool) => elements.saturating_mul(pool.window.window.area()) / 5,
        Operator::Lrn(_) | Operator::Add(_) | Operator::Rescale(_) | Operator::Softmax(_) | Operator::Sigmoid(_) => {
            elements
        }
    }
}
