//! What the verifier refuses, one fault at a time: each file is valid but for one change.

use tinception_core::error::FormatError::{self, Arena, Section, Step as StepError, Tensor as TensorError, Text};
use tinception_core::error::StepProblem::{
    self, Bias, Data, Overlap, Requantize, Scratch, Shape as Shapes, Weights, Window as Windows,
};
use tinception_core::format::step::Operator;
use tinception_core::format::tensor::DataType;
use tinception_core::format::writer::Writer;
use tinception_core::model::Model;
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_tests::aligned::Aligned;
use tinception_tests::builder::Builder;
use tinception_tests::cases::{ConvCase, Style};
use tinception_tests::rng;

/// Steps of the model below.
const CONV: usize = 0;
const MAX_POOL: usize = 1;
const LRN: usize = 2;
const ADD: usize = 3;
const AVERAGE: usize = 4;
const SOFTMAX: usize = 5;

/// A model of six steps in a writer; `change` gets the first step's parameters before they are written.
fn writer(change: impl FnOnce(&mut ConvCase)) -> Writer {
    let mut rng = rng(77);
    let window = Window::square(3, 1).padded(Padding::same(1));
    let quantized = Output { zero_point: 3, min: -128, max: 127 };
    let style = Style::Natural { spread: 50.0 };
    // Odd in depth and in outputs: both have padding.
    let mut case = ConvCase::new(&mut rng, window, 1, (Shape::new(6, 6, 3), -5), (5, quantized), style);
    change(&mut case);
    let mut b = Builder::new(&mut rng, case.input);
    b.writer.tensors[0].quant.zero_point = case.zero_point;
    let output = b.tensor(case.output, DataType::Int8, 3);
    b.add_conv("conv", (0, output), &case);
    let pooled = b.max_pool("max pool", output, window);
    let normal = b.in_place_of(pooled, 9);
    b.lrn("lrn", (pooled, normal), 5, 8);
    let sum = b.in_place_of(normal, 1);
    b.add("add", (normal, output, sum));
    let logits = b.average_logits("logits", sum);
    let probabilities = b.softmax("softmax", logits);
    (b.writer.logits, b.writer.probabilities) = (logits, Some(probabilities));
    b.writer.scratch_size = 32;
    b.writer
}

fn error(writer: &Writer) -> Option<FormatError> {
    Model::new(&Aligned::new(&writer.finish())).err()
}

/// The error after a change of the finished records.
fn after(change: impl FnOnce(&mut Writer)) -> Option<FormatError> {
    let mut writer = writer(|_| ());
    assert_eq!(error(&writer), None);
    change(&mut writer);
    error(&writer)
}

fn step(step: usize, problem: StepProblem) -> Option<FormatError> {
    Some(StepError { step: step as u16, problem })
}

/// Changes a convolution's record.
fn conv(writer: &mut Writer) -> &mut tinception_core::format::step::Conv {
    let Operator::Conv(conv) = &mut writer.steps[CONV].operator else { panic!("the first step is a convolution") };
    conv
}

#[test]
fn weights_out_of_range_or_with_wrong_sums_are_refused() {
    let refused = |change: fn(&mut ConvCase)| error(&writer(change));
    assert_eq!(refused(|case| (case.weights[0], case.table[3][0]) = (-128, 0)), step(CONV, Weights));
    assert_eq!(refused(|case| case.table[3][4] += 1), step(CONV, Weights));
    // A weight of -128 whose sum is right is still refused.
    let minimum = |case: &mut ConvCase| {
        case.table[3][0] += -128 - i32::from(case.weights[0]);
        case.weights[0] = -128;
    };
    assert_eq!(error(&writer(minimum)), step(CONV, Weights));
    // Padding in depth: k = 27 of channel 0; padding in outputs: channel 5's first weight, in the second block.
    for (weight, channel) in [(24 * 4 + 3, 0), (4 * 28 + 4, 5)] {
        let padding = |case: &mut ConvCase| {
            assert_eq!(case.weights[weight], 0);
            (case.weights[weight], case.table[3][channel]) = (1, case.table[3][channel] + 1);
        };
        assert_eq!(error(&writer(padding)), step(CONV, Weights), "weight {weight}");
    }
}

