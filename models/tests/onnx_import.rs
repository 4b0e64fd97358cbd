//! The importer against ONNX Runtime: small files, one for each operator and form that matters, with what ONNX Runtime
//! computed from them. `golden/onnx/make.py` made them.
#![cfg(feature = "tract")]

use std::path::PathBuf;

use tinception_models::ending::{Ending, OwnOutput};
use tinception_models::float::FloatEngine;
use tinception_models::graph::{Graph, ValueId};
use tinception_models::onnx::{encode, import, import_bytes, to_onnx};
use tinception_models::passes::{end_in_probabilities, optimise, simplify};

/// Each case with the operators that [`simplify`] leaves.
const CASES: &[(&str, &[&str])] = &[
    ("add_relu", &["Conv", "Conv", "Add"]),
    ("average_ceil_0", &["AveragePool"]),
    ("average_ceil_1", &["AveragePool"]),
    ("average_pads_0", &["AveragePool"]),
    ("average_pads_1", &["AveragePool"]),
    ("average_same", &["AveragePool"]),
    ("batchnorm_conv", &["Conv"]),
    ("batchnorm_flattened", &["Gemm"]),
    ("batchnorm_picture", &["Conv"]),
    ("batchnorm_sum", &["Conv", "Conv", "Add", "Conv"]),
    ("batchnorm_vector", &["Gemm"]),
    ("channel_constants", &["Conv"]),
    ("clip_attributes", &["Conv"]),
    ("clip_inputs", &["Conv"]),
    ("clip_max_only", &["Conv"]),
    ("clip_twice", &["Conv"]),
    ("concat", &["Conv", "MaxPool", "Concat"]),
    ("concat_vectors", &["MaxPool", "AveragePool", "Concat"]),
    ("constants", &["Conv"]),
    ("conv_asymmetric", &["Conv"]),
    ("conv_classifier", &["AveragePool", "Gemm", "Softmax"]),
    ("conv_depthwise", &["Conv"]),
    ("conv_dynamic_batch", &["Conv"]),
    ("conv_groups", &["Conv"]),
    ("conv_half_weights", &["Conv"]),
    ("conv_plain", &["Conv"]),
    ("conv_same_lower", &["Conv"]),
    ("conv_same_upper", &["Conv"]),
    ("conv_typed_data", &["Conv"]),
    ("conv_valid", &["Conv"]),
    ("dead_branch", &["Conv"]),
    ("end_logsoftmax_12", &["AveragePool", "Gemm", "LogSoftmax"]),
    ("end_logsoftmax_13", &["AveragePool", "Gemm", "LogSoftmax"]),
    ("end_logsoftmax_picture", &["AveragePool", "LogSoftmax"]),
    ("end_one", &["AveragePool", "Gemm"]),
    ("end_one_clip", &["AveragePool", "Gemm"]),
    ("end_one_gather", &["AveragePool", "Gemm"]),
    ("end_one_matmul", &["AveragePool", "Gemm", "Sigmoid"]),
    ("end_one_pool", &["Conv", "AveragePool"]),
    ("end_one_reshape", &["AveragePool", "Gemm", "Sigmoid"]),
    ("end_one_scaled", &["AveragePool", "Gemm", "Sigmoid"]),
    ("end_one_sigmoid", &["AveragePool", "Gemm", "Sigmoid"]),
    ("end_one_squeeze", &["AveragePool", "Gemm"]),
    ("end_scores_heads", &["AveragePool", "Gemm", "Gemm", "Concat"]),
    ("end_sigmoid", &["AveragePool", "Gemm", "Sigmoid"]),
    ("end_sigmoid_cast", &["AveragePool", "Gemm", "Sigmoid"]),
    ("end_sigmoid_heads", &["AveragePool", "Gemm", "Gemm", "Sigmoid", "Sigmoid", "Concat"]),
    ("end_sigmoid_squeeze", &["AveragePool", "Sigmoid"]),
    ("gemm_column", &["Gemm"]),
    ("gemm_folded_weights", &["Gemm"]),
    ("gemm_no_bias", &["MaxPool", "Gemm", "Gemm"]),
    ("gemm_plain", &["Gemm"]),
    ("gemm_transposed", &["Gemm"]),
    ("global_average", &["AveragePool"]),
    ("global_max", &["MaxPool"]),
    ("lrn_odd", &["LRN"]),
    ("matmul_bias", &["Gemm"]),
    ("maxpool_ceil", &["MaxPool"]),
    ("maxpool_ceil_padded", &["MaxPool"]),
    ("maxpool_pads", &["MaxPool"]),
    ("maxpool_same", &["MaxPool"]),
    ("pad_attribute", &["Conv"]),
    ("pad_average", &["AveragePool"]),
    ("pad_input", &["Conv"]),
    ("pad_max", &["Clip", "MaxPool"]),
    ("picture_channels_gather", &["Conv"]),
    ("picture_channels_slice", &["Conv"]),
    ("picture_scaled", &["Conv"]),
    ("reduce_drop", &["AveragePool"]),
    ("reduce_input", &["AveragePool"]),
    ("reduce_keep", &["AveragePool"]),
    ("relu_flat", &["Clip", "Gemm"]),
    ("reshape_dynamic", &["Gemm"]),
    ("reshape_rest", &["Gemm"]),
    ("reshape_zero", &["Gemm"]),
    ("softmax_12", &["Gemm", "Softmax"]),
    ("softmax_13", &["Gemm", "Softmax"]),
    ("softmax_picture", &["AveragePool", "Softmax"]),
    ("squeeze_attribute", &["AveragePool", "Gemm"]),
    ("squeeze_input", &["AveragePool", "Gemm"]),
    ("sum", &["Conv", "Conv", "Add", "Add"]),
    ("transpose_flatten", &["Gemm"]),
    ("transpose_output", &["Conv"]),
    ("transpose_picture", &["Conv", "AveragePool", "Gemm"]),
    ("unchanged", &["Conv"]),
    ("unsqueeze", &["AveragePool", "Gemm"]),
    ("weights_as_inputs", &["MaxPool", "Gemm"]),
];

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(file)
}

