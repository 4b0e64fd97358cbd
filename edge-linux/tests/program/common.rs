//! A small network and small pictures, and the program run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tinception_core::shape::{Shape, Window};
use tinception_models::graph::{Affine, Clamp, Conv, Dense, Graph, Node, Op, ValueId};
use tinception_models::onnx;

/// Runs the program; `args` are split at spaces, `{}` stands for the folder.
pub(crate) fn tinception(folder: &Path, args: &str) -> Output {
    let folder = folder.to_str().expect("UTF-8");
    Command::new(env!("CARGO_BIN_EXE_tinception"))
        .args(args.split(' ').map(|arg| arg.replace("{}", folder)))
        .output()
        .expect("the program starts")
}

/// Standard output of a run that must succeed.
pub(crate) fn succeeds(folder: &Path, args: &str) -> String {
    let output = tinception(folder, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tinception {args}: {error}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The one line on standard error of a run that must end with code 2, and that must contain each of `words`.
pub(crate) fn is_refused(folder: &Path, args: &str, words: &[&str]) {
    let output = tinception(folder, args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "tinception {args}: {error}");
    for word in words {
        assert!(error.contains(word), "tinception {args}: '{word}' is missing in: {error}");
    }
    assert!(!error.contains("panicked"), "{error}");
}

/// A number between -1 and 1 for each index, the same on every machine.
pub(crate) fn number(index: usize) -> f32 {
    let mixed = (index as u32).wrapping_mul(2_654_435_761) >> 8;
    mixed as f32 / (1 << 23) as f32 - 1.0
}

/// A network for pictures of 16x16 in RGB, with ten classes.
pub(crate) fn network() -> Graph {
    let shapes = [Shape::new(16, 16, 3), Shape::new(16, 16, 8), Shape::new(8, 8, 8), Shape::new(1, 1, 10)];
    let mut graph = Graph {
        name: "small".into(),
        values: Vec::new(),
        nodes: Vec::new(),
        input: ValueId(0),
        output: ValueId(3),
        input_affine: Affine::identity(3),
        own_output: None,
    };
    let ids: Vec<ValueId> =
        (0..).zip(shapes).map(|(index, shape)| graph.add_value(format!("value{index}"), shape)).collect();
    let window = Window::square(3, 1).padded(tinception_core::shape::Padding::same(1));
    let weights = (0..8 * 27).map(|index| number(index) / 4.0).collect();
    let conv = Conv { window, groups: 1, weights, bias: vec![0.1; 8], clamp: Clamp::RELU };
    let weights = (1000..1000 + 10 * 512).map(|index| number(index) / 16.0).collect();
    let dense = Dense { weights, bias: (0..10).map(number).collect(), clamp: Clamp::NONE };
    let ops = [Op::Conv(conv), Op::MaxPool(Window::square(2, 2)), Op::Dense(dense)];
    for (index, op) in ops.into_iter().enumerate() {
        graph.nodes.push(Node { name: format!("layer{index}"), op, inputs: vec![ids[index]], output: ids[index + 1] });
    }
    graph
}

/// Writes `model.onnx` ([`network`]), `labels.txt` and four pictures in `calibration/`.
pub(crate) fn prepare(folder: &Path) {
    std::fs::write(folder.join("model.onnx"), onnx::encode(&onnx::to_onnx(&network()))).expect("written");
    let labels: Vec<String> = (0..10).map(|class| format!("c{class} class number {class}")).collect();
    std::fs::write(folder.join("labels.txt"), labels.join("\n") + "\n").expect("written");
    std::fs::create_dir(folder.join("calibration")).expect("made");
    for seed in 0..4 {
        let name = folder.join(format!("calibration/c{seed}_{seed}.png"));
        picture(24 + seed, 20, seed).save(name).expect("written");
    }
}

/// A picture with structure.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([x * 9 + seed * 40, y * 11 + seed * 20, (x ^ y) * 7].map(|value| value as u8))
    })
}

/// The command that compiles the small network.
pub(crate) const QUANTIZE: &str = "quantize {}/model.onnx --calibration {}/calibration --labels {}/labels.txt --order rgb \
                            --mean 128,128,128 --std 64,64,64 --resize shorter:16 -o {}/model.tin";

/// The folder with real weights and pictures, or `None` and a line that says why.
pub(crate) fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("TINCEPTION_DATA").map_or(beside, PathBuf::from);
    if folder.join("data/imagenet").is_dir() {
        return Some(folder);
    }
    println!("skipped: no data (set TINCEPTION_DATA)");
    None
}
