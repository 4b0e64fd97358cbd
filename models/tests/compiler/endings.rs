//! Networks that end in something else than several scores: one score, sigmoids, a log-softmax.

use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::Method;
use tinception_models::compile::{CompileError, Labels, Options, compile};
use tinception_models::ending::OwnOutput;
use tinception_models::float::FloatEngine;
use tinception_models::graph::{AveragePool, Clamp, Dense, Graph, Op};
use tinception_models::passes::optimise;

use crate::graphs::{Builder, calibrated, whole_numbers};

const SHAPE: Shape = Shape::new(6, 6, 3);

/// A convolution, a pool and a dense layer with these rows of weights; then `ops`.
fn network(rows: usize, ops: &[Op]) -> Graph {
    let mut builder = Builder::new(SHAPE, 3);
    let conv = builder.conv(builder.input(), 8, Window::square(3, 1).padded(Padding::same(1)), 1, Clamp::RELU);
    let window = Window::global(6, 6);
    let pool = AveragePool { window, counted: Padding::NONE, clamp: Clamp::NONE };
    let pooled = builder.node(Op::AveragePool(pool), &[conv]);
    // Row by row, so that the first ones are the same for any number of them.
    let weights = (0..rows).flat_map(|_| builder.numbers(8, 0.01)).collect();
    let bias = vec![0.3, -0.4, 1.5].into_iter().cycle().take(rows).collect();
    let mut output = builder.node(Op::Dense(Dense { weights, bias, clamp: Clamp::NONE }), &[pooled]);
    for op in ops {
        output = builder.node(op.clone(), &[output]);
    }
    builder.graph.output = output;
    builder.graph
}

fn optimised(graph: &Graph) -> Graph {
    let mut after = graph.clone();
    optimise(&mut after).expect("it ends in probabilities");
    after
}

fn compiled(graph: &Graph, labels: Option<Labels>) -> Result<Aligned, CompileError> {
    let graph = optimised(graph);
    // On all pictures that are judged, none of their values cut off: what remains is rounding.
    let options = Options { labels, method: Method::MinMax, ..Options::default() };
    let compiled = compile(&graph, &calibrated(&graph, 20), &options)?;
    Ok(Aligned::new(&compiled.bytes))
}

/// What the file says about a picture: its logits as reals, its probabilities of 65535.
fn run(model: &Model<'_>, picture: &[f32]) -> (Vec<f64>, Vec<i32>) {
    let quant = model.input().expect("an input").quant;
    let mut arena = Aligned::zeroed(model.arena_size());
    let mut session = Session::new(model, &mut arena).expect("large enough");
    for (to, from) in session.input_mut().iter_mut().zip(picture) {
        *to = tinception_models::quantize::quantize(f64::from(*from), quant);
    }
    session.run().expect("it runs");
    let logits = session.logits().expect("logits");
    let scale = f64::from(logits.tensor().quant.scale);
    let logits = logits.iter().map(|logit| scale * f64::from(logit)).collect();
    (logits, session.probabilities().expect("probabilities").iter().collect())
}

