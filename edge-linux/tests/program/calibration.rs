//! What `quantize` says of the pictures it calibrates on and of what it made: the verdict and the warnings.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tinception_models::graph::Op;
use tinception_models::onnx;

use crate::common::{QUANTIZE, is_refused, prepare, succeeds, tinception};

/// A network and `count` pictures that differ.
fn prepared(count: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    fs::remove_dir_all(folder.path().join("calibration")).expect("removed");
    fs::create_dir(folder.path().join("calibration")).expect("made");
    for seed in 0..count {
        save(folder.path(), &format!("{seed:02}.png"), &noise(seed));
    }
    folder
}

fn save(folder: &Path, name: &str, picture: &image::RgbImage) {
    picture.save(folder.join("calibration").join(name)).expect("written");
}

/// A picture of sixteen fields of random colours.
fn noise(seed: u32) -> image::RgbImage {
    let random = |index: u32| {
        let mixed = (index + 1).wrapping_mul(0x85EB_CA6B);
        let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xC2B2_AE35);
        (mixed ^ (mixed >> 16)) as u8
    };
    image::RgbImage::from_fn(16, 16, |x, y| {
        let field = (seed * 16 + x / 4 * 4 + y / 4) * 3;
        image::Rgb([0, 1, 2].map(|channel| random(field + channel)))
    })
}

/// The document of `quantize --json`, and the warnings on standard error, which must be the same.
fn quantized(folder: &Path) -> (Value, Vec<String>) {
    let output = tinception(folder, &format!("{QUANTIZE} --json"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let prefix = "tinception: warning: ";
    let warnings: Vec<String> =
        error.lines().map(|line| line.strip_prefix(prefix).expect("a warning").to_owned()).collect();
    assert_eq!(document["warnings"], serde_json::json!(warnings));
    (document, warnings)
}

/// Each warning has its word, in this order, and there are no others.
fn warns(folder: &Path, words: &[&str]) -> Value {
    let (document, warnings) = quantized(folder);
    assert_eq!(warnings.len(), words.len(), "{words:?}: {warnings:?}");
    for (warning, word) in warnings.iter().zip(words) {
        assert!(warning.contains(word), "'{word}' is missing in: {warning}");
    }
    document
}

#[test]
fn pictures_that_are_held_out_judge() {
    let folder = prepared(25);
    let document = warns(folder.path(), &[]);
    let verdict = &document["verdict"];
    assert_eq!((&verdict["images"], &verdict["held_out"]), (&5.into(), &true.into()), "{verdict}");
    assert_eq!(verdict["agreement"], 1.0, "{verdict}");
    assert!(verdict["sqnr_db"].as_f64().is_some_and(|db| db > 25.0), "{verdict}");
    assert_eq!(document["calibration_images"], 25);
    let printed = succeeds(folder.path(), QUANTIZE);
    let line = "on 5 of the pictures, after a calibration on the other 20";
    assert!(
        printed.contains("judged        100.0 % same best class as in float") && printed.contains(line),
        "{printed}"
    );
    let inspected = succeeds(folder.path(), "inspect {}/model.tin");
    assert!(inspected.contains("25 pictures"), "the file itself is calibrated on all: {inspected}");
}

#[test]
fn one_picture_or_a_few_are_said() {
    let folder = prepared(1);
    let document = warns(folder.path(), &["only 1 picture to"]);
    assert_eq!(document["verdict"]["held_out"], false);
    assert!(succeeds(folder.path(), QUANTIZE).contains("chose the ranges"));
    save(folder.path(), "more.png", &noise(1));
    assert_eq!(warns(folder.path(), &["only 2 pictures to"])["verdict"]["images"], 1);
}

#[test]
fn equal_black_and_dark_pictures_are_said() {
    let folder = prepared(0);
    for index in 0..20 {
        save(folder.path(), &format!("{index}.png"), &noise(3));
    }
    warns(folder.path(), &["all look alike", "one class"]);
    for index in 0..20 {
        save(folder.path(), &format!("{index}.png"), &image::RgbImage::new(20, 20));
    }
    let (_, warnings) = quantized(folder.path());
    assert!(warnings.iter().any(|warning| warning.contains("are dark")), "{warnings:?}");
}

#[test]
fn what_is_no_picture_is_counted_and_damaged_ones_are_passed_over() {
    let folder = prepared(25);
    let clean = {
        succeeds(folder.path(), QUANTIZE);
        fs::read(folder.path().join("model.tin")).expect("written")
    };
    let place =
        |name: &str, bytes: &[u8]| fs::write(folder.path().join("calibration").join(name), bytes).expect("written");
    ["a.HEIC", "b.gif", "c.tif", "d.heic"].iter().for_each(|name| place(name, b"bytes"));
    ["labels.txt", "._00.png", ".DS_Store"].iter().for_each(|name| place(name, b"bytes"));
    warns(folder.path(), &["4 of 29 files were passed over (1 gif, 2 heic, 1 tif)"]);

    place("03b.png", b"no picture");
    place("99.jpg", b"");
    let words = ["4 of 31 files were passed over", "2 of 27 pictures could not be read and were passed over"];
    warns(folder.path(), &words);
    assert_eq!(fs::read(folder.path().join("model.tin")).expect("written"), clean, "the same pictures, the same file");
    let output = tinception(folder.path(), QUANTIZE);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("03b.png") && error.contains("99.jpg"), "{error}");

    (0..30).for_each(|index| place(&format!("z{index}.png"), b"cut"));
    is_refused(folder.path(), QUANTIZE, &["32 of its 57 pictures can't be read", "03b.png"]);
    fs::remove_dir_all(folder.path().join("calibration")).expect("removed");
    fs::create_dir(folder.path().join("calibration")).expect("made");
    place("a.heic", b"bytes");
    is_refused(folder.path(), QUANTIZE, &["holds no pictures", "1 heic", "convert"]);
    place("a.png", b"bytes");
    is_refused(folder.path(), QUANTIZE, &["none of its 1 pictures can be read", "a.png"]);
}

#[test]
fn a_loud_channel_is_equalised_and_compared_as_such() {
    let folder = prepared(25);
    let path = folder.path().join("model.onnx");
    let mut graph = onnx::import(&path).expect("it imports");
    for node in &mut graph.nodes {
        match &mut node.op {
            Op::Conv(conv) => {
                conv.weights[27..54].iter_mut().for_each(|weight| *weight *= 4096.0);
                conv.bias[1] *= 4096.0;
            }
            Op::Dense(dense) => dense.weights.iter_mut().skip(1).step_by(8).for_each(|weight| *weight /= 4096.0),
            _ => {}
        }
    }
    fs::write(&path, onnx::encode(&onnx::to_onnx(&graph))).expect("written");
    let document = warns(folder.path(), &[]);
    assert_eq!(document["equalised"].as_array().map(Vec::len), Some(1), "{document}");
    let compared = succeeds(folder.path(), "compare {}/model.onnx {}/model.tin --images {}/calibration --json");
    let compared: Value = serde_json::from_str(&compared).expect("JSON");
    for layer in compared["layers"].as_array().expect("a list") {
        assert!(layer["sqnr_db"].as_f64().is_some_and(|db| db > 20.0), "{layer}");
    }
}
