//! Makes the network end in probabilities over logits, so that every model gives both.
//!
//! | the network ends in | its probabilities are |
//! | --- | --- |
//! | several scores, a softmax or a log-softmax | a softmax of them: one class of all is true |
//! | a sigmoid over several scores | a sigmoid of each: every class is true or not by itself |
//! | one score, or a sigmoid over one | a softmax of 0 and the score, which is the sigmoid: two classes, "no" and "yes" |
//!
//! What the network's own output was stays known as the graph's [`OwnOutput`].

use super::PassError;
use super::edit::{only_consumer, producer_index};
use super::heads::join_heads;
use crate::ending::{Ending, OwnOutput};
use crate::graph::{Clamp, Conv, Dense, Graph, Node, Op, ValueId};

/// The clamp that says a score is a probability already.
const PROBABILITY: Clamp = Clamp { min: 0.0, max: 1.0 };

/// Lets the graph end in a softmax or, for independent classes, in a sigmoid. A graph that has gone through it stays as it is.
///
/// # Errors
/// [`PassError::NotAClassifier`] where the output is a picture, [`PassError::Left`] where what the output means can't be told.
pub fn end_in_probabilities(graph: &mut Graph) -> Result<(), PassError> {
    if graph.own_output.is_some() {
        return Ok(());
    }
    let shape = graph.shape(graph.output);
    if shape.pixels() != 1 {
        return Err(PassError::NotAClassifier {
            graph: graph.name.clone(),
            output: graph[graph.output].name.clone(),
            height: shape.height,
            width: shape.width,
        });
    }
    join_heads(graph);
    let (ending, last) = ending(graph);
    if let Some(node) = graph.nodes.iter().find(|node| is_ending(&node.op) && node.output != graph.output) {
        return Err(PassError::left(
            graph,
            node,
            "it stands inside the network",
            "it is known only as the network's last operator: leave out what comes behind it, or replace it",
        ));
    }
    let one_score = shape.channels == 1;
    match (ending, last) {
        (Ending::Softmax | Ending::LogSoftmax, Some(last)) if one_score => {
            return Err(PassError::left(
                graph,
                &graph.nodes[last],
                "its input is a single score, of which it always makes the same number",
                "let the network end in that score itself or in a sigmoid, for two classes, or in two scores",
            ));
        }
        (Ending::Scores, _) if one_score => end_in_two_classes(graph, None)?,
        (Ending::Sigmoid, _) if one_score => end_in_two_classes(graph, last)?,
        (Ending::Scores, _) => append_softmax(graph, "softmax"),
        (Ending::LogSoftmax, Some(last)) => {
            graph.nodes[last].op = Op::Softmax;
            graph.values[graph.output.0].name = "probabilities".into();
        }
        _ => {}
    }
    graph.own_output = Some(OwnOutput { ending, one_score });
    Ok(())
}

fn is_ending(op: &Op) -> bool {
    matches!(op, Op::Softmax | Op::LogSoftmax | Op::Sigmoid)
}

/// What the graph ends in, and the node that makes it so.
fn ending(graph: &Graph) -> (Ending, Option<usize>) {
    let last = producer_index(graph, graph.output);
    let ending = match last.map(|last| &graph.nodes[last].op) {
        Some(Op::Softmax) => Ending::Softmax,
        Some(Op::LogSoftmax) => Ending::LogSoftmax,
        Some(Op::Sigmoid) => Ending::Sigmoid,
        _ => Ending::Scores,
    };
    (ending, last)
}

fn append_softmax(graph: &mut Graph, name: &str) {
    let logits = graph.output;
    let output = graph.add_value("probabilities", graph.shape(logits));
    graph.nodes.push(Node { name: name.into(), op: Op::Softmax, inputs: vec![logits], output });
    graph.output = output;
}

/// Ends a network of one score in a softmax of 0 and the score. The sigmoid behind the score, if there is one, goes.
fn end_in_two_classes(graph: &mut Graph, sigmoid: Option<usize>) -> Result<(), PassError> {
    let mut name = "softmax".to_owned();
    if let Some(sigmoid) = sigmoid {
        let node = graph.nodes.remove(sigmoid);
        graph.output = node.inputs[0];
        name = node.name;
    } else if let Some(last) = producer_index(graph, graph.output).map(|last| &graph.nodes[last])
        && clamp_of(&last.op) == Some(PROBABILITY)
    {
        return Err(PassError::left(
            graph,
            last,
            "it cuts the network's single score to 0..1, as if it were a probability",
            "let the network end in the score in front of that, or in a sigmoid",
        ));
    }
    if !put_zero_beside(graph, graph.output) {
        let score = graph.output;
        let dense = Dense { weights: vec![0.0, 1.0], bias: vec![0.0; 2], clamp: Clamp::NONE };
        let shape = tinception_core::shape::Shape { channels: 2, ..graph.shape(score) };
        let output = graph.add_value("two classes", shape);
        graph.nodes.push(Node { name: "two classes".into(), op: Op::Dense(dense), inputs: vec![score], output });
        graph.output = output;
    }
    append_softmax(graph, &name);
    Ok(())
}

fn clamp_of(op: &Op) -> Option<Clamp> {
    match op {
        Op::Conv(Conv { clamp, .. }) | Op::Dense(Dense { clamp, .. }) | Op::Add(clamp) | Op::Clamp(clamp) => {
            Some(*clamp)
        }
        Op::AveragePool(pool) => Some(pool.clamp),
        _ => None,
    }
}

/// Gives the layer that makes a value of one channel a channel in front of it that is always 0, and so the pools and activations
/// between the two. `false` where an operator on the way has no such form; the graph is then as before.
///
/// The scores so come from the layer itself, with all their bits, instead of from one more layer over them.
fn put_zero_beside(graph: &mut Graph, value: ValueId) -> bool {
    let Some(index) = producer_index(graph, value) else { return false };
    let node = &graph.nodes[index];
    let keeps_zero = clamp_of(&node.op).is_none_or(|clamp| clamp.min <= 0.0 && clamp.max >= 0.0);
    let input = node.inputs[0];
    let widened = keeps_zero
        && match &mut graph.nodes[index].op {
            Op::Dense(Dense { weights, bias, .. }) => put_zero_row(weights, bias),
            Op::Conv(Conv { weights, bias, groups: 1, .. }) => put_zero_row(weights, bias),
            Op::MaxPool(_) | Op::AveragePool(_) | Op::Clamp(_) => {
                only_consumer(graph, input).is_some() && put_zero_beside(graph, input)
            }
            _ => false,
        };
    if widened {
        graph.values[value.0].shape.channels = 2;
    }
    widened
}

fn put_zero_row(weights: &mut Vec<f32>, bias: &mut Vec<f32>) -> bool {
    weights.splice(0..0, vec![0.0; weights.len()]);
    bias.insert(0, 0.0);
    true
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use tinception_core::shape::{Padding, Window};

    use super::super::simplify;
    use super::super::testing::{GraphBuilder, assert_same_output, operators, run};
    use super::*;
    use crate::graph::{Affine, AveragePool};

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
}
