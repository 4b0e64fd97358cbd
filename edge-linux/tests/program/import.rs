//! From a file of weights to a classified picture.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use crate::common::{is_refused, number, prepare, succeeds};

/// The tensors of nano's state dict, auxiliary classifiers included.
const NANO: &str = include_str!("../../../tests/golden/nets/nano.txt");
const BATCH_NORM: [&str; 5] = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"];

/// Writes nano's weights, without the tensor `leave_out`.
fn write_nano(path: &Path, leave_out: &str) {
    write_nano_behind(path, leave_out, &[""], &[]);
}

/// As [`write_nano`], once behind each of `prefixes`, and with tensors of these names besides.
fn write_nano_behind(path: &Path, leave_out: &str, prefixes: &[&str], besides: &[&str]) {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for line in NANO.lines() {
        let (name, sizes) = line.split_once(' ').expect("a name and sizes");
        let shape: Vec<usize> = sizes.split(' ').map(|size| size.parse().expect("a size")).collect();
        let count: usize = shape.iter().product();
        let fan_in = (count / shape[0]) as f32;
        let spread: Vec<f32> = (0..count).map(|index| number(index) * (6.0 / fan_in).sqrt()).collect();
        let constant = |value: f32| vec![value; count];
        match name.strip_suffix(".*") {
            None => insert(&mut tensors, name.to_owned(), shape, &spread),
            Some(front) => {
                for (part, value) in BATCH_NORM.into_iter().zip([1.0, 0.1, 0.0, 1.0, 7.0]) {
                    insert(&mut tensors, format!("{front}.{part}"), shape.clone(), &constant(value));
                }
            }
        }
    }
    tensors.remove(leave_out);
    let copies = prefixes
        .iter()
        .flat_map(|prefix| tensors.iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor.clone())));
    let mut tensors: BTreeMap<_, _> = copies.collect();
    besides.iter().for_each(|name| insert(&mut tensors, (*name).to_owned(), vec![2], &[1.0, 2.0]));
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the bytes fill the shape"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("serialised")).expect("written");
}

fn insert(tensors: &mut BTreeMap<String, (Vec<usize>, Vec<u8>)>, name: String, shape: Vec<usize>, values: &[f32]) {
    tensors.insert(name, (shape, values.iter().flat_map(|value| value.to_le_bytes()).collect()));
}

