//! Ranges: a concatenation's covers all that it joins, whichever branches keep a scale of their own.

use tinception_core::image::{ColourOrder, Resize};
use tinception_core::model::Model;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::{Calibration, Method};
use tinception_models::compare::{LayerComparison, compare};
use tinception_models::compile::{Options, compile};
use tinception_models::graph::{AveragePool, Clamp, Conv, Graph, Lrn, Op, ValueId};
use tinception_models::preprocess::Preprocessing;
use tinception_models::quantize::{activations, sharing};

use crate::graphs::{Builder, LRN, calibrated, random_graph, whole_numbers};

/// A 1x1 convolution with ReLU whose outputs are `gain` times as large.
fn loud(builder: &mut Builder, input: ValueId, outputs: u32, gain: f32) -> ValueId {
    let value = builder.pointwise(input, outputs);
    let Some(Op::Conv(Conv { weights, bias, .. })) = builder.graph.nodes.last_mut().map(|node| &mut node.op) else {
        unreachable!("it was just made")
    };
    weights.iter_mut().chain(bias).for_each(|value| *value *= gain);
    value
}

fn halved(builder: &mut Builder, input: ValueId) -> ValueId {
    builder.node(Op::MaxPool(Window::square(2, 2)), &[input])
}

fn averaged(builder: &mut Builder, input: ValueId) -> ValueId {
    let pool = AveragePool { window: Window::square(2, 2), counted: Padding::NONE, clamp: Clamp::NONE };
    builder.node(Op::AveragePool(pool), &[input])
}

/// A 2x2 convolution with stride 2 and ReLU.
fn reduced(builder: &mut Builder, input: ValueId, outputs: u32) -> ValueId {
    builder.conv(input, outputs, Window::square(2, 2), 1, Clamp::RELU)
}

/// Each concatenation represents the least and the largest value of each of its branches, up to half a step.
fn assert_covered(name: &str, graph: &Graph, calibration: &Calibration) {
    let quant = activations(graph, calibration, Method::MinMax, None).expect("calibrated");
    let joins = graph.nodes.iter().filter(|node| matches!(node.op, Op::Concat));
    let mut branches = 0;
    for node in joins {
        let quant = quant[node.output.0];
        let real = |q: i32| quant.scale * (q - i32::from(quant.zero_point)) as f32;
        let half = quant.scale * 0.501;
        for branch in &node.inputs {
            let (least, largest) = calibration.get(*branch).expect("calibrated").histogram.range();
            let name = format!("{name}: '{}' in '{}'", graph[*branch].name, node.name);
            assert!(real(-128) <= least + half, "{name}: {} is above {least}", real(-128));
            assert!(real(127) >= largest - half, "{name}: {} is below {largest}", real(127));
            branches += 1;
        }
    }
    assert!(branches > 1 || name.starts_with("random"), "{name} joins something");
}

