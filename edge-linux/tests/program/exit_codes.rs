//! What can be asked for wrongly: options that don't go with the file, names that say no class, files that are no longer
//! what they were. Code 2 for input, 1 for a self-test that fails.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{QUANTIZE, is_refused, picture, prepare, succeeds, tinception};

const PRESET: &str = "--preset torchvision-imagenet --resize shorter:16";

fn compiled() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    succeeds(folder.path(), QUANTIZE);
    folder
}

#[test]
fn a_self_test_that_fails_names_the_step_and_exits_with_1() {
    let folder = compiled();
    let path = folder.path().join("model.tin");
    let mut file = fs::read(&path).expect("read");
    // The self-test is the last section, and the last step's hash its end.
    *file.last_mut().expect("not empty") ^= 1;
    fs::write(&path, file).expect("written");
    is_refused(folder.path(), "selftest {}/model.tin", &["model.tin", "checksum"]);
    let output = tinception(folder.path(), "selftest {}/model.tin --skip-checksum");
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("step 3") && printed.contains("expected"), "{printed}");
    // The other commands that take the option load the file, too.
    succeeds(folder.path(), "classify {}/calibration/c0_0.png --model {}/model.tin --skip-checksum");
    succeeds(folder.path(), "inspect {}/model.tin --skip-checksum");
}

#[test]
fn options_that_do_not_go_with_the_file() {
    let folder = compiled();
    for (command, words) in [
        ("--model {}/model.onnx", &["model.onnx", "--preset", "caffe-imagenet"][..]),
        ("--model {}/model.tin --preset caffe-imagenet", &["model.tin", "--preset"]),
        ("--model {}/model.tin --engine tract", &["model.tin", "--engine tract"]),
        ("--model {}/model.onnx --engine core", &["model.onnx", "--engine core"]),
        ("--model {}/labels.txt", &["labels.txt", ".tin", ".onnx"]),
        ("--model {}/absent.tin", &["absent.tin"]),
        (&format!("--model {{}}/model.onnx {PRESET} --hash-steps"), &["model.onnx", "--hash-steps"]),
        (&format!("--model {{}}/model.onnx {PRESET} --skip-checksum"), &["model.onnx", "--skip-checksum"]),
        (&format!("--model {{}}/model.onnx {PRESET} --threads 2"), &["model.onnx", "--threads"]),
        (&format!("--model {{}}/model.onnx {PRESET} --order grey"), &["model.onnx", "--order"]),
        // Cut out of a picture that is smaller than the input.
        (
            "--model {}/model.onnx --preset torchvision-imagenet --resize shorter:8",
            &["model.onnx", "--resize shorter:16"],
        ),
        ("--model {}/model.onnx --preset torchvision-imagenet --std 0.2", &["--std", "255"]),
        ("--model {}/model.tin --dump-input {}/absent/input.png", &["input.png", "folder"]),
    ] {
        is_refused(folder.path(), &format!("classify {{}}/calibration/c0_0.png {command}"), words);
    }
    fs::write(folder.path().join("few.txt"), "a\nb\n").expect("written");
    let few = format!("classify {{}}/calibration/c0_0.png --model {{}}/model.onnx {PRESET} --labels {{}}/few.txt");
    is_refused(folder.path(), &few, &["few.txt", "2 labels", "10 classes"]);
}

#[test]
fn names_that_say_no_class() {
    let folder = compiled();
    let images = folder.path().join("images");
    fs::create_dir_all(images.join("c3 class number 3")).expect("made");
    fs::create_dir_all(images.join("trout")).expect("made");
    picture(20, 20, 0).save(images.join("c3 class number 3/any.png")).expect("written");
    picture(20, 20, 1).save(images.join("c9_any.png")).expect("written");
    let eval = "eval --model {}/model.tin --images {}/images";
    let printed = succeeds(folder.path(), eval);
    assert!(printed.contains("top1") && printed.contains("images          2"), "{printed}");
    picture(20, 20, 2).save(images.join("trout/any.png")).expect("written");
    is_refused(folder.path(), eval, &["trout", "no label"]);
    fs::remove_dir_all(images.join("trout")).expect("removed");
    picture(20, 20, 3).save(images.join("holiday.png")).expect("written");
    is_refused(folder.path(), eval, &["holiday.png", "<class id>_"]);
    is_refused(folder.path(), &format!("eval --model {{}}/model.onnx {PRESET} --images {{}}/images"), &["--labels"]);
    is_refused(folder.path(), "eval --model {}/model.tin --images {}/absent", &["absent"]);
    // A picture that cannot be read is not counted, and said.
    fs::write(images.join("holiday.png"), "").expect("written");
    fs::rename(images.join("holiday.png"), images.join("c1_holiday.png")).expect("renamed");
    is_refused(folder.path(), eval, &["c1_holiday.png", "empty"]);
    let counted = tinception(folder.path(), eval);
    assert!(String::from_utf8_lossy(&counted.stdout).contains("images          2"));
}

#[test]
fn nothing_half_written_stays() {
    let folder = compiled();
    for bad in ["c0_0.png", "c1_1.png", "c2_2.png"] {
        fs::write(folder.path().join("calibration").join(bad), "no picture").expect("written");
    }
    let before = fs::read(folder.path().join("model.tin")).expect("read");
    is_refused(folder.path(), QUANTIZE, &["3 of its 4 pictures", "c0_0.png"]);
    assert_eq!(fs::read(folder.path().join("model.tin")).expect("read"), before, "the old file stays as it was");
    let names = fs::read_dir(folder.path()).expect("read").map(|entry| entry.expect("read").file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with(".tinception")));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = compiled();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tinception"))
        .arg("inspect")
        .arg(folder.path().join("model.tin"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_has_help_with_an_example() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in ["quantize", "classify", "eval", "compare", "inspect", "selftest", "bench"] {
        let help = succeeds(folder.path(), &format!("{command} --help"));
        assert!(help.contains(&format!("  tinception {command} ")), "{help}");
    }
}