fn import_case(name: &str) -> Graph {
    import(golden(&format!("{name}.onnx"))).unwrap_or_else(|error| panic!("{error}"))
}

/// The picture and the expected output of a case.
fn numbers(name: &str, graph: &Graph) -> (Vec<f32>, Vec<f32>) {
    let bytes = std::fs::read(golden(&format!("{name}.bin"))).expect("the golden data is there");
    let (chunks, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    let mut picture: Vec<f32> = chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
    let expected = picture.split_off(graph.shape(graph.input).elements() as usize);
    (picture, expected)
}

fn run(graph: &Graph, value: ValueId, picture: &[f32]) -> Vec<f32> {
    let engine = FloatEngine::new(graph, &[value]).unwrap_or_else(|error| panic!("{error}"));
    engine.run(picture).expect("tract runs the graph").swap_remove(0)
}

#[track_caller]
fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(1e-3_f32, |largest, value| largest.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 1e-4 * largest, "{name}: element {index}: {found}, not {expected}");
    }
}

#[test]
fn every_case_is_listed() {
    let mut files: Vec<String> = std::fs::read_dir(golden(""))
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "onnx"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    files.sort();
    let listed: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, listed);
}

#[test]
fn imported_graphs_compute_what_onnx_runtime_computes() {
    for (name, _) in CASES {
        let graph = import_case(name);
        let (picture, expected) = numbers(name, &graph);
        assert_close(name, &run(&graph, graph.output, &picture), &expected);
    }
}

