//! Removes nodes that change nothing.

use super::edit::bypass;
use crate::graph::{Clamp, Graph, Op};

/// Removes identities, flattens of vectors, clamps without ends and concats of one input.
pub fn remove_identities(graph: &mut Graph) {
    bypass(graph, |graph, index| {
        let node = &graph.nodes[index];
        match &node.op {
            Op::Identity => true,
            Op::Flatten => graph.shape(node.inputs[0]).pixels() == 1,
            Op::Clamp(clamp) => *clamp == Clamp::NONE,
            Op::Concat => node.inputs.len() == 1,
            _ => false,
        }
    });
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;

    #[test]
    fn identities_vanish_from_the_middle_and_the_end() {
        let mut net = GraphBuilder::new(4, 4, 3);
        let input = net.input();
        let first = net.node(Op::Identity, &[input]);
        let second = net.node(Op::Identity, &[first]);
        let conv = net.conv(second, 4, 4, 1, 0);
        let flat = net.node(Op::Flatten, &[conv]);
        let joined = net.node(Op::Concat, &[flat]);
        let unclamped = net.node(Op::Clamp(Clamp::NONE), &[joined]);
        let graph = net.finish(unclamped);
        let mut after = graph.clone();
        remove_identities(&mut after);
        assert_eq!(operators(&after), ["Conv"]);
        assert_same_output(&graph, &after);
    }

    #[test]
    fn a_flatten_of_a_picture_stays() {
        let mut net = GraphBuilder::new(2, 2, 3);
        let input = net.input();
        let flat = net.node(Op::Flatten, &[input]);
        let mut graph = net.finish(flat);
        remove_identities(&mut graph);
        assert_eq!(operators(&graph), ["Flatten"]);
    }
}
