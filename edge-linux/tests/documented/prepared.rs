//! The files that the documentation's commands assume, small enough to be made anew for each page.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use tinception_core::shape::{Shape, Window};
use tinception_models::graph::{Affine, Clamp, Conv, Dense, Graph, Node, Op, ValueId};
use tinception_models::onnx;

use crate::pages;

/// How many classes ImageNet has.
const CLASSES: usize = 1000;

/// Fills `folder`:
///
/// | file | stands for |
/// | --- | --- |
/// | `photo.jpg`, `photos/` | the reader's photos: those on board |
/// | `pictures/`, `test/` | folders of class folders; those of `test/` have ImageNet's class ids |
/// | `googlenet.onnx`, `synset_words.txt` | ImageNet's GoogLeNet and its labels: three layers of the same input and output |
/// | `mine.onnx`, `mine.tin` | a network trained on the reader's classes: nano |
pub(crate) fn fill(folder: &Path) {
    let artefacts = pages::root().join("models/artefacts");
    let copy = |from: &Path, to: &str| {
        let to = folder.join(to);
        fs::create_dir_all(to.parent().expect("it lies in a folder")).expect("made");
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    for name in ["cat", "coffee", "rocket"] {
        copy(&artefacts.join(format!("photos/{name}.jpg")), &format!("photos/{name}.jpg"));
    }
    copy(&artefacts.join("photos/cat.jpg"), "photo.jpg");
    copy(&artefacts.join("nano/nano.onnx"), "mine.onnx");
    copy(&artefacts.join("nano.tin"), "mine.tin");
    for (seed, class) in ["cat", "ship"].into_iter().cycle().take(24).enumerate() {
        save(seed, &folder.join(format!("pictures/{class}/{seed}.png")));
        save(seed, &folder.join(format!("test/{}/{seed}.png", id(seed % 3))));
    }
    fs::write(folder.join("googlenet.onnx"), onnx::encode(&onnx::to_onnx(&network()))).expect("written");
    let labels: String = (0..CLASSES).map(|class| format!("{} class number {class}\n", id(class))).collect();
    fs::write(folder.join("synset_words.txt"), labels).expect("written");
}

/// A class id as ImageNet has them.
fn id(class: usize) -> String {
    format!("n{:08}", 1_000_000 + class)
}

/// A picture of gradients that no other seed gives.
fn save(seed: usize, path: &Path) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("made");
    let seed = seed as u32;
    let pixel = |x, y| Rgb([(x + 11 * seed) as u8, (2 * y + 7 * seed) as u8, (x * y / 40 + 50 * seed) as u8]);
    RgbImage::from_fn(96, 80, pixel).save(path).expect("written");
}

/// Takes 224 x 224 pixels and gives a score to each of ImageNet's classes.
fn network() -> Graph {
    let shapes =
        [Shape::new(224, 224, 3), Shape::new(28, 28, 8), Shape::new(7, 7, 8), Shape::new(1, 1, CLASSES as u32)];
    let mut graph = Graph {
        name: "stand-in".into(),
        values: Vec::new(),
        nodes: Vec::new(),
        input: ValueId(0),
        output: ValueId(3),
        input_affine: Affine::identity(3),
        own_output: None,
    };
    let ids: Vec<ValueId> =
        (0..).zip(shapes).map(|(index, shape)| graph.add_value(format!("value{index}"), shape)).collect();
    // Numbers between -1 and 1, the same on every machine.
    let number = |index: usize| ((index as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let conv = Conv {
        window: Window::square(8, 8),
        groups: 1,
        weights: (0..8 * 192).map(|index| number(index) / 100.0).collect(),
        bias: vec![0.1; 8],
        clamp: Clamp::RELU,
    };
    let dense = Dense {
        weights: (0..CLASSES * 392).map(|index| number(index + 5000) / 20.0).collect(),
        bias: (0..CLASSES).map(number).collect(),
        clamp: Clamp::NONE,
    };
    let ops = [Op::Conv(conv), Op::MaxPool(Window::square(4, 4)), Op::Dense(dense)];
    for (index, op) in ops.into_iter().enumerate() {
        graph.nodes.push(Node { name: format!("layer{index}"), op, inputs: vec![ids[index]], output: ids[index + 1] });
    }
    graph
}
