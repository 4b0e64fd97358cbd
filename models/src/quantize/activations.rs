//! Scales and zero points of activations, and their fused ranges.

use std::collections::BTreeSet;

use tinception_core::quant::QuantParams;

use super::rules::{parameters, quantize};
use super::sharing;
use crate::calibrate::{Calibration, Histogram, Method};
use crate::graph::{Clamp, Graph, Lrn, Node, Op, ValueId};

/// Scale and zero point of every value, by its index.
///
/// `input_range` is what the picture's values can be, where that is known; what the calibration saw, else. The picture's
/// range is never cut, nor is that of a concatenation that joins it: its ends are white and black.
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
        let copied = copied_into(graph, &representatives, set);
        for member in made_in(graph, &representatives, set).chain(copied.iter().copied()) {
            histogram.merge(&calibration.get(member).ok_or(member)?.histogram);
        }
        let (mut least, mut largest) = match only_normalised(graph, &representatives, set) {
            Some(lrn) => method.range(&histogram, &normalisation(lrn, histogram.mean_square())),
            None => method.range(&histogram, &|x| x),
        };
        if set == input_set || copied.iter().any(|branch| representatives[branch.0] == input_set) {
            let seen = calibration.get(graph.input).ok_or(graph.input)?.histogram.range();
            let (from, to) = input_range.unwrap_or(seen);
            (least, largest) = (least.min(from), largest.max(to));
        }
        chosen[set.0] = Some(parameters(least, largest));
    }
    let quant = |set: &ValueId| chosen[set.0].unwrap_or(QuantParams { scale: 1.0, zero_point: 0 });
    Ok(representatives.iter().map(quant).collect())
}

/// What a local response normalisation makes of a value among neighbours of this mean square. It compresses: small
/// values keep their errors, large ones hardly matter, so the range that suits its output is narrower than the one that
/// suits its input.
fn normalisation(lrn: &Lrn, mean_square: f64) -> impl Fn(f64) -> f64 {
    let Lrn { size, alpha, beta, bias } = *lrn;
    let slope = f64::from(alpha) / f64::from(size.max(1));
    let neighbours = f64::from(size.saturating_sub(1)) * mean_square;
    move |x| x * (f64::from(bias) + slope * (x * x + neighbours)).powf(-f64::from(beta))
}

/// The members of a set whose elements are no copies of other members' elements.
fn made_in(graph: &Graph, representatives: &[ValueId], set: ValueId) -> impl Iterator<Item = ValueId> {
    let made = graph.nodes.iter().filter(|node| !matches!(node.op, Op::Concat | Op::Flatten)).map(|node| node.output);
    let all = std::iter::once(graph.input).chain(made);
    all.filter(move |value| representatives[value.0] == set)
}

/// The branches that a set's concatenations copy from other sets: their elements are elements of the wide tensor, so its
/// range covers them, but their own scales don't follow it.
fn copied_into(graph: &Graph, representatives: &[ValueId], set: ValueId) -> BTreeSet<ValueId> {
    let joins = |node: &&Node| matches!(node.op, Op::Concat) && representatives[node.output.0] == set;
    let branches = graph.nodes.iter().filter(joins).flat_map(|node| &node.inputs);
    branches.copied().filter(|branch| representatives[branch.0] != set).collect()
}

/// The normalisation behind a set, where nothing but normalisations reads it. Any other reader, a concatenation's copy
/// included, sees the values as they are.
fn only_normalised<'a>(graph: &'a Graph, representatives: &[ValueId], set: ValueId) -> Option<&'a Lrn> {
    let reads = |node: &&Node| node.inputs.iter().any(|input| representatives[input.0] == set);
    let mut normalisation = None;
    for node in graph.nodes.iter().filter(reads) {
        match &node.op {
            Op::Lrn(lrn) => normalisation = normalisation.or(Some(lrn)),
            Op::MaxPool(_) | Op::Flatten | Op::Concat if representatives[node.output.0] == set => {}
            _ => return None,
        }
    }
    normalisation
}

/// The integers that a fused activation cuts to; -128 and 127 where it has no such end.
#[must_use]
pub fn activation_range(clamp: Clamp, quant: QuantParams) -> (i8, i8) {
    let min = if clamp.min == f32::NEG_INFINITY { i8::MIN } else { quantize(f64::from(clamp.min), quant) };
    let max = if clamp.max == f32::INFINITY { i8::MAX } else { quantize(f64::from(clamp.max), quant) };
    (min, max.max(min))
}
