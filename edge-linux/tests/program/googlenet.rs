//! The full GoogLeNet from ONNX to int8, on real weights and pictures.

use std::path::Path;

use crate::common::{data, succeeds};
use serde_json::Value;
use tinception_core::error::RunError;
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_models::aligned::Aligned;

/// What ONNX Runtime's float reaches on these 400 pictures (top-1, top-5), and what int8 must.
const FLOAT: (f64, f64) = (0.725, 0.9225);
const INT8: (f64, f64) = (0.7225, 0.92);
const AGREEMENT: f64 = 0.97;

#[test]
fn int8_is_as_good_as_float() {
    let Some(data) = data() else { return };
    // Kept after the test, for checks on other machines.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (onnx, labels) = (data.join("models/googlenet-bvlc.onnx"), data.join("data/synset_words.txt"));
    let (onnx, labels) = (onnx.display(), labels.display());
    let pictures = data.join("data/imagenet");
    let pictures = pictures.display();
    succeeds(
        folder,
        &format!(
            "quantize {onnx} --calibration {pictures}/calibration --labels {labels} --preset caffe-imagenet \
             -o {{}}/googlenet.tin"
        ),
    );
    the_stated_arena_is_exact(&std::fs::read(folder.join("googlenet.tin")).expect("written"));

    let eval = |model: &str| -> Value {
        let printed = succeeds(folder, &format!("eval --images {pictures}/test --json --threads 2 {model}"));
        serde_json::from_str(&printed).expect("JSON")
    };
    let share = |measured: &Value, key: &str| measured[key].as_f64().expect("a share");
    let int8 = eval(&format!("--model {{}}/googlenet.tin --against {onnx}"));
    println!("int8: {int8}");
    assert_eq!(int8["images"], 400);
    assert!(share(&int8, "top1") >= INT8.0 && share(&int8, "top5") >= INT8.1);
    assert!(share(&int8, "agreement") >= AGREEMENT);
    let float = eval(&format!("--model {onnx} --preset caffe-imagenet --labels {labels}"));
    println!("float: {float}");
    assert!((share(&float, "top1") - FLOAT.0).abs() <= 0.0025 && (share(&float, "top5") - FLOAT.1).abs() <= 0.0025);
}

fn the_stated_arena_is_exact(file: &[u8]) {
    assert!(file.len() <= 7_300_000, "{} bytes", file.len());
    let file = Aligned::new(file);
    let model = Model::new(&file).expect("a valid model");
    assert!(model.activation_size() <= 1_050_000, "{} bytes", model.activation_size());
    let needed = model.arena_size();
    let mut arena = vec![0; needed];
    let refused = Session::new(&model, &mut arena[..needed - 1]).err();
    assert_eq!(refused, Some(RunError::ArenaTooSmall { needed }));
    let mut session = Session::new(&model, &mut arena).expect("enough");
    assert_eq!(session.self_test(), Ok(None));
}