/// Classifiers with a concatenation, by what is special about it. The picture's values reach 127 either way.
pub(crate) fn joined() -> Vec<(&'static str, Graph)> {
    let mut graphs = Vec::new();
    let mut add = |name: &'static str, seed, build: &dyn Fn(&mut Builder) -> ValueId| {
        let mut builder = Builder::new(Shape::new(8, 8, 3), seed);
        let last = build(&mut builder);
        builder.graph.name = name.into();
        graphs.push((name, builder.finish(last)));
    };
    add("a reduction whose pool is ten times as wide", 1, &|b| {
        let wide = loud(b, b.input(), 6, 10.0);
        let (pool, quiet) = (halved(b, wide), loud(b, wide, 4, 0.01));
        let conv = reduced(b, quiet, 5);
        b.node(Op::Concat, &[conv, pool])
    });
    add("a reduction whose pool is narrow", 2, &|b| {
        let narrow = loud(b, b.input(), 6, 0.1);
        let (pool, conv) = (halved(b, narrow), reduced(b, b.input(), 5));
        b.node(Op::Concat, &[pool, conv])
    });
    add("two pools of different ranges", 3, &|b| {
        let (one, other) = (loud(b, b.input(), 4, 1.0), loud(b, b.input(), 4, 30.0));
        let pools = [halved(b, one), halved(b, other)];
        b.node(Op::Concat, &pools)
    });
    add("the picture beside a small convolution", 4, &|b| {
        let quiet = loud(b, b.input(), 4, 0.01);
        b.node(Op::Concat, &[quiet, b.input()])
    });
    add("the picture alone, twice", 5, &|b| b.node(Op::Concat, &[b.input(), b.input()]));
    add("the pooled picture beside a small convolution", 6, &|b| {
        let (pool, quiet) = (halved(b, b.input()), loud(b, b.input(), 4, 0.01));
        let conv = reduced(b, quiet, 4);
        b.node(Op::Concat, &[pool, conv])
    });
    add("an averaged picture beside its largest values", 7, &|b| {
        let branches = [averaged(b, b.input()), halved(b, b.input())];
        b.node(Op::Concat, &branches)
    });
    add("the largest values and the mean of one convolution", 8, &|b| {
        let wide = loud(b, b.input(), 6, 5.0);
        let branches = [halved(b, wide), averaged(b, wide)];
        b.node(Op::Concat, &branches)
    });
    add("a wide pool twice", 9, &|b| {
        let (wide, conv) = (loud(b, b.input(), 3, 20.0), reduced(b, b.input(), 4));
        let pool = halved(b, wide);
        b.node(Op::Concat, &[pool, conv, pool])
    });
    add("a concatenation of pools within another one", 10, &|b| {
        let wide = loud(b, b.input(), 3, 20.0);
        let pool = halved(b, wide);
        let inner = b.node(Op::Concat, &[pool, pool]);
        let again = b.pointwise(inner, 4);
        let quiet = loud(b, again, 4, 0.01);
        b.node(Op::Concat, &[quiet, inner])
    });
    add("a pool of a concatenation in the next one", 11, &|b| {
        let branches = [loud(b, b.input(), 3, 40.0), b.pointwise(b.input(), 5)];
        let first = b.node(Op::Concat, &branches);
        let (pool, quiet) = (halved(b, first), loud(b, first, 4, 0.01));
        let conv = reduced(b, quiet, 4);
        b.node(Op::Concat, &[conv, pool])
    });
    add("a pool of a pool", 12, &|b| {
        let wide = loud(b, b.input(), 3, 40.0);
        let pool = b.pool(wide);
        let (pool, conv) = (halved(b, pool), reduced(b, b.input(), 4));
        b.node(Op::Concat, &[conv, pool])
    });
    add("flattened pools", 13, &|b| {
        let (wide, conv) = (loud(b, b.input(), 3, 40.0), reduced(b, b.input(), 4));
        let pool = halved(b, wide);
        let flat = [b.node(Op::Flatten, &[pool]), b.node(Op::Flatten, &[conv])];
        b.node(Op::Concat, &flat)
    });
    add("a pooled sum", 14, &|b| {
        let (one, other) = (loud(b, b.input(), 4, 10.0), loud(b, b.input(), 4, 10.0));
        let sum = b.node(Op::Add(Clamp::NONE), &[one, other]);
        let (pool, conv) = (halved(b, sum), reduced(b, b.input(), 4));
        b.node(Op::Concat, &[conv, pool])
    });
    add("a pool behind a normalisation, and one before", 15, &|b| {
        let wide = loud(b, b.input(), 4, 0.03);
        let normal = b.node(Op::Lrn(LRN), &[wide]);
        let branches = [b.pool(wide), b.pool(normal)];
        b.node(Op::Concat, &branches)
    });
    graphs
}

#[test]
fn a_concatenation_covers_all_that_it_joins() {
    for (name, graph) in joined() {
        assert_covered(name, &graph, &calibrated(&graph, 3));
    }
    for seed in 0..60 {
        let graph = random_graph(seed);
        assert_covered(&format!("random {seed}"), &graph, &calibrated(&graph, 2));
    }
}

