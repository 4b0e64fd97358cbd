//! The commands on a small network: what they print, and that two ways to the same thing agree.

use std::fs;
use std::process::Command;

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
        let label = json(&succeeds(folder, &of))[0]["top"][0]["label"].as_str().expect("a label").to_owned();
        let id = label.split(' ').next().expect("its first word");
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
    let all = json(&succeeds(folder, "bench --model {}/model.tin --backends --runs 1 --json"));
    let names: Vec<_> = all.as_array().expect("a list").iter().map(|report| report["backend"].clone()).collect();
    assert_eq!((names.first(), names.last()), (Some(&timed["backend"]), Some(&"scalar".into())), "{all}");
    assert!(succeeds(folder, "bench --model {}/model.tin --backends --runs 1").contains("scalar"));
}

#[test]
fn threads_share_a_picture_and_sessions_do_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    prepare(folder);
    succeeds(folder, QUANTIZE);
    let bench =
        |options: &str| json(&succeeds(folder, &format!("bench --model {{}}/model.tin --runs 2 --json {options}")));
    for (options, threads, sessions, runs) in [
        ("--threads 1", 1, 1, 2),
        ("--threads 3", 3, 1, 2),
        ("--sessions 2", 1, 2, 4),
        ("--sessions 2 --threads 2", 2, 2, 4),
    ] {
        let report = bench(options);
        let found = ["threads", "sessions", "runs"].map(|key| report[key].as_u64());
        assert_eq!(found, [threads, sessions, runs].map(Some), "{options}");
    }
    // Every backend on the same threads.
    assert!(
        bench("--backends --threads 2").as_array().is_some_and(|reports| reports.iter().all(|of| of["threads"] == 2))
    );

    let mut results = ["--threads 1", "--threads 4", "--top 5"].map(|threads| {
        let classify =
            format!("classify {{}}/calibration/c1_1.png {{}}/calibration/c2_2.png --model {{}}/model.tin {threads}");
        let mut entries = json(&succeeds(folder, &format!("{classify} --json --hash-steps")));
        for entry in entries.as_array_mut().expect("a list") {
            entry.as_object_mut().expect("an object").remove("time_ms");
        }
        entries
    });
    assert_eq!(results[0].as_array().map(Vec::len), Some(2));
    let first = results[0].take();
    assert!(results[1..].iter().all(|other| *other == first));
}

#[test]
fn a_variable_chooses_the_backend() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    prepare(folder);
    succeeds(folder, QUANTIZE);
    let bench = |backend: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tinception"));
        command.env("TINCEPTION_BACKEND", backend).args(["bench", "--runs", "1", "--json", "--model"]);
        command.arg(folder.join("model.tin")).output().expect("the program starts")
    };
    let scalar = bench("scalar");
    assert_eq!(json(&String::from_utf8_lossy(&scalar.stdout))["backend"], "scalar");
    let wrong = bench("mmx");
    let error = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2), "{error}");
    assert!(error.contains("mmx") && error.contains("scalar"), "{error}");
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

#[test]
fn both_inputs_are_those_pixels() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    prepare(folder);
    succeeds(folder, QUANTIZE);
    let picture = "classify {}/calibration/c1_1.png";
    succeeds(folder, &format!("{picture} --model {{}}/model.tin --dump-input {{}}/int8.raw"));
    succeeds(folder, &format!("{picture} --model {{}}/model.tin --dump-input {{}}/seen.PNG"));
    let fields = "--order rgb --mean 128 --std 64 --resize shorter:16";
    succeeds(folder, &format!("{picture} --model {{}}/model.onnx {fields} --dump-input {{}}/float.raw"));
    let input = json(&succeeds(folder, "inspect {}/model.tin --json"))["input"].clone();
    let scale = input["scale"].as_f64().expect("a scale");
    let zero_point = input["zero_point"].as_i64().expect("a zero point") as f64;

    let pixels = image::open(folder.join("seen.PNG")).expect("a picture").to_rgb8().into_raw();
    let float = fs::read(folder.join("float.raw")).expect("read");
    let int8 = fs::read(folder.join("int8.raw")).expect("read");
    assert_eq!((pixels.len(), float.len(), int8.len()), (768, 4 * 768, 768));
    for ((pixel, float), int8) in pixels.iter().zip(float.as_chunks::<4>().0).zip(int8) {
        let real = (f64::from(*pixel) - 128.0) / 64.0;
        assert!((f64::from(f32::from_le_bytes(*float)) - real).abs() < 1e-6);
        let quantised = (real / scale + zero_point).clamp(-128.0, 127.0);
        assert!((f64::from(int8 as i8) - quantised).abs() < 0.501, "{int8} for {real}");
    }
}

#[test]
fn the_memory_map_is_free_of_conflicts_and_fills_the_arena() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    prepare(folder);
    succeeds(folder, QUANTIZE);
    let inspected = json(&succeeds(folder, "inspect {}/model.tin --json"));
    let buffers = inspected["memory"].as_array().expect("a list");
    assert_eq!(buffers.len(), 5, "the input, and a buffer for each step: {buffers:?}");
    let number = |buffer: &Value, key: &str| buffer[key].as_u64().expect("a number");
    let both = |a: &Value, b: &Value, from: &str, to: &str| {
        number(a, from).max(number(b, from)) < number(a, to).min(number(b, to))
    };
    for (index, a) in buffers.iter().enumerate() {
        for b in &buffers[..index] {
            let live = number(a, "first_step").max(number(b, "first_step"))
                <= number(a, "last_step").min(number(b, "last_step"));
            assert!(!(live && both(a, b, "start", "end")), "{a} and {b}");
        }
    }
    let end = buffers.iter().map(|buffer| number(buffer, "end")).max().expect("some");
    assert_eq!(end.next_multiple_of(16), inspected["activation_bytes"]);
    // 16 x 16 pixels by 3x3x3 weights for 8 channels, then 512 inputs for 10 classes.
    assert_eq!(inspected["macs"], 16 * 16 * 27 * 8 + 512 * 10);
}
