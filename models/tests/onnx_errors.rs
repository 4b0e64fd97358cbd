//! Files that the importer must refuse, and what its message must say. `golden/onnx/make.py` made them.
#![cfg(feature = "tract")]

use std::path::PathBuf;

use tinception_models::float::FloatEngine;
use tinception_models::onnx::{encode, import, import_bytes, to_onnx};
use tinception_models::passes::simplify;

/// Each file with words that its message must hold, beside the file's own name.
const ERRORS: &[(&str, &[&str])] = &[
    ("argmax", &["'pick' (ArgMax)", "scores are lost", "end in the scores"]),
    ("attribute_type", &["'first' (Conv)", "group", "FLOAT", "INT"]),
    ("batch", &["'x'", "batches of 4", "one float picture"]),
    ("bytes_input", &["'x'", "UINT8", "one float picture"]),
    ("dilation", &["'wide' (Conv)", "dilations = [2, 2]", "supported: [1, 1]"]),
    ("dynamic_height", &["'x'", "dynamic dimension 'height'", "export with a fixed size"]),
    ("external", &["'w'", "names no file for its data", "export the model again"]),
    ("filled", &["'fill' (ConstantOfShape)", "[16384, 8192]", "64 MiB", "spelled out in the file"]),
    ("hard_sigmoid", &["'hard' (HardSigmoid)", "put a Sigmoid in its place"]),
    ("huge_weight", &["'w'", "too large"]),
    ("infinite_weight", &["'first' (Conv)", "number 2", "infinities or NaN"]),
    ("large_kernel", &["'first' (Conv)", "7 x 8 window", "6 x 7"]),
    ("made_twice", &["'again' (Relu)", "'y' is made twice"]),
    ("missing_weight", &["'first' (Conv)", "nothing makes its input 'w'", "export it again"]),
    ("no_maker", &["no node makes the graph's output 'elsewhere'"]),
    ("no_shape", &["'x'", "no shape", "export with a fixed size"]),
    ("product", &["'gated' (Mul)", "both operands", "only be added"]),
    ("quantised", &["'quantise' (QuantizeLinear)", "already quantised", "give the float model"]),
    ("rank", &["'x'", "3 dimensions instead of 4"]),
    ("reflect", &["'mirror' (Pad)", "mode = reflect", "constant"]),
    ("reordered", &["'first' (Conv)", "[2, 1, 0]", "colour order"]),
    ("reshape", &["'shuffle' (Reshape)", "[1, 3, 6, 7]", "[1, 7, 6, 3]"]),
    ("second_output", &["'drop' (Dropout)", "'mask'", "evaluation mode"]),
    ("short_weight", &["'w'", "6 elements"]),
    ("softmax_pixels", &["'last' (Softmax)", "axis 1", "pool the picture first"]),
    ("stride", &["'still' (Conv)", "strides = [0, 1]", "sizes from 1"]),
    ("two_inputs", &["2 inputs", "'x', 'second'"]),
    ("two_outputs", &["2 outputs", "'y', 'z'", "evaluation mode"]),
    ("unknown_domain", &["'odd' (com.example:Conv)", "unknown operator"]),
    ("unknown_operator", &["'odd' (Einsum)", "unknown operator", "export again"]),
    ("unnamed_width", &["'x'", "dynamic dimension 'number 3'"]),
    ("weight_shape", &["'first' (Conv)", "[2, 5, 1, 1]", "3 channels"]),
];

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/onnx").join(file)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(golden(folder)).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    files.sort();
    files
}

#[test]
fn every_message_says_what_it_must() {
    let listed: Vec<_> = ERRORS.iter().map(|(name, _)| golden("errors").join(format!("{name}.onnx"))).collect();
    assert_eq!(files("errors"), listed);
    for ((name, words), path) in ERRORS.iter().zip(&listed) {
        let message = import(path).expect_err(name).to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        for word in *words {
            assert!(message.contains(word), "{name}: '{word}' is not in: {message}");
        }
    }
}

#[test]
fn files_that_are_no_models_are_named() {
    let missing = import("no/such/file.onnx").unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.onnx: cannot be read"), "{missing}");

    let model = std::fs::read(golden("conv_plain.onnx")).expect("the golden data is there");
    for bytes in [&model[..model.len() / 2], &[0xff; 64]] {
        let message = import_bytes(bytes, "net.onnx").unwrap_err().to_string();
        assert!(message.starts_with("net.onnx: not an ONNX model, or a truncated one"), "{message}");
        assert!(message.contains("download it again"), "{message}");
    }
    for (bytes, words) in [
        (&b""[..], "empty file; copy or download it again"),
        (b"<!DOCTYPE html><html>404: not found</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        (b"\x89PNG\r\n\x1a\n", "PNG picture"),
    ] {
        let message = import_bytes(bytes, "net.onnx").unwrap_err().to_string();
        assert!(message.starts_with("net.onnx: not an ONNX model: this is"), "{message}");
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn the_float_engine_refuses_broken_files_too() {
    for name in ["missing_weight", "two_outputs", "no_maker", "short_weight", "dynamic_height", "stride", "quantised"] {
        let path = golden("errors").join(format!("{name}.onnx"));
        let message = FloatEngine::from_onnx(&path).expect_err(name).to_string();
        assert!(message.contains(&format!("{name}.onnx")), "{message}");
    }
    let engine = FloatEngine::from_onnx(golden("conv_plain.onnx")).expect("tract takes the file");
    let message = engine.run(&[0.0; 5]).unwrap_err().to_string();
    assert!(message.contains("126") && message.contains('5'), "{message}");
}

#[test]
fn damaged_files_give_errors_or_graphs_but_no_panics() {
    for path in files("") {
        let model = std::fs::read(&path).expect("the golden data is there");
        for length in 0..model.len() {
            let _ = import_bytes(&model[..length], "cut.onnx");
        }
        for at in 0..model.len() {
            for flip in [0x01, 0x08, 0x80, 0xff] {
                let mut damaged = model.clone();
                damaged[at] ^= flip;
                // What still imports must be a graph that later steps can trust.
                if let Ok(mut graph) = import_bytes(&damaged, "damaged.onnx") {
                    let _ = encode(&to_onnx(&graph));
                    let _ = simplify(&mut graph);
                }
            }
        }
    }
}