/// Compiles for pictures that the network sees as -128 to 127, and compares on two that it was calibrated on.
pub(crate) fn compared(graph: &Graph) -> Vec<LayerComparison> {
    let preprocessing =
        Preprocessing { order: ColourOrder::Rgb, resize: Resize::Stretch, mean: [128.0; 3], scale: [1.0; 3] };
    let options = Options { preprocessing: Some(preprocessing), ..Options::default() };
    let compiled = compile(graph, &calibrated(graph, 3), &options);
    let bytes = Aligned::new(&compiled.unwrap_or_else(|error| panic!("{}: {error}", graph.name)).bytes);
    let model = Model::new(&bytes).expect("the file is valid");
    let shape = graph.shape(graph.input);
    let pictures = (0..2).map(|seed| whole_numbers(shape, seed).iter().map(|value| (value + 128.0) as u8).collect());
    compare(graph, &model, pictures, |_| ()).expect("they belong together")
}

#[test]
fn copies_are_compared_and_lose_little() {
    let mut copies = 0;
    for (name, graph) in joined() {
        let layers = compared(&graph);
        let scores = &layers[layers.len() - 2];
        assert!(scores.sqnr_db > 25.0, "{name}: {scores:?}");
        for copy in layers.iter().filter(|layer| layer.name.ends_with("/rescale")) {
            assert!(copy.sqnr_db > 15.0 && copy.saturated < 0.05, "{name}: {copy:?}");
            copies += 1;
        }
    }
    assert!(copies > 8, "{copies}");
}

#[test]
fn a_copied_branch_keeps_its_own_scale() {
    for (name, graph) in joined() {
        let calibration = calibrated(&graph, 2);
        let quant = activations(&graph, &calibration, Method::MinMax, None).expect("calibrated");
        let sharing = sharing(&graph);
        for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::Concat)) {
            for branch in node.inputs.iter().filter(|branch| sharing[branch.0] != sharing[node.output.0]) {
                let (_, largest) = calibration.get(sharing[branch.0]).expect("calibrated").histogram.range();
                let covered = quant[branch.0].scale * (127 - i32::from(quant[branch.0].zero_point)) as f32;
                assert!(covered < 1.01 * largest, "{name}: {covered} for {largest}");
            }
        }
    }
}

#[test]
fn a_dark_calibration_leaves_the_picture_its_white() {
    let mut builder = Builder::new(Shape::new(4, 4, 3), 1);
    let input = builder.input();
    let quiet = loud(&mut builder, input, 4, 0.01);
    let module = builder.node(Op::Concat, &[quiet, input]);
    let graph = builder.finish(module);
    let quant = activations(&graph, &calibrated(&graph, 1), Method::MinMax, Some((-200.0, 300.0))).expect("calibrated");
    assert!((quant[module.0].scale - 500.0 / 255.0).abs() < 1e-6, "{:?}", quant[module.0]);
}

#[test]
fn only_a_normalisation_that_alone_reads_a_value_narrows_it() {
    // Strong enough that the normalised value saturates: the range that suits it cuts the largest values off.
    let strong = Lrn { size: 1, alpha: 1.0, ..LRN };
    let scale = |read_twice: bool| {
        let mut builder = Builder::new(Shape::new(8, 8, 3), 2);
        let input = builder.input();
        let wide = loud(&mut builder, input, 6, 10.0);
        let normal = builder.node(Op::Lrn(strong), &[wide]);
        let other = if read_twice { wide } else { normal };
        let branches = [builder.pointwise(normal, 4), builder.pointwise(other, 4)];
        let last = builder.node(Op::Concat, &branches);
        let graph = builder.finish(last);
        let quant = activations(&graph, &calibrated(&graph, 3), Method::default(), None).expect("calibrated");
        quant[wide.0].scale
    };
    assert!(scale(false) < 0.5 * scale(true), "{} against {}", scale(false), scale(true));
}