#[test]
fn simplified_graphs_compute_the_same_with_fewer_operators() {
    for (name, operators) in CASES {
        let mut graph = import_case(name);
        let (picture, expected) = numbers(name, &graph);
        simplify(&mut graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found: Vec<&str> = graph.nodes.iter().map(|node| node.op.name()).collect();
        assert_eq!(found, *operators, "{name}");
        assert_close(name, &run(&graph, graph.output, &picture), &expected);
    }
}

#[test]
fn exported_graphs_import_to_the_same_numbers() {
    for (name, _) in CASES {
        let graph = import_case(name);
        let (picture, expected) = numbers(name, &graph);
        let again = import_bytes(&encode(&to_onnx(&graph)), name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.shape(again.input), graph.shape(graph.input), "{name}");
        assert_eq!(again.shape(again.output), graph.shape(graph.output), "{name}");
        assert_close(name, &run(&again, again.output, &picture), &expected);
    }
}

/// What ONNX Runtime computed as probabilities, by the textbook's formulas.
fn probabilities(own: OwnOutput, values: &[f32]) -> Vec<f32> {
    let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let sigmoid = |value: f64| 1.0 / (1.0 + (-value).exp());
    let all = match (own.ending, values.as_slice()) {
        (Ending::Sigmoid, [yes]) => vec![1.0 - yes, *yes],
        (Ending::Scores, [score]) => vec![1.0 - sigmoid(*score), sigmoid(*score)],
        (Ending::Softmax | Ending::Sigmoid, values) => values.to_vec(),
        (Ending::LogSoftmax, values) => values.iter().map(|value| value.exp()).collect(),
        (Ending::Scores, values) => {
            let sum: f64 = values.iter().map(|value| value.exp()).sum();
            values.iter().map(|value| value.exp() / sum).collect()
        }
    };
    all.into_iter().map(|probability| probability as f32).collect()
}

#[test]
fn all_endings_become_the_probabilities_they_stand_for() {
    let mut cases = 0;
    for (name, _) in CASES.iter().filter(|(name, _)| name.starts_with("end_") || name.starts_with("softmax_")) {
        let mut graph = import_case(name);
        let (picture, values) = numbers(name, &graph);
        optimise(&mut graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        let own = graph.own_output.expect("the pass leaves it");
        assert_eq!(own.one_score, values.len() == 1, "{name}");
        assert_close(name, &run(&graph, graph.output, &picture), &probabilities(own, &values));
        // What is read off the file, without importing it, is the same.
        let engine = FloatEngine::from_onnx(golden(&format!("{name}.onnx"))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(engine.own_ending(), Some(own.ending), "{name}");
        assert_eq!(engine.output_len(), Some(values.len()), "{name}");
        cases += 1;
    }
    assert!(cases > 15);
}

#[test]
fn a_class_number_is_no_score() {
    let engine = FloatEngine::from_onnx(golden("errors/argmax.onnx")).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(engine.own_ending(), None);
}

#[test]
fn files_run_as_they_are() {
    // Results that are pictures come in the file's own order; the golden data is NHWC.
    for (name, _) in CASES {
        let graph = import_case(name);
        if graph.shape(graph.output).pixels() != 1 {
            continue;
        }
        let (picture, expected) = numbers(name, &graph);
        let engine = FloatEngine::from_onnx(golden(&format!("{name}.onnx"))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(engine.input_shape(), graph.shape(graph.input), "{name}");
        assert_close(name, &engine.run(&picture).expect("tract runs the file")[0], &expected);
    }
}

#[test]
fn a_softmax_is_added_once() {
    for (name, nodes) in [("gemm_plain", 2), ("softmax_13", 2), ("conv_classifier", 3)] {
        let mut graph = import_case(name);
        simplify(&mut graph).expect("the passes know every operator");
        end_in_probabilities(&mut graph).expect("it is a classifier");
        assert_eq!(graph.nodes.len(), nodes, "{name}");
        assert_eq!(graph.nodes.last().map(|node| node.op.name()), Some("Softmax"), "{name}");
    }
}

#[test]
fn scales_on_the_picture_become_the_input_affine() {
    // (x - mean) / std * 2, from the constants in make.py: the factors are 2 / std.
    let graph = import_case("picture_scaled");
    for (scale, deviation) in graph.input_affine.scale.iter().zip([0.2, 0.3, 0.4]) {
        assert!((scale - 2.0 / deviation).abs() < 1e-5);
    }
    let graph = import_case("picture_channels_gather");
    assert_eq!(graph.input_affine.scale, [0.5, 1.5, 2.5]);
    assert_eq!(graph.input_affine.shift, [-0.25, 0.75, 1.75]);
    assert_eq!(graph.nodes.len(), 1);
}

#[test]
fn the_picture_itself_can_be_an_output() {
    let graph = import_case("picture_channels_gather");
    let (picture, _) = numbers("picture_channels_gather", &graph);
    let expected: Vec<f32> = (0..picture.len())
        .map(|index| picture[index] * [0.5, 1.5, 2.5][index % 3] + [-0.25, 0.75, 1.75][index % 3])
        .collect();
    assert_close("picture", &run(&graph, graph.input, &picture), &expected);
}

#[test]
fn an_engine_can_be_shared_between_threads() {
    let graph = import_case("conv_classifier");
    let (picture, expected) = numbers("conv_classifier", &graph);
    let engine = FloatEngine::new(&graph, &[graph.output]).expect("tract takes the graph");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_close("thread", &engine.run(&picture).expect("it runs")[0], &expected));
        }
    });
}
