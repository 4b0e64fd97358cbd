//! Equalisation: a loud channel is made quiet where the float network stays the same, bit for bit, and int8 gains.

use std::collections::BTreeMap;

use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::calibrate::Calibration;
use tinception_models::compile::Options;
use tinception_models::equalise::{Factors, PROVENANCE, apply, as_compiled, estimates, factors, is_better};
use tinception_models::float::FloatEngine;
use tinception_models::graph::{AveragePool, Clamp, Graph, Op, ValueId};

use crate::graphs::{Builder, LRN, calibrated, random_graph, whole_numbers};
use crate::ranges::compared;

/// Makes a channel of a layer 2^`exponent` times as loud, and what reads it as much deafer.
fn louder(graph: &mut Graph, node: &str, channel: usize, exponent: i32) {
    let before = graph.clone();
    apply(graph, &[Factors { node: node.into(), exponents: BTreeMap::from([(channel, -exponent)]) }]);
    assert_ne!(*graph, before, "{node} can be changed");
}

fn scores(graph: &Graph) -> Vec<f32> {
    let engine = FloatEngine::new(graph, &[graph.output]).expect("tract takes it");
    engine.run(&whole_numbers(graph.shape(graph.input), 9)).expect("it runs").remove(0)
}

fn found(graph: &Graph, calibration: &Calibration) -> Vec<Factors> {
    let estimates = estimates(graph, calibration, &Options::default()).expect("calibrated");
    factors(graph, calibration, &estimates)
}

/// The scores' signal to noise ratio of a compiled graph.
fn decibels(graph: &Graph) -> f64 {
    let layers = compared(graph);
    layers[layers.len() - 2].sqnr_db
}

/// Classifiers whose layer `Conv 0` has an equal among its readers, by what lies between them.
fn chains() -> Vec<(&'static str, Graph)> {
    let mut graphs = Vec::new();
    let mut add = |name, build: &dyn Fn(&mut Builder) -> ValueId| {
        let mut builder = Builder::new(Shape::new(8, 8, 3), 7);
        let last = build(&mut builder);
        graphs.push((name, builder.finish(last)));
    };
    let three = Window::square(3, 1).padded(Padding::same(1));
    let half = AveragePool { window: Window::square(2, 2), counted: Padding::NONE, clamp: Clamp::NONE };
    let first = move |b: &mut Builder, clamp| b.conv(b.input(), 8, three, 1, clamp);
    add("a convolution behind ReLU", &|b| {
        let value = first(b, Clamp::RELU);
        b.conv(value, 6, three, 1, Clamp::RELU)
    });
    add("a convolution without an activation", &|b| {
        let value = first(b, Clamp::NONE);
        b.pointwise(value, 6)
    });
    add("a depthwise convolution, then another", &|b| {
        let value = first(b, Clamp::RELU);
        let value = b.conv(value, 8, three, 8, Clamp::RELU);
        b.pointwise(value, 6)
    });
    add("a convolution in groups", &|b| {
        let value = first(b, Clamp::RELU);
        b.conv(value, 6, three, 2, Clamp::RELU)
    });
    add("a dense layer over the picture", &|b| first(b, Clamp::RELU));
    add("a flattened picture", &|b| {
        let value = first(b, Clamp::RELU);
        b.node(Op::Flatten, &[value])
    });
    add("a max pool", &|b| {
        let value = first(b, Clamp::RELU);
        let value = b.pool(value);
        b.pointwise(value, 6)
    });
    add("an average pool", &|b| {
        let value = first(b, Clamp::RELU);
        let value = b.node(Op::AveragePool(half), &[value]);
        b.pointwise(value, 6)
    });
    add("an activation of its own", &|b| {
        let value = first(b, Clamp::NONE);
        let value = b.node(Op::Clamp(Clamp::RELU), &[value]);
        b.pointwise(value, 6)
    });
    add("two readers", &|b| {
        let value = first(b, Clamp::RELU);
        let branches = [b.pointwise(value, 6), b.conv(value, 5, three, 1, Clamp::RELU)];
        b.node(Op::Concat, &branches)
    });
    add("a concatenation with another convolution", &|b| {
        let branches = [first(b, Clamp::RELU), b.pointwise(b.input(), 5)];
        let value = b.node(Op::Concat, &branches);
        b.pointwise(value, 6)
    });
    add("a pooled concatenation with itself", &|b| {
        let value = first(b, Clamp::RELU);
        let value = b.node(Op::Concat, &[value, value]);
        let value = b.pool(value);
        b.pointwise(value, 6)
    });
    graphs
}

#[test]
fn a_loud_channel_is_made_quiet() {
    for (name, healthy) in chains() {
        assert_eq!(found(&healthy, &calibrated(&healthy, 3)), [], "{name}: nothing to be done");
        let mut loud = healthy.clone();
        louder(&mut loud, "Conv 0", 3, 10);
        assert_eq!(scores(&loud), scores(&healthy), "{name}");

        let calibration = calibrated(&loud, 3);
        let factors = found(&loud, &calibration);
        let mut equal = loud.clone();
        apply(&mut equal, &factors);
        assert_eq!(scores(&equal), scores(&healthy), "{name}: the float network is the same");
        let estimated =
            |graph: &Graph| estimates(graph, &calibrated(graph, 3), &Options::default()).expect("calibrated");
        assert!(is_better(&estimated(&loud), &estimated(&equal)), "{name}");
        let (before, after) = (decibels(&loud), decibels(&equal));
        assert!(after > 25.0 && after > before + 10.0, "{name}: {before} dB became {after}");
        assert!(after > decibels(&healthy) - 3.0, "{name}");
    }
}

