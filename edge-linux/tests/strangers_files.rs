//! `.tin` files of strangers that ask for more than a file of their size may: one line, exit code 2, at once. And what runs
//! long all the same ends when it is told to.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tinception_core::format::NO_TENSOR;
use tinception_core::format::preprocess::Preprocess;
use tinception_core::format::step::{AveragePool, Link, Operator, Rescale, Step};
use tinception_core::format::tensor::{DataType, Stored, Tensor};
use tinception_core::format::writer::Writer;
use tinception_core::image::{ColourOrder, Resize};
use tinception_core::quant::QuantParams;
use tinception_core::shape::{Padding, Shape, Window};

/// A network of one step over grey pictures; the second tensor begins at `offset` at the earliest.
fn network(input: [u32; 2], output: [u32; 3], offset: u32, operator: impl FnOnce(&mut Writer) -> Operator) -> Writer {
    let mut writer = Writer::new();
    let operator = operator(&mut writer);
    let pixels = input[0] * input[1];
    let shapes = [(0, [input[0], input[1], 1]), (offset.max(pixels), output), (offset.max(pixels), [1, 1, 2])];
    for (offset, [height, width, channels]) in shapes {
        let (shape, quant) = (Shape::new(height, width, channels), QuantParams { scale: 0.5, zero_point: 0 });
        let (stored, data_type) = (Stored::Whole, DataType::Int8);
        writer.tensors.push(Tensor { offset, shape, pixel_stride: channels, stored, data_type, quant });
    }
    let (second_input, min, max, name, name_length) = (NO_TENSOR, -128, 127, 64, 0);
    let link = Link::None;
    writer.steps.push(Step { input: 0, second_input, output: 1, min, max, name, name_length, link, operator });
    let table = writer.add_data(&[0; 256], 4);
    let (mean, scale) = ([0.0; 3], [1.0, 0.0, 0.0]);
    writer.preprocess = Some(Preprocess { order: ColourOrder::Grey, resize: Resize::Stretch, mean, scale, table });
    writer.self_test = Some((1, vec![0]));
    writer.logits = 2;
    writer
}

fn copy(_: &mut Writer) -> Operator {
    Operator::Rescale(Rescale { multiplier: 1 << 30, shift: 30 })
}

/// A max pool as large as its input, at every place where it sees any of it.
fn pool(side: u32) -> Writer {
    let window = Window::square(side, 1).padded(Padding::same(side - 1));
    network([side; 2], [2 * side - 1, 2 * side - 1, 1], 0, |_| Operator::MaxPool(window))
}

fn average(side: u32) -> Writer {
    let window = Window::square(side, 1).padded(Padding::same(side / 2));
    network([side; 2], [side / 2 * 2 + 1, side / 2 * 2 + 1, 1], 0, |writer| {
        let divisor_table = writer.add_table(&[(side * side) as i32, 1 << 20, 30]);
        Operator::AveragePool(AveragePool { window, counted: window.padding, divisor_table, divisors: 1 })
    })
}

fn photo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/artefacts/photos/cat.jpg")
}

fn tinception(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tinception")).args(args).output().expect("it starts")
}

#[test]
fn files_that_ask_for_too_much_are_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stranger.tin");
    let (path, photo) = (path.to_str().expect("UTF-8"), photo());
    let photo = photo.to_str().expect("UTF-8");
    let gigabytes = network([2, 2], [2, 2, 1], 0xFFFF_FF00, copy);
    let input = network([32_767, 32_767], [32_767, 32_767, 1], 0, copy);
    let half = network([2, 2], [2, 2, 1], 300_000_000, copy);
    for (name, writer, what) in [
        ("an arena of 4 GiB", gigabytes, "bytes of memory"),
        ("an input of 1 GiB", input, "operations"),
        ("an arena of 300 MB", half, "bytes of memory"),
        ("a max pool of hours", pool(1000), "operations"),
        ("a max pool of seconds", pool(300), "operations"),
        ("an average pool", average(300), "operations"),
        ("an average pool of hours", average(2000), "operations"),
    ] {
        std::fs::write(path, writer.finish()).expect("a writable folder");
        let commands: [&[&str]; 4] = [
            &["classify", "--model", path, photo],
            &["bench", "--model", path, "--runs", "1"],
            &["selftest", path],
            &["classify", "--model", path, "--threads", "4", photo],
        ];
        for command in commands {
            let start = Instant::now();
            let output = tinception(command);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {error}");
            assert!(error.lines().count() == 1 && error.contains(what), "{name}: {error}");
            assert!(error.contains("TINCEPTION_LIMITS=off"), "{name}: {error}");
            assert!(start.elapsed() < Duration::from_secs(10), "{name}: {:?}", start.elapsed());
        }
        // Looking at it costs nothing.
        assert!(tinception(&["inspect", path]).status.success(), "{name}");
    }
}

#[test]
fn files_that_ask_for_little_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("stranger.tin");
    let (path, photo) = (path.to_str().expect("UTF-8"), photo());
    for writer in [pool(20), average(41), network([224, 224], [224, 224, 1], 0, copy)] {
        std::fs::write(path, writer.finish()).expect("a writable folder");
        let output = tinception(&["classify", "--model", path, photo.to_str().expect("UTF-8")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A run that would take longer than anybody waits: allowed, told to end, and over within a second.
#[test]
#[cfg(all(unix, feature = "camera"))]
fn the_camera_ends_in_the_middle_of_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long.tin");
    for (writer, threads) in [(pool(700), "1"), (average(1001), "2")] {
        std::fs::write(&path, writer.finish()).expect("a writable folder");
        let photos = format!("images:{}", photo().parent().expect("a folder").display());
        let mut camera = Command::new(env!("CARGO_BIN_EXE_tinception"))
            .args(["camera", &photos, "--json", "--threads", threads, "--model", path.to_str().expect("UTF-8")])
            .env("TINCEPTION_LIMITS", "off")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        std::thread::sleep(Duration::from_secs(3));
        assert!(camera.try_wait().expect("it can be asked").is_none(), "it should run for minutes");
        let told = Instant::now();
        let id = camera.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        while camera.try_wait().expect("it can be asked").is_none() {
            if told.elapsed() > Duration::from_secs(20) {
                let _ = camera.kill();
                panic!("it doesn't end");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
        let output = camera.wait_with_output().expect("its output");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let end: serde_json::Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        let count = |name: &str| end[name].as_u64().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(count("captured"), count("classified") + count("skipped") + count("dropped") + count("broken"));
        assert_eq!(count("classified"), 0, "{text}");
    }
}
