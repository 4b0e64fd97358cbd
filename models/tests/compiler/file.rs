//! The file as a whole: the same bytes every time, its texts, its self-test, its report, and what is refused.

use tinception_core::image::{ColourOrder, Resize, quantize_pixels};
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::{CalibrationError, Calibrator, Method, calibrate};
use tinception_models::compare::compare;
use tinception_models::compile::{CompileError, Labels, Options, compile};
use tinception_models::graph::{Affine, AveragePool, Clamp, Dense, Graph, Op};
use tinception_models::preprocess::Preprocessing;

use crate::graphs::{Builder, calibrated, random_graph};

const GREY: Preprocessing = Preprocessing {
    order: ColourOrder::Grey,
    resize: Resize::Stretch,
    mean: [100.0, 0.0, 0.0],
    scale: [0.02, 0.0, 0.0],
};

/// Two inception-like modules over 12 x 12 x 3.
fn network() -> Graph {
    let mut builder = Builder::new(Shape::new(12, 12, 3), 5);
    builder.graph.input_affine = Affine { scale: vec![0.5; 3], shift: vec![0.1, 0.0, -0.1] };
    let stem = builder.conv(builder.input(), 8, Window::square(3, 2).padded(Padding::same(1)), 1, Clamp::RELU);
    let stem = builder.node(Op::Lrn(crate::graphs::LRN), &[stem]);
    let first = builder.pointwise(stem, 6);
    let pooled = builder.pool(stem);
    let second = builder.pointwise(pooled, 5);
    let module = builder.node(Op::Concat, &[first, second]);
    let window = Window::global(6, 6);
    let pooled =
        builder.node(Op::AveragePool(AveragePool { window, counted: Padding::NONE, clamp: Clamp::NONE }), &[module]);
    builder.finish(pooled)
}

fn pixels(seed: u64) -> Vec<u8> {
    let mut builder = Builder::new(Shape::new(1, 1, 1), seed);
    builder.numbers(12 * 12 * 3, 128.0).into_iter().map(|value| (value + 128.0) as u8).collect()
}

fn rgb() -> Preprocessing {
    Preprocessing { resize: Resize::Stretch, ..Preprocessing::preset("torchvision-imagenet").expect("known") }
}

fn options() -> Options {
    Options {
        preprocessing: Some(rgb()),
        labels: Some(Labels::parse(
            "five.txt",
            "n00000001 one\nn00000002 two, zwei\nn03 three\nn00000004 four\nfive\n\n",
        )),
        provenance: vec![("source".into(), "made\nup".into())],
        ..Options::default()
    }
}

fn compiled(graph: &Graph) -> tinception_models::compile::Compiled {
    let inputs = (0..4).map(|seed| rgb().to_float(&pixels(seed)));
    let calibration = calibrate(graph, inputs, |_| ()).expect("it runs");
    compile(graph, &calibration, &options()).expect("it compiles")
}

#[test]
fn twice_gives_the_same_bytes() {
    assert_eq!(compiled(&network()), compiled(&network()));
    for seed in 0..10 {
        let graph = random_graph(seed);
        let once = || compile(&graph, &calibrated(&graph, 2), &Options::default()).expect("it compiles").bytes;
        assert_eq!(once(), once(), "graph {seed}");
    }
}

#[test]
fn texts_table_and_self_test_are_in_the_file() {
    let compiled = compiled(&network());
    let file = Aligned::new(&compiled.bytes);
    let model = Model::new(&file).expect("valid");
    let names: Vec<&str> = model.labels().map(|label| label.name).collect();
    assert_eq!(names, ["one", "two, zwei", "n03 three", "four", "five"]);
    let ids: Vec<Option<&str>> = model.labels().map(|label| label.id).collect();
    assert_eq!(ids, [Some("n00000001"), Some("n00000002"), None, Some("n00000004"), None]);
    assert_eq!(model.version(), (1, 3), "for the ids");
    let provenance: Vec<&str> = model.provenance().lines().collect();
    assert_eq!(provenance[0], "source: made up");
    assert!(provenance[1].starts_with("tool: tinception "));
    assert_eq!(provenance[2], "calibration: 4 pictures, mse, biases corrected");
    assert_eq!(model.self_test_hashes().count(), model.step_count());
    let mut arena = Aligned::zeroed(model.arena_size());
    assert_eq!(Session::new(&model, &mut arena).unwrap().self_test(), Ok(None));

    // White is (255 - mean) * scale, then what the network does to its input.
    let (table, quant) = (model.pixel_table().expect("there"), model.input().expect("there").quant);
    assert_eq!(table.len(), 768);
    let white = (1.0 - 0.485) / 0.229 * 0.5 + 0.1;
    let held = f64::from(quant.scale) * f64::from(i16::from(table[255]) - i16::from(quant.zero_point));
    assert!((held - white).abs() <= f64::from(quant.scale) / 2.0 + 1e-6, "{held} is not {white}");
}

