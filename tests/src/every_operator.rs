//! A model of every operator, each in every form that runs other code: small enough to damage each byte of it.

use rand::Rng as _;
use tinception_core::format::tensor::DataType;
use tinception_core::format::writer::Writer;
use tinception_core::kernels::AverageWindow;
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};

use crate::builder::Builder;

/// Classes of the model.
const CLASSES: u32 = 10;

/// A `.tin` file of at most 20 KB, different for each seed in sizes, paddings, zero points and all parameters.
///
/// | part | what it has |
/// | --- | --- |
/// | stem | 3x3 convolution with uneven padding, stride 2, an activation; depthwise; 1x1; groups of odd channels |
/// | middle | max pool as a ceil-mode pool is written, LRN copying and in place |
/// | inception module | four branches that write slices of one tensor |
/// | behind it | a grouped convolution read from a slice, rescales in place and from slice to slice, additions copying and in place |
/// | end | average pools with padding counted and not, one to int8, one to logits; a dense layer, softmax, sigmoid |
///
/// Classes have ids where the seed is odd; one of them has none.
#[must_use]
pub fn every_operator_model(seed: u64) -> Vec<u8> {
    let mut rng = crate::rng(seed);
    let input = Shape::new(rng.random_range(11..=13), rng.random_range(11..=13), 3);
    let id = |class| if class == 5 { "\n".to_owned() } else { format!("id{class}\n") };
    let writer = if seed % 2 == 1 { Writer::with_label_ids((0..CLASSES).map(id).collect()) } else { Writer::new() };
    let mut b = Builder::with_writer(&mut rng, writer, input);
    b.preprocess();

    // Stem.
    let padding = Padding { top: 0, left: 1, bottom: 2, right: b.rng.random_range(0..=1) };
    let stem = b.conv("stem", 0, Window::square(3, 2).padded(padding), (1, 8));
    let depthwise = b.conv("depthwise", stem, Window::square(3, 1).padded(Padding::same(1)), (8, 8));
    let pointwise = b.conv("pointwise", depthwise, Window::square(1, 1), (1, 9));
    let tall = Window { kernel_height: 3, kernel_width: 2, ..Window::square(1, 1) };
    let grouped = b.conv("grouped", pointwise, tall.padded(Padding { top: 1, bottom: 1, ..Padding::NONE }), (3, 15));

    // Middle.
    let ceil = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
    let (shape, zero_point) = b.facts(grouped);
    let copied = b.tensor(shape, DataType::Int8, -3);
    b.lrn("lrn/copy", (grouped, copied), 5, 9);
    let in_place = b.in_place_of(copied, zero_point);
    b.lrn("lrn/in place", (copied, in_place), 4, 10);
    let pooled = b.max_pool("pool", in_place, ceil);

    // Inception module.
    let (shape, _) = b.facts(pooled);
    let zero_point = b.rng.random_range(-128..=-10);
    let wide = b.tensor(Shape { channels: 24, ..shape }, DataType::Int8, zero_point);
    let branch = Output { zero_point, min: zero_point, max: i8::MAX };
    let same = |kernel: u32| Window::square(kernel, 1).padded(Padding::same(kernel / 2));
    let reduce3 = b.conv("3x3 reduce", pooled, same(1), (1, 4));
    let reduce5 = b.conv("5x5 reduce", pooled, same(1), (1, 3));
    let bare = b.max_pool("branch pool", pooled, same(3));
    let mut first = 0;
    for (name, from, kernel, channels) in
        [("1x1", pooled, 1, 8), ("3x3", reduce3, 3, 9), ("5x5", reduce5, 5, 4), ("projection", bare, 1, 3)]
    {
        let slice = b.slice(wide, first, channels);
        b.conv_into(name, (from, slice), same(kernel), 1, branch);
        first += channels;
    }

    // Behind it: reads and writes slices.
    let left = b.slice(wide, 0, 8);
    let reader = b.conv("slice 1x1", left, same(1), (2, 6));
    let copy = b.tensor(Shape { channels: 11, ..shape }, DataType::Int8, 5);
    let copy_slice = b.slice(copy, 3, 8);
    b.rescale("rescale/slices", (left, copy_slice));
    let again = b.in_place_of(copy_slice, -20);
    b.rescale("rescale/in place", (copy_slice, again));
    let sum = b.tensor(Shape { channels: 8, ..shape }, DataType::Int8, -90);
    b.add("add/copy", (again, left, sum));
    let sum_again = b.in_place_of(sum, -85);
    b.add("add/in place", (sum, left, sum_again));
    let narrow = b.conv("strided 1x1", sum_again, Window::square(1, 2), (1, 5));

    // End.
    let average = |counted| AverageWindow { window: same(3), counted };
    let part = b.average_pool("average/not counted", sum_again, average(Padding::NONE), DataType::Int8);
    let counted = Padding { top: 1, left: 0, bottom: 1, right: 1 };
    let whole = b.average_pool("average/counted", part, average(counted), DataType::Int8);
    b.average_logits("average/logits", narrow);
    b.average_logits("average/logits of a slice", reader);
    let (shape, _) = b.facts(whole);
    let logits = b.tensor(Shape::new(1, 1, CLASSES), DataType::Int32, 0);
    let plain = Output { zero_point: 0, min: i8::MIN, max: i8::MAX };
    b.conv_into("dense", (whole, logits), Window::global(shape.height, shape.width), 1, plain);
    let probabilities = b.softmax("softmax", logits);
    b.sigmoid("sigmoid", logits);

    b.writer.labels = (0..CLASSES).map(|class| format!("class {class}\n")).collect();
    b.writer.provenance = format!("source: every operator, seed {seed}\nlicence: none needed\n");
    b.finish(logits, Some(probabilities))
}
