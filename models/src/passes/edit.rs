//! What passes share: looking around a value, and taking nodes out.

use std::collections::HashMap;

use crate::graph::{Graph, ValueId};

/// The index of the node that makes `value`.
pub(super) fn producer_index(graph: &Graph, value: ValueId) -> Option<usize> {
    graph.nodes.iter().position(|node| node.output == value)
}

/// The index of the only node that reads `value`, and only once; `None` where several do or it is the graph's output.
pub(super) fn only_consumer(graph: &Graph, value: ValueId) -> Option<usize> {
    let mut reads = graph
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.inputs.iter().filter(move |&&input| input == value).map(move |_| index));
    match (reads.next(), reads.next()) {
        (Some(index), None) if graph.output != value => Some(index),
        _ => None,
    }
}

/// The node that makes `value`, if one node alone reads it.
pub(super) fn private_producer(graph: &Graph, value: ValueId) -> Option<usize> {
    only_consumer(graph, value)?;
    producer_index(graph, value)
}

/// Removes the nodes marked by `take`, each of one input, and lets their readers read that input instead.
pub(super) fn bypass(graph: &mut Graph, mut take: impl FnMut(&Graph, usize) -> bool) {
    let mut stands_for: HashMap<ValueId, ValueId> = HashMap::new();
    let taken: Vec<bool> = (0..graph.nodes.len()).map(|index| take(graph, index)).collect();
    for (node, _) in graph.nodes.iter().zip(&taken).filter(|(_, taken)| **taken) {
        if let Some(&input) = node.inputs.first() {
            let source = stands_for.get(&input).copied().unwrap_or(input);
            stands_for.insert(node.output, source);
        }
    }
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        !taken[index - 1]
    });
    let resolve = |value: &mut ValueId| {
        if let Some(&source) = stands_for.get(value) {
            *value = source;
        }
    };
    graph.nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(resolve);
    resolve(&mut graph.output);
}

/// Takes out the node at `index`, whose work the node in front of it does now: its readers read its input, which gets
/// its output's name, because it holds those numbers.
pub(super) fn merge_into_producer(graph: &mut Graph, index: usize) {
    let node = &graph.nodes[index];
    let (input, output) = (node.inputs[0], node.output);
    graph.values[input.0].name = graph.values[output.0].name.clone();
    bypass(graph, |_, at| at == index);
}
