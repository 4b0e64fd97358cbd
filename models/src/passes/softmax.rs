//! Makes the network end in a softmax, so that every model gives logits and probabilities.

use super::PassError;
use super::edit::producer_index;
use crate::graph::{Graph, Node, Op};

/// Appends a softmax where the graph doesn't end in one.
///
/// # Errors
/// [`PassError::NotAClassifier`] where the output is a picture.
pub fn ensure_softmax(graph: &mut Graph) -> Result<(), PassError> {
    let logits = graph.output;
    let shape = graph.shape(logits);
    if shape.pixels() != 1 {
        return Err(PassError::NotAClassifier {
            graph: graph.name.clone(),
            output: graph[logits].name.clone(),
            height: shape.height,
            width: shape.width,
        });
    }
    if producer_index(graph, logits).is_some_and(|index| graph.nodes[index].op == Op::Softmax) {
        return Ok(());
    }
    let output = graph.add_value("probabilities", shape);
    graph.nodes.push(Node { name: "softmax".into(), op: Op::Softmax, inputs: vec![logits], output });
    graph.output = output;
    Ok(())
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, operators, run};
    use super::*;

    #[test]
    fn logits_get_one_softmax() {
        let mut net = GraphBuilder::new(1, 1, 4);
        let input = net.input();
        let dense = net.dense(input, 3);
        let mut graph = net.finish(dense);
        let logits = run(&graph, graph.output);
        ensure_softmax(&mut graph).unwrap();
        ensure_softmax(&mut graph).unwrap();
        assert_eq!(operators(&graph), ["Gemm", "Softmax"]);
        let total: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
        for (probability, logit) in run(&graph, graph.output).iter().zip(&logits) {
            assert!((f64::from(*probability) - f64::from(*logit).exp() / total).abs() < 1e-6);
        }
    }

    #[test]
    fn a_picture_is_no_score() {
        let mut net = GraphBuilder::new(4, 6, 3);
        let input = net.input();
        let conv = net.conv(input, 2, 1, 1, 0);
        let message = ensure_softmax(&mut net.finish(conv)).unwrap_err().to_string();
        assert!(message.contains("'value0' is 4 x 6 pixels"), "{message}");
    }
}
