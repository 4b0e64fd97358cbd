//! No control character of a file, its name or its labels reaches a terminal, and JSON stays JSON.
#![cfg(unix)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use crate::common::{QUANTIZE, prepare, succeeds, tinception};

/// What a terminal obeys: escape sequences of seven and eight bits, a title, a return, a step back, a turn of direction.
const HOSTILE: &str = "\u{1b}[2J\u{9b}2J\u{1b}]0;pwned\u{7}\r\u{8}\u{202e}";

fn assert_plain(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let obeyed = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn labels_and_names_are_escaped() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    prepare(path);
    succeeds(path, QUANTIZE);
    let labels: String = (0..10).map(|class| format!("label{class}{HOSTILE}\n")).collect();
    fs::write(path.join("hostile.txt"), labels).expect("written");
    let float = "--model {}/model.onnx --preset caffe-imagenet --resize stretch --labels {}/hostile.txt";
    let picture = "{}/calibration/c0_0.png";

    // Labels with control characters are refused, by a line without them.
    let refused = tinception(path, &format!("classify {picture} {float}"));
    assert_eq!(refused.status.code(), Some(2));
    assert_plain(&refused.stderr);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hostile.txt: line 1"), "{refused:?}");

    // Names that no list refuses: JSON has the name itself, people read escapes.
    let name = format!("photo{HOSTILE}.png");
    fs::copy(path.join("calibration/c0_0.png"), path.join(&name)).expect("copied");
    let classify = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tinception"));
        command.arg("classify").arg(path.join(&name)).args(["--model", "nano"]).args(more).output().expect("it starts")
    };
    let printed = classify(&[]);
    assert_plain(&printed.stdout);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("\\u{1b}[2J\\u{9b}2J"), "{printed:?}");
    let printed = classify(&["--json"]);
    assert_plain(&printed.stdout);
    let document: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let file = document[0]["file"].as_str().expect("a name");
    assert!(file.ends_with(&name), "the name itself is unchanged: {file:?}");

    // In errors, in results and in clap's own words.
    for arguments in [
        vec!["classify".into(), path.join(&name).into_os_string()],
        vec!["classify".into(), path.join(format!("absent{HOSTILE}")).into_os_string()],
        vec!["classify".into(), path.join(OsString::from_vec(b"eight\x9b2J.png".to_vec())).into_os_string()],
        vec!["inspect".into(), path.join(&name).into_os_string()],
        vec!["classify".into(), format!("--{HOSTILE}").into()],
        vec!["fetch".into(), HOSTILE.into()],
        vec!["eval".into(), "--model".into(), "nano".into(), "--images".into(), HOSTILE.into()],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tinception")).args(&arguments).output().expect("it starts");
        assert_plain(&output.stdout);
        assert_plain(&output.stderr);
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{arguments:?}");
    }
}
