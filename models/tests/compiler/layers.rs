//! Each operator alone: what int8 gives lies within the bound that rounding allows around what float gives.
//!
//! Inputs are whole numbers that int8 holds exactly, so the only errors are those of the weights, of the tables and of
//! the output's rounding.

use std::ops::ControlFlow;

use tinception_core::model::{Model, Step};
use tinception_core::session::{Session, Values, Whole};
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::Method;
use tinception_models::compile::{Options, compile};
use tinception_models::float::FloatEngine;
use tinception_models::graph::{AveragePool, Clamp, Conv, Dense, Graph, Lrn, Op, ValueId};

use crate::graphs::{Builder, LRN, calibrated, whole_numbers};

/// The real values that the last step before the end of a name made, and their scale.
struct Capture<'a> {
    name: &'a str,
    values: Vec<f64>,
    scale: f64,
}

impl Capture<'_> {
    fn look(&mut self, step: &Step<'_>, output: Values<'_>) {
        if step.name() == self.name {
            let quant = output.tensor().quant;
            self.scale = quant.scale.into();
            self.values = output.iter().map(|q| self.scale * f64::from(q - i32::from(quant.zero_point))).collect();
        }
    }
}

/// Compiles a graph whose layer under test makes `value`, runs both engines on one picture and holds every element to
/// `bound(scale, index, float value)`.
fn check(graph: &Graph, value: ValueId, bound: impl Fn(f64, usize, f64) -> f64) {
    let shape = graph.shape(graph.input);
    let calibration = calibrated(graph, 3);
    let options = Options { method: Method::MinMax, bias_correction: false, ..Options::default() };
    let compiled = compile(graph, &calibration, &options).expect("it compiles");
    let file = Aligned::new(&compiled.bytes);
    let model = Model::new(&file).expect("the file is valid");
    let picture = whole_numbers(shape, 1);
    let float = FloatEngine::new(graph, &[value]).unwrap().run(&picture).unwrap().remove(0);

    let mut arena = Aligned::zeroed(model.arena_size());
    let mut session = Session::new(&model, &mut arena).unwrap();
    for (to, from) in session.input_mut().iter_mut().zip(&picture) {
        *to = *from as i8;
    }
    let name = graph.producer(value).map(|node| node.name.as_str()).expect("a node makes it");
    let mut capture = Capture { name, values: Vec::new(), scale: 0.0 };
    let mut observer = Whole::new(|_, step: &Step<'_>, output| {
        capture.look(step, output);
        ControlFlow::Continue(())
    });
    session.run_observed(&mut observer).unwrap();
    assert_eq!(capture.values.len(), float.len(), "{name}");
    for (index, (int8, float)) in capture.values.iter().zip(&float).enumerate() {
        let (float, error) = (f64::from(*float), (int8 - f64::from(*float)).abs());
        let allowed = bound(capture.scale, index, float) + 1e-5 * float.abs() + 1e-6;
        assert!(error <= allowed, "{name} [{index}]: {int8} is {error} from {float}, {allowed} allowed");
    }
    // An error of several steps everywhere would be within no bound above; no error at all would be a test of nothing.
    let distinct = capture.values.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(distinct * 4 > capture.values.len() || capture.values.len() < 32, "{name} says something");
}

/// Rounding of the output, of each weight (half a step of the channel's scale times at most 128) and of the bias.
fn conv_bound(weights: &[f32], outputs: usize, scale: f64, index: usize) -> f64 {
    let depth = weights.len() / outputs;
    let channel = &weights[index % outputs * depth..][..depth];
    let step = channel.iter().fold(0.0_f64, |largest, weight| largest.max(f64::from(weight.abs()))) / 127.0;
    scale / 2.0 + depth as f64 * 128.0 * step / 2.0 + step / 2.0
}

