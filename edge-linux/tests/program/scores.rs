//! Networks whose output is no softmax of several scores: what is said of them, by the float network and by the file made of it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tinception_models::graph::{Node, Op};
use tinception_models::onnx;

use crate::common::{is_refused, prepare, succeeds};

const QUANTIZE: &str = "quantize {}/model.onnx --calibration {}/calibration --order rgb --mean 128,128,128 --std 64,64,64 \
                        --resize shorter:16 --method min-max -o {}/model.tin";
const FLOAT: &str = "--model {}/model.onnx --order rgb --mean 128,128,128 --std 64,64,64 --resize shorter:16";
const INT8: &str = "--model {}/model.tin";
/// The calibration's pictures.
const PICTURES: [&str; 4] = ["c0_0", "c1_1", "c2_2", "c3_3"];

/// Writes the small network with so many scores, `ending` behind them, and its pictures.
fn network(folder: &Path, scores: usize, ending: Option<Op>) {
    if !folder.join("calibration").exists() {
        prepare(folder);
        fs::rename(folder.join("model.onnx"), folder.join("ten.onnx")).expect("renamed");
    }
    let mut graph = onnx::import(folder.join("ten.onnx")).expect("the small network");
    let dense = graph.nodes.iter_mut().find(|node| matches!(node.op, Op::Dense(_))).expect("a dense layer");
    let Op::Dense(layer) = &mut dense.op else { unreachable!("it was found as one") };
    layer.weights.truncate(512 * scores);
    // Smaller than the ten classes' weights, so that no probability is 0 or 1.
    layer.weights.iter_mut().for_each(|weight| *weight /= 8.0);
    layer.bias.truncate(scores);
    graph.output = dense.output;
    graph.values[graph.output.0].shape.channels = scores as u32;
    if let Some(op) = ending {
        let (input, shape) = (graph.output, graph.shape(graph.output));
        graph.output = graph.add_value("ended", shape);
        graph.nodes.push(Node { name: "end".into(), op, inputs: vec![input], output: graph.output });
    }
    fs::write(folder.join("model.onnx"), onnx::encode(&onnx::to_onnx(&graph))).expect("written");
}

/// What `classify --json` says of a picture.
fn classified(folder: &Path, picture: &str, model: &str) -> Value {
    let args = format!("classify {{}}/calibration/{picture}.png {model} --json --top 10");
    let documents: Value = serde_json::from_str(&succeeds(folder, &args)).expect("one document");
    documents[0].clone()
}

/// A key's numbers by class; `None` where they are null.
fn by_class(classified: &Value, key: &str) -> Vec<Option<f64>> {
    let top = classified["top"].as_array().expect("a list");
    let mut numbers = vec![None; top.len()];
    for entry in top {
        numbers[entry["class"].as_u64().expect("a class") as usize] = entry[key].as_f64();
    }
    numbers
}

fn numbers(classified: &Value, key: &str) -> Vec<f64> {
    by_class(classified, key).into_iter().map(|number| number.expect("a number")).collect()
}

fn labels(classified: &Value) -> Vec<String> {
    let mut names: Vec<_> = classified["top"].as_array().expect("a list").iter().collect();
    names.sort_by_key(|entry| entry["class"].as_u64());
    names.into_iter().map(|entry| entry["label"].as_str().expect("a name").to_owned()).collect()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// The float network's scores for each picture, with nothing behind them.
fn scores(folder: &Path, count: usize) -> Vec<Vec<f64>> {
    network(folder, count, None);
    let own = |picture: &&str| {
        let mut logits = numbers(&classified(folder, picture, FLOAT), "logit");
        if count == 1 {
            assert_eq!(logits.remove(0), 0.0);
        }
        logits
    };
    PICTURES.iter().map(own).collect()
}

#[test]
fn one_score_says_no_or_yes() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let scores = scores(folder, 1);
    for ending in [None, Some(Op::Sigmoid)] {
        network(folder, 1, ending.clone());
        let told = succeeds(folder, QUANTIZE);
        assert!(told.contains("sigmoid of the network's one score: no, yes (--labels names them"), "{told}");
        for (picture, scores) in PICTURES.iter().zip(&scores) {
            let yes = sigmoid(scores[0]);
            for (model, tolerance) in [(FLOAT, 1e-5), (INT8, 0.02)] {
                let said = classified(folder, picture, model);
                assert_eq!((labels(&said), &said["classes"]), (vec!["no".into(), "yes".into()], &"exclusive".into()));
                assert_close(&numbers(&said, "probability"), &[1.0 - yes, yes], tolerance);
                // Behind a sigmoid the network has no other number to show.
                match ending {
                    None => assert_close(&numbers(&said, "logit"), &[0.0, scores[0]], 30.0 * tolerance),
                    Some(_) => assert_eq!(by_class(&said, "logit"), [None, None]),
                }
            }
        }
        for (name, picture) in PICTURES.iter().zip(&scores).map(|(picture, scores)| (scores[0] > 0.0, picture)) {
            let to = folder.join("named").join(if name { "yes" } else { "no" });
            fs::create_dir_all(&to).expect("made");
            fs::copy(folder.join(format!("calibration/{picture}.png")), to.join(format!("{picture}.png")))
                .expect("copied");
        }
        for model in [FLOAT, INT8] {
            let args = format!("eval {model} --images {{}}/named --against {{}}/model.onnx --json");
            let measured: Value = serde_json::from_str(&succeeds(folder, &args)).expect("one document");
            assert_eq!(
                (measured["top1"].as_f64(), measured["agreement"].as_f64()),
                (Some(1.0), Some(1.0)),
                "{measured}"
            );
        }
    }
}

