//! What a file's output is, read off its last operators without importing it.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto};

use crate::ending::Ending;

/// What the output has gone through last, whatever moves, picks or casts its elements afterwards; `None` where it holds the classes'
/// numbers instead of their scores.
pub(crate) fn own_ending(proto: &GraphProto, output: &str) -> Option<Ending> {
    let makers: HashMap<&str, &NodeProto> =
        proto.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
    let last = last_operator(&makers, output);
    if let Some(concat) = last.filter(|node| node.op_type == "Concat") {
        let sigmoid = |name: &String| last_operator(&makers, name).map(ending_of) == Some(Some(Ending::Sigmoid));
        let all = concat.input.iter().all(sigmoid);
        return Some(if all { Ending::Sigmoid } else { Ending::Scores });
    }
    last.map_or(Some(Ending::Scores), ending_of)
}

fn ending_of(node: &NodeProto) -> Option<Ending> {
    match node.op_type.as_str() {
        "Softmax" => Some(Ending::Softmax),
        "LogSoftmax" => Some(Ending::LogSoftmax),
        "Sigmoid" | "HardSigmoid" => Some(Ending::Sigmoid),
        "ArgMax" | "ArgMin" => None,
        _ => Some(Ending::Scores),
    }
}

/// The node that computed what a tensor holds.
fn last_operator<'a>(makers: &HashMap<&str, &'a NodeProto>, name: &str) -> Option<&'a NodeProto> {
    let mut node = *makers.get(name)?;
    // A file may go in circles; there are no more steps than nodes.
    for _ in 0..makers.len() {
        let moves = matches!(
            node.op_type.as_str(),
            "Identity"
                | "Cast"
                | "Dropout"
                | "Flatten"
                | "Reshape"
                | "Squeeze"
                | "Unsqueeze"
                | "Transpose"
                | "Gather"
                | "Slice"
        );
        let before = node.input.first().filter(|_| moves).and_then(|input| makers.get(input.as_str()));
        let Some(before) = before else { return Some(node) };
        node = before;
    }
    None
}
