//! What each ending becomes, against the textbook's formulas.

use tinception_core::shape::{Padding, Window};

use super::*;
use crate::graph::{Affine, AveragePool};
use crate::passes::simplify;
use crate::passes::testing::{GraphBuilder, assert_same_output, operators, run};

fn softmax(logits: &[f32]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
    logits.iter().map(|logit| f64::from(*logit).exp() / total).collect()
}

fn sigmoid(score: f32) -> f64 {
    1.0 / (1.0 + f64::from(-score).exp())
}

fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

fn ended(graph: &Graph) -> Graph {
    let mut after = graph.clone();
    simplify(&mut after).unwrap();
    end_in_probabilities(&mut after).unwrap();
    let once = after.clone();
    end_in_probabilities(&mut after).unwrap();
    assert_eq!(after, once, "a second time changes nothing");
    after
}

fn refused(graph: &Graph) -> String {
    let mut after = graph.clone();
    simplify(&mut after).unwrap();
    end_in_probabilities(&mut after).unwrap_err().to_string()
}

/// A network of some scores, and the same one with `op` behind it.
fn network(outputs: usize, op: Option<Op>) -> (Graph, Graph) {
    let with = |op: Option<Op>| {
        let mut net = GraphBuilder::new(1, 1, 4);
        let input = net.input();
        let mut output = net.dense(input, outputs);
        if let Some(op) = op {
            output = net.node(op, &[output]);
        }
        net.finish(output)
    };
    (with(None), with(op))
}

/// The two classes of a network of one score, as they must be.
fn assert_two_classes(scores: &Graph, after: &Graph) {
    let score = run(scores, scores.output)[0];
    assert_close(&run(after, after.output), &[1.0 - sigmoid(score), sigmoid(score)]);
    assert!(after.own_output.is_some_and(|own| own.one_score));
}

#[test]
fn several_scores_end_in_one_softmax() {
    let own = |ending| Some(OwnOutput { ending, one_score: false });
    for (op, ending) in [
        (None, Ending::Scores),
        (Some(Op::Softmax), Ending::Softmax),
        (Some(Op::LogSoftmax), Ending::LogSoftmax),
        (Some(Op::Identity), Ending::Scores),
    ] {
        let (scores, graph) = network(3, op);
        let after = ended(&graph);
        assert_eq!(operators(&after), ["Gemm", "Softmax"]);
        assert_eq!(after.own_output, own(ending));
        assert_close(&run(&after, after.output), &softmax(&run(&scores, scores.output)));
    }
}

#[test]
fn several_sigmoids_stay() {
    let (scores, graph) = network(3, Some(Op::Sigmoid));
    let after = ended(&graph);
    assert_eq!(operators(&after), ["Gemm", "Sigmoid"]);
    let expected: Vec<f64> = run(&scores, scores.output).into_iter().map(sigmoid).collect();
    assert_close(&run(&after, after.output), &expected);
    assert_eq!(after.own_output, Some(OwnOutput { ending: Ending::Sigmoid, one_score: false }));
}

#[test]
fn one_score_becomes_two_classes_with_or_without_its_sigmoid() {
    for (op, ending) in [(None, Ending::Scores), (Some(Op::Sigmoid), Ending::Sigmoid)] {
        let (scores, graph) = network(1, op);
        let after = ended(&graph);
        assert_eq!(operators(&after), ["Gemm", "Softmax"]);
        assert_two_classes(&scores, &after);
        assert_eq!(after.own_output, Some(OwnOutput { ending, one_score: true }));
    }
}

#[test]
fn a_zero_goes_the_way_of_the_one_score() {
    // A convolution of one channel, an activation, pools: each gets a channel of zeros, and nothing is put behind them.
    let mut net = GraphBuilder::new(6, 6, 3);
    let input = net.input();
    let conv = net.conv(input, 1, 3, 1, 1);
    let clamped = net.node(Op::Clamp(Clamp { min: -2.0, max: 6.0 }), &[conv]);
    let pooled = net.node(Op::MaxPool(Window::square(3, 2).padded(Padding::same(1))), &[clamped]);
    let pool = AveragePool { window: Window::global(3, 3), counted: Padding::NONE, clamp: Clamp::NONE };
    let output = net.node(Op::AveragePool(pool), &[pooled]);
    let graph = net.finish(output);
    let after = ended(&graph);
    assert_eq!(operators(&after), ["Conv", "MaxPool", "AveragePool", "Softmax"]);
    assert_two_classes(&graph, &after);
    assert!(after.nodes.iter().all(|node| after.shape(node.output).channels == 2));
}