#[test]
fn loud_channels_of_several_layers_are_made_quiet_together() {
    let mut builder = Builder::new(Shape::new(8, 8, 3), 3);
    let mut value = builder.pointwise(builder.input(), 8);
    for _ in 0..2 {
        value = builder.pointwise(value, 8);
    }
    let healthy = builder.finish(value);
    let mut loud = healthy.clone();
    louder(&mut loud, "Conv 0", 1, 9);
    louder(&mut loud, "Conv 0", 5, -9);
    louder(&mut loud, "Conv 1", 2, 12);
    let factors = found(&loud, &calibrated(&loud, 3));
    assert_eq!(factors.iter().map(|of| of.node.as_str()).collect::<Vec<_>>(), ["Conv 0", "Conv 1"]);
    apply(&mut loud, &factors);
    assert!(decibels(&loud) > decibels(&healthy) - 3.0, "{}", decibels(&loud));
}

#[test]
fn a_quiet_branch_beside_the_picture_is_made_loud() {
    let mut builder = Builder::new(Shape::new(8, 8, 3), 5);
    let input = builder.input();
    let quiet = builder.pointwise(input, 6);
    let joined = builder.node(Op::Concat, &[quiet, input]);
    let value = builder.pointwise(joined, 6);
    let mut graph = builder.finish(value);
    for channel in 0..6 {
        louder(&mut graph, "Conv 0", channel, -10);
    }
    // The picture itself hardly matters.
    let Op::Conv(conv) = &mut graph.nodes[2].op else { unreachable!("it is one") };
    conv.weights.chunks_exact_mut(9).for_each(|row| row[6..].iter_mut().for_each(|weight| *weight = 1e-3));
    let before = decibels(&graph);
    let factors = found(&graph, &calibrated(&graph, 3));
    apply(&mut graph, &factors);
    assert!(decibels(&graph) > before.max(15.0) + 10.0, "{before} dB became {}", decibels(&graph));
}

#[test]
fn what_a_factor_does_not_pass_stays() {
    let six = Clamp { min: 0.0, max: 6.0 };
    let build = |kind: usize| {
        let mut builder = Builder::new(Shape::new(8, 8, 3), 2);
        let input = builder.input();
        let clamp = if kind == 0 { six } else { Clamp::RELU };
        let value = builder.conv(input, 4, Window::square(1, 1), 1, clamp);
        let other = builder.conv(input, 4, Window::square(1, 1), 1, Clamp::RELU);
        let value = match kind {
            0 => value,
            1 => builder.node(Op::Add(Clamp::RELU), &[value, other]),
            2 => builder.node(Op::Lrn(LRN), &[value]),
            3 => builder.node(Op::Clamp(six), &[value]),
            _ => {
                let sum = builder.node(Op::Add(Clamp::RELU), &[value, other]);
                builder.node(Op::Concat, &[value, sum])
            }
        };
        builder.finish(value)
    };
    for kind in 0..5 {
        let graph = build(kind);
        let mut changed = graph.clone();
        apply(&mut changed, &[Factors { node: "Conv 0".into(), exponents: BTreeMap::from([(1, 3)]) }]);
        assert_eq!(changed, graph, "{kind}");
    }
    // The scores themselves are never changed.
    let graph = build(1);
    let mut changed = graph.clone();
    let last = graph.nodes[graph.nodes.len() - 2].name.clone();
    apply(&mut changed, &[Factors { node: last, exponents: BTreeMap::from([(1, 3)]) }]);
    assert_eq!(changed, graph);
}

#[test]
fn any_factors_leave_any_float_network_as_it_is() {
    for seed in 0..40 {
        let graph = random_graph(seed);
        let all = graph.nodes.iter().map(|node| Factors {
            node: node.name.clone(),
            exponents: (0..graph.shape(node.output).channels as usize).map(|c| (c, c as i32 % 7 - 3)).collect(),
        });
        let mut changed = graph.clone();
        apply(&mut changed, &all.collect::<Vec<_>>());
        assert_eq!(scores(&changed), scores(&graph), "{seed}");
    }
}

#[test]
fn a_file_says_what_was_changed() {
    let (_, mut graph) = chains().swap_remove(0);
    graph.nodes[0].name = "first of  all: conv".into();
    let factors = Factors { node: graph.nodes[0].name.clone(), exponents: BTreeMap::from([(1, 10), (7, -3)]) };
    let mut changed = graph.clone();
    apply(&mut changed, std::slice::from_ref(&factors));
    assert_eq!(factors.to_string(), "1:10 7:-3 of first of  all: conv");
    let provenance = "source: x.onnx\nequalised: 1:10 7:-3 of first of all: conv\ntool: y\n";
    assert_eq!(as_compiled(&graph, provenance), changed);
    assert!(provenance.contains(PROVENANCE));
    for strange in ["1:10", "1:10 of", "x:1 of Conv 2", "1:99 of Conv 2", "999:3 of Conv 2", "1:3 of nobody", ""] {
        assert_eq!(as_compiled(&graph, &format!("equalised: {strange}\n")), graph, "{strange}");
    }
}