#[test]
fn the_report_says_what_the_file_needs() {
    let graph = network();
    let compiled = compiled(&graph);
    let file = Aligned::new(&compiled.bytes);
    let model = Model::new(&file).expect("valid");
    let report = &compiled.report;
    assert_eq!((report.activations, report.scratch), (model.activation_size(), model.scratch_size()));
    assert_eq!((report.flash, report.ram()), (compiled.bytes.len(), model.arena_size()));
    assert_eq!(report.macs(), graph.macs());
    assert!(report.lower_bound <= report.activations);
    // 3x3x3 to 8 in blocks of 28, 8 to 6 and 8 to 5 in 8 rows of 8, 11 to 5 in 8 rows of 12.
    assert_eq!(report.weights, 8 * 28 + 8 * 8 + 8 * 8 + 8 * 12);
    // Sixteen patches of the first convolution; the other kernels read their patches in place or one at a time.
    assert_eq!(report.scratch, 16 * 28);
    let names: Vec<_> = report.steps.iter().map(|step| (step.name.as_str(), step.operator)).collect();
    assert_eq!(names[1], ("LRN 1", "lrn"));
    assert!(names.iter().all(|(name, _)| !name.starts_with("Concat")), "a concatenation is no step");
}

#[test]
fn int8_follows_float_layer_by_layer() {
    let graph = network();
    let compiled = compiled(&graph);
    let file = Aligned::new(&compiled.bytes);
    let model = Model::new(&file).expect("valid");
    let mut seen = 0;
    let layers = compare(&graph, &model, (4..8).map(pixels), |done| seen = done).expect("they belong together");
    assert_eq!(seen, 4);
    assert_eq!(layers.len(), model.step_count());
    for layer in &layers {
        assert!(layer.sqnr_db > 25.0, "{} has only {} dB", layer.name, layer.sqnr_db);
        assert!((0.0..0.05).contains(&layer.saturated), "{}: {}", layer.name, layer.saturated);
    }
    // The first layer's figure, computed here from the very same outputs.
    let engine = tinception_models::float::FloatEngine::new(&graph, &[graph.nodes[0].output]).expect("it runs");
    let (mut signal, mut noise) = (0.0, 0.0);
    for seed in 4..8 {
        let float = engine.run(&rgb().to_float(&pixels(seed))).expect("it runs").remove(0);
        let mut arena = Aligned::zeroed(model.arena_size());
        let mut session = Session::new(&model, &mut arena).expect("it fits");
        let mut picture = pixels(seed);
        let input = quantize_pixels(&mut picture, ColourOrder::Rgb, model.pixel_table().expect("there"));
        session.input_mut().copy_from_slice(input.expect("it fits"));
        let mut first = First::default();
        let _ = session.run_observed(&mut first);
        for (x, quantised) in float.iter().zip(first.0) {
            signal += f64::from(*x).powi(2);
            noise += (f64::from(*x) - quantised).powi(2);
        }
    }
    assert!((layers[0].sqnr_db - 10.0 * f64::log10(signal / noise)).abs() < 1e-6);
}

/// The first step's output.
#[derive(Default)]
struct First(Vec<f64>);

impl tinception_core::session::Observer for First {
    fn after(
        &mut self,
        _: usize,
        step: &tinception_core::model::Step<'_>,
        output: tinception_core::session::Values<'_>,
    ) -> std::ops::ControlFlow<()> {
        let quant = step.output.quant;
        self.0 = output.iter().map(|q| f64::from(quant.scale) * f64::from(q - i32::from(quant.zero_point))).collect();
        std::ops::ControlFlow::Break(())
    }
}

