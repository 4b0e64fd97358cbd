//! Which branches write straight into their slice of a concatenation.

use crate::graph::{Graph, Node, Op, ValueId};
use crate::quantize::sharing;

/// The channels of a wider value that a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The concatenation's output.
    pub of: ValueId,
    /// The first of its channels.
    pub first_channel: u32,
}

/// Each value's slice, by its index; `None` for values with memory of their own.
///
/// The last concatenation a value goes into is looked at first, so that of nested ones the outermost gets the memory.
/// A concatenation whose branches all lie side by side in a wider one is a slice of that itself (DenseNet).
///
/// A kernel can't read a tensor and write another one between whose first and last byte it lies, so no node may read
/// and write slices of one buffer; a branch for which that would be so stays out, and is copied. So is one that doesn't
/// share the concatenation's scale ([`sharing`]), even where its range happens to give the same one.
#[must_use]
pub fn slices(graph: &Graph) -> Vec<Option<Slice>> {
    let sets = sharing(graph);
    let mut slices = vec![None; graph.values.len()];
    for node in graph.nodes.iter().rev().filter(|node| matches!(node.op, Op::Concat)) {
        if slices[node.output.0].is_none()
            && let Some(slice) = side_by_side(graph, node, &slices)
        {
            slices[node.output.0] = Some(slice);
            if is_possible(graph, &slices) {
                continue;
            }
            slices[node.output.0] = None;
        }
        for (branch, first_channel) in branches(graph, node) {
            if slices[branch.0].is_none() && may_be_slice(graph, node, branch, &sets) {
                slices[branch.0] = Some(Slice { of: node.output, first_channel });
                if !is_possible(graph, &slices) {
                    slices[branch.0] = None;
                }
            }
        }
    }
    slices
}

/// A concatenation's inputs with their first channel in its output.
pub(super) fn branches(graph: &Graph, node: &Node) -> Vec<(ValueId, u32)> {
    let mut first = 0;
    let place = |branch: &ValueId| {
        let placed = (*branch, first);
        first += graph.shape(*branch).channels;
        placed
    };
    node.inputs.iter().map(place).collect()
}

fn may_be_slice(graph: &Graph, concat: &Node, branch: ValueId, sets: &[ValueId]) -> bool {
    let made_by_step = graph.producer(branch).is_some_and(|node| !matches!(node.op, Op::Flatten));
    let flattened = graph.consumers(branch).any(|node| matches!(node.op, Op::Flatten));
    let once = concat.inputs.iter().filter(|input| **input == branch).count() == 1;
    let is_end = branch == graph.output || graph.producer(graph.output).is_some_and(|end| end.inputs.contains(&branch));
    made_by_step && !flattened && once && !is_end && sets[branch.0] == sets[concat.output.0]
}

/// The slice that a concatenation is when its branches lie in their order, without a gap, in another one.
fn side_by_side(graph: &Graph, node: &Node, slices: &[Option<Slice>]) -> Option<Slice> {
    let first = slices[node.inputs.first()?.0]?;
    let lies_right = |(branch, channel): (ValueId, u32)| {
        slices[branch.0] == Some(Slice { of: first.of, first_channel: first.first_channel + channel })
    };
    (first.of != node.output && branches(graph, node).into_iter().all(lies_right)).then_some(first)
}

/// The value whose memory a value lies in, and its first channel there.
pub(super) fn position(slices: &[Option<Slice>], value: ValueId) -> (ValueId, u32) {
    let (mut root, mut channel) = (value, 0);
    while let Some(slice) = slices[root.0] {
        root = slice.of;
        channel += slice.first_channel;
    }
    (root, channel)
}

/// Whether a branch lies where its concatenation wants it, so that nothing is to be copied.
pub(super) fn in_position(slices: &[Option<Slice>], concat: ValueId, (branch, channel): (ValueId, u32)) -> bool {
    let (root, start) = position(slices, concat);
    slices[branch.0].is_some() && position(slices, branch) == (root, start + channel)
}

/// Whether no node, and no copy into a concatenation, reads and writes the same buffer.
fn is_possible(graph: &Graph, slices: &[Option<Slice>]) -> bool {
    let root = |value| position(slices, value).0;
    graph.nodes.iter().all(|node| match node.op {
        Op::Concat => branches(graph, node)
            .into_iter()
            .all(|branch| in_position(slices, node.output, branch) || root(branch.0) != root(node.output)),
        _ => node.inputs.iter().all(|input| root(*input) != root(node.output)),
    })
}
