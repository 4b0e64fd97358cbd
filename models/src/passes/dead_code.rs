//! Removes what the output doesn't depend on.

use crate::graph::{Graph, ValueId};

/// Removes nodes that the output doesn't depend on, and all values that no node is left for. The input stays. Values
/// get new ids; their order stays.
pub fn remove_dead_code(graph: &mut Graph) {
    let mut live = vec![false; graph.values.len()];
    live[graph.output.0] = true;
    for node in graph.nodes.iter().rev() {
        if live[node.output.0] {
            node.inputs.iter().for_each(|input| live[input.0] = true);
        }
    }
    live[graph.input.0] = true;
    graph.nodes.retain(|node| live[node.output.0]);

    let mut next = 0;
    let ids: Vec<ValueId> = live
        .iter()
        .map(|&live| {
            let id = ValueId(next);
            next += usize::from(live);
            id
        })
        .collect();
    let mut index = 0;
    graph.values.retain(|_| {
        index += 1;
        live[index - 1]
    });
    for node in &mut graph.nodes {
        node.output = ids[node.output.0];
        node.inputs.iter_mut().for_each(|input| *input = ids[input.0]);
    }
    graph.input = ids[graph.input.0];
    graph.output = ids[graph.output.0];
}

#[cfg(all(test, feature = "tract"))]
mod tests {
    use super::super::testing::{GraphBuilder, assert_same_output, operators};
    use super::*;
    use crate::graph::{Clamp, Op};

    #[test]
    fn dead_branches_and_their_values_go() {
        let mut net = GraphBuilder::new(3, 3, 2);
        let input = net.input();
        let dead = net.conv(input, 3, 1, 1, 0);
        let conv = net.conv(input, 4, 1, 1, 0);
        net.node(Op::Clamp(Clamp::RELU), &[dead]);
        let graph = net.finish(conv);
        let mut after = graph.clone();
        remove_dead_code(&mut after);
        assert_eq!(operators(&after), ["Conv"]);
        assert_eq!(after.values.len(), 2);
        assert_eq!(after[after.output], graph[graph.output]);
        assert_same_output(&graph, &after);
    }
}
