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
mod tests;
