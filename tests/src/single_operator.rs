//! Small models around one operator of random shape and parameters.

use rand::Rng as _;
use tinception_core::format::tensor::DataType;
use tinception_core::shape::{Shape, Window};

use crate::builder::Builder;
use crate::cases::{self, AverageCase, ConvCase, Style};

/// How many kinds of model there are: `seed % KINDS` picks one.
pub const KINDS: u64 = 9;

/// A `.tin` file whose first step is the operator under test; global average pools bring the rest to logits.
#[must_use]
pub fn single_operator_model(seed: u64) -> Vec<u8> {
    let mut rng = crate::rng(seed);
    let rng = &mut rng;
    match seed % KINDS {
        0 => conv(rng, Style::Natural { spread: 50.0 }),
        1 => conv(rng, Style::Extreme),
        2 => average(rng),
        kind => one_of(rng, kind),
    }
}

fn conv(rng: &mut crate::Rng, style: Style) -> Vec<u8> {
    let case = ConvCase::random(rng, style);
    let mut b = Builder::new(rng, case.input);
    b.writer.tensors[0].quant.zero_point = case.zero_point;
    let output = b.tensor(case.output, DataType::Int8, case.quantized.zero_point);
    b.add_conv("conv", (0, output), &case);
    end(b, output)
}

fn average(rng: &mut crate::Rng) -> Vec<u8> {
    let case = AverageCase::random(rng, 1.0);
    let mut b = Builder::new(rng, case.input);
    b.writer.tensors[0].quant.zero_point = case.zero_point;
    let zero_point = cases::zero_point(b.rng);
    let output = b.tensor(case.output, DataType::Int8, zero_point);
    b.add_average("average pool", (0, output), &case);
    end(b, output)
}

fn one_of(rng: &mut crate::Rng, kind: u64) -> Vec<u8> {
    let window = cases::pool_window(rng);
    let channels = rng.random_range(1..=19);
    let (shape, _) = cases::shapes(rng, &window, channels, 9);
    let mut b = Builder::new(rng, shape);
    let zero_point = cases::zero_point(b.rng);
    let output = match kind {
        3 => b.max_pool("max pool", 0, window),
        4 => {
            let output = b.tensor(shape, DataType::Int8, zero_point);
            let (size, index_shift) = (b.rng.random_range(1..=9), b.rng.random_range(8..=12));
            b.lrn("lrn", (0, output), size, index_shift);
            output
        }
        5 => {
            let output = b.tensor(shape, DataType::Int8, zero_point);
            b.rescale("rescale", (0, output));
            output
        }
        6 => {
            let (copy, output) = (b.tensor(shape, DataType::Int8, 7), b.tensor(shape, DataType::Int8, zero_point));
            b.rescale("other side", (0, copy));
            b.add("add", (0, copy, output));
            output
        }
        // A dense layer with rows and columns, its weights over all of the input; behind it, a softmax or sigmoid.
        _ => {
            let window = Window::global(shape.height, shape.width);
            let outputs = b.rng.random_range(2..=17);
            let logits = b.tensor(Shape::new(1, 1, outputs), DataType::Int32, 0);
            let plain = tinception_core::quant::Output { zero_point: 0, min: i8::MIN, max: i8::MAX };
            b.conv_into("dense", (0, logits), window, 1, plain);
            let probabilities = match kind {
                7 => b.softmax("softmax", logits),
                _ => b.sigmoid("sigmoid", logits),
            };
            return b.finish(logits, Some(probabilities));
        }
    };
    end(b, output)
}

fn end(mut b: Builder<'_>, output: u16) -> Vec<u8> {
    let logits = b.average_logits("logits", output);
    let probabilities = b.softmax("softmax", logits);
    b.finish(logits, Some(probabilities))
}
