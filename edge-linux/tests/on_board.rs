//! The models and photos on board: everything that works with nothing fetched.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MODELS: [&str; 2] = ["googlenet", "nano"];
const PHOTOS: [&str; 8] =
    ["cat.jpg", "coffee.jpg", "dog.jpg", "lorikeet.jpg", "goldfish.jpg", "balloon.jpg", "car.jpg", "rocket.jpg"];

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
    let shown = json(&["demo", "--json"]);
    let shown = shown.as_array().expect("a list");
    assert_eq!(shown.len(), MODELS.len());
    for (model, name) in shown.iter().zip(MODELS) {
        assert_eq!(model["model"], name);
        let text = succeeds(&["demo", "--model", name]);
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
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
        let alone = json(&["demo", "--model", name, "--json"]);
        assert_eq!((alone[0]["model"].as_str(), alone[1].is_null()), (Some(name), true));
    }
    let best = |model: usize, photo: &str, place: usize| {
        let at = PHOTOS.iter().position(|name| *name == photo).expect("a photo on board");
        &shown[model]["photos"][at]["top"][place]
    };
    let cats = ["n02123045", "n02123159", "n02124075"];
    let cat = best(0, "cat.jpg", 0);
    assert!(cats.iter().any(|id| cat["id"] == *id), "{cat}");
    let coffee = best(0, "coffee.jpg", 0);
    assert_eq!((coffee["label"].as_str(), coffee["id"].as_str()), (Some("espresso"), Some("n07920052")));
    let rockets = ["n03773504", "n04008634", "n04266014"];
    assert!(
        (0..3).any(|place| rockets.iter().any(|id| best(0, "rocket.jpg", place)["id"] == *id)),
        "{}",
        best(0, "rocket.jpg", 0)
    );
    let cat = best(1, "cat.jpg", 0);
    assert_eq!((cat["label"].as_str(), cat.get("id")), (Some("cat"), None), "nano has no ids");
}

#[test]
fn the_demo_shows_the_default_model_and_ends_with_commands_that_work() {
    let text = succeeds(&["demo"]);
    assert!(
        text.starts_with(&format!("{}: ", MODELS[0])) && !text.contains("\u{1b}"),
        "no terminal, no pictures: {text}"
    );
    let (_, commands) = text.split_once("Try next:").expect("commands");
    let commands: Vec<&str> = commands.trim().lines().map(str::trim).collect();
    assert_eq!(commands.len(), 3, "{text}");
    for command in commands {
        let arguments = command.strip_prefix(env!("CARGO_BIN_EXE_tinception")).expect("the program as it was started");
        let (arguments, _) = arguments.split_once('#').expect("what it does");
        let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
        // The command is right up to the photo or camera, which are not there.
        arguments.push("--help");
        assert!(succeeds(&arguments).contains("Usage: "), "{command}");
    }
}

/// The demo's output on a terminal of `script`, util-linux' pseudo-terminal, with these variables and options.
#[cfg(target_os = "linux")]
fn on_terminal(variables: &[(&str, &str)], options: &str, columns: u16) -> String {
    let command = format!("stty rows 24 cols {columns} && {} demo --top 3 {options}", env!("CARGO_BIN_EXE_tinception"));
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(variables.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .expect("script, of util-linux, starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[cfg(target_os = "linux")]
#[test]
fn terminals_get_the_pictures_that_they_can_show() {
    let xterm = ("TERM", "xterm-256color");
    let colours = [xterm, ("COLORTERM", "truecolor")];
    let blocks = on_terminal(&colours, "", 80);
    // 28 columns of 14 rows for each of 8 photos, and 12 columns of bars beside them in other characters.
    assert_eq!(blocks.matches('\u{2580}').count(), 28 * 14 * PHOTOS.len());
    assert!(blocks.contains("\u{1b}[38;2;") && on_terminal(&[xterm], "", 80).contains("\u{1b}[38;5;"));
    for (variables, sequence) in [
        (&[("TERM", "xterm-kitty")][..], "\u{1b}_Ga=T,f=24,s=224,v=224,"),
        (&[xterm, ("TERM_PROGRAM", "WezTerm")], "\u{1b}]1337;File=inline=1;"),
    ] {
        assert_eq!(on_terminal(variables, "", 80).matches(sequence).count(), PHOTOS.len(), "{variables:?}");
    }
    for (variables, options, columns) in [
        (&colours[..], "--no-pictures", 80),
        (&colours, "--json", 80),
        (&colours, "", 63),
        (&[xterm, ("COLORTERM", "truecolor"), ("NO_COLOR", "1")], "", 80),
        (&[("TERM", "dumb")], "", 80),
    ] {
        let plain = on_terminal(variables, options, columns);
        assert!(!plain.contains('\u{1b}') && plain.contains("cat.jpg"), "{variables:?} {options} {columns}");
    }
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
