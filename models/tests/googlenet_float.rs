//! GoogLeNet through the importer, the passes and the float engine, every layer against ONNX Runtime
//! (`golden/googlenet.py`). Needs the model file; says so and passes where it is missing.
#![cfg(feature = "tract")]

use std::path::PathBuf;

use tinception_models::float::FloatEngine;
use tinception_models::graph::{Graph, ValueId};
use tinception_models::onnx::import;
use tinception_models::passes::optimise;

fn model() -> Option<PathBuf> {
    let data = std::env::var_os("TINCEPTION_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let path = data.join("models/googlenet-bvlc.onnx");
    let found = path.exists();
    if !found {
        println!("skipped: no data (set TINCEPTION_DATA)");
    }
    found.then_some(path)
}

/// The picture of `golden/googlenet.py`, NHWC.
fn picture() -> Vec<f32> {
    let at = |index: i32| {
        let (y, x, c) = (index / 672, index / 3 % 224, index % 3);
        ((y * x / 64 + 40 * c) % 256 - 110) as f32
    };
    (0..224 * 224 * 3).map(at).collect()
}

fn run_all(graph: &Graph) -> Vec<Vec<f32>> {
    let ids: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
    let engine = FloatEngine::new(graph, &ids).expect("tract takes the graph");
    engine.run(&picture()).expect("tract runs the graph")
}

/// Mean magnitude and weighted mean of a value, as the script computes them.
fn summary(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let magnitude: f64 = values.iter().map(|&value| f64::from(value).abs()).sum();
    let weighted: f64 =
        values.iter().enumerate().map(|(index, &value)| f64::from(value) * ((index % 7) as f64 - 3.0)).sum();
    (magnitude / count, weighted / count)
}

#[test]
fn every_layer_computes_what_onnx_runtime_computes() {
    let Some(path) = model() else { return };
    let graph = import(path).expect("the model imports");
    // Counted by hand from the layers' sizes in Szegedy et al. 2014, table 1.
    assert_eq!(graph.macs(), 1_582_671_872);
    let golden = include_bytes!("golden/googlenet.bin").as_chunks::<8>().0;
    assert_eq!(graph.nodes.len(), golden.len());
    let values = run_all(&graph);
    for (node, golden) in graph.nodes.iter().zip(golden) {
        let [a, b, c, d, e, f, g, h] = *golden;
        let expected = [f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h])].map(f64::from);
        let (magnitude, weighted) = summary(&values[node.output.0]);
        let tolerance = 1e-4 * expected[0];
        assert!((magnitude - expected[0]).abs() <= tolerance, "{}: {magnitude}, not {}", node.name, expected[0]);
        assert!((weighted - expected[1]).abs() <= tolerance, "{}: {weighted}, not {}", node.name, expected[1]);
    }
}

#[test]
fn the_optimised_graph_and_the_plain_file_agree() {
    let Some(path) = model() else { return };
    let mut graph = import(&path).expect("the model imports");
    optimise(&mut graph).expect("the passes know every operator");
    let count = |name: &str| graph.nodes.iter().filter(|node| node.op.name() == name).count();
    // 57 convolutions with their ReLUs inside, 13 max pools, 9 modules; nothing else is left.
    let counts = ["Conv", "MaxPool", "LRN", "Concat", "AveragePool", "Gemm", "Softmax"].map(count);
    assert_eq!(counts, [57, 13, 2, 9, 1, 1, 1]);
    assert_eq!(graph.nodes.len(), counts.iter().sum::<usize>());
    assert_eq!(graph.values.len(), graph.nodes.len() + 1);

    let optimised = &run_all(&graph)[graph.output.0];
    let plain = FloatEngine::from_onnx(&path).expect("tract takes the file").run(&picture()).expect("it runs");
    assert_eq!(optimised.len(), 1000);
    for (found, expected) in optimised.iter().zip(&plain[0]) {
        assert!((found - expected).abs() <= 1e-5, "{found}, not {expected}");
    }
}
