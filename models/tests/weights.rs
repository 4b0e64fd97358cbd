//! Files of weights as PyTorch and safetensors write them (`golden/weights/make.py`), and damaged ones.
#![cfg(feature = "weights")]

use std::path::{Path, PathBuf};

use tinception_models::weights::{self, Weights, WeightsError};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/weights").join(name)
}

fn assert_is_the_golden(weights: &Weights) {
    let names: Vec<&str> = weights.tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["conv.bias", "conv.weight"], "{}", weights.file);
    let (bias, weight) = (&weights.tensors["conv.bias"], &weights.tensors["conv.weight"]);
    assert_eq!((bias.shape.as_slice(), bias.values.as_slice()), (&[2][..], &[1.0, -2.0][..]), "{}", weights.file);
    assert_eq!(weight.shape, [2, 3, 1, 1], "{}", weights.file);
    assert_eq!(weight.values, [-0.5, -0.25, 0.0, 0.25, 0.5, 0.75], "{}", weights.file);
}

#[test]
fn every_way_to_save_gives_the_same_tensors() {
    for name in ["zip.pth", "stream.pth", "half.pth", "parallel.pth", "views.pth", "plain.safetensors"] {
        let weights = weights::read(golden(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_is_the_golden(&weights);
        assert!(weights.labels.is_empty() && weights.size.is_none());
    }
}

#[test]
fn a_checkpoint_of_the_training_has_labels_and_size() {
    let weights = weights::read(golden("checkpoint.pt")).expect("it reads");
    assert_is_the_golden(&weights);
    assert_eq!(weights.labels, ["cat", "dog"]);
    assert_eq!(weights.size, Some(32));
}

#[test]
fn pickles_that_could_run_something_are_refused_by_name() {
    let before = std::fs::exists("run").expect("the folder can be read");
    for (file, name) in
        [("evil.pth", "posix.system"), ("evil_stream.pth", "posix.system"), ("protocol4.pth", "STACK_GLOBAL")]
    {
        let error = weights::read(golden(file)).expect_err(file);
        assert!(matches!(error, WeightsError::Pickle { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(file) && message.contains(name) && message.contains("nothing was run"), "{message}");
    }
    assert_eq!(std::fs::exists("run").expect("the folder can be read"), before, "nothing ran");
}

/// Every file cut at every length, and with single bytes changed: an error that names the file, or a file that reads.
#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("damaged.pth");
    for name in ["zip.pth", "stream.pth", "plain.safetensors"] {
        let whole = std::fs::read(golden(name)).expect("the golden is there");
        for length in (0..whole.len()).step_by(7) {
            std::fs::write(&path, &whole[..length]).expect("written");
            let error = weights::read(&path).expect_err("it is cut").to_string();
            assert!(error.contains("damaged.pth: "), "{error}");
        }
        for at in (0..whole.len()).step_by(3) {
            let mut changed = whole.clone();
            changed[at] ^= 0x15;
            std::fs::write(&path, &changed).expect("written");
            if let Err(error) = weights::read(&path) {
                assert!(error.to_string().contains("damaged.pth: "), "{error}");
            }
        }
    }
}