#[test]
fn convolutions_of_every_kind() {
    let asymmetric = Padding { top: 0, left: 2, bottom: 1, right: 0 };
    let cases = [
        (3, 8, Window::square(3, 1).padded(Padding::same(1)), 1, Clamp::RELU),
        (3, 5, Window::square(7, 2).padded(Padding::same(3)), 1, Clamp::NONE),
        (4, 6, Window::square(1, 1), 1, Clamp { min: 0.0, max: 6.0 }),
        (5, 7, Window { kernel_width: 2, stride_height: 2, ..Window::square(3, 1) }.padded(asymmetric), 1, Clamp::NONE),
        (6, 9, Window::square(3, 1).padded(Padding::same(1)), 3, Clamp::NONE),
        (5, 5, Window::square(3, 2).padded(Padding::same(1)), 5, Clamp::RELU),
        (1, 1, Window::square(5, 1).padded(Padding::same(2)), 1, Clamp::NONE),
    ];
    for (seed, (inputs, outputs, window, groups, clamp)) in (0..).zip(cases) {
        let mut builder = Builder::new(Shape::new(9, 8, inputs), seed);
        let value = builder.conv(builder.input(), outputs, window, groups, clamp);
        let Op::Conv(Conv { weights, .. }) = builder.graph.nodes[0].op.clone() else { unreachable!("it is one") };
        let graph = builder.finish(value);
        check(&graph, value, |scale, index, _| conv_bound(&weights, outputs as usize, scale, index));
    }
}

#[test]
fn dead_channels_keep_their_bias() {
    // Weights so small beside the bias that the accumulator's steps would leave it no room, and no weights at all.
    let mut builder = Builder::new(Shape::new(4, 4, 3), 3);
    let mut weights = vec![1e-12; 3];
    weights.extend([0.0; 3]);
    weights.extend([0.5, -0.25, 0.125]);
    weights.extend([0.0; 3]);
    let bias = vec![100.0, -7.0, 0.0, 0.0];
    let conv = Conv { window: Window::square(1, 1), groups: 1, weights, bias, clamp: Clamp::NONE };
    let input = builder.input();
    let value = builder.node(Op::Conv(conv), &[input]);
    let graph = builder.finish(value);
    check(&graph, value, |scale, _, _| scale / 2.0 + 3.0 * 128.0 * 0.5 / 254.0);
}

#[test]
fn dense_layers_over_pictures_and_vectors() {
    // 4 x 4 x 3 is read as one pixel, 3 x 3 x 3 through a window, since 27 is no multiple of 4.
    for size in [4, 3, 1] {
        let mut builder = Builder::new(Shape::new(size, size, 3), 5);
        let elements = (size * size * 3) as usize;
        let weights = builder.numbers(6 * elements, 0.3);
        let bias = builder.numbers(6, 10.0);
        let dense = Dense { weights: weights.clone(), bias, clamp: Clamp::RELU };
        let input = builder.input();
        let value = builder.node(Op::Dense(dense), &[input]);
        let graph = builder.finish(value);
        check(&graph, value, |scale, index, _| conv_bound(&weights, 6, scale, index));
    }
}

#[test]
fn logits_lose_nothing_to_int8() {
    let builder = Builder::new(Shape::new(3, 3, 4), 6);
    let input = builder.input();
    let graph = builder.finish(input);
    let logits = graph.nodes[0].output;
    let Op::Dense(Dense { weights, .. }) = &graph.nodes[0].op else { unreachable!("it is one") };
    check(&graph, logits, |scale, index, _| conv_bound(weights, 5, scale, index));
    // The scale is that of an accumulator, not of 255 steps.
    let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    check(&graph, logits, |scale, index, _| {
        assert!((scale - f64::from(largest) / 127.0).abs() < 1e-9);
        conv_bound(weights, 5, scale, index)
    });
}

