//! Finds the classifier that is written as a convolution.
//!
//! A convolution whose only position covers its whole input is a fully connected layer. Where it makes the scores it
//! becomes one, so that the logits keep their full width and later steps meet one form only.

use tinception_core::shape::Padding;

use super::edit::{only_consumer, producer_index};
use crate::graph::{Conv, Dense, Graph, Op};

/// Turns the convolution that makes the scores, through flattens and identities only, into a dense layer.
pub fn dense_classifier(graph: &mut Graph) {
    let mut value = graph.output;
    while let Some(index) = producer_index(graph, value) {
        let node = &graph.nodes[index];
        let is_alone = value == graph.output || only_consumer(graph, value).is_some();
        match &node.op {
            Op::Softmax | Op::LogSoftmax | Op::Sigmoid | Op::Flatten | Op::Identity if is_alone => {
                value = node.inputs[0]
            }
            Op::Conv(conv) if is_alone && covers_input(graph, index, conv) => {
                // A filter runs over (ky, kx, channel), the order of the picture's elements.
                let dense = Dense { weights: conv.weights.clone(), bias: conv.bias.clone(), clamp: conv.clamp };
                graph.nodes[index].op = Op::Dense(dense);
                return;
            }
            _ => return,
        }
    }
}

fn covers_input(graph: &Graph, index: usize, conv: &Conv) -> bool {
    let input = graph.shape(graph.nodes[index].inputs[0]);
    let window = &conv.window;
    conv.groups == 1
        && window.padding == Padding::NONE
        && (window.kernel_height, window.kernel_width) == (input.height, input.width)
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;

    fn after_pass(graph: &Graph) -> Graph {
        let mut after = graph.clone();
        dense_classifier(&mut after);
        assert_same_output(graph, &after);
        after
    }

    #[test]
    fn the_last_covering_convolution_becomes_dense() {
        let mut net = GraphBuilder::new(3, 2, 4);
        let input = net.input();
        let conv = net.rectangular_conv(input, 6, (3, 2));
        let conv = net.conv(conv, 5, 1, 1, 0);
        let flat = net.node(Op::Flatten, &[conv]);
        let softmax = net.node(Op::Softmax, &[flat]);
        let after = after_pass(&net.finish(softmax));
        assert_eq!(operators(&after), ["Conv", "Gemm", "Flatten", "Softmax"]);

        let mut net = GraphBuilder::new(3, 2, 4);
        let input = net.input();
        let conv = net.rectangular_conv(input, 6, (3, 2));
        assert_eq!(operators(&after_pass(&net.finish(conv))), ["Gemm"]);
    }

    #[test]
    fn convolutions_that_slide_or_have_groups_stay() {
        let mut net = GraphBuilder::new(3, 3, 4);
        let input = net.input();
        let conv = net.conv(input, 4, 3, 1, 1);
        assert_eq!(operators(&after_pass(&net.finish(conv))), ["Conv"]);

        let mut net = GraphBuilder::new(1, 1, 4);
        let input = net.input();
        let conv = net.grouped_conv(input, 4, 1, 1, 0, 2);
        assert_eq!(operators(&after_pass(&net.finish(conv))), ["Conv"]);
    }
}
