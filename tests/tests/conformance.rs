//! The second implementation, in Python, on random models: `tests/conformance/check.py`.

use std::path::Path;
use std::process::Command;

use tinception_core::model::Model;
use tinception_tests::aligned::Aligned;
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::linked::linked_model;
use tinception_tests::single_operator::{KINDS, single_operator_model};

/// A Python with numpy, or why there is none.
fn python() -> Result<String, String> {
    let python = std::env::var("TINCEPTION_PYTHON").unwrap_or_else(|_| "python3".into());
    match Command::new(&python).args(["-c", "import numpy"]).output() {
        Ok(output) if output.status.success() => Ok(python),
        Ok(_) => Err(format!("{python} has no numpy")),
        Err(error) => Err(format!("{python}: {error}")),
    }
}

fn run(script: &str, files: &[String]) -> Option<(bool, String)> {
    let python = python().map_err(|reason| println!("skipped: {reason} (set TINCEPTION_PYTHON)")).ok()?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").join(script);
    let output = Command::new(python).arg("-B").arg(script).args(files).output().expect("Python starts");
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[test]
fn the_second_implementation_gets_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Every kind of model five times, eight of all operators, and some whose steps run together; seeds that no other test
    // uses.
    let singles = (5000..5000 + 5 * KINDS).map(|seed| (format!("single-{seed}"), single_operator_model(seed)));
    let whole = (5000..5008).map(|seed| (format!("every-{seed}"), every_operator_model(seed)));
    let mut files = Vec::new();
    let linked = (5000..5020).map(|seed| (format!("linked-{seed}"), linked_model(seed, true)));
    for (name, bytes) in singles.chain(whole).chain(linked) {
        let path = folder.path().join(name).with_extension("tin");
        std::fs::write(&path, bytes).expect("a writable temporary folder");
        files.push(path.to_string_lossy().into_owned());
    }
    let Some((success, text)) = run("check.py", &files) else { return };
    assert!(success, "{text}");
    assert_eq!(text.matches("steps agree").count(), files.len(), "{text}");
}

/// A check that can't fail would be none: a wrong hash in the file must be found.
#[test]
fn the_second_implementation_finds_a_wrong_hash() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut bytes = every_operator_model(5000);
    *bytes.last_mut().expect("a file has bytes") ^= 1;
    tinception_core::format::writer::refresh_checksum(&mut bytes);
    let path = folder.path().join("wrong.tin");
    std::fs::write(&path, bytes).expect("a writable temporary folder");
    let Some((success, text)) = run("check.py", &[path.to_string_lossy().into_owned()]) else { return };
    assert!(!success && text.contains("step 26 (sigmoid, sigmoid)"), "{text}");
}

/// What a reader must refuse whose hashes would be right, too.
#[test]
fn the_second_implementation_refuses_texts_scales_and_reads_of_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let original = every_operator_model(5001);
    let path = folder.path().join("hostile.tin");
    let refused = |change: &dyn Fn(&mut Vec<u8>), message: &str| {
        let mut bytes = original.clone();
        change(&mut bytes);
        tinception_core::format::writer::refresh_checksum(&mut bytes);
        assert!(Model::new(&Aligned::new(&bytes)).is_err(), "{message}");
        std::fs::write(&path, &bytes).expect("a writable temporary folder");
        let Some((success, text)) = run("check.py", &[path.to_string_lossy().into_owned()]) else { return };
        assert!(!success && text.contains(message), "{text}");
    };
    let find = |text: &[u8]| original.windows(text.len()).position(|bytes| bytes == text).expect("it is there");
    let (label, id, name) = (find(b"class 3"), find(b"id3\n"), find(b"pointwise"));
    refused(&|bytes| bytes[label + 5] = 0x1B, "a text has control characters");
    refused(&|bytes| bytes[id] = 0x1B, "a text has control characters");
    refused(&|bytes| bytes[id + 3] = b'x', "9 ids for 10 labels");
    refused(&|bytes| bytes[label + 7] = b'x', "9 labels for 10 classes");
    refused(&|bytes| bytes[name..name + 2].copy_from_slice("\u{9b}".as_bytes()), "a text has control characters");
    let scale = find(&117.0_f32.to_le_bytes()) + 8;
    refused(&|bytes| bytes[scale..scale + 4].fill(0xFF), "a scale is not positive");
    // The input in the header: a tensor that is as good as an input, but for what is read then.
    refused(&|bytes| bytes[28] = 1, "reads what nothing wrote");
}
