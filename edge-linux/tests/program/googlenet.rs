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
/// Bytes of RAM for everything, scratch included.
const RAM: usize = 512 * 1024;

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
             --licence unrestricted -o {{}}/googlenet.tin"
        ),
    );
    let compiled = std::fs::read(folder.join("googlenet.tin")).expect("written");
    the_stated_arena_is_exact(&compiled);
    let on_board = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/artefacts/googlenet.tin");
    assert!(
        compiled == std::fs::read(on_board).expect("it is there"),
        "models/artefacts/googlenet.tin is another file"
    );
    let inspected: Value = serde_json::from_str(&succeeds(folder, "inspect --json {}/googlenet.tin")).expect("JSON");
    assert!(inspected["arena_bytes"].as_u64().expect("a size") <= RAM as u64);

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
    let on_board = eval("--model googlenet");
    assert_eq!((&on_board["top1"], &on_board["top5"]), (&int8["top1"], &int8["top5"]));
    let float = eval(&format!("--model {onnx} --preset caffe-imagenet --labels {labels}"));
    println!("float: {float}");
    assert!((share(&float, "top1") - FLOAT.0).abs() <= 0.0025 && (share(&float, "top5") - FLOAT.1).abs() <= 0.0025);
}

/// Fused or not, every logit and every step's hash is the same on real pictures.
#[test]
fn fusion_changes_no_bit_on_pictures() {
    let Some(data) = data() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let copy = |from: &str, to: &str, every: usize, count: usize| {
        std::fs::create_dir(folder.join(to)).expect("a new folder");
        let files = std::fs::read_dir(data.join("data/imagenet").join(from)).expect("pictures");
        let mut files: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
        files.sort();
        let names = files.iter().step_by(every).take(count).map(|file| {
            let name = folder.join(to).join(file.file_name().expect("a name"));
            std::fs::copy(file, &name).expect("copied");
            name.to_str().expect("UTF-8").to_owned()
        });
        names.collect::<Vec<_>>().join(" ")
    };
    copy("calibration", "calibration", 25, 4);
    let pictures = copy("test", "test", 20, 20);
    let onnx = data.join("models/googlenet-bvlc.onnx");
    let onnx = onnx.display();
    let classified = ["", "--no-fuse "].map(|option| {
        succeeds(
            folder,
            &format!("quantize {onnx} --calibration {{}}/calibration --preset caffe-imagenet {option}-o {{}}/net.tin"),
        );
        let printed =
            succeeds(folder, &format!("classify --model {{}}/net.tin --json --hash-steps --top 1000 {pictures}"));
        serde_json::from_str::<Vec<Value>>(&printed).expect("JSON")
    });
    let [fused, plain] = classified;
    assert_eq!((fused.len(), plain.len()), (20, 20));
    for (fused, plain) in fused.iter().zip(&plain) {
        assert_eq!(fused["top"], plain["top"], "{}", plain["file"]);
        let steps = |picture: &Value| picture["steps"].as_array().expect("hashes").clone();
        let of = |name: &Value| steps(fused).into_iter().find(|step| step["name"] == *name);
        let mut known = 0;
        for step in steps(plain) {
            if let Some(same) = of(&step["name"]) {
                assert_eq!(same["crc32"], step["crc32"], "{}: {}", plain["file"], step["name"]);
                known += 1;
            }
        }
        // All but the pool behind 3b, which is pooled branch by branch.
        assert_eq!(known + 1, steps(plain).len());
    }
}

fn the_stated_arena_is_exact(file: &[u8]) {
    assert!(file.len() <= 7_300_000, "{} bytes", file.len());
    let file = Aligned::new(file);
    let model = Model::new(&file).expect("a valid model");
    assert!(model.arena_size() <= RAM, "{} bytes", model.arena_size());
    let needed = model.arena_size();
    let mut arena = vec![0; needed];
    let refused = Session::new(&model, &mut arena[..needed - 1]).err();
    assert_eq!(refused, Some(RunError::ArenaTooSmall { needed }));
    let mut session = Session::new(&model, &mut arena).expect("enough");
    assert_eq!(session.self_test(), Ok(None));
}