#[test]
fn biases_multipliers_and_shifts_out_of_range_are_refused() {
    // Depth 27: |bias| <= 2^31 - 1 - 16384 * 27.
    let limit = i32::MAX - 16384 * 27;
    for (bias, expected) in [(limit, None), (-limit, None), (limit + 1, step(CONV, Bias)), (i32::MIN, step(CONV, Bias))]
    {
        assert_eq!(error(&writer(|case| case.table[0][2] = bias)), expected, "bias {bias}");
    }
    for (array, value) in [(1, -1), (1, i32::MIN), (2, 0), (2, 63), (2, -1), (2, 256 + 33)] {
        assert_eq!(error(&writer(|case| case.table[array][3] = value)), step(CONV, Requantize), "{array} {value}");
    }
    for (array, value) in [(1, 0), (1, i32::MAX), (2, 1), (2, 62)] {
        assert_eq!(error(&writer(|case| case.table[array][3] = value)), None, "{array} {value}");
    }
    for (min, max) in [(1, 0), (127, -128)] {
        assert_eq!(after(|w| (w.steps[MAX_POOL].min, w.steps[MAX_POOL].max) = (min, max)), step(MAX_POOL, Requantize));
    }
    let add = |multiplier: i32, shift: u32| {
        after(|w| {
            let Operator::Add(add) = &mut w.steps[ADD].operator else { panic!("an addition") };
            (add.multipliers[1], add.shift) = (multiplier, shift);
        })
    };
    assert_eq!([add(-1, 20), add(1, 0), add(1, 63)], [step(ADD, Requantize); 3]);
    assert_eq!([add(0, 1), add(i32::MAX, 62)], [None; 2]);
    let lrn = |index_shift: u32, shift: u32, size: u32| {
        after(|w| {
            let Operator::Lrn(lrn) = &mut w.steps[LRN].operator else { panic!("a normalisation") };
            (lrn.index_shift, lrn.shift, lrn.size) = (index_shift, shift, size);
        })
    };
    assert_eq!([lrn(8, 0, 5), lrn(8, 31, 5), lrn(32, 16, 5), lrn(8, 16, 0)], [step(LRN, Requantize); 4]);
    assert_eq!([lrn(8, 30, 5), lrn(31, 1, 5)], [None; 2]);
}

#[test]
fn tables_that_lack_an_entry_are_refused() {
    let lrn = after(|w| {
        let Operator::Lrn(lrn) = &mut w.steps[LRN].operator else { panic!("a normalisation") };
        // 5 channels: sums of up to 5 * 255^2.
        assert_eq!(lrn.entries, ((5 * 255 * 255) >> 8) + 1);
        lrn.entries -= 1;
    });
    assert_eq!(lrn, step(LRN, Windows));
    let divisors = after(|w| {
        let Operator::AveragePool(pool) = &mut w.steps[AVERAGE].operator else { panic!("an average pool") };
        pool.divisors = 0;
    });
    assert_eq!(divisors, step(AVERAGE, Windows));
    let counted = after(|w| {
        let Operator::AveragePool(pool) = &mut w.steps[AVERAGE].operator else { panic!("an average pool") };
        pool.counted.left = 1;
    });
    assert_eq!(counted, step(AVERAGE, Windows), "more padding counted than there is");
    for change in [1, 32] {
        let powers = after(|w| {
            let Operator::Softmax(softmax) = &mut w.steps[SOFTMAX].operator else { panic!("a softmax") };
            // The first power is no longer 1.
            softmax.table += 4 * change;
            w.add_data(&[0; 256], 4);
        });
        // The fractions begin with 1.0 as well, but then the second table does not.
        assert_eq!(powers, step(SOFTMAX, Data));
    }
}

/// Makes the model's softmax a sigmoid, then changes something else.
fn with_sigmoid(change: impl FnOnce(&mut Writer)) -> Option<FormatError> {
    after(|w| {
        let Operator::Softmax(parameters) = w.steps[SOFTMAX].operator else { panic!("a softmax") };
        w.steps[SOFTMAX].operator = Operator::Sigmoid(parameters);
        change(w);
    })
}

