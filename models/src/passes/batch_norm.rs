//! Folds per-channel scales and shifts into neighbouring convolutions and dense layers.
//!
//! Behind a convolution `W x + b`, the scale multiplies each filter and the bias. In front of one without padding,
//! it multiplies each filter's input channels, and the shift adds a constant to the bias; with padding that would be
//! wrong at the border, where the zeros are not shifted. What cannot be folded becomes a depthwise 1x1 convolution.

use tinception_core::shape::{Padding, Window};

use super::edit::{bypass, merge_into_producer, only_consumer, private_producer};
use crate::graph::{Affine, Clamp, Conv, Dense, Graph, Op};

/// Folds every BatchNorm, or turns it into a depthwise convolution.
pub fn fold_batch_norms(graph: &mut Graph) {
    let mut index = 0;
    while let Some(node) = graph.nodes.get(index) {
        if let Op::BatchNorm(affine) = &node.op {
            let affine = affine.clone();
            if fold_backward(graph, index, &affine) {
                merge_into_producer(graph, index);
                continue;
            }
            if fold_forward(graph, index, &affine) {
                bypass(graph, |_, at| at == index);
                continue;
            }
            graph.nodes[index].op = Op::Conv(depthwise(affine));
        }
        index += 1;
    }
}

fn fold_backward(graph: &mut Graph, index: usize, affine: &Affine) -> bool {
    let Some(before) = private_producer(graph, graph.nodes[index].inputs[0]) else {
        return false;
    };
    match &mut graph.nodes[before].op {
        Op::Conv(Conv { weights, bias, clamp: Clamp::NONE, .. })
        | Op::Dense(Dense { weights, bias, clamp: Clamp::NONE }) => {
            let row = (weights.len() / bias.len().max(1)).max(1);
            for (row, scale) in weights.chunks_exact_mut(row).zip(&affine.scale) {
                row.iter_mut().for_each(|weight| *weight *= scale);
            }
            for ((bias, scale), shift) in bias.iter_mut().zip(&affine.scale).zip(&affine.shift) {
                *bias = (f64::from(*bias) * f64::from(*scale) + f64::from(*shift)) as f32;
            }
            true
        }
        Op::BatchNorm(first) => {
            *first = first.then(affine);
            true
        }
        _ => false,
    }
}

fn fold_forward(graph: &mut Graph, index: usize, affine: &Affine) -> bool {
    let Some(behind) = only_consumer(graph, graph.nodes[index].output) else {
        return false;
    };
    match &mut graph.nodes[behind].op {
        Op::BatchNorm(second) => {
            *second = affine.then(second);
            true
        }
        Op::Conv(conv) if conv.window.padding == Padding::NONE => {
            let outputs_per_group = (conv.bias.len() / conv.groups.max(1)).max(1);
            let depth = affine.scale.len() / conv.groups.max(1);
            let filter = (conv.weights.len() / conv.bias.len().max(1)).max(1);
            for (output, row) in conv.weights.chunks_exact_mut(filter).enumerate() {
                let first = output / outputs_per_group * depth;
                fold_into_row(row, &mut conv.bias[output], affine, first, depth);
            }
            true
        }
        Op::Dense(dense) => {
            // A row runs over a whole picture where the layer reads one.
            let inputs = (dense.weights.len() / dense.bias.len().max(1)).max(1);
            for (row, bias) in dense.weights.chunks_exact_mut(inputs).zip(&mut dense.bias) {
                fold_into_row(row, bias, affine, 0, affine.scale.len());
            }
            true
        }
        _ => false,
    }
}

/// Scales one filter, whose innermost axis is `depth` channels starting at `first`, and moves the shifts to its bias.
fn fold_into_row(row: &mut [f32], bias: &mut f32, affine: &Affine, first: usize, depth: usize) {
    let mut total = f64::from(*bias);
    for (at, weight) in row.iter_mut().enumerate() {
        let channel = first + at % depth.max(1);
        total += f64::from(*weight) * f64::from(affine.shift[channel]);
        *weight *= affine.scale[channel];
    }
    *bias = total as f32;
}

fn depthwise(affine: Affine) -> Conv {
    Conv {
        window: Window::square(1, 1),
        groups: affine.scale.len(),
        weights: affine.scale,
        bias: affine.shift,
        clamp: Clamp::NONE,
    }
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;

    fn folded(graph: &Graph) -> Graph {
        let mut after = graph.clone();
        fold_batch_norms(&mut after);
        assert_same_output(graph, &after);
        after
    }

    #[test]
    fn it_folds_into_the_layer_in_front() {
        let mut net = GraphBuilder::new(5, 5, 4);
        let input = net.input();
        let conv = net.grouped_conv(input, 6, 3, 1, 1, 2);
        let normal = net.batch_norm(conv);
        let again = net.batch_norm(normal);
        let dense = net.dense(again, 3);
        let normal = net.batch_norm(dense);
        assert_eq!(operators(&folded(&net.finish(normal))), ["Conv", "Gemm"]);
    }

    #[test]
    fn it_folds_into_the_layer_behind_where_nothing_is_padded() {
        let mut net = GraphBuilder::new(5, 5, 4);
        let input = net.input();
        let normal = net.batch_norm(input);
        let conv = net.grouped_conv(normal, 6, 3, 1, 0, 2);
        let relu = net.node(Op::Clamp(Clamp::RELU), &[conv]);
        let flat = net.node(Op::Flatten, &[relu]);
        let normal = net.batch_norm(flat);
        let dense = net.dense(normal, 3);
        assert_eq!(operators(&folded(&net.finish(dense))), ["Conv", "Clip", "Flatten", "Gemm"]);
    }

    #[test]
    fn elsewhere_it_becomes_a_depthwise_convolution() {
        let mut net = GraphBuilder::new(5, 5, 4);
        let input = net.input();
        let normal = net.batch_norm(input);
        let conv = net.conv(normal, 4, 3, 1, 1);
        let sum = net.node(Op::Add(Clamp::NONE), &[normal, conv]);
        let graph = net.finish(sum);
        let after = folded(&graph);
        assert_eq!(operators(&after), ["Conv", "Conv", "Add"]);
        assert!(matches!(&after.nodes[0].op, Op::Conv(conv) if conv.groups == 4 && conv.window.area() == 1));
    }

    #[test]
    fn a_layer_with_another_reader_is_left_alone() {
        let mut net = GraphBuilder::new(5, 5, 4);
        let input = net.input();
        let conv = net.conv(input, 4, 1, 1, 0);
        let normal = net.batch_norm(conv);
        let sum = net.node(Op::Add(Clamp::NONE), &[conv, normal]);
        assert_eq!(operators(&folded(&net.finish(sum))), ["Conv", "Conv", "Add"]);
    }
}