fn sigmoid(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// The score that the float network gives before anything is put behind it.
fn scores(rows: usize, picture: &[f32]) -> Vec<f64> {
    let graph = network(rows, &[]);
    let engine = FloatEngine::new(&graph, &[graph.output]).expect("tract takes it");
    engine.run(picture).expect("it runs").swap_remove(0).into_iter().map(f64::from).collect()
}

/// Within the softmax's own steps of the file's logits, and near the float network's probabilities.
fn assert_probabilities(found: &[i32], of_logits: &[f64], of_float: &[f64]) {
    assert_eq!((found.len(), found.len()), (of_logits.len(), of_float.len()));
    for ((found, logit), float) in found.iter().zip(of_logits).zip(of_float) {
        let found = f64::from(*found) / 65535.0;
        assert!((found - logit).abs() < 1e-3, "{found}, and {logit} by the logits");
        assert!((found - float).abs() < 0.02, "{found}, and {float} in float");
    }
}

#[test]
fn one_score_is_two_classes() {
    let file = compiled(&network(1, &[]), None).expect("it compiles");
    let model = Model::new(&file).expect("valid");
    assert!(model.labels().map(|label| label.name).eq(["no", "yes"]));
    assert_eq!(OwnOutput::of_provenance(model.provenance()).told(), Some("one score"));
    assert_eq!((model.version(), model.has_independent_classes()), ((1, 0), false), "nothing new for the reader");
    let behind = compiled(&network(1, &[Op::Sigmoid]), None).expect("it compiles");
    let behind = Model::new(&behind).expect("valid");
    assert_eq!(OwnOutput::of_provenance(behind.provenance()).told(), Some("sigmoid of one score"));
    for seed in 10..20 {
        let picture = whole_numbers(SHAPE, seed);
        let (logits, probabilities) = run(&model, &picture);
        assert_eq!(logits[0], 0.0);
        let yes = sigmoid(logits[1]);
        let score = sigmoid(scores(1, &picture)[0]);
        assert_probabilities(&probabilities, &[1.0 - yes, yes], &[1.0 - score, score]);
        assert_eq!(run(&behind, &picture), (logits, probabilities), "its sigmoid changes nothing");
    }
}

#[test]
fn several_sigmoids_are_independent() {
    let file = compiled(&network(3, &[Op::Sigmoid]), None).expect("it compiles");
    let model = Model::new(&file).expect("valid");
    assert_eq!(model.labels().count(), 0);
    assert_eq!(OwnOutput::of_provenance(model.provenance()).told(), Some("sigmoid"));
    assert_eq!((model.version(), model.has_independent_classes()), ((1, 2), true));
    let mut several = 0;
    for seed in 10..20 {
        let picture = whole_numbers(SHAPE, seed);
        let (logits, probabilities) = run(&model, &picture);
        let by_logits: Vec<f64> = logits.into_iter().map(sigmoid).collect();
        let by_float: Vec<f64> = scores(3, &picture).into_iter().map(sigmoid).collect();
        assert_probabilities(&probabilities, &by_logits, &by_float);
        several += usize::from(probabilities.iter().filter(|probability| **probability > 32768).count() > 1);
    }
    assert!(several > 0, "with a softmax, no two classes can be above one half");
}

#[test]
fn a_score_has_the_same_bits_alone_and_among_others() {
    // The same row twice: all scores have one scale, that of the one.
    let twice = |graph: &mut Graph| {
        let Some(Op::Dense(dense)) = graph.nodes.iter_mut().map(|node| &mut node.op).nth(2) else {
            panic!("a dense layer")
        };
        dense.weights.copy_within(0..8, 8);
        dense.bias[1] = dense.bias[0];
    };
    let mut several = network(2, &[Op::Sigmoid]);
    twice(&mut several);
    let (alone, several) = (compiled(&network(1, &[]), None), compiled(&several, None));
    let (alone, several) = (alone.expect("it compiles"), several.expect("it compiles"));
    let (alone, several) = (Model::new(&alone).expect("valid"), Model::new(&several).expect("valid"));
    for seed in 10..20 {
        let picture = whole_numbers(SHAPE, seed);
        let ((logits, probabilities), (others, sigmoids)) = (run(&alone, &picture), run(&several, &picture));
        assert_eq!(others, [logits[1]; 2]);
        assert_eq!(sigmoids, [probabilities[1]; 2]);
    }
}

#[test]
fn a_log_softmax_has_the_bits_of_a_softmax() {
    let log = compiled(&network(3, &[Op::LogSoftmax]), None).expect("it compiles");
    let plain = compiled(&network(3, &[Op::Softmax]), None).expect("it compiles");
    let (log, plain) = (Model::new(&log).expect("valid"), Model::new(&plain).expect("valid"));
    assert_eq!(OwnOutput::of_provenance(log.provenance()).told(), Some("log-softmax"));
    assert_eq!(OwnOutput::of_provenance(plain.provenance()), OwnOutput::default());
    assert!(log.steps().last().is_some_and(|step| step.operator_name() == "softmax"));
    for seed in 10..15 {
        let picture = whole_numbers(SHAPE, seed);
        assert_eq!(run(&log, &picture), run(&plain, &picture));
    }
}

#[test]
fn the_names_of_two_classes() {
    let named = |text: &str| compiled(&network(1, &[]), Some(Labels::parse("names.txt", text)));
    for (text, expected) in [("cat\n", ["not cat", "cat"]), ("dog\ncat\n", ["dog", "cat"])] {
        let file = named(text).expect("it compiles");
        assert!(Model::new(&file).expect("valid").labels().map(|label| label.name).eq(expected), "{expected:?}");
    }
    let message = named("a\nb\nc\n").unwrap_err().to_string();
    assert!(message.contains("names.txt: 3 lines, but the network has 2 classes"), "{message}");
}

#[test]
fn scores_that_other_layers_make_are_two_classes_too() {
    // A sum, a clamp without zero, a global pool over one channel: `tail` puts them behind a convolution.
    let global = AveragePool { window: Window::global(6, 6), counted: Padding::NONE, clamp: Clamp::NONE };
    let tails: [fn(&mut Builder, [tinception_models::graph::ValueId; 2]) -> tinception_models::graph::ValueId; 3] = [
        |builder, [a, b]| builder.node(Op::Add(Clamp::NONE), &[a, b]),
        |builder, [a, _]| builder.node(Op::Clamp(Clamp { min: 0.25, max: 4.0 }), &[a]),
        |_, [_, b]| b,
    ];
    for tail in tails {
        let mut builder = Builder::new(SHAPE, 8);
        let conv = builder.conv(builder.input(), 1, Window::square(3, 1).padded(Padding::same(1)), 1, Clamp::RELU);
        let pooled = builder.node(Op::AveragePool(global), &[conv]);
        let weights = builder.numbers(36, 0.02);
        let dense = Dense { weights, bias: vec![0.5], clamp: Clamp::NONE };
        let dense = builder.node(Op::Dense(dense), &[conv]);
        builder.graph.output = tail(&mut builder, [dense, pooled]);
        let graph = builder.graph;
        let file = compiled(&graph, None).expect("it compiles");
        let model = Model::new(&file).expect("valid");
        let engine = FloatEngine::new(&graph, &[graph.output]).expect("tract takes it");
        for seed in 10..15 {
            let picture = whole_numbers(SHAPE, seed);
            let (logits, probabilities) = run(&model, &picture);
            let score = f64::from(engine.run(&picture).expect("it runs")[0][0]);
            assert!((logits[1] - score).abs() < 0.03 * score.abs().max(10.0), "{} is not {score}", logits[1]);
            let yes = sigmoid(logits[1]);
            let by_float = sigmoid(score);
            assert_probabilities(&probabilities, &[1.0 - yes, yes], &[1.0 - by_float, by_float]);
        }
    }
}

#[test]
fn heads_that_are_joined_at_the_end_compile() {
    // Two dense layers over the same input, which become one, and two pools, which stay apart.
    let mut builder = Builder::new(SHAPE, 9);
    let first = builder.pointwise(builder.input(), 3);
    let second = builder.pointwise(builder.input(), 2);
    let global = AveragePool { window: Window::global(6, 6), counted: Padding::NONE, clamp: Clamp::NONE };
    let pools = [first, second].map(|conv| builder.node(Op::AveragePool(global), &[conv]));
    builder.graph.output = builder.node(Op::Concat, &pools);
    let graph = builder.graph;
    let file = compiled(&graph, None).expect("it compiles");
    let model = Model::new(&file).expect("valid");
    let engine = FloatEngine::new(&graph, &[graph.output]).expect("tract takes it");
    for seed in 10..15 {
        let picture = whole_numbers(SHAPE, seed);
        let (logits, _) = run(&model, &picture);
        let expected = &engine.run(&picture).expect("it runs")[0];
        assert_eq!(logits.len(), 5);
        for (logit, expected) in logits.iter().zip(expected) {
            let expected = f64::from(*expected);
            assert!((logit - expected).abs() < 0.03 * expected.abs().max(20.0), "{logit}, not {expected}");
        }
    }
}
