//! Random networks in int8: what each layer alone costs, and what is left at the logits.
//!
//! The weights are generated, the statistics of the batch normalisations taken from photos, as training would. Needs
//! photos; says so and passes where they are missing.

use std::path::PathBuf;

use tinception_core::format::tensor::DataType;
use tinception_core::model::{Model, Step};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::calibrate;
use tinception_models::compare::compare;
use tinception_models::compile::{Options, compile};
use tinception_models::float::FloatEngine;
use tinception_models::fuse::Fusions;
use tinception_models::graph::{Affine, Graph, Node, Op, ValueId};
use tinception_models::nets::Architecture;
use tinception_models::passes::optimise;
use tinception_models::weights::Weights;
use tinception_tests::{data, generated, interpreter};

use crate::float::golden;

/// Photos for statistics and calibration, and others to judge by. The last layers have a few pixels only, and random
/// features differ between photos more than within them: with 6 photos, the range of an unseen one is cut to 14 dB.
const LEARNT: usize = 20;
const JUDGED: usize = 2;

/// The first photos, RGB, cut to a square and scaled to `size` x `size`.
fn photos(size: u32) -> Option<Vec<Vec<u8>>> {
    let folder = std::fs::read_dir(data::find("data/imagenet/calibration")?).expect("a folder");
    let mut names: Vec<PathBuf> = folder.map(|entry| entry.expect("it can be read").path()).collect();
    names.sort();
    let photo = |path: &PathBuf| {
        let photo = image::open(path).expect("a photo").to_rgb8();
        let side = photo.width().min(photo.height());
        let (left, top) = ((photo.width() - side) / 2, (photo.height() - side) / 2);
        let square = image::imageops::crop_imm(&photo, left, top, side, side).to_image();
        image::imageops::resize(&square, size, size, image::imageops::FilterType::Triangle).into_raw()
    };
    let step = names.len() / (LEARNT + JUDGED);
    Some(names.iter().step_by(step).take(LEARNT + JUDGED).map(photo).collect())
}

/// A graph of one node, its inputs' shapes as in `graph`.
fn alone(graph: &Graph, node: &Node) -> FloatEngine {
    let mut one = Graph {
        name: node.name.clone(),
        values: Vec::new(),
        nodes: Vec::new(),
        input: ValueId(0),
        output: ValueId(1),
        input_affine: Affine::identity(graph.shape(node.inputs[0]).channels as usize),
        own_output: None,
    };
    one.add_value("input", graph.shape(node.inputs[0]));
    one.add_value("output", graph.shape(node.output));
    one.nodes.push(Node { inputs: vec![ValueId(0)], output: ValueId(1), ..node.clone() });
    FloatEngine::new(&one, &[ValueId(1)]).expect("tract takes one layer")
}

/// Replaces the statistics of every batch normalisation by those of its input over `pictures`, each layer behind
/// normalised ones.
fn learn_statistics(architecture: Architecture, size: u32, weights: &mut Weights, pictures: &[Vec<f32>]) {
    let graph = architecture.build(weights, size).expect("it builds").graph;
    let last_use = |value: ValueId| graph.nodes.iter().rposition(|node| node.inputs.contains(&value));
    let mut values: Vec<Vec<Vec<f32>>> = vec![Vec::new(); graph.values.len()];
    values[graph.input.0] = pictures.to_vec();
    for (index, node) in graph.nodes.iter().enumerate() {
        let input = &values[node.inputs[0].0];
        let channels = graph.shape(node.inputs[0]).channels as usize;
        values[node.output.0] = match &node.op {
            Op::BatchNorm(_) => {
                let affine = batch_norm(weights, &node.name, input, channels);
                let normal = |values: &Vec<f32>| {
                    let pixels = values.chunks_exact(channels);
                    pixels.flat_map(|pixel| pixel.iter().zip(&affine).map(|(x, (a, b))| a * x + b)).collect()
                };
                input.iter().map(normal).collect()
            }
            Op::Clamp(clamp) => {
                input.iter().map(|values| values.iter().map(|value| clamp.apply(*value)).collect()).collect()
            }
            Op::Concat => {
                let joined = |picture: usize| {
                    let branches: Vec<&[f32]> = node.inputs.iter().map(|input| &values[input.0][picture][..]).collect();
                    join(&branches, graph.shape(node.output).pixels() as usize)
                };
                (0..pictures.len()).map(joined).collect()
            }
            _ => {
                let engine = alone(&graph, node);
                input.iter().map(|values| engine.run(values).expect("it runs").swap_remove(0)).collect()
            }
        };
        for input in &node.inputs {
            if last_use(*input) == Some(index) {
                values[input.0] = Vec::new();
            }
        }
    }
}

/// Branches of so many pixels, joined on the channels.
fn join(branches: &[&[f32]], pixels: usize) -> Vec<f32> {
    let pixel = |pixel: usize| {
        branches.iter().flat_map(move |branch| {
            let width = branch.len() / pixels;
            &branch[pixel * width..][..width]
        })
    };
    (0..pixels).flat_map(pixel).copied().collect()
}