#[test]
fn the_classes_of_one_score_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    network(folder, 1, None);
    for (names, expected) in [("cat\n", ["not cat", "cat"]), ("dog\ncat\n", ["dog", "cat"])] {
        fs::write(folder.join("names.txt"), names).expect("written");
        succeeds(folder, &format!("{QUANTIZE} --labels {{}}/names.txt"));
        assert_eq!(labels(&classified(folder, "c0_0", INT8)), expected);
        assert_eq!(labels(&classified(folder, "c0_0", &format!("{FLOAT} --labels {{}}/names.txt"))), expected);
    }
    fs::write(folder.join("names.txt"), "a\nb\nc\n").expect("written");
    is_refused(folder, &format!("{QUANTIZE} --labels {{}}/names.txt"), &["names.txt", "has 3 labels", "2 classes"]);
    let args = format!("classify {{}}/calibration/c0_0.png {FLOAT} --labels {{}}/names.txt");
    is_refused(folder, &args, &["names.txt", "has 3 labels", "2 classes"]);
}

#[test]
fn several_sigmoids_are_shown_as_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let scores = scores(folder, 4);
    network(folder, 4, Some(Op::Sigmoid));
    let told = succeeds(folder, QUANTIZE);
    assert!(told.contains("independent of each other (sigmoid)"), "{told}");
    for (picture, scores) in PICTURES.iter().zip(&scores) {
        let expected: Vec<f64> = scores.iter().copied().map(sigmoid).collect();
        for (model, tolerance) in [(FLOAT, 1e-5), (INT8, 0.02)] {
            let said = classified(folder, picture, model);
            assert_eq!(said["classes"], "independent");
            assert!(said["top"].as_array().expect("a list").iter().all(|entry| entry["independent"] == true), "{said}");
            assert_close(&numbers(&said, "probability"), &expected, tolerance);
            assert_eq!(by_class(&said, "logit"), [None; 4]);
        }
    }
    assert!(succeeds(folder, &format!("classify {{}}/calibration/c0_0.png {INT8}")).contains("each class by itself"));
    assert!(succeeds(folder, "inspect {}/model.tin").contains("independent: each class"));
    assert!(succeeds(folder, "selftest {}/model.tin").contains("4 steps, all equal"));
    let compared = succeeds(folder, "compare {}/model.onnx {}/model.tin --images {}/calibration");
    assert!(compared.contains("sigmoid"), "{compared}");
}

#[test]
#[cfg(feature = "camera")]
fn the_camera_tells_all_independent_classes_above_the_threshold() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let scores = scores(folder, 4);
    network(folder, 4, Some(Op::Sigmoid));
    fs::write(folder.join("names.txt"), "a\nb\nc\nd\n").expect("written");
    succeeds(folder, &format!("{QUANTIZE} --labels {{}}/names.txt"));
    let args = "camera images:{}/calibration --frames 4 --average 1 --threshold 0.4 --hysteresis 0 --json --model {}/model.tin";
    let text = succeeds(folder, args);
    let frames: Vec<Value> = text.lines().take(4).map(|line| serde_json::from_str(line).expect("an object")).collect();
    for (frame, scores) in frames.iter().zip(&scores) {
        // Scores so near the threshold that rounding decides say nothing.
        for (name, score) in
            ["a", "b", "c", "d"].into_iter().zip(scores).filter(|(_, s)| (sigmoid(**s) - 0.4).abs() > 0.03)
        {
            let present = frame["steady"]["present"].as_array().expect("a list").contains(&name.into());
            assert_eq!(present, sigmoid(*score) > 0.4, "{name}: {frame}");
        }
        assert_eq!(frame["top"][0]["independent"], true);
    }
}

#[test]
fn a_log_softmax_is_taken_like_a_softmax() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let scores = scores(folder, 4);
    network(folder, 4, Some(Op::LogSoftmax));
    succeeds(folder, QUANTIZE);
    for (picture, scores) in PICTURES.iter().zip(&scores) {
        let sum: f64 = scores.iter().map(|score| score.exp()).sum();
        let expected: Vec<f64> = scores.iter().map(|score| score.exp() / sum).collect();
        let logarithms: Vec<f64> = expected.iter().map(|probability| probability.ln()).collect();
        for (model, tolerance) in [(FLOAT, 1e-5), (INT8, 0.02)] {
            let said = classified(folder, picture, model);
            assert_eq!(said["classes"], "exclusive");
            assert_close(&numbers(&said, "probability"), &expected, tolerance);
            assert_close(&numbers(&said, "logit"), &logarithms, 10.0 * tolerance);
        }
    }
}

#[test]
fn what_says_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let classify = format!("classify {{}}/calibration/c0_0.png {FLOAT}");
    for ending in [Op::Softmax, Op::LogSoftmax] {
        network(folder, 1, Some(ending));
        is_refused(folder, QUANTIZE, &["single score", "in a sigmoid"]);
        is_refused(folder, &classify, &["single score", "in a sigmoid"]);
    }
    let cut = Op::Clamp(tinception_models::graph::Clamp { min: 0.0, max: 1.0 });
    network(folder, 1, Some(cut));
    is_refused(folder, QUANTIZE, &["single score to 0..1"]);
    is_refused(folder, &classify, &["single score to 0..1"]);
    let argmax = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/golden/onnx/errors/argmax.onnx");
    fs::copy(argmax, folder.join("model.onnx")).expect("copied");
    is_refused(folder, QUANTIZE, &["(ArgMax)", "scores are lost"]);
    is_refused(folder, &classify, &["a class's number instead of scores", "ArgMax"]);
}
