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

/// A checkpoint's parts, made as `torch.save` makes them.
mod made {
    use std::io::Write;
    use std::path::Path;

    use zip::CompressionMethod;
    use zip::write::{SimpleFileOptions, ZipWriter};

    /// A pickled string.
    pub(crate) fn text(text: &str) -> Vec<u8> {
        [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    }

    fn number(number: u32) -> Vec<u8> {
        [b"J", &number.to_le_bytes()[..]].concat()
    }

    /// A float tensor of `sizes` and `strides` over the `elements` of storage 0.
    pub(crate) fn tensor(elements: u32, sizes: [u32; 2], strides: [u32; 2]) -> Vec<u8> {
        let pair = |pair: [u32; 2]| [number(pair[0]), number(pair[1]), b"\x86".to_vec()].concat();
        [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text("0"),
            &text("cpu"),
            &number(elements),
            b"tQ",
            &number(0),
            &pair(sizes),
            &pair(strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }

    /// A pickled dictionary.
    pub(crate) fn dict(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
        let entries = entries.iter().flat_map(|(key, value)| [text(key), value.clone()]);
        [b"}(".to_vec(), entries.flatten().collect(), b"u".to_vec()].concat()
    }

    /// Writes an archive whose pickle is `object` and whose storage 0 has 64 bytes of zeros.
    pub(crate) fn write(path: &Path, object: &[u8], method: CompressionMethod) {
        let mut archive = ZipWriter::new(std::fs::File::create(path).expect("made"));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let options = SimpleFileOptions::default().compression_method(method);
        for (name, options, content) in [
            ("net/data.pkl", options, [b"\x80\x02", object, b"."].concat()),
            ("net/version", stored, b"3\n".to_vec()),
            ("net/data/0", options, vec![0; 64]),
        ] {
            archive.start_file(name, options).expect("started");
            archive.write_all(&content).expect("written");
        }
        archive.finish().expect("finished");
    }
}

#[test]
fn checkpoints_that_only_describe_their_tensors_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.pth");
    let stored = zip::CompressionMethod::Stored;
    let refused = |object: &[u8], words: &[&str]| {
        made::write(&path, object, stored);
        let start = std::time::Instant::now();
        let message = weights::read(&path).expect_err("it must be refused").to_string();
        assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
        for word in words {
            assert!(message.contains(word), "'{word}' is not in: {message}");
        }
        assert!(message.contains("small.pth: "), "{message}");
    };
    // What is right reads: sixteen elements seen as they are, and twice in one tensor.
    let two = [("a".to_owned(), made::tensor(16, [4, 4], [4, 1])), ("b".to_owned(), made::tensor(16, [2, 16], [0, 1]))];
    made::write(&path, &made::dict(&two), stored);
    assert_eq!(weights::read(&path).expect("it reads").tensors["b"].values, [0.0; 32]);

    let one = |sizes, strides| made::dict(&[("w".to_owned(), made::tensor(16, sizes, strides))]);
    refused(&one([1 << 14, 1 << 14], [0, 0]), &["tensor 'w' of [16384, 16384]", "64 MiB"]);
    refused(&one([1 << 14, 1 << 13], [0, 0]), &["tensor 'w'", "64 MiB"]);
    refused(&one([1 << 16, 1 << 15], [0, 0]), &[]);
    refused(&one([1 << 30, 1 << 30], [0, 0]), &[]);
    // Each is small, and so is what they share.
    let many: Vec<_> =
        (0..200).map(|index| (format!("w{index}"), made::tensor(16, [1 << 9, 1 << 9], [0, 0]))).collect();
    refused(&made::dict(&many), &["tensor 'w", "64 MiB"]);
    let many: Vec<_> = (0..5000).map(|index| (format!("w{index}"), made::tensor(16, [1, 1], [0, 0]))).collect();
    refused(&made::dict(&many), &["5000 tensors"]);
}

#[test]
fn pickles_that_would_fill_the_memory_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("small.pth");
    for (object, words) in [
        // A million objects on the stack; lists in lists; a list that holds itself many times over.
        (vec![b'N'; 1 << 20], "its pickle"),
        ([vec![b']'; 50_000], vec![b'a'; 49_999]].concat(), ""),
        ([&b"]q\x00"[..], &b"(h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00lq\x00".repeat(20)].concat(), ""),
        ([&b"\x80\x02"[..], &b"(".repeat(100_000)].concat(), ""),
        ([&b"X\xff\xff\xff\x7f"[..], b"a"].concat(), "ends in the middle"),
    ] {
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            made::write(&path, &object, method);
            let message = weights::read(&path).expect_err("it must be refused").to_string();
            assert!(message.contains("small.pth: ") && message.contains(words), "{message}");
        }
    }
    let object = made::dict(&[("w".to_owned(), made::tensor(16, [4, 4], [4, 1]))]);
    made::write(&path, &object, zip::CompressionMethod::Deflated);
    let message = weights::read(&path).expect_err("a packed storage").to_string();
    assert!(message.contains("'net/data/0' is compressed"), "{message}");
}

#[test]
fn wrappers_around_the_state_dict_are_opened_and_several_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrapped.pth");
    let weights = || made::dict(&[("conv.weight".to_owned(), made::tensor(16, [4, 4], [4, 1]))]);
    let epoch = ("epoch".to_owned(), b"K\x07".to_vec());
    for key in ["weights", "state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema"] {
        let object = made::dict(&[(key.to_owned(), weights()), epoch.clone()]);
        made::write(&path, &object, zip::CompressionMethod::Stored);
        let read = weights::read(&path).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(read.tensors.keys().collect::<Vec<_>>(), ["conv.weight"], "{key}");
    }
    for (first, second) in [("state_dict", "state_dict_ema"), ("model", "ema"), ("ema", "model_ema")] {
        let object = made::dict(&[(first.to_owned(), weights()), (second.to_owned(), weights())]);
        made::write(&path, &object, zip::CompressionMethod::Stored);
        let message = weights::read(&path).expect_err("two sets").to_string();
        for words in ["several sets of weights", &format!("'{first}'"), &format!("'{second}'"), "torch.save"] {
            assert!(message.contains(words), "'{words}' is not in: {message}");
        }
    }
    // Settings under such a key are no weights.
    let settings = made::dict(&[("layers".to_owned(), b"K\x09".to_vec())]);
    let object = made::dict(&[("model".to_owned(), settings), ("state_dict".to_owned(), weights())]);
    made::write(&path, &object, zip::CompressionMethod::Stored);
    weights::read(&path).expect("it reads");
}

#[test]
fn caffe_models_of_nothing_but_layers_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.caffemodel");
    // A layer without content takes two bytes, and a blob in it two more.
    for bytes in [b"\x12\x00".repeat(1 << 20), b"\xa2\x06\x02\x3a\x00".repeat(1 << 19)] {
        std::fs::write(&path, bytes).expect("written");
        let message = weights::read(&path).expect_err("it must be refused").to_string();
        assert!(message.contains("empty.caffemodel: as a Caffe model: ") && message.contains("memory"), "{message}");
    }
}
