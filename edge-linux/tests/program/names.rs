//! Names of steps as TensorFlow's exporters make them: short in tables and warnings, whole in JSON.

use std::fs;

use serde_json::Value;
use tinception_models::onnx;

use crate::common::{QUANTIZE, network, prepare, succeeds, tinception};

/// No line of a table or a warning is longer than this with such names: as wide as the columns beside them need.
const WIDEST: usize = 160;

/// A name of 240 characters, of which only one in the middle differs from those of the other layers.
fn name(layer: usize) -> String {
    let (start, end) = ("StatefulPartitionedCall/inception_v1/", "/Conv2D_with_bias/BiasAdd;Relu");
    let half = "mixed/branch_3x3/".repeat(10);
    let name = format!("{start}{half}{layer}{half}{end}");
    name[name.len() - 240..].to_owned()
}

#[test]
fn long_names_are_short_in_tables_and_whole_in_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    prepare(path);
    let mut graph = network();
    for (layer, node) in graph.nodes.iter_mut().enumerate() {
        node.name = name(layer);
    }
    fs::write(path.join("model.onnx"), onnx::encode(&onnx::to_onnx(&graph))).expect("written");

    for (command, steps) in [
        (QUANTIZE.to_owned(), "/steps"),
        ("compare {}/model.onnx {}/model.tin --images {}/calibration".into(), "/layers"),
        ("inspect {}/model.tin".into(), "/steps"),
        ("bench --model {}/model.tin --runs 1".into(), "/steps"),
        ("firmware-report {}/model.tin".into(), "/steps"),
        ("classify {}/calibration/c0_0.png --model {}/model.tin --hash-steps".into(), "/0/steps"),
    ] {
        let output = tinception(path, &command);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let warnings = String::from_utf8(output.stderr).expect("UTF-8");
        let is_named = |line: &&str| line.contains("...");
        let named: Vec<&str> = text.lines().filter(is_named).collect();
        assert!(named.len() >= 3, "{command}: {text}");
        for line in named.iter().filter(|line| !line.starts_with("worst layers")) {
            assert!(line.chars().count() <= WIDEST, "{command}: {line}");
        }
        for layer in 0..3 {
            assert!(!text.contains(&name(layer)) && !warnings.contains(&name(layer)), "{command}: {text}{warnings}");
        }
        // What differs only in the middle is told apart.
        let of_conv = named.iter().filter(|line| line.contains("BiasAdd;Relu") && !line.contains(" ("));
        assert!(of_conv.count() >= 1 && text.contains("BiasAdd;Relu (2)"), "{command}: {text}");

        let document: Value = serde_json::from_str(&succeeds(path, &format!("{command} --json"))).expect("JSON");
        let names: Vec<&str> = document
            .pointer(steps)
            .and_then(Value::as_array)
            .expect("a list")
            .iter()
            .filter_map(|s| s["name"].as_str())
            .collect();
        for layer in 0..3 {
            assert!(names.contains(&name(layer).as_str()), "{command}: {names:?}");
        }
    }
}