#[test]
fn a_sigmoid_is_checked_as_a_softmax_is() {
    assert_eq!(with_sigmoid(|_| ()), None);
    let logits = |w: &Writer| w.logits;
    assert_eq!(with_sigmoid(|w| w.steps[SOFTMAX].output = logits(w)), step(SOFTMAX, Shapes), "int32 instead of uint16");
    assert_eq!(with_sigmoid(|w| w.steps[SOFTMAX].input = 1), step(SOFTMAX, Shapes), "int8 instead of int32");
    let parameters = |change: fn(&mut tinception_core::format::step::Softmax)| {
        with_sigmoid(|w| {
            let Operator::Sigmoid(parameters) = &mut w.steps[SOFTMAX].operator else { panic!("a sigmoid") };
            change(parameters);
            w.add_data(&[0; 256], 4);
        })
    };
    assert_eq!(parameters(|p| p.table += 4), step(SOFTMAX, Data), "the first power is not 1");
    assert_eq!(parameters(|p| p.table += 1), step(SOFTMAX, Data), "at an odd place");
    assert_eq!(parameters(|p| p.table = u32::MAX - 3), step(SOFTMAX, Data), "behind the file's end");
    assert_eq!(parameters(|p| p.shift = 63), step(SOFTMAX, Requantize));
    assert_eq!(parameters(|p| p.multiplier = -1), step(SOFTMAX, Requantize));
}

#[test]
fn a_file_says_what_version_its_sigmoid_needs_and_how_its_classes_go_together() {
    let softmax = Aligned::new(&writer(|_| ()).finish());
    let model = Model::new(&softmax).expect("a valid model");
    assert_eq!((model.version(), model.has_independent_classes()), ((1, 0), false));
    let mut w = writer(|_| ());
    let Operator::Softmax(parameters) = w.steps[SOFTMAX].operator else { panic!("a softmax") };
    w.steps[SOFTMAX].operator = Operator::Sigmoid(parameters);
    let sigmoid = Aligned::new(&w.finish());
    let model = Model::new(&sigmoid).expect("a valid model");
    assert_eq!((model.version(), model.has_independent_classes()), ((1, 2), true));
    // A sigmoid that does not make the probabilities says nothing of them.
    w.probabilities = None;
    let without = Aligned::new(&w.finish());
    assert!(!Model::new(&without).expect("a valid model").has_independent_classes());
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    assert_eq!(after(|w| conv(w).window.stride_height = 2), step(CONV, Shapes));
    assert_eq!(after(|w| conv(w).window.stride_width = 0), step(CONV, Shapes));
    assert_eq!(after(|w| conv(w).groups = 0), step(CONV, Shapes));
    assert_eq!(after(|w| conv(w).groups = 2), step(CONV, Shapes));
    assert_eq!(after(|w| w.steps[CONV].input = 999), step(CONV, StepProblem::Tensor));
    assert_eq!(after(|w| w.steps[ADD].second_input = 65535), step(ADD, StepProblem::Tensor));
    assert_eq!(after(|w| w.steps[ADD].second_input = 0), step(ADD, Shapes), "another channel count");
    let logits = |w: &Writer| w.logits;
    assert_eq!(after(|w| w.steps[SOFTMAX].output = logits(w)), step(SOFTMAX, Shapes), "int32 instead of uint16");
    assert_eq!(after(|w| w.steps[SOFTMAX].input = 1), step(SOFTMAX, Shapes), "int8 instead of int32");
    // A window that sees nothing but padding: fine for a convolution, not for a pool.
    let outside = |w: &mut Writer, index: usize| {
        let padding = Padding { top: 4, left: 1, bottom: 0, right: 1 };
        let Operator::MaxPool(window) = &mut w.steps[index].operator else { panic!("a max pool") };
        window.padding = padding;
        for tensor in w.tensors.iter_mut().skip(2).take(3) {
            tensor.shape.height = 8;
        }
    };
    assert_eq!(after(|w| outside(w, MAX_POOL)), step(MAX_POOL, Windows));
}

