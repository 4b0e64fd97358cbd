//! Joins the heads of a network whose scores are put together by a concatenation at its end.
//!
//! Where each head ends in a sigmoid, one sigmoid over all scores does the same. Where all heads are dense layers over the same
//! input, one dense layer does the same, and its scores keep their full width.

use super::edit::{private_producer, producer_index};
use crate::graph::{Clamp, Dense, Graph, Node, Op, ValueId};

/// Joins sigmoids and dense layers at the network's end.
pub(super) fn join_heads(graph: &mut Graph) {
    join_sigmoids(graph);
    join_dense(graph);
}

/// The concatenation that makes a value, and the nodes that make its parts, if nothing else reads them.
fn heads(graph: &Graph, value: ValueId) -> Option<(usize, Vec<usize>)> {
    let concat = producer_index(graph, value).filter(|index| graph.nodes[*index].op == Op::Concat)?;
    let heads = graph.nodes[concat].inputs.iter().map(|input| private_producer(graph, *input));
    Some((concat, heads.collect::<Option<_>>()?))
}

fn join_sigmoids(graph: &mut Graph) {
    let output = graph.output;
    let Some((concat, heads)) = heads(graph, output) else { return };
    if !heads.iter().all(|head| graph.nodes[*head].op == Op::Sigmoid) {
        return;
    }
    graph.nodes[concat].inputs = heads.iter().map(|head| graph.nodes[*head].inputs[0]).collect();
    let scores = graph.add_value("scores", graph.shape(output));
    graph.nodes[concat].output = scores;
    graph.nodes.push(Node { name: "sigmoid".into(), op: Op::Sigmoid, inputs: vec![scores], output });
    remove(graph, &heads);
}

fn join_dense(graph: &mut Graph) {
    let scores = match graph.producer(graph.output) {
        Some(Node { op: Op::Softmax | Op::LogSoftmax | Op::Sigmoid, inputs, .. }) => inputs[0],
        _ => graph.output,
    };
    let Some((concat, heads)) = heads(graph, scores) else { return };
    let input = graph.nodes[heads[0]].inputs[0];
    let mut joined = Dense { weights: Vec::new(), bias: Vec::new(), clamp: Clamp::NONE };
    for head in &heads {
        match &graph.nodes[*head] {
            Node { op: Op::Dense(Dense { weights, bias, clamp: Clamp::NONE }), inputs, .. } if *inputs == [input] => {
                joined.weights.extend(weights);
                joined.bias.extend(bias);
            }
            _ => return,
        }
    }
    graph.nodes[concat].op = Op::Dense(joined);
    graph.nodes[concat].inputs = vec![input];
    remove(graph, &heads);
}

fn remove(graph: &mut Graph, nodes: &[usize]) {
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        !nodes.contains(&(index - 1))
    });
}
