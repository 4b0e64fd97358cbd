//! Passes: they bring an imported graph into the form that the quantiser wants, without changing what it computes.
//!
//! [`optimise`] runs them all. Afterwards the nodes are Conv, Dense, MaxPool, AveragePool, Lrn, Concat, Add, Clamp,
//! Softmax and Sigmoid only; every value has a producer or is the input, and the last node is a Softmax or Sigmoid over the
//! logits.

mod batch_norm;
mod clamp;
mod concat;
mod dead_code;
mod dense;
mod edit;
mod ending;
mod flatten;
mod heads;
mod identity;
mod pad;
#[cfg(all(test, feature = "tract"))]
mod testing;

pub use batch_norm::fold_batch_norms;
pub use clamp::fuse_clamps;
pub use concat::flatten_concats;
pub use dead_code::remove_dead_code;
pub use dense::dense_classifier;
pub use ending::end_in_probabilities;
pub use flatten::absorb_flattens;
pub use identity::remove_identities;
pub use pad::fold_pads;

use crate::graph::{Graph, Node, Op};

/// Why a graph cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// A node that no pass could take away.
    #[error("{graph}: node '{node}' ({operator}): {what}; {way_out}")]
    Left {
        /// The graph's name.
        graph: String,
        /// The node's name.
        node: String,
        /// The node's operator.
        operator: &'static str,
        /// What stands in the way.
        what: String,
        /// What the reader can do about it.
        way_out: &'static str,
    },
    /// The graph ends in a picture instead of scores.
    #[error("{graph}: its output '{output}' is {height} x {width} pixels; a classifier ends in one vector of scores")]
    NotAClassifier {
        /// The graph's name.
        graph: String,
        /// The output's name.
        output: String,
        /// Its rows.
        height: u32,
        /// Its columns.
        width: u32,
    },
}

impl PassError {
    fn left(graph: &Graph, node: &Node, what: impl Into<String>, way_out: &'static str) -> Self {
        Self::Left {
            graph: graph.name.clone(),
            node: node.name.clone(),
            operator: node.op.name(),
            what: what.into(),
            way_out,
        }
    }
}

/// Runs all passes: [`simplify`], then [`end_in_probabilities`].
///
/// # Errors
/// [`PassError`], naming the node.
pub fn optimise(graph: &mut Graph) -> Result<(), PassError> {
    simplify(graph)?;
    end_in_probabilities(graph)
}

/// Runs the passes that leave the output as it is, a picture included.
///
/// # Errors
/// [`PassError::Left`] where an operator remains that the quantiser doesn't know.
pub fn simplify(graph: &mut Graph) -> Result<(), PassError> {
    remove_identities(graph);
    remove_dead_code(graph);
    fold_pads(graph)?;
    fold_batch_norms(graph);
    absorb_flattens(graph);
    fuse_clamps(graph);
    dense_classifier(graph);
    flatten_concats(graph);
    remove_dead_code(graph);
    match graph.nodes.iter().find(|node| matches!(node.op, Op::Flatten)) {
        None => Ok(()),
        Some(node) => Err(PassError::left(
            graph,
            node,
            "it flattens a picture for something else than a dense layer",
            "put a pool or a dense layer there",
        )),
    }
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::testing::{GraphBuilder, assert_same, operators};
    use super::*;
    use crate::graph::Clamp;

    #[test]
    fn a_small_network_becomes_what_the_quantiser_wants() {
        let mut net = GraphBuilder::new(9, 9, 3);
        let input = net.input();
        let identity = net.node(Op::Identity, &[input]);
        let padded = net.pad(identity, 1);
        let conv = net.conv(padded, 8, 3, 2, 0);
        let normal = net.batch_norm(conv);
        let relu = net.node(Op::Clamp(Clamp::RELU), &[normal]);
        let other = net.conv(relu, 8, 1, 1, 0);
        let joined = net.node(Op::Concat, &[relu, other]);
        let flat = net.node(Op::Flatten, &[joined]);
        let logits = net.dense(flat, 5);
        let graph = net.finish(logits);

        let mut optimised = graph.clone();
        optimise(&mut optimised).unwrap();
        assert_eq!(operators(&optimised), ["Conv", "Conv", "Concat", "Gemm", "Softmax"]);
        let softmax = optimised.nodes.last().unwrap();
        assert_eq!(softmax.output, optimised.output);
        let logits = softmax.inputs[0];
        assert_same((&graph, graph.output), (&optimised, logits));
    }

    #[test]
    fn a_flattened_picture_without_a_dense_layer_is_named() {
        let mut net = GraphBuilder::new(2, 2, 3);
        let input = net.input();
        let flat = net.node(Op::Flatten, &[input]);
        let mut graph = net.finish(flat);
        let message = optimise(&mut graph).unwrap_err().to_string();
        assert!(message.contains("'node0' (Flatten)"), "{message}");
    }
}