#[test]
fn overlaps_are_refused_where_they_would_overwrite() {
    // One byte into each other, on both sides.
    let (first, second) = (0, 1);
    let moved = |w: &mut Writer| w.tensors[second].offset = w.tensors[first].end() as u32 - 1;
    assert_eq!(after(moved), step(CONV, Overlap));
    assert_eq!(after(|w| w.tensors[second].offset = w.tensors[first].end() as u32), None, "side by side is fine");
    // In place is all or nothing: one byte further is an overlap.
    assert_eq!(after(|w| w.tensors[3].offset += 1), step(LRN, Overlap));
    // An addition must not write over its second input.
    assert_eq!(after(|w| w.steps[ADD].second_input = 3), step(ADD, Overlap));
    assert_eq!(after(|w| w.steps[MAX_POOL].output = 1), step(MAX_POOL, Overlap));
}

#[test]
fn impossible_tensors_are_refused() {
    let tensor = |change: fn(&mut tinception_core::format::tensor::Tensor)| after(|w| change(&mut w.tensors[0]));
    let refused = Some(TensorError { tensor: 0 });
    assert_eq!(tensor(|t| t.pixel_stride = 2), refused);
    assert_eq!(tensor(|t| t.shape.height = 0), refused);
    assert_eq!(tensor(|t| t.shape.channels = 0), refused);
    assert_eq!(tensor(|t| t.shape.width = 65536), refused);
    assert_eq!(tensor(|t| t.offset = u32::MAX), refused);
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(after(|w| w.tensors[0].quant.scale = scale), refused, "scale {scale}");
    }
    let logits = |w: &Writer| usize::from(w.logits);
    let error = after(|w| {
        let index = logits(w);
        w.tensors[index].offset += 2;
    });
    assert!(matches!(error, Some(TensorError { .. })), "int32 at an odd place: {error:?}");
    // The input must be dense and int8; the ranked tensor one pixel.
    let error = after(|w| {
        w.tensors[0].pixel_stride = 4;
        let end = w.tensors[0].end();
        let offset = w.tensors.iter().map(|tensor| tensor.end()).max().unwrap_or(end);
        w.tensors[0].offset = offset as u32;
    });
    assert_eq!(error, refused, "an input with gaps");
    assert_eq!(after(|w| w.logits = 1), Some(TensorError { tensor: 1 }));
    assert_eq!(after(|w| w.probabilities = Some(1)), Some(TensorError { tensor: 1 }));
    assert_eq!(after(|w| w.input = 500), Some(TensorError { tensor: 500 }));
}

#[test]
fn wrong_sizes_and_texts_are_refused() {
    // A patch of the convolution has 28 bytes, so 16 are too few; 32,784 are more than any file may ask for.
    assert_eq!(after(|w| w.scratch_size = 16), step(CONV, Scratch));
    assert_eq!(after(|w| w.scratch_size = 32), None);
    assert_eq!(after(|w| w.scratch_size = 40), Some(Arena));
    assert_eq!(after(|w| w.scratch_size = 32 * 1024), None);
    assert_eq!(after(|w| w.scratch_size = 32 * 1024 + 16), Some(Arena));
    assert_eq!(after(|w| w.labels = "a\nb\nc\nd\n".into()), Some(Text), "four labels for five classes");
    assert_eq!(after(|w| w.labels = "a\nb\nc\nd\ne\n".into()), None);
    assert_eq!(after(|w| w.self_test = Some((1, vec![0; 5]))), Some(Section), "five hashes for six steps");
    assert_eq!(after(|w| w.self_test = Some((1, vec![0; 6]))), None);
    assert_eq!(after(|w| w.steps.clear()), Some(Section));
    assert_eq!(after(|w| w.steps[CONV].name = u32::MAX), step(CONV, Data));
    assert_eq!(after(|w| conv(w).weights = 0xFFFF_FFF0), step(CONV, Data));
    assert_eq!(after(|w| conv(w).channel_table = 0xFFFF_FFF0), step(CONV, Data));
}
