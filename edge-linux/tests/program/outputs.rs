//! Outputs: never in the place of an input, whole or not at all, and into what is no file.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{QUANTIZE, is_refused, picture, prepare, succeeds};

fn compiled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    succeeds(folder.path(), QUANTIZE);
    folder
}

/// Everything in a folder, but for the folders in it.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .expect("read")
        .map(|entry| entry.expect("read"))
        .filter(|entry| entry.file_type().expect("a kind").is_file())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("read")))
        .collect();
    all.sort();
    all
}

#[test]
fn an_output_that_is_an_input_is_refused_before_anything_is_written() {
    let folder = compiled();
    let path = folder.path();
    symlink("model.onnx", path.join("link")).expect("a link");
    fs::hard_link(path.join("labels.txt"), path.join("hard.txt")).expect("a link");
    picture(40, 30, 1).save(path.join("photo.png")).expect("written");
    let (before, pictures) = (content(path), content(&path.join("calibration")));
    let quantize = |output: &str| QUANTIZE.replace("{}/model.tin", output);
    for command in [
        quantize("{}/model.onnx"),
        quantize("{}/calibration/../model.onnx"),
        quantize("{}/link"),
        quantize("{}/labels.txt"),
        quantize("{}/hard.txt"),
        quantize("{}/calibration/c1_1.png"),
        "inspect {}/model.tin --plot {}/./model.tin".into(),
        "compare {}/model.onnx {}/model.tin --images {}/calibration --plot {}/model.onnx".into(),
        "compare {}/model.onnx {}/model.tin --images {}/calibration --plot {}/model.tin".into(),
        "compare {}/model.onnx {}/model.tin --images {}/calibration --plot {}/calibration/c0_0.png".into(),
        "classify {}/photo.png --model {}/model.tin --dump-input {}/photo.png".into(),
        "classify {}/photo.png --model {}/model.tin --dump-input {}/model.tin".into(),
        "classify {}/calibration/c0_0.png --model {}/model.onnx --labels {}/labels.txt --preset caffe-imagenet \
         --resize stretch --dump-input {}/hard.txt"
            .into(),
        "import {}/labels.txt --arch nano -o {}/labels.txt".into(),
        "import {}/photo.png --labels {}/labels.txt --arch nano -o {}/labels.txt".into(),
    ] {
        is_refused(path, &command, &["overwrite"]);
        assert!(content(path) == before && content(&path.join("calibration")) == pictures, "{command}");
    }
}

#[test]
fn a_link_is_kept_and_its_target_written() {
    let folder = compiled();
    let path = folder.path();
    fs::create_dir(path.join("models")).expect("made");
    symlink("models/current.tin", path.join("link.tin")).expect("a link");
    let command = QUANTIZE.replace("model.tin", "link.tin");
    for _ in 0..2 {
        succeeds(path, &command);
        assert!(path.join("link.tin").is_symlink());
        assert!(
            fs::read(path.join("models/current.tin")).expect("read") == fs::read(path.join("model.tin")).expect("read")
        );
    }
}

#[test]
fn pipes_and_standard_output_get_the_bytes() {
    let folder = compiled();
    let path = folder.path();
    let expected = fs::read(path.join("model.tin")).expect("read");
    let pipe = path.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it runs").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).expect("read")
    });
    succeeds(path, &QUANTIZE.replace("model.tin", "pipe"));
    assert!(reader.join().expect("read") == expected);
    assert!(fs::metadata(&pipe).expect("it is there").file_type().is_fifo(), "it is a pipe still");

    for output in ["-", "/dev/stdout"] {
        let run = crate::common::tinception(path, &QUANTIZE.replace("{}/model.tin", output));
        assert!(run.status.success() && run.stdout == expected, "{output}");
        assert!(String::from_utf8_lossy(&run.stderr).contains("layer0"), "the summary is not lost");
    }
}

#[test]
fn inputs_that_are_no_files_are_named_at_once() {
    let folder = compiled();
    let path = folder.path();
    assert!(Command::new("mkfifo").arg(path.join("pipe.tin")).status().expect("it runs").success());
    symlink("pipe.tin", path.join("pipe.png")).expect("a link");
    let start = Instant::now();
    for command in [
        "classify {}/pipe.png --model {}/model.tin",
        "classify {}/calibration/c0_0.png --model {}/pipe.tin",
        "classify {}/calibration/c0_0.png --model {}/model.tin --labels {}/pipe.tin",
        "inspect {}/pipe.tin",
        "selftest {}/pipe.tin",
        "eval --model {}/model.tin --images {}/calibration --labels {}/pipe.tin",
        "quantize {}/pipe.tin --calibration {}/calibration -o {}/x.tin",
        "quantize {}/model.onnx --calibration {}/calibration --labels {}/pipe.tin --preset caffe-imagenet -o {}/x.tin",
        "import {}/pipe.tin --arch nano -o {}/x.onnx",
        "compare {}/pipe.tin {}/model.tin --images {}/calibration",
        "bench --model {}/pipe.tin",
        "firmware-report {}/pipe.tin",
        "camera images:{}/calibration --config {}/pipe.tin",
    ] {
        is_refused(path, command, &["pipe", "is a pipe"]);
    }
    is_refused(path, "classify /dev/zero --model {}/model.tin", &["/dev/zero", "is a device"]);
    is_refused(path, "classify {}/calibration/c0_0.png --model {}/calibration", &["calibration", "is a folder"]);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn what_a_killed_run_left_is_cleared_by_the_next() {
    let folder = compiled();
    let path = folder.path();
    let pipe = path.join("pipe.tin");
    fs::write(path.join(".tinception-abcdef.tmp"), "half a file").expect("written");
    succeeds(path, QUANTIZE);
    assert!(!path.join(".tinception-abcdef.tmp").exists());
    // Nothing is written to a folder that is not there, and nothing stays of what was refused.
    is_refused(path, &QUANTIZE.replace("{}/model.tin", "{}/absent/model.tin"), &["absent", "folder"]);
    assert!(!pipe.exists());
    assert!(!content(path).iter().any(|(name, _)| name.starts_with(".tinception")));
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = compiled();
    let path = folder.path();
    let before = fs::read(path.join("model.tin")).expect("read");
    // No file may become larger than 1,024 bytes; without the signal's default, that is an error like a full disk's.
    let command = QUANTIZE.replace("{}", path.to_str().expect("UTF-8"));
    let run = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tinception")])
        .args(command.split_whitespace())
        .stdout(Stdio::null())
        .output()
        .expect("it runs");
    let error = String::from_utf8_lossy(&run.stderr);
    assert_eq!((run.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    assert!(error.contains("model.tin: cannot be written"), "{error}");
    assert!(fs::read(path.join("model.tin")).expect("read") == before);
    assert!(!content(path).iter().any(|(name, _)| name.starts_with(".tinception")));
}
