//! A file of another kind is named by its content, whatever it is called, and the message says what to do.

use std::fs;

use tinception_models::onnx::{self, Metadata};

use crate::common::{QUANTIZE, is_refused, network, picture, prepare, succeeds};

/// First bytes of other files, and what the message must say of each where a network is wanted.
const OTHERS: [(&[u8], &[&str]); 12] = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 28310016\n", &["Git LFS", "git lfs pull"]),
    (b"<!DOCTYPE html><html><body>404</body></html>", &["web page", "download the file itself"]),
    (b"", &["empty"]),
    (b"\x1c\0\0\0TFL3\x14\0\x20\0", &["TensorFlow Lite", "tf2onnx"]),
    (b"\x89HDF\r\n\x1a\n\0\0\0\0", &["Keras", "model.export"]),
    (b"\x08\x01\x12\xd0\x21\x0a\xb5\x21\x12\x90\x21", &["TensorFlow network", "tf2onnx"]),
    (b"\x80\x02}q\x00X\x01\x00\x00\x00wq\x01K\x01s.", &["PyTorch checkpoint", "tinception import"]),
    (b"\x10\0\0\0\0\0\0\0{\"w\":{}}      ", &["safetensors", "tinception import"]),
    (b"ftrt\x01\0\0\0", &["TensorRT engine", "export ONNX"]),
    (b"<?xml version=\"1.0\"?><net name=\"m\" version=\"11\">", &["OpenVINO", "export ONNX"]),
    (b"7767517\n2 2\nInput data 0 1 data", &["ncnn", "export ONNX"]),
    (b"\x1f\x8b\x08\0\0\0\0\0", &["packed (gzip)", "unpack it"]),
];

#[test]
fn quantize_names_what_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    let command = |name: &str| QUANTIZE.replace("model.onnx", name);
    for (bytes, words) in OTHERS {
        // The name says nothing, or the wrong thing.
        for name in ["given.bin", "given.onnx", "given"] {
            fs::write(folder.path().join(name), bytes).expect("written");
            is_refused(folder.path(), &command(name), words);
        }
    }
    succeeds(folder.path(), QUANTIZE);
    fs::rename(folder.path().join("model.tin"), folder.path().join("given.onnx")).expect("moved");
    is_refused(folder.path(), &command("given.onnx"), &["given.onnx", ".tin file", "float network"]);
    is_refused(folder.path(), &command("calibration"), &["calibration", "is a folder"]);
    is_refused(folder.path(), &command("calibration/c0_0.png"), &["c0_0.png", "PNG picture"]);
    assert!(!folder.path().join("model.tin").exists(), "nothing is left behind");
}

#[test]
fn networks_to_run_are_told_by_their_content() {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    for (bytes, words) in OTHERS {
        for name in ["given.bin", "given.tin"] {
            fs::write(folder.path().join(name), bytes).expect("written");
            let words = if bytes.is_empty() { &words[..0] } else { words };
            is_refused(folder.path(), &format!("classify {{}}/calibration/c0_0.png --model {{}}/{name}"), words);
        }
    }
    is_refused(folder.path(), "classify {}/calibration/c0_0.png --model {}/calibration", &["is a folder"]);
    is_refused(
        folder.path(),
        "classify {}/calibration/c0_0.png --model {}/calibration/c1_1.png",
        &["c1_1.png", "PNG picture", "network's file"],
    );
    // An ONNX network by another name runs.
    fs::copy(folder.path().join("model.onnx"), folder.path().join("net.bin")).expect("copied");
    let way = "--order rgb --mean 128,128,128 --std 64,64,64 --resize shorter:16";
    succeeds(folder.path(), &format!("classify {{}}/calibration/c0_0.png --model {{}}/net.bin {way}"));
}

#[test]
fn weights_and_labels_are_told_by_their_content() {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    let import = "import {}/given.pth --arch nano -o {}/out.onnx";
    for (bytes, words) in [
        (&b"version https://git-lfs.github.com/spec/v1\n"[..], &["git lfs pull"][..]),
        (b"<html>404</html>", &["web page"]),
        (b"\x1c\0\0\0TFL3", &["TensorFlow Lite", "tf2onnx"]),
        (b"PK\x03\x04.............net/constants.pkl net/data.pkl", &["TorchScript", "torch.jit.load", "state_dict"]),
        (b"PK\x03\x04.............model.weights.h5 config.json", &["given.pth"]),
        (b"\x1f\x8b\x08\0", &["gzip"]),
    ] {
        fs::write(folder.path().join("given.pth"), bytes).expect("written");
        is_refused(folder.path(), import, words);
    }
    fs::copy(folder.path().join("model.onnx"), folder.path().join("given.pth")).expect("copied");
    is_refused(folder.path(), import, &["ONNX network", "needs no import", "tinception quantize"]);
    is_refused(folder.path(), &import.replace("given.pth", "calibration"), &["is a folder"]);
    assert!(!folder.path().join("out.onnx").exists(), "nothing is left behind");

    picture(8, 8, 1).save(folder.path().join("picture.png")).expect("written");
    fs::write(folder.path().join("pointer.txt"), "version https://git-lfs.github.com/spec/v1\noid 1\nsize 2\n")
        .expect("written");
    for (labels, words) in [("picture.png", "PNG picture"), ("pointer.txt", "git lfs pull"), ("model.onnx", "ONNX")] {
        let command = QUANTIZE.replace("labels.txt", labels);
        is_refused(folder.path(), &command, &[labels, words, "not class names"]);
    }
}

#[test]
fn weights_beside_the_network_are_found_by_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    prepare(folder.path());
    let mut model = onnx::to_onnx(&network());
    let mut data = Vec::new();
    for tensor in &mut model.graph.as_mut().expect("a graph").initializer {
        // Metadata have the same entries of a key and a value.
        let others = [("location", "model.onnx.data".into()), ("offset", data.len().to_string())]
            .map(|(key, value)| (key.to_owned(), value));
        let mut carrier = onnx::to_onnx(&network());
        Metadata { others: others.into(), ..Metadata::default() }.write(&mut carrier);
        tensor.external_data = carrier.metadata_props;
        tensor.data_location = Some(1);
        data.append(&mut tensor.raw_data);
    }
    let way = "--order rgb --mean 128,128,128 --std 64,64,64 --resize shorter:16";
    let classify = format!("classify {{}}/calibration/c0_0.png --model {{}}/model.onnx --json {way}");
    let top = || {
        let json: serde_json::Value = serde_json::from_str(&succeeds(folder.path(), &classify)).expect("JSON");
        json[0]["top"].clone()
    };
    let before = top();
    fs::write(folder.path().join("model.onnx"), onnx::encode(&model)).expect("written");
    for command in [QUANTIZE.to_owned(), classify.clone()] {
        is_refused(folder.path(), &command, &["model.onnx", "model.onnx.data", "missing beside the model"]);
    }
    fs::write(folder.path().join("model.onnx.data"), data).expect("written");
    assert_eq!(top(), before);
    succeeds(folder.path(), QUANTIZE);
    for command in [
        format!("eval --model {{}}/model.onnx --images {{}}/calibration --labels {{}}/labels.txt {way}"),
        "compare {}/model.onnx {}/model.tin --images {}/calibration".to_owned(),
        "bench --model {}/model.onnx --runs 1".to_owned(),
    ] {
        println!("{command}: {}", succeeds(folder.path(), &command));
    }
}
