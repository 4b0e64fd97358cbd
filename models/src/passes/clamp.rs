//! Fuses activations into the operator in front of them.

use super::edit::{merge_into_producer, private_producer};
use crate::graph::{Clamp, Conv, Dense, Graph, Op};

/// Fuses each Clamp into a Conv, Dense, Add, AveragePool or Clamp that nothing else reads. Others stay nodes.
pub fn fuse_clamps(graph: &mut Graph) {
    let mut index = 0;
    while let Some(node) = graph.nodes.get(index) {
        if let Op::Clamp(clamp) = node.op
            && let Some(before) = private_producer(graph, node.inputs[0])
            && let Some(fused) = clamp_of(&mut graph.nodes[before].op)
        {
            *fused = fused.then(clamp);
            merge_into_producer(graph, index);
        } else {
            index += 1;
        }
    }
}

fn clamp_of(op: &mut Op) -> Option<&mut Clamp> {
    match op {
        Op::Conv(Conv { clamp, .. }) | Op::Dense(Dense { clamp, .. }) | Op::Add(clamp) | Op::Clamp(clamp) => {
            Some(clamp)
        }
        Op::AveragePool(pool) => Some(&mut pool.clamp),
        _ => None,
    }
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use tinception_core::shape::{Padding, Window};

    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;
    use crate::graph::AveragePool;

    const SIX: Clamp = Clamp { min: -0.25, max: 0.5 };

    #[test]
    fn every_operator_that_can_takes_its_clamp_in() {
        let mut net = GraphBuilder::new(4, 4, 3);
        let input = net.input();
        let pool = AveragePool { window: Window::square(2, 1), counted: Padding::NONE, clamp: Clamp::NONE };
        let mut value = net.conv(input, 3, 1, 1, 0);
        value = net.node(Op::Clamp(Clamp::RELU), &[value]);
        value = net.node(Op::Clamp(SIX), &[value]);
        value = net.node(Op::Add(Clamp::NONE), &[value, input]);
        value = net.node(Op::Clamp(SIX), &[value]);
        value = net.node(Op::AveragePool(pool), &[value]);
        value = net.node(Op::Clamp(Clamp::RELU), &[value]);
        value = net.dense(value, 7);
        value = net.node(Op::Clamp(SIX), &[value]);
        let graph = net.finish(value);
        let mut after = graph.clone();
        fuse_clamps(&mut after);
        assert_eq!(operators(&after), ["Conv", "Add", "AveragePool", "Gemm"]);
        assert!(matches!(&after.nodes[0].op, Op::Conv(conv) if conv.clamp == Clamp { min: 0.0, max: 0.5 }));
        assert_same_output(&graph, &after);
    }

    #[test]
    fn a_clamp_stays_where_others_read_the_unclamped_value() {
        let mut net = GraphBuilder::new(4, 4, 3);
        let input = net.input();
        let conv = net.conv(input, 3, 1, 1, 0);
        let relu = net.node(Op::Clamp(Clamp::RELU), &[conv]);
        let joined = net.node(Op::Concat, &[conv, relu]);
        let relu = net.node(Op::Clamp(Clamp::RELU), &[joined]);
        let graph = net.finish(relu);
        let mut after = graph.clone();
        fuse_clamps(&mut after);
        assert_eq!(after, graph);
    }
}
