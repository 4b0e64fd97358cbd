//! Which values share scale and zero point.
//!
//! - A max pool compares integers, so its input and output share.
//! - The branches of a concatenation share with its output: each can then write its slice of the wide tensor. Two kinds
//!   of branches stay out of it, since they would tie the scale to that of something else: a bare max pool, whose input
//!   often is the concatenation of the module before (Inception v3's reductions), and the picture itself. They are
//!   rescaled: their scale stays their own, but the concatenation's range covers them like its other branches
//!   ([`activations`](super::activations)).
//! - A flattened tensor is the same bytes.

use crate::graph::{Graph, Op, ValueId};

/// Sets of values, each named by one of its members.
struct Sets {
    parent: Vec<usize>,
}

impl Sets {
    fn find(&self, mut member: usize) -> usize {
        while self.parent[member] != member {
            member = self.parent[member];
        }
        member
    }

    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.find(a.0), self.find(b.0));
        // The lower index names the set, so that the order of joins doesn't matter.
        self.parent[a.max(b)] = a.min(b);
    }
}

/// For each value, by its index, the value whose scale and zero point it takes: itself or one before it.
#[must_use]
pub fn sharing(graph: &Graph) -> Vec<ValueId> {
    let mut sets = Sets { parent: (0..graph.values.len()).collect() };
    for node in &graph.nodes {
        match node.op {
            Op::MaxPool(_) | Op::Flatten => sets.join(node.inputs[0], node.output),
            Op::Concat => {
                for branch in &node.inputs {
                    let made_by = graph.producer(*branch).map(|producer| &producer.op);
                    if !matches!(made_by, None | Some(Op::MaxPool(_))) {
                        sets.join(*branch, node.output);
                    }
                }
            }
            _ => {}
        }
    }
    (0..graph.values.len()).map(|value| ValueId(sets.find(value))).collect()
}
