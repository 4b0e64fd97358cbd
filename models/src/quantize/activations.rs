//! Scales and zero points of activations, and their fused ranges.

use tinception_core::quant::QuantParams;

use super::rules::{parameters, quantize};
use super::sharing;
use crate::calibrate::{Calibration, Histogram, Method};
use crate::graph::{Clamp, Graph, Op, ValueId};

/// Scale and zero point of every value, by its index.
///
/// `input_range` is what the picture's values can be, where that is known; what the calibration saw, else. The picture's
/// range is never cut: its ends are white and black.
///
/// # Errors
/// The first value that the calibration doesn't know.
pub fn activations(
    graph: &Graph,
    calibration: &Calibration,
    method: Method,
    input_range: Option<(f32, f32)>,
) -> Result<Vec<QuantParams>, ValueId> {
    let representatives = sharing(graph);
    let mut chosen: Vec<Option<QuantParams>> = vec![None; graph.values.len()];
    let input_set = representatives[graph.input.0];
    for id in std::iter::once(graph.input).chain(graph.nodes.iter().map(|node| node.output)) {
        let set = representatives[id.0];
        if chosen[set.0].is_some() {
            continue;
        }
        let mut histogram = Histogram::new();
        for member in made_in(graph, &representatives, set) {
            histogram.merge(&calibration.get(member).ok_or(member)?.histogram);
        }
        let (mut least, mut largest) = method.range(&histogram);
        if set == input_set {
            let seen = calibration.get(graph.input).ok_or(graph.input)?.histogram.range();
            let (from, to) = input_range.unwrap_or(seen);
            (least, largest) = (least.min(from), largest.max(to));
        }
        chosen[set.0] = Some(parameters(least, largest));
    }
    let quant = |set: &ValueId| chosen[set.0].unwrap_or(QuantParams { scale: 1.0, zero_point: 0 });
    Ok(representatives.iter().map(quant).collect())
}

/// The members of a set whose elements are no copies of other members' elements.
fn made_in(graph: &Graph, representatives: &[ValueId], set: ValueId) -> impl Iterator<Item = ValueId> {
    let made = graph.nodes.iter().filter(|node| !matches!(node.op, Op::Concat | Op::Flatten)).map(|node| node.output);
    let all = std::iter::once(graph.input).chain(made);
    all.filter(move |value| representatives[value.0] == set)
}

/// The integers that a fused activation cuts to; -128 and 127 where it has no such end.
#[must_use]
pub fn activation_range(clamp: Clamp, quant: QuantParams) -> (i8, i8) {
    let min = if clamp.min == f32::NEG_INFINITY { i8::MIN } else { quantize(f64::from(clamp.min), quant) };
    let max = if clamp.max == f32::INFINITY { i8::MAX } else { quantize(f64::from(clamp.max), quant) };
    (min, max.max(min))
}