#[test]
fn weights_become_a_network_that_needs_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    prepare(path);
    write_nano(&path.join("nano.safetensors"), "");
    let import = "import {}/nano.safetensors --arch nano --labels {}/labels.txt --licence CC0 -o {}/nano.onnx";
    let printed = succeeds(path, import);
    for words in
        ["32 x 32 x 3", "resize=shorter:32", "20 tensors of auxiliary classifiers", "aux1.", "10, with their names"]
    {
        assert!(printed.contains(words), "'{words}' is missing in: {printed}");
    }
    // Preprocessing and labels are in the files from here on.
    fs::create_dir(path.join("pictures")).expect("made");
    for seed in 0..3 {
        let file = path.join(format!("pictures/c{seed}_{seed}.png"));
        crate::common::picture(40, 36, seed).save(file).expect("written");
    }
    succeeds(path, "quantize {}/nano.onnx --calibration {}/pictures -o {}/nano.tin");
    let inspected = succeeds(path, "inspect {}/nano.tin");
    for words in ["weights: nano.safetensors", "weights-sha256: ", "architecture: nano", "licence: CC0"] {
        assert!(inspected.contains(words), "'{words}' is missing in: {inspected}");
    }
    for model in ["nano.onnx", "nano.tin"] {
        let classified = succeeds(path, &format!("classify {{}}/pictures/c1_1.png --model {{}}/{model}"));
        assert!(classified.contains("class number"), "{classified}");
    }
    succeeds(path, "eval --model {}/nano.tin --images {}/pictures --against {}/nano.onnx");
    // What is given goes over what the file says.
    let args = "classify {}/pictures/c1_1.png --model {}/nano.onnx --resize stretch --dump-input {}/seen.png";
    succeeds(path, args);
    assert_eq!(image::open(path.join("seen.png")).expect("a picture").to_rgb8().dimensions(), (32, 32));
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    prepare(path);
    write_nano(&path.join("nano.safetensors"), "");
    write_nano(&path.join("less.safetensors"), "inception4a.branch3.2.bn.running_mean");
    let goldens = format!("{}/../models/tests/golden/weights", env!("CARGO_MANIFEST_DIR"));
    fs::write(path.join("few.txt"), "a\nb\n").expect("written");
    for (args, words) in [
        ("{}/less.safetensors --arch nano", &["less.safetensors", "inception4a.branch3.2.bn.running_mean"][..]),
        ("{}/nano.safetensors --arch googlenet", &["nano.safetensors", "conv1.conv.weight"]),
        ("{}/nano.safetensors --arch nano --classes 12", &["nano.safetensors", "10 classes, not 12"]),
        ("{}/nano.safetensors --arch nano --labels {}/few.txt", &["few.txt", "2 labels"]),
        ("{}/nano.safetensors --arch nano --order grey", &["nano.safetensors", "--order"]),
        ("{}/nano.safetensors --arch alexnet", &["alexnet", "inception-v3"]),
        ("{}/absent.pth --arch nano", &["absent.pth"]),
        ("{}/labels.txt --arch nano", &["labels.txt"]),
        (&format!("{goldens}/evil.pth --arch nano"), &["evil.pth", "posix.system"]),
    ] {
        is_refused(path, &format!("import {args} -o {{}}/out.onnx"), words);
    }
    assert!(!path.join("out.onnx").exists(), "nothing is left behind");
}

#[test]
fn whatever_stands_in_front_of_all_names_is_taken_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let import = "import {}/nano.safetensors --arch nano -o {}/nano.onnx";
    write_nano(&path.join("nano.safetensors"), "");
    succeeds(path, import);
    let plain = fs::read(path.join("nano.onnx")).expect("read");
    let layers = |bytes: &[u8]| tinception_models::onnx::import_bytes(bytes, "nano").expect("it imports");
    for prefix in [
        "model.",
        "module.",
        "_orig_mod.",
        "net.",
        "backbone.",
        "_orig_mod.module.",
        "module.model.net.",
        "a/b/",
        "m.0.",
    ] {
        for besides in [&[][..], &["criterion.weight", "loss_weights"]] {
            write_nano_behind(&path.join("nano.safetensors"), "", &[prefix], besides);
            let printed = succeeds(path, import);
            assert!(printed.contains(&format!("{prefix} was removed")), "{printed}");
            assert!(printed.contains("20 tensors of auxiliary classifiers"), "{printed}");
            assert_eq!(printed.contains("2 tensors without that prefix"), !besides.is_empty(), "{printed}");
            let found = fs::read(path.join("nano.onnx")).expect("read");
            assert_eq!(layers(&found), layers(&plain), "{prefix}");
        }
    }
    for (prefixes, words) in [
        (&["model.", "ema."][..], &["several times", "'ema.'", "'model.'"][..]),
        (&["", "teacher."], &["several times", "'teacher.'"]),
    ] {
        write_nano_behind(&path.join("nano.safetensors"), "", prefixes, &[]);
        is_refused(path, import, words);
    }
    // What belongs nowhere below the prefix, or is missing there, is an error as ever.
    write_nano_behind(&path.join("nano.safetensors"), "", &["model."], &["model.extra.weight"]);
    is_refused(path, import, &["model.extra.weight", "no place"]);
    write_nano_behind(&path.join("nano.safetensors"), "fc.bias", &["model."], &["fc.bias"]);
    is_refused(path, import, &["'model.fc.bias' is missing"]);
}
