//! Networks in float against PyTorch (`golden/nets/make.py`).

use tinception_models::float::FloatEngine;
use tinception_models::graph::Graph;
use tinception_models::nets::{Architecture, Built};
use tinception_models::passes::simplify;
use tinception_tests::generated;

/// The list of tensors and the logits of an architecture.
pub(crate) fn golden(architecture: Architecture) -> (&'static str, &'static [u8]) {
    macro_rules! files {
        ($name:literal) => {
            (
                include_str!(concat!("../../golden/nets/", $name, ".txt")),
                include_bytes!(concat!("../../golden/nets/", $name, ".bin")),
            )
        };
    }
    match architecture {
        Architecture::Nano => files!("nano"),
        Architecture::Book => files!("book"),
        Architecture::GoogLeNet => files!("googlenet"),
        Architecture::GoogLeNetFine => files!("googlenet-fine"),
        Architecture::GoogLeNetTorchvision => files!("googlenet-torchvision"),
        Architecture::InceptionV3 => files!("inception-v3"),
        Architecture::GoogLeNetCaffe => panic!("PyTorch doesn't have it"),
    }
}

/// The architecture with generated weights.
pub(crate) fn built(architecture: Architecture, size: u32) -> Built {
    let weights = generated::weights(architecture.name(), golden(architecture).0);
    architecture.build(&weights, size).unwrap_or_else(|error| panic!("{error}"))
}

fn logits(graph: &Graph) -> Vec<f32> {
    let size = graph.shape(graph.input).elements() as usize;
    let picture: Vec<f32> = generated::uniform("picture", size).into_iter().map(|value| value as f32).collect();
    let engine = FloatEngine::new(graph, &[graph.output]).expect("tract takes the graph");
    engine.run(&picture).expect("tract runs the graph").swap_remove(0)
}

fn computes_what_pytorch_computes(architecture: Architecture, size: u32, auxiliary: usize) {
    let Built { mut graph, left_out, .. } = built(architecture, size);
    assert_eq!(left_out.len(), auxiliary, "{left_out:?}");
    simplify(&mut graph).expect("the passes know every operator");
    let (found, expected) = (logits(&graph), golden(architecture).1.as_chunks::<4>().0);
    assert_eq!(found.len(), expected.len());
    let expected: Vec<f32> = expected.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{}: {apart:.2e} apart, {:.1e} of the largest logit", architecture.name(), apart / largest);
    assert!(apart <= 1e-3 * largest, "{apart} apart, the largest is {largest}");
}

// An auxiliary classifier has 6 tensors in its convolution and 4 in its dense layers; Inception v3's has 12 and 2.
#[test]
fn nano() {
    computes_what_pytorch_computes(Architecture::Nano, 32, 20);
}

#[test]
fn book() {
    computes_what_pytorch_computes(Architecture::Book, 32, 20);
}

#[test]
fn googlenet() {
    computes_what_pytorch_computes(Architecture::GoogLeNet, 64, 20);
}

#[test]
fn googlenet_fine() {
    computes_what_pytorch_computes(Architecture::GoogLeNetFine, 64, 20);
}

#[test]
fn googlenet_torchvision() {
    computes_what_pytorch_computes(Architecture::GoogLeNetTorchvision, 224, 20);
}

#[test]
fn inception_v3() {
    computes_what_pytorch_computes(Architecture::InceptionV3, 299, 14);
}

#[test]
fn sizes_are_those_of_the_papers() {
    // Millions of multiply-accumulates: GoogLeNet 1.5 G (Szegedy et al. 2014, section 5, "1.5 billion multiply-adds"),
    // Inception v3 "5 billion" (Szegedy et al. 2015), nano within its bound of 12.5.
    for (architecture, from, to) in [
        (Architecture::GoogLeNetTorchvision, 1490, 1510),
        (Architecture::InceptionV3, 5600, 5800),
        (Architecture::Book, 1400, 1600),
        (Architecture::Nano, 10, 12),
    ] {
        let macs = built(architecture, architecture.size()).graph.macs() / 1_000_000;
        println!("{}: {macs} million", architecture.name());
        assert!((from..=to).contains(&macs), "{}: {macs} million", architecture.name());
    }
}