#[test]
fn a_score_that_no_zero_fits_beside_gets_a_layer_of_its_own() {
    // A clamp without 0; a sum; a convolution whose other reader must not change.
    let mut graphs = Vec::new();
    let mut net = GraphBuilder::new(1, 1, 4);
    let input = net.input();
    let score = net.dense(input, 1);
    let clamped = net.node(Op::Clamp(Clamp { min: 0.5, max: 3.0 }), &[score]);
    graphs.push((net.finish(clamped), vec!["Gemm", "Gemm", "Softmax"]));
    let mut net = GraphBuilder::new(1, 1, 4);
    let input = net.input();
    let (first, second) = (net.dense(input, 1), net.dense(input, 1));
    let sum = net.node(Op::Add(Clamp::NONE), &[first, second]);
    graphs.push((net.finish(sum), vec!["Gemm", "Gemm", "Add", "Gemm", "Softmax"]));
    let mut net = GraphBuilder::new(4, 4, 1);
    let input = net.input();
    let depthwise = net.conv(input, 1, 3, 1, 1);
    let pool = AveragePool { window: Window::global(4, 4), counted: Padding::NONE, clamp: Clamp::NONE };
    let pooled = net.node(Op::AveragePool(pool), &[depthwise]);
    let dense = net.dense(depthwise, 1);
    let sum = net.node(Op::Add(Clamp::NONE), &[pooled, dense]);
    graphs.push((net.finish(sum), vec!["Conv", "AveragePool", "Gemm", "Add", "Gemm", "Softmax"]));
    for (graph, expected) in graphs {
        let after = ended(&graph);
        assert_eq!(operators(&after), expected);
        assert_two_classes(&graph, &after);
    }
}

#[test]
fn a_scaled_and_shifted_score_is_one_layer() {
    let mut net = GraphBuilder::new(1, 1, 4);
    let input = net.input();
    let score = net.dense(input, 1);
    let scaled = net.node(Op::BatchNorm(Affine { scale: vec![-3.0], shift: vec![0.25] }), &[score]);
    let sigmoid = net.node(Op::Sigmoid, &[scaled]);
    let mut scores = net.finish(sigmoid);
    let graph = scores.clone();
    scores.output = scaled;
    let after = ended(&graph);
    assert_eq!(operators(&after), ["Gemm", "Softmax"]);
    assert_two_classes(&scores, &after);
}

#[test]
fn heads_that_are_joined_become_one() {
    let heads = |sigmoids: bool| {
        let mut net = GraphBuilder::new(2, 2, 4);
        let input = net.input();
        let heads: Vec<_> = [1, 2, 1].into_iter().map(|outputs| net.dense(input, outputs)).collect();
        let heads: Vec<_> =
            heads.into_iter().map(|head| if sigmoids { net.node(Op::Sigmoid, &[head]) } else { head }).collect();
        let joined = net.node(Op::Concat, &heads);
        net.finish(joined)
    };
    let after = ended(&heads(true));
    assert_eq!(operators(&after), ["Gemm", "Sigmoid"]);
    assert_same_output(&heads(true), &after);
    let (scores, after) = (heads(false), ended(&heads(false)));
    assert_eq!(operators(&after), ["Gemm", "Softmax"]);
    assert_close(&run(&after, after.output), &softmax(&run(&scores, scores.output)));
}

#[test]
fn what_says_nothing_or_means_nothing_is_refused() {
    for op in [Op::Softmax, Op::LogSoftmax] {
        let message = refused(&network(1, Some(op)).1);
        assert!(message.contains("single score") && message.contains("in a sigmoid"), "{message}");
    }
    let message = refused(&network(1, Some(Op::Clamp(PROBABILITY))).1);
    assert!(message.contains("cuts the network's single score to 0..1"), "{message}");
    for inner in [Op::Softmax, Op::LogSoftmax, Op::Sigmoid] {
        let mut net = GraphBuilder::new(1, 1, 4);
        let input = net.input();
        let scores = net.dense(input, 3);
        let inside = net.node(inner, &[scores]);
        let behind = net.dense(inside, 3);
        let message = refused(&net.finish(behind));
        assert!(message.contains("'node1'") && message.contains("inside the network"), "{message}");
    }
}

#[test]
fn a_picture_is_no_score() {
    for op in [Op::Identity, Op::Sigmoid] {
        let mut net = GraphBuilder::new(4, 6, 3);
        let input = net.input();
        let conv = net.conv(input, 2, 1, 1, 0);
        let end = net.node(op, &[conv]);
        let message = refused(&net.finish(end));
        assert!(message.contains("is 4 x 6 pixels"), "{message}");
    }
}