#[test]
fn every_method_compiles_and_corrected_biases_differ() {
    let graph = network();
    let calibration = calibrated(&graph, 3);
    let bytes = |method, bias_correction| {
        compile(&graph, &calibration, &Options { method, bias_correction, ..Options::default() })
            .expect("it compiles")
            .bytes
    };
    let all: Vec<_> = Method::ALL.iter().flat_map(|method| [bytes(*method, false), bytes(*method, true)]).collect();
    for (a, b) in (0..all.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
        assert_ne!(all[a], all[b], "{a} and {b}");
    }
}

#[test]
fn bad_input_is_named() {
    let graph = network();
    assert!(matches!(Calibrator::new(&graph).unwrap().finish(), Err(CalibrationError::Empty)));
    let infinite = calibrate(&graph, [vec![f32::INFINITY; 432]], |_| ());
    assert!(matches!(infinite, Err(CalibrationError::NotFinite { picture: 1, .. })));

    let calibration = calibrated(&graph, 1);
    let failed = |options: Options| compile(&graph, &calibration, &options).expect_err("it must fail").to_string();
    let labels = Some(Labels::parse("four.txt", "a\nb\nc\nd\n"));
    let message = failed(Options { labels, ..Options::default() });
    assert!(["four.txt", "4 lines", "5 classes"].iter().all(|part| message.contains(part)), "{message}");
    let message = failed(Options { preprocessing: Some(GREY), ..Options::default() });
    assert!(["1 channels", "takes 3", "picture"].iter().all(|part| message.contains(part)), "{message}");

    let other = random_graph(0);
    let error = compile(&graph, &calibrated(&other, 1), &Options::default());
    assert!(error.is_err(), "a calibration of another graph");

    let mut broken = graph.clone();
    let Op::Conv(conv) = &mut broken.nodes[0].op else { unreachable!("the stem") };
    conv.weights[3] = f32::NAN;
    let error = compile(&broken, &calibration, &Options::default()).expect_err("it must fail");
    assert!(matches!(&error, CompileError::Weights { node, .. } if node == "Conv 0"), "{error}");
}

#[test]
fn limits_of_the_format_are_named() {
    // A patch of 40,000 bytes does not fit the scratch, unless it lies dense in memory.
    let mut builder = Builder::new(Shape::new(2, 2, 4), 6);
    let wide = builder.pointwise(builder.input(), 10_000);
    let strided =
        builder.conv(wide, 1, Window::square(2, 1).padded(Padding { top: 1, ..Padding::NONE }), 1, Clamp::RELU);
    let graph = builder.finish(strided);
    let error = compile(&graph, &calibrated(&graph, 1), &Options::default()).expect_err("it must fail");
    assert!(matches!(&error, CompileError::Scratch { node, needed: 40_000 } if node == "Conv 1"), "{error}");

    let builder = Builder::new(Shape::new(100, 100, 4), 7);
    let input = builder.input();
    let graph = builder.finish(input);
    compile(&graph, &calibrated(&graph, 1), &Options::default()).expect("read where it lies");

    // More products than an int32 can sum up.
    let mut builder = Builder::new(Shape::new(200, 100, 4), 8);
    let input = builder.input();
    let dense = Dense { weights: vec![0.5; 80_000], bias: vec![0.0], clamp: Clamp::NONE };
    let value = builder.node(Op::Dense(dense), &[input]);
    let graph = builder.finish(value);
    let error = compile(&graph, &calibrated(&graph, 1), &Options::default()).expect_err("it must fail").to_string();
    assert!(error.contains("Gemm 0") && error.contains("80000 products"), "{error}");

    // Scores that are a picture.
    let mut builder = Builder::new(Shape::new(4, 4, 3), 9);
    let value = builder.pointwise(builder.input(), 5);
    builder.graph.output = value;
    let error = compile(&builder.graph, &calibrated(&builder.graph, 1), &Options::default());
    assert!(matches!(error, Err(CompileError::ScoresShape { .. })));
}
