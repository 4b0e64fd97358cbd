//! Absorbs flattens: dense layers read the elements of a picture in NHWC order, just as a flatten gives them.

use super::edit::{bypass, only_consumer};
use super::remove_dead_code;
use crate::graph::{Graph, Op};

/// Lets dense layers read pictures directly, an activation in between included, and removes flattens that nothing
/// else needs.
pub fn absorb_flattens(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        if graph.nodes[index].op != Op::Flatten {
            continue;
        }
        let (flat, picture) = (graph.nodes[index].output, graph.nodes[index].inputs[0]);
        if let Some(reader) = only_consumer(graph, flat)
            && matches!(graph.nodes[reader].op, Op::Clamp(_))
        {
            // The flatten is met again behind the clamp.
            swap(graph, index, reader);
            continue;
        }
        for node in &mut graph.nodes {
            if matches!(node.op, Op::Dense(_)) && node.inputs == [flat] {
                node.inputs = vec![picture];
            }
        }
    }
    bypass(graph, |graph, index| {
        let node = &graph.nodes[index];
        node.op == Op::Flatten && graph.shape(node.inputs[0]).pixels() == 1
    });
    remove_dead_code(graph);
}

/// Lets the clamp that reads a flatten run in front of it.
fn swap(graph: &mut Graph, flatten: usize, clamp: usize) {
    let (first, second) = (graph.nodes[flatten].clone(), graph.nodes[clamp].clone());
    graph.values[first.output.0].shape = graph.shape(first.inputs[0]);
    (graph.nodes[flatten].name, graph.nodes[flatten].op) = (second.name, second.op);
    (graph.nodes[clamp].name, graph.nodes[clamp].op) = (first.name, first.op);
    let name = graph.values[first.output.0].name.clone();
    graph.values[first.output.0].name = std::mem::replace(&mut graph.values[second.output.0].name, name);
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;
    use crate::graph::Clamp;

    #[test]
    fn dense_layers_read_pictures() {
        let mut net = GraphBuilder::new(3, 2, 4);
        let input = net.input();
        let flat = net.node(Op::Flatten, &[input]);
        let relu = net.node(Op::Clamp(Clamp::RELU), &[flat]);
        let relu6 = net.node(Op::Clamp(Clamp { min: 0.0, max: 0.5 }), &[relu]);
        let dense = net.dense(relu6, 6);
        let flat = net.node(Op::Flatten, &[dense]);
        let dense = net.dense(flat, 5);
        let graph = net.finish(dense);
        let mut after = graph.clone();
        absorb_flattens(&mut after);
        assert_eq!(operators(&after), ["Clip", "Clip", "Gemm", "Gemm"]);
        assert_same_output(&graph, &after);
    }
}
