//! Weights in files beside the model: PyTorch's exporter writes them so by default.

use std::fs;
use std::path::Path;

use tinception_models::float::FloatEngine;
use tinception_models::onnx::{data_files, import, import_bytes};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};

use crate::build::{bytes, floats, model, node};

/// Weights of 2 filters over 3 channels, and a bias.
const WEIGHTS: [f32; 6] = [1.0, -2.0, 3.0, 0.5, 0.25, -0.125];
const BIAS: [f32; 2] = [10.0, 20.0];

/// A convolution and a global pool with their weights inside.
fn whole() -> ModelProto {
    let nodes = vec![node("Conv", &["x", "w", "b"], "c", vec![]), node("GlobalAveragePool", &["c"], "y", vec![])];
    model(&[1, 3, 4, 4], nodes, vec![floats("w", &[2, 3, 1, 1], &WEIGHTS), floats("b", &[2], &BIAS)])
}

fn tensors(model: &mut ModelProto) -> &mut Vec<TensorProto> {
    &mut model.graph.as_mut().expect("it has a graph").initializer
}

/// Makes a tensor point to another file.
fn point(tensor: &mut TensorProto, entries: &[(&str, &str)]) {
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
    tensor.raw_data.clear();
    tensor.data_location = Some(DataLocation::External as i32);
    tensor.external_data = entries.iter().map(entry).collect();
}

/// Writes `net.onnx` whose weights point to `entries`, and whose bias stays inside.
fn write(folder: &Path, entries: &[(&str, &str)]) -> std::path::PathBuf {
    let mut model = whole();
    point(&mut tensors(&mut model)[0], entries);
    let path = folder.join("net.onnx");
    fs::write(&path, bytes(&model)).expect("written");
    path
}

/// What a tensor says of its data, and what the message must say.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn weights_beside_the_model_are_those_inside() {
    let expected = import_bytes(&bytes(&whole()), "net.onnx").expect("it imports");
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("parts")).expect("made");
    let weights = little_endian(&WEIGHTS);
    let padded: Vec<u8> = [&[7; 64][..], &weights, &[7; 10]].concat();
    fs::write(at("net.onnx.data"), &weights).expect("written");
    fs::write(at("all.bin"), padded).expect("written");
    fs::write(at("parts/w"), &weights).expect("written");
    for entries in [
        &[("location", "net.onnx.data")][..],
        &[("location", "net.onnx.data"), ("offset", "0"), ("length", "24")],
        &[("location", "all.bin"), ("offset", "64"), ("length", "24"), ("checksum", "0f")],
        &[("length", "24"), ("offset", "64"), ("location", "./all.bin")],
        &[("location", "parts/w")],
    ] {
        let path = write(folder.path(), entries);
        let graph = import(&path).unwrap_or_else(|error| panic!("{entries:?}: {error}"));
        assert_eq!(graph.nodes, expected.nodes, "{entries:?}");
        // Of a picture of ones, each filter gives its sum and its bias; tract reads the same weights.
        let engine = FloatEngine::from_onnx(&path).expect("tract takes it");
        assert_eq!(engine.run(&[1.0; 48]).expect("it runs"), [[12.0, 20.625]], "{entries:?}");
    }
    // Every tensor in a file of its own; one file for two models.
    let mut model = whole();
    fs::write(at("b"), little_endian(&BIAS)).expect("written");
    point(&mut tensors(&mut model)[0], &[("location", "parts/w")]);
    point(&mut tensors(&mut model)[1], &[("location", "b")]);
    fs::write(at("net.onnx"), bytes(&model)).expect("written");
    assert_eq!(import(at("net.onnx")).expect("it imports").nodes, expected.nodes);
    let files = data_files(at("net.onnx")).expect("it reads");
    assert_eq!(files, [at("b"), at("parts/w")]);
}

