//! The models and photos on board: everything that works with nothing fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MODELS: [&str; 2] = ["googlenet", "nano"];
const PHOTOS: [&str; 3] = ["cat.jpg", "coffee.jpg", "rocket.jpg"];

/// Runs the program in an empty folder, where it can find no file by chance.
fn tinception(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_tinception")).args(args).current_dir(&folder).output().expect("it starts")
}

fn succeeds(args: &[&str]) -> String {
    let output = tinception(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(args)).expect("one JSON document")
}

fn photo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/artefacts/photos").join(name)
}

#[test]
fn the_demo_shows_every_photo_to_every_model() {
    let text = succeeds(&["demo"]);
    let shown = json(&["demo", "--json"]);
    let shown = shown.as_array().expect("a list");
    assert_eq!(shown.len(), MODELS.len());
    for (model, name) in shown.iter().zip(MODELS) {
        assert_eq!(model["model"], name);
        assert!(text.contains(&format!("\n{name}: ")) || text.starts_with(&format!("{name}: ")), "{text}");
        assert!(model["ram_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{model}");
        let photos = model["photos"].as_array().expect("a list");
        assert_eq!(photos.len(), PHOTOS.len());
        for (seen, name) in photos.iter().zip(PHOTOS) {
            assert_eq!(seen["photo"], name);
            assert!(text.contains(name) && seen["time_ms"].as_f64().is_some_and(|time| time > 0.0), "{seen}");
            let top = seen["top"].as_array().expect("a list");
            assert_eq!(top.len(), 5, "{seen}");
            assert!(text.contains(top[0]["label"].as_str().expect("a label")), "{text}");
        }
    }
    let best = |model: usize, photo: usize, place: usize| &shown[model]["photos"][photo]["top"][place];
    let cats = ["n02123045", "n02123159", "n02124075"];
    assert!(cats.iter().any(|cat| best(0, 0, 0)["id"] == *cat), "{}", best(0, 0, 0));
    assert_eq!((best(0, 1, 0)["label"].as_str(), best(0, 1, 0)["id"].as_str()), (Some("espresso"), Some("n07920052")));
    let rockets = ["n03773504", "n04008634", "n04266014"];
    assert!((0..3).any(|place| rockets.iter().any(|rocket| best(0, 2, place)["id"] == *rocket)), "{}", shown[0]);
    assert_eq!((best(1, 0, 0)["label"].as_str(), best(1, 0, 0).get("id")), (Some("cat"), None), "no ids");
}

#[test]
fn a_model_on_board_stands_for_a_file() {
    let demo = json(&["demo", "--json"]);
    for (index, name) in PHOTOS.into_iter().enumerate() {
        let file = photo(name);
        let file = file.to_str().expect("UTF-8");
        // The same file twice: embedded by the compiler, and as it lies in the repository.
        assert_eq!(json(&["classify", file, "--json"])[0]["top"], demo[0]["photos"][index]["top"], "{name}");
        for (model, shown) in MODELS.iter().zip(demo.as_array().expect("a list")) {
            let classified = json(&["classify", file, "--model", model, "--json"]);
            assert_eq!(classified[0]["top"], shown["photos"][index]["top"], "{model}, {name}");
        }
    }
    for model in MODELS {
        assert!(succeeds(&["selftest", model]).contains("all equal"));
        assert!(succeeds(&["inspect", model]).contains("MACs"));
        assert!(json(&["bench", "--model", model, "--runs", "1", "--json"])["median_ms"].as_f64().is_some());
    }
}

#[test]
fn a_wrong_name_lists_the_right_ones() {
    let photo = photo("cat.jpg");
    let output = tinception(&["classify", photo.to_str().expect("UTF-8"), "--model", "alexnet"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for word in ["alexnet", "no such file", "googlenet, nano"] {
        assert!(error.contains(word), "'{word}' is missing in: {error}");
    }
}

#[test]
fn a_file_goes_before_a_model_on_board_of_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("nano"), "no model").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_tinception"))
        .args(["selftest", "nano"])
        .current_dir(&folder)
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
}
