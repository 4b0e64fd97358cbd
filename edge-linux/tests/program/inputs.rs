//! What can be given as pictures: files, folders, standard input; names in every spelling of Unicode; what is no picture.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::{QUANTIZE, is_refused, picture, prepare, succeeds, tinception};

fn compiled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    succeeds(folder.path(), QUANTIZE);
    folder
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// Runs `classify -` on these bytes.
fn piped(folder: &Path, args: &str, bytes: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tinception"))
        .args(args.replace("{}", folder.to_str().expect("UTF-8")).split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may not read what it refuses.
    let _ = child.stdin.take().expect("a pipe").write_all(bytes);
    child.wait_with_output().expect("it ends")
}

fn scores(entry: &Value) -> &Value {
    &entry["top"]
}

#[test]
fn standard_input_is_a_picture_like_a_file() {
    let folder = compiled();
    let path = folder.path();
    let file = fs::read(path.join("calibration/c1_1.png")).expect("read");
    let named = json(&tinception(path, "classify {}/calibration/c1_1.png --model {}/model.tin --json"));
    let output = piped(path, "classify - --model {}/model.tin --json", &file);
    let entry = json(&output);
    assert!(output.status.success());
    assert_eq!((scores(&entry[0]), &entry[0]["file"]), (scores(&named[0]), &"standard input".into()));
    // Among others, in its place.
    let mixed = "classify {}/calibration/c0_0.png - {}/calibration/c2_2.png --model {}/model.tin --json";
    assert_eq!(scores(&json(&piped(path, mixed, &file))[1]), scores(&named[0]));
    for (bytes, word) in [(&b""[..], "empty"), (b"not a picture", "text file"), (&file[..file.len() / 2], "truncated")]
    {
        let output = piped(path, "classify - --model {}/model.tin", bytes);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains("standard input") && error.contains(word), "{error}");
    }
    is_refused(path, "classify - - --model {}/model.tin", &["once"]);
}

#[test]
fn folders_are_looked_through_and_nothing_is_lost() {
    let folder = compiled();
    let path = folder.path();
    let photos = path.join("photos");
    fs::create_dir_all(photos.join("b/deep")).expect("made");
    fs::create_dir(path.join("empty")).expect("made");
    for (seed, name) in (0..).zip(["c.png", "a.png", "b/x.png", "b/deep/y.PNG"]) {
        picture(20, 20, seed).save(photos.join(name)).expect("written");
    }
    for name in ["notes.txt", "b/IMG_1.HEIC", ".hidden.png", "b/._x.png"] {
        fs::write(photos.join(name), "no picture").expect("written");
    }
    let output = tinception(path, "classify {}/photos --model {}/model.tin --json");
    let (entries, note) = (json(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    let files: Vec<_> = entries.as_array().expect("a list").iter().map(|entry| entry["file"].as_str()).collect();
    let expected = ["a.png", "b/deep/y.PNG", "b/x.png", "c.png"].map(|name| format!("{}/{name}", photos.display()));
    assert_eq!(files, expected.each_ref().map(|name| Some(name.as_str())));
    assert!(output.status.success());
    assert!(note.contains("1 file ") && note.contains("1 heic") && !note.contains("txt"), "{note}");

    // What is missing in the middle loses nothing.
    let mixed = "{}/absent.jpg {}/photos/c.png {}/empty {}/photos/b --model {}/model.tin";
    let output = tinception(path, &format!("classify {mixed} --json"));
    assert_eq!(output.status.code(), Some(2));
    let entries = json(&output);
    let failed: Vec<_> = entries.as_array().expect("a list").iter().map(|entry| entry["error"].is_string()).collect();
    assert_eq!(failed, [true, false, true, false, false], "{entries}");
    let output = tinception(path, &format!("classify {mixed}"));
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), printed.matches(" ms, core)").count()), (Some(2), 3), "{printed}");
    assert!(errors.contains("absent.jpg") && errors.contains("empty"), "{errors}");
    is_refused(path, "classify {}/photos --model {}/model.tin --dump-input {}/x.png", &["one picture"]);
}

#[test]
fn what_is_no_picture_is_named() {
    let folder = compiled();
    let path = folder.path();
    for (name, bytes, words) in [
        ("a.jpg", &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], ["HEIC", "heif-convert"]),
        ("b.png", b"GIF89a\x01\0\x01\0\0\0\0", ["GIF", "convert"]),
        ("c.tif", b"II*\0\x08\0\0\0\0\0", ["TIFF", "convert"]),
        ("d.jpg", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", ["AVIF", "convert"]),
        ("e.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", ["LFS", "git lfs pull"]),
        ("f.jpg", b"<!DOCTYPE html><html>404", ["HTML", "download"]),
    ] {
        fs::write(path.join(name), bytes).expect("written");
        is_refused(path, &format!("classify {{}}/{name} --model {{}}/model.tin"), &[name, words[0], words[1]]);
    }
}

#[test]
fn folder_names_match_in_every_spelling() {
    let folder = compiled();
    let path = folder.path();
    // Composed in one, decomposed in the other.
    for (label, name) in [("K\u{e4}se", "Ka\u{308}se"), ("Cafe\u{301}", "Caf\u{e9}")] {
        let labels: Vec<String> = (0..9).map(|class| format!("class{class}")).chain([label.to_owned()]).collect();
        fs::write(path.join("labels.txt"), labels.join("\n")).expect("written");
        let images = path.join(format!("images-{}", label.len()));
        fs::create_dir_all(images.join(name)).expect("made");
        picture(20, 20, 1).save(images.join(name).join("x.png")).expect("written");
        fs::write(images.join(name).join("x.heic"), "").expect("written");
        let eval = format!("eval --model {{}}/model.tin --labels {{}}/labels.txt --images {} --json", images.display());
        let output = tinception(path, &eval);
        let (report, note) = (json(&output), String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!((report["images"].as_u64(), report["passed_over"].as_u64()), (Some(1), Some(1)), "{report}");
        assert!(note.contains("1 heic"), "{note}");
    }
}

#[test]
fn a_preset_that_cannot_give_the_size_says_which_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    prepare(path);
    let quantize = QUANTIZE.replace("shorter:16", "shorter:12");
    // 16 is to 19 as 224 is to 256, rounded up.
    is_refused(path, &quantize, &["model.onnx", "16 x 16", "shorter:19", "shorter:16", "stretch"]);
    for way_out in ["shorter:19", "shorter:16", "stretch"] {
        succeeds(path, &QUANTIZE.replace("shorter:16", way_out));
    }
}

#[test]
fn a_picture_that_would_cost_too_much_is_refused_in_one_line() {
    let folder = compiled();
    let path = folder.path();
    picture(16, 16, 1).save(path.join("small.jpg")).expect("written");
    let small = fs::read(path.join("small.jpg")).expect("read");
    let frame = small.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    let claim = |side: u16| {
        let mut bytes = small.clone();
        let [high, low] = side.to_be_bytes();
        bytes[frame + 5..frame + 9].copy_from_slice(&[high, low, high, low]);
        bytes
    };
    for (side, words) in [(20_000, ["400 megapixels", "smaller"]), (65_535, ["65535 x 65535", "32767"])] {
        fs::write(path.join("claim.jpg"), claim(side)).expect("written");
        is_refused(path, "classify {}/claim.jpg --model {}/model.tin", &["claim.jpg", words[0], words[1]]);
    }
}
