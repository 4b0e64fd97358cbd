//! Flattens nested concats: a concat of concats joins all their inputs itself.

use super::edit::private_producer;
use super::remove_dead_code;
use crate::graph::{Graph, Op};

/// Replaces each concat that only another concat reads by its inputs.
pub fn flatten_concats(graph: &mut Graph) {
    for index in 0..graph.nodes.len() {
        if graph.nodes[index].op != Op::Concat {
            continue;
        }
        let mut inputs = Vec::new();
        for &input in &graph.nodes[index].inputs {
            // Nodes stand in order: an inner concat is flat already when the outer one is reached.
            match private_producer(graph, input).map(|inner| &graph.nodes[inner]) {
                Some(inner) if inner.op == Op::Concat => inputs.extend(&inner.inputs),
                _ => inputs.push(input),
            }
        }
        graph.nodes[index].inputs = inputs;
    }
    remove_dead_code(graph);
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;

    #[test]
    fn a_tree_of_concats_becomes_one() {
        let mut net = GraphBuilder::new(3, 3, 2);
        let input = net.input();
        let branches: Vec<_> = (0..4).map(|_| net.conv(input, 3, 1, 1, 0)).collect();
        let inner = net.node(Op::Concat, &branches[..2]);
        let middle = net.node(Op::Concat, &[inner, branches[2]]);
        let outer = net.node(Op::Concat, &[branches[3], middle]);
        let graph = net.finish(outer);
        let mut after = graph.clone();
        flatten_concats(&mut after);
        assert_eq!(operators(&after), ["Conv", "Conv", "Conv", "Conv", "Concat"]);
        assert_same_output(&graph, &after);
    }

    #[test]
    fn a_concat_that_others_read_stays() {
        let mut net = GraphBuilder::new(3, 3, 2);
        let input = net.input();
        let inner = net.node(Op::Concat, &[input, input]);
        let conv = net.conv(inner, 3, 1, 1, 0);
        let outer = net.node(Op::Concat, &[inner, conv]);
        let graph = net.finish(outer);
        let mut after = graph.clone();
        flatten_concats(&mut after);
        assert_eq!(after, graph);
    }
}
