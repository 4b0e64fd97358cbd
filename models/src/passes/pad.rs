//! Folds Pad into what comes behind it.
//!
//! A convolution pads with zeros itself. An average pool counts the folded zeros. A max pool ignores its padding,
//! which is the same as zeros where the input has no negative values.

use tinception_core::shape::{Padding, Window};

use super::edit::producer_index;
use super::{PassError, remove_dead_code};
use crate::graph::{Graph, Node, Op, ValueId};

/// Folds every Pad into the nodes that read it.
///
/// # Errors
/// [`PassError::Left`] where a reader cannot take the padding in.
pub fn fold_pads(graph: &mut Graph) -> Result<(), PassError> {
    for index in 0..graph.nodes.len() {
        let Op::Pad(padding) = graph.nodes[index].op else {
            continue;
        };
        let (padded, source) = (graph.nodes[index].output, graph.nodes[index].inputs[0]);
        let left = |graph: &Graph, what: String| {
            PassError::left(graph, &graph.nodes[index], what, "give the padding to a convolution or pool behind it")
        };
        if graph.output == padded {
            return Err(left(graph, "it is the network's output".into()));
        }
        let readers: Vec<usize> =
            (0..graph.nodes.len()).filter(|&reader| graph.nodes[reader].inputs.contains(&padded)).collect();
        for reader in readers {
            match taken_in(graph, &graph.nodes[reader], padding, source) {
                Some(op) => {
                    graph.nodes[reader].op = op;
                    graph.nodes[reader].inputs = vec![source];
                }
                None => {
                    let node = &graph.nodes[reader];
                    return Err(left(graph, format!("node '{}' ({}) cannot take it in", node.name, node.op.name())));
                }
            }
        }
    }
    remove_dead_code(graph);
    Ok(())
}

/// The reader's operator with `padding` of zeros in front of it; `None` where that isn't possible.
fn taken_in(graph: &Graph, reader: &Node, padding: Padding, source: ValueId) -> Option<Op> {
    match &reader.op {
        Op::Conv(conv) => {
            let mut conv = conv.clone();
            conv.window = padded(conv.window, padding)?;
            Some(Op::Conv(conv))
        }
        Op::AveragePool(pool) => {
            let mut pool = *pool;
            pool.counted = sum(pool.counted, padding)?;
            pool.window = padded(pool.window, padding)?;
            Some(Op::AveragePool(pool))
        }
        Op::MaxPool(window) if is_never_negative(graph, source) => {
            let window = padded(*window, padding)?;
            // A window of zeros alone would have nothing left to find the largest of.
            let Padding { top, left, bottom, right } = window.padding;
            let fits = top.max(bottom) < window.kernel_height && left.max(right) < window.kernel_width;
            fits.then_some(Op::MaxPool(window))
        }
        Op::Pad(outer) => Some(Op::Pad(sum(*outer, padding)?)),
        _ => None,
    }
}

fn padded(window: Window, padding: Padding) -> Option<Window> {
    Some(window.padded(sum(window.padding, padding)?))
}

fn sum(a: Padding, b: Padding) -> Option<Padding> {
    Some(Padding {
        top: a.top.checked_add(b.top)?,
        left: a.left.checked_add(b.left)?,
        bottom: a.bottom.checked_add(b.bottom)?,
        right: a.right.checked_add(b.right)?,
    })
}

/// Whether a value is known to hold no negative numbers.
fn is_never_negative(graph: &Graph, value: ValueId) -> bool {
    // Only the nodes in front of the value can matter, and each is looked at once.
    let Some(end) = producer_index(graph, value) else {
        return false;
    };
    let mut never_negative = vec![false; graph.values.len()];
    for node in &graph.nodes[..=end] {
        let inputs = || node.inputs.iter().all(|input| never_negative[input.0]);
        never_negative[node.output.0] = match &node.op {
            Op::Conv(conv) => conv.clamp.min >= 0.0,
            Op::Dense(dense) => dense.clamp.min >= 0.0,
            Op::Clamp(clamp) => clamp.min >= 0.0 || (inputs() && clamp.max >= 0.0),
            Op::Add(clamp) => clamp.min >= 0.0 || (inputs() && clamp.max >= 0.0),
            Op::AveragePool(pool) => pool.clamp.min >= 0.0 || (inputs() && pool.clamp.max >= 0.0),
            Op::Lrn(lrn) => inputs() && lrn.bias > 0.0 && lrn.alpha >= 0.0,
            Op::MaxPool(_) | Op::Concat | Op::Pad(_) | Op::Flatten | Op::Identity => inputs(),
            Op::Softmax | Op::Sigmoid => true,
            Op::BatchNorm(_) | Op::LogSoftmax => false,
        };
    }
    never_negative[value.0]
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;
    use crate::graph::{AveragePool, Clamp};

    const UNEVEN: Padding = Padding { top: 0, left: 1, bottom: 2, right: 1 };

    #[test]
    fn convolutions_and_average_pools_take_padding_in() {
        let mut net = GraphBuilder::new(6, 5, 3);
        let input = net.input();
        let once = net.node(Op::Pad(UNEVEN), &[input]);
        let twice = net.pad(once, 1);
        let conv = net.conv(twice, 4, 3, 2, 1);
        // The pool's own padding isn't counted, the folded zeros are.
        let window = Window::square(3, 1).padded(Padding::same(1));
        let pool = AveragePool { window, counted: Padding::NONE, clamp: Clamp::NONE };
        let pooled = net.node(Op::Pad(UNEVEN), &[conv]);
        let pooled = net.node(Op::AveragePool(pool), &[pooled]);
        let graph = net.finish(pooled);
        let mut after = graph.clone();
        fold_pads(&mut after).unwrap();
        assert_eq!(operators(&after), ["Conv", "AveragePool"]);
        assert_same_output(&graph, &after);
    }

    #[test]
    fn a_max_pool_takes_padding_in_behind_a_relu_only() {
        let build = |with_relu: bool| {
            let mut net = GraphBuilder::new(6, 6, 3);
            let mut value = net.input();
            if with_relu {
                value = net.node(Op::Clamp(Clamp::RELU), &[value]);
            }
            let value = net.node(Op::Pad(UNEVEN), &[value]);
            let pooled = net.node(Op::MaxPool(Window::square(3, 2)), &[value]);
            net.finish(pooled)
        };
        let graph = build(true);
        let mut after = graph.clone();
        fold_pads(&mut after).unwrap();
        assert_eq!(operators(&after), ["Clip", "MaxPool"]);
        assert_same_output(&graph, &after);

        let message = fold_pads(&mut build(false)).unwrap_err().to_string();
        assert!(message.contains("'node0' (Pad)") && message.contains("'node1' (MaxPool)"), "{message}");
    }
}