#[test]
fn pools() {
    let mut builder = Builder::new(Shape::new(7, 6, 5), 7);
    let input = builder.input();
    let window = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
    let value = builder.node(Op::MaxPool(window), &[input]);
    check(&builder.finish(value), value, |_, _, _| 0.0);

    let window = Window::square(3, 1).padded(Padding::same(1));
    for counted in [Padding::NONE, Padding::same(1)] {
        for clamp in [Clamp::NONE, Clamp::RELU] {
            let mut builder = Builder::new(Shape::new(7, 6, 5), 7);
            let input = builder.input();
            let value = builder.node(Op::AveragePool(AveragePool { window, counted, clamp }), &[input]);
            check(&builder.finish(value), value, |scale, _, _| scale / 2.0);
        }
    }
}

#[test]
fn normalisation() {
    for (channels, lrn) in [(9, LRN), (3, LRN), (8, Lrn { size: 4, alpha: 1e-3, beta: 0.5, bias: 2.0 })] {
        let mut builder = Builder::new(Shape::new(5, 4, channels), 8);
        let input = builder.input();
        let value = builder.node(Op::Lrn(lrn), &[input]);
        let graph = builder.finish(value);
        let picture = whole_numbers(graph.shape(graph.input), 1);
        // The sum of squares is known to a bin of the table, which is at most 128 wide here.
        let slope = f64::from(lrn.alpha) / f64::from(lrn.size);
        check(&graph, value, |scale, index, float| {
            let x = f64::from(picture[index]);
            if x == 0.0 {
                return 0.0;
            }
            let base = (float / x).powf(-1.0 / f64::from(lrn.beta));
            let factor = |base: f64| base.max(f64::from(lrn.bias)).powf(-f64::from(lrn.beta));
            let bin = slope * 128.0;
            scale / 2.0 + x.abs() * (factor(base - bin) - factor(base + bin)) + scale / 64.0
        });
    }
}

#[test]
fn elementwise() {
    for clamp in [Clamp::NONE, Clamp::RELU, Clamp { min: -100.0, max: 30.0 }] {
        let mut builder = Builder::new(Shape::new(5, 6, 3), 9);
        let input = builder.input();
        let pooled = builder.pool(input);
        let value = builder.node(Op::Add(clamp), &[input, pooled]);
        // The ends of the range are integers of the output: rounded too.
        check(&builder.finish(value), value, |scale, _, _| scale);

        let mut builder = Builder::new(Shape::new(5, 6, 3), 9);
        let value = builder.node(Op::Add(clamp), &[input, input]);
        check(&builder.finish(value), value, |scale, _, _| scale);

        let mut builder = Builder::new(Shape::new(5, 6, 3), 9);
        let value = builder.node(Op::Clamp(clamp), &[input]);
        check(&builder.finish(value), value, |scale, _, _| scale);
    }
}

#[test]
fn other_ends_than_a_dense_layer() {
    // A global average as the scores: the sum itself, one rounding of the scale.
    let mut builder = Builder::new(Shape::new(4, 4, 5), 10);
    let input = builder.input();
    let pool = AveragePool { window: Window::global(4, 4), counted: Padding::NONE, clamp: Clamp::NONE };
    let scores = builder.node(Op::AveragePool(pool), &[input]);
    let mut graph = builder.graph;
    graph.output = scores;
    check(&graph, scores, |_, _, _| 0.0);

    // Scores behind a ReLU stay int8 and are widened.
    let mut builder = Builder::new(Shape::new(1, 1, 8), 11);
    let input = builder.input();
    let scores = builder.pointwise(input, 6);
    let Op::Conv(Conv { weights, .. }) = builder.graph.nodes[0].op.clone() else { unreachable!("it is one") };
    let mut graph = builder.graph;
    graph.output = scores;
    check(&graph, scores, |scale, index, _| conv_bound(&weights, 6, scale, index));
    let compiled = compile(&graph, &calibrated(&graph, 2), &Options::default()).unwrap();
    let names: Vec<&str> = compiled.report.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["Conv 0", "Conv 0/logits"]);
}