/// Sets a normalisation's mean and variance to those of `input`; scale and shift of each channel.
fn batch_norm(weights: &mut Weights, name: &str, input: &[Vec<f32>], channels: usize) -> Vec<(f32, f32)> {
    let (mut sums, mut squares) = (vec![0.0_f64; channels], vec![0.0_f64; channels]);
    let mut count = 0.0;
    for pixel in input.iter().flat_map(|values| values.chunks_exact(channels)) {
        count += 1.0;
        for ((sum, square), x) in sums.iter_mut().zip(&mut squares).zip(pixel) {
            *sum += f64::from(*x);
            *square += f64::from(*x) * f64::from(*x);
        }
    }
    let mean: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
    let variance = squares.iter().zip(&mean).map(|(square, mean)| (square / count - mean * mean).max(0.0));
    let variance: Vec<f64> = variance.collect();
    let part = |part: &str| format!("{name}.{part}");
    for (statistic, values) in [("running_mean", &mean), ("running_var", &variance)] {
        let tensor = weights.tensors.get_mut(&part(statistic)).expect("the network has it");
        tensor.values = values.iter().map(|value| *value as f32).collect();
    }
    let (gamma, beta) = (&weights.tensors[&part("weight")].values, &weights.tensors[&part("bias")].values);
    let affine = |channel: usize| {
        let scale = f64::from(gamma[channel]) / (variance[channel] + 1e-3).sqrt();
        (scale as f32, (f64::from(beta[channel]) - mean[channel] * scale) as f32)
    };
    (0..channels).map(affine).collect()
}

/// `10 log10(signal / noise)`.
fn decibels(float: &[f32], found: &[f64]) -> f64 {
    let signal: f64 = float.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let noise: f64 = float.iter().zip(found).map(|(x, y)| (f64::from(*x) - y) * (f64::from(*x) - y)).sum();
    10.0 * (signal / noise).log10()
}

/// The ratio of every step that has a node, given the float network's values as its inputs.
fn each_layer(graph: &Graph, model: &Model<'_>, picture: &[f32]) -> Vec<(String, f64)> {
    let ids: Vec<ValueId> = (0..graph.values.len()).map(ValueId).collect();
    let values = FloatEngine::new(graph, &ids).expect("tract takes the graph").run(picture).expect("it runs");
    let layer = |step: Step<'_>| {
        let node = graph.nodes.iter().find(|node| node.name == step.name())?;
        let inputs: Vec<&[f32]> = node.inputs.iter().map(|input| values[input.0].as_slice()).collect();
        let output = interpreter::step_alone(model, &step, &inputs);
        let quant = step.output.quant;
        let real = |q: i32| f64::from(quant.scale) * f64::from(q - i32::from(quant.zero_point));
        let found: Vec<f64> = output.into_iter().map(real).collect();
        let float = &values[node.output.0];
        (found.len() == float.len()).then(|| (step.name().to_owned(), decibels(float, &found)))
    };
    model.steps().filter(|step| step.input.data_type == DataType::Int8).filter_map(layer).collect()
}

/// Checks a random network: every layer alone, and the logits behind all of them.
fn check(architecture: Architecture, size: u32, logits: f64) {
    let Some(photos) = photos(size) else { return };
    let preprocessing = architecture.preprocessing(size);
    let float: Vec<Vec<f32>> = photos.iter().map(|photo| preprocessing.to_float(photo)).collect();
    let mut weights = generated::weights(architecture.name(), golden(architecture).0);
    learn_statistics(architecture, size, &mut weights, &float[..LEARNT]);
    let mut graph = architecture.build(&weights, size).expect("it builds").graph;
    optimise(&mut graph).expect("the passes know every operator");
    let calibration = calibrate(&graph, float[..LEARNT].to_vec(), |_| ()).expect("the network runs");
    // Each step keeps the inputs of the layer whose name it has.
    let fusions = Fusions::NONE;
    let options = Options { preprocessing: Some(preprocessing), fusions, ..Options::default() };
    let compiled = compile(&graph, &calibration, &options).expect("it compiles");
    let file = Aligned::new(&compiled.bytes);
    let model = Model::new(&file).expect("a valid model");

    let layers = each_layer(&graph, &model, &float[LEARNT]);
    let behind = compare(&graph, &model, photos[LEARNT..].to_vec(), |_| ()).expect("they belong together");
    for (name, alone) in &layers {
        let all = behind.iter().find(|layer| layer.name == *name).map(|layer| layer.sqnr_db);
        println!("{name:<40} alone {alone:5.1} dB, with all before {:5.1} dB", all.unwrap_or(f64::NAN));
    }
    let worst = layers.iter().map(|(_, alone)| *alone).fold(f64::INFINITY, f64::min);
    let fc = behind.iter().find(|layer| layer.name == "fc").expect("the classifier").sqnr_db;
    println!("{}: the worst layer {worst:.1} dB, the logits {fc:.1} dB", architecture.name());
    assert!(layers.len() >= graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv(_))).count());
    assert!(worst >= 30.0, "the worst layer has {worst:.1} dB");
    assert!(fc >= logits, "the logits have {fc:.1} dB");
}

#[test]
fn googlenet() {
    check(Architecture::GoogLeNetTorchvision, 224, 17.0);
}

#[test]
fn inception_v3() {
    check(Architecture::InceptionV3, 299, 11.0);
}

#[test]
fn the_books_network() {
    check(Architecture::Book, 32, 15.0);
}
