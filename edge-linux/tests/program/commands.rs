//! The commands on a small network: what they print, and that two ways to the same thing agree.

use std::fs;

use crate::common::{QUANTIZE, prepare, succeeds};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

#[test]
fn everything_works_on_a_small_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    prepare(folder);
    let printed = succeeds(folder, QUANTIZE);
    assert!(printed.contains("layer0") && printed.contains("scratch"), "{printed}");
    let first = fs::read(folder.join("model.tin")).expect("written");
    succeeds(folder, &QUANTIZE.replace("model.tin", "again.tin"));
    assert_eq!(fs::read(folder.join("again.tin")).expect("written"), first, "the same file every time");

    let classified =
        json(&succeeds(folder, "classify {}/calibration/c1_1.png --model {}/model.tin --top 3 --json --hash-steps"));
    assert_eq!(classified[0]["top"].as_array().map(Vec::len), Some(3));
    assert_eq!(classified[0]["steps"].as_array().map(Vec::len), Some(4));
    assert_eq!(classified[0]["steps"][0]["crc32"].as_str().map(str::len), Some(8));

    // Every picture's name carries the class that the float network gives it: all right for one, nearly for the other.
    fs::create_dir(folder.join("named")).expect("made");
    let float = "--preset torchvision-imagenet --resize shorter:16 --labels {}/labels.txt";
    for seed in 0..4 {
        let of = format!("classify {{}}/calibration/c{seed}_{seed}.png --model {{}}/model.onnx {float} --json");
        let id = json(&succeeds(folder, &of))[0]["top"][0]["id"].as_str().expect("an id").to_owned();
        let from = folder.join(format!("calibration/c{seed}_{seed}.png"));
        fs::copy(from, folder.join(format!("named/{id}_{seed}.png"))).expect("copied");
    }
    let measured = json(&succeeds(folder, &format!("eval --model {{}}/model.onnx --images {{}}/named {float} --json")));
    assert_eq!((measured["top1"].as_f64(), measured["images"].as_u64()), (Some(1.0), Some(4)), "{measured}");
    let measured =
        json(&succeeds(folder, "eval --model {}/model.tin --images {}/named --against {}/model.onnx --json"));
    assert!(measured["agreement"].as_f64().is_some_and(|share| share >= 0.75), "{measured}");

    let compared = succeeds(folder, "compare {}/model.onnx {}/model.tin --images {}/calibration --plot {}/layers.svg");
    assert!(compared.contains("layer1"), "{compared}");
    assert!(fs::read_to_string(folder.join("layers.svg")).expect("written").contains("</svg>"));
    let inspected = succeeds(folder, "inspect {}/model.tin --plot {}/memory.svg");
    assert!(inspected.contains("source-sha256"), "{inspected}");
    assert!(fs::read_to_string(folder.join("memory.svg")).expect("written").contains("</svg>"));
    assert!(succeeds(folder, "selftest {}/model.tin").contains("4 steps, all equal"));
    let timed = json(&succeeds(folder, "bench --model {}/model.tin --json"));
    for key in ["median_ms", "p95_ms", "macs_per_second"] {
        assert!(timed[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {timed}");
    }
}

#[test]
fn both_engines_see_the_same_pixels() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    prepare(folder);
    succeeds(folder, QUANTIZE);
    let picture = "classify {}/calibration/c2_2.png";
    succeeds(folder, &format!("{picture} --model {{}}/model.tin --dump-input {{}}/core.png"));
    let preset = "--preset torchvision-imagenet --resize shorter:16 --labels {}/labels.txt";
    succeeds(folder, &format!("{picture} --model {{}}/model.onnx {preset} --dump-input {{}}/tract.png"));
    let seen = |name: &str| image::open(folder.join(name)).expect("a picture").to_rgb8();
    assert_eq!(seen("core.png"), seen("tract.png"));
    assert_eq!(seen("core.png").dimensions(), (16, 16));
}