#[test]
fn a_model_named_without_a_folder_finds_its_data() {
    // The only test that would need another working folder asks by the relative path there is.
    let folder = tempfile::tempdir_in(".").expect("a folder");
    fs::write(folder.path().join("d"), little_endian(&WEIGHTS)).expect("written");
    let path = write(folder.path(), &[("location", "d")]);
    let relative = Path::new(folder.path().file_name().expect("a name")).join("net.onnx");
    assert_eq!(import(relative).expect("it imports").nodes, import(path).expect("it imports").nodes);
}

#[test]
fn data_that_is_missing_short_or_elsewhere_is_named() {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("models");
    fs::create_dir_all(folder.join("inner")).expect("made");
    let secret = outside.path().join("secret");
    fs::write(&secret, little_endian(&WEIGHTS)).expect("written");
    fs::write(folder.join("short"), [0; 23]).expect("written");
    fs::write(folder.join("pointer"), "version https://git-lfs.github.com/spec/v1\n").expect("written");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, folder.join("link")).expect("linked");
        std::os::unix::fs::symlink(outside.path(), folder.join("way")).expect("linked");
        std::os::unix::fs::symlink("short", folder.join("near")).expect("linked");
    }
    let secret = secret.to_str().expect("UTF-8");
    let cases: [Case<'_>; 18] = [
        (&[("location", "absent.data")], &["'absent.data' is missing beside the model", "copy it there"]),
        (&[("location", "short")], &["'short' is too short", "23 bytes", "24 start at 0"]),
        (&[("location", "short"), ("offset", "20")], &["too short"]),
        (&[("location", "short"), ("offset", "18446744073709551615")], &["too short"]),
        (&[("location", "pointer"), ("offset", "40")], &["'pointer'", "git lfs pull"]),
        (&[("location", "short"), ("length", "12")], &["take 24 bytes", "to have 12"]),
        (&[("location", "short"), ("offset", "-1")], &["offset '-1' is no number"]),
        (&[("location", "short"), ("length", "many")], &["length 'many' is no number"]),
        (&[("location", secret)], &["outside of the model's folder"]),
        (&[("location", "../secret")], &["outside of the model's folder"]),
        (&[("location", "inner/../../secret")], &["outside of the model's folder"]),
        (&[("location", "inner/../short")], &["outside of the model's folder"]),
        (&[("location", "link")], &["is a link out of the model's folder"]),
        (&[("location", "way/secret")], &["is a link out of the model's folder"]),
        (&[("location", "near")], &["too short"]),
        (&[("location", "inner")], &["no regular file"]),
        (&[("location", "")], &["names no file"]),
        (&[("offset", "0")], &["names no file"]),
    ];
    for (entries, words) in cases {
        let path = write(&folder, entries);
        let messages = [
            import(&path).expect_err("it must not import").to_string(),
            FloatEngine::from_onnx(&path).expect_err("it must not load").to_string(),
        ];
        for message in messages {
            assert!(message.contains("net.onnx: tensor 'w': "), "{entries:?}: {message}");
            for word in words {
                assert!(message.contains(word), "{entries:?}: '{word}' is not in: {message}");
            }
        }
    }
}

#[test]
fn data_that_nothing_needs_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut model = whole();
    let mut unused = floats("unused", &[1 << 20], &[]);
    point(&mut unused, &[("location", "absent")]);
    tensors(&mut model).push(unused);
    fs::write(folder.path().join("net.onnx"), bytes(&model)).expect("written");
    import(folder.path().join("net.onnx")).expect("it imports");
}

#[test]
fn a_model_from_memory_has_no_files_beside_it() {
    let mut model = whole();
    point(&mut tensors(&mut model)[0], &[("location", "net.onnx.data")]);
    let message = import_bytes(&bytes(&model), "net.onnx").expect_err("it has no folder").to_string();
    assert!(message.contains("tensor 'w'") && message.contains("save_as_external_data=False"), "{message}");
}
