//! Bad input gets one clear line on standard error and exit code 2, and leaves no files behind.

use std::fs;
use std::path::Path;

use crate::common::{QUANTIZE, is_refused, picture, prepare, succeeds};

fn errors() -> String {
    format!("{}/../models/tests/golden/onnx/errors", env!("CARGO_MANIFEST_DIR"))
}

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    folder
}

fn compiled() -> tempfile::TempDir {
    let folder = prepared();
    succeeds(folder.path(), QUANTIZE);
    folder
}

#[test]
fn onnx_files_that_cannot_be_compiled() {
    let folder = prepared();
    let command = |model: &str| QUANTIZE.replace("{}/model.onnx", &format!("{}/{model}.onnx", errors()));
    for (model, words) in [
        ("unknown_operator", &["unknown_operator.onnx"][..]),
        ("missing_weight", &["missing_weight.onnx"]),
        ("dynamic_height", &["dynamic_height.onnx"]),
        ("quantised", &["quantised.onnx", "float"]),
    ] {
        assert!(Path::new(&format!("{}/{model}.onnx", errors())).exists(), "{model}");
        is_refused(folder.path(), &command(model), words);
    }
    fs::write(folder.path().join("garbage.onnx"), b"not a protobuf at all").expect("written");
    is_refused(folder.path(), &QUANTIZE.replace("model.onnx", "garbage.onnx"), &["garbage.onnx"]);
    is_refused(folder.path(), &QUANTIZE.replace("model.onnx", "absent.onnx"), &["absent.onnx"]);
    assert!(!folder.path().join("model.tin").exists(), "nothing is left behind");
}

#[test]
fn calibration_and_labels() {
    let folder = prepared();
    fs::create_dir(folder.path().join("empty")).expect("made");
    is_refused(folder.path(), &QUANTIZE.replace("{}/calibration", "{}/empty"), &["empty"]);
    fs::write(folder.path().join("labels.txt"), "c0 one\nc1 two\n").expect("written");
    is_refused(folder.path(), QUANTIZE, &["labels.txt", "2", "10"]);
    is_refused(folder.path(), &QUANTIZE.replace("--order rgb", "--preset nonsense"), &["nonsense"]);
    assert!(!folder.path().join("model.tin").exists(), "nothing is left behind");
}

#[test]
fn model_files() {
    let folder = compiled();
    let file = fs::read(folder.path().join("model.tin")).expect("read");
    let classify = |bytes: &[u8], words: &[&str]| {
        fs::write(folder.path().join("bad.tin"), bytes).expect("written");
        is_refused(folder.path(), "classify {}/calibration/c0_0.png --model {}/bad.tin", words);
    };
    classify(&file[..file.len() / 2], &["bad.tin", "truncated"]);
    classify(&[], &["bad.tin"]);
    classify(b"a text that is long enough to hold a header of a file, but is none of ours.....", &["bad.tin"]);
    let mut flipped = file.clone();
    flipped[file.len() / 2] ^= 1;
    classify(&flipped, &["bad.tin", "checksum"]);
    let mut newer = file.clone();
    newer[8] = 2;
    classify(&newer, &["bad.tin", "version 2.0"]);
}

#[test]
fn pictures() {
    let folder = compiled();
    let at = |name: &str| folder.path().join(name);
    picture(40, 30, 1).save(at("whole.jpg")).expect("written");
    let whole = fs::read(at("whole.jpg")).expect("read");
    fs::write(at("truncated.jpg"), &whole[..whole.len() / 2]).expect("written");
    fs::write(at("text.png"), "no picture").expect("written");
    let classify = |name: &str| format!("classify {{}}/{name} --model {{}}/model.tin");
    is_refused(folder.path(), &classify("truncated.jpg"), &["truncated.jpg"]);
    is_refused(folder.path(), &classify("text.png"), &["text.png"]);
    is_refused(folder.path(), &classify("absent.png"), &["absent.png"]);

    picture(1, 1, 1).save(at("one.png")).expect("written");
    picture(20_000, 3, 1).save(at("wide.png")).expect("written");
    let deep = image::ImageBuffer::from_fn(20, 20, |x, y| image::Rgb([x as u16 * 3000, y as u16 * 3000, 65_535]));
    image::DynamicImage::ImageRgb16(deep).save(at("deep.png")).expect("written");
    for name in ["one.png", "wide.png", "deep.png"] {
        succeeds(folder.path(), &classify(name));
    }

    // The good one is classified although the other is bad.
    let both = "classify {}/truncated.jpg {}/one.png --model {}/model.tin --json";
    is_refused(folder.path(), both, &["truncated.jpg"]);
    let output = crate::common::tinception(folder.path(), both);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(json[0]["error"].is_string() && json[1]["top"][0]["label"].is_string(), "{json}");
}

#[test]
fn cmyk_jpegs_are_read_as_the_colours_they_show() {
    let folder = compiled();
    let cmyk = format!("{}/tests/golden/cmyk.jpg", env!("CARGO_MANIFEST_DIR"));
    succeeds(folder.path(), &format!("classify {cmyk} --model {{}}/model.tin --dump-input {{}}/seen.png"));
    let seen = image::open(folder.path().join("seen.png")).expect("read").to_rgb8();
    let [red, green, blue] = seen.get_pixel(8, 8).0.map(i32::from);
    // The file is one colour all over: CMYK 0, 100 %, 100 %, 0, which is red.
    assert!(red > 200 && green < 60 && blue < 60, "{red} {green} {blue}");
}
