//! Absorbs flattens: dense layers read the elements of a picture in NHWC order, just as a flatten gives them.

use super::edit::bypass;
use super::remove_dead_code;
use crate::graph::{Graph, Op};

/// Lets dense layers read pictures directly, and removes flattens that nothing else needs.
pub fn absorb_flattens(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        if graph.nodes[index].op != Op::Flatten {
            continue;
        }
        let (flat, picture) = (graph.nodes[index].output, graph.nodes[index].inputs[0]);
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

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;

    #[test]
    fn dense_layers_read_pictures() {
        let mut net = GraphBuilder::new(3, 2, 4);
        let input = net.input();
        let flat = net.node(Op::Flatten, &[input]);
        let dense = net.dense(flat, 6);
        let flat = net.node(Op::Flatten, &[dense]);
        let dense = net.dense(flat, 5);
        let graph = net.finish(dense);
        let mut after = graph.clone();
        absorb_flattens(&mut after);
        assert_eq!(operators(&after), ["Gemm", "Gemm"]);
        assert_same_output(&graph, &after);
    }
}
