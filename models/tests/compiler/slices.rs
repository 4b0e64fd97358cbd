//! Concatenations: branches write their slice where they can, and are copied where they can't.

use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::calibrate::Method;
use tinception_models::graph::{Graph, Op, ValueId};
use tinception_models::plan::{Location, plan};
use tinception_models::program::{Operator, Place, Program, lower};
use tinception_models::quantize::{activations, sharing};

use crate::graphs::{Builder, calibrated};

fn lowered(graph: &Graph) -> Program {
    let calibration = calibrated(graph, 1);
    let quant = activations(graph, &calibration, Method::MinMax, None).expect("calibrated");
    lower(graph, &quant, None).expect("it lowers")
}

fn slice(program: &Program, value: ValueId) -> Option<(usize, u32)> {
    match program.tensors[value.0].place {
        Place::Slice { of, first_channel } => Some((of, first_channel)),
        _ => None,
    }
}

fn copies(program: &Program) -> Vec<&str> {
    let copies = program.steps.iter().filter(|step| matches!(step.operator, Operator::Rescale(_)));
    copies.map(|step| step.name.as_str()).collect()
}

#[test]
fn an_inception_module_needs_no_copy() {
    let mut builder = Builder::new(Shape::new(6, 6, 8), 1);
    let first = builder.pointwise(builder.input(), 5);
    let reduced = builder.pointwise(builder.input(), 4);
    let second = builder.pointwise(reduced, 7);
    let pooled = builder.pool(builder.input());
    let third = builder.pointwise(pooled, 3);
    let module = builder.node(Op::Concat, &[first, second, third]);
    // A branch that is read elsewhere, too.
    let again = builder.pointwise(second, 4);
    let after = builder.pointwise(module, 6);
    let next = builder.node(Op::Concat, &[after, again]);
    let program = lowered(&builder.finish(next));
    assert_eq!(copies(&program), [""; 0]);
    assert_eq!(slice(&program, first), Some((module.0, 0)));
    assert_eq!(slice(&program, second), Some((module.0, 5)));
    assert_eq!(slice(&program, third), Some((module.0, 12)));
    let quants: Vec<_> = [first, second, third, module].iter().map(|value| program.tensors[value.0].quant).collect();
    assert!(quants.windows(2).all(|pair| pair[0] == pair[1]), "one scale for all branches");
}

#[test]
fn no_step_reads_and_writes_one_buffer() {
    // The last convolution reads a slice of what it would write a slice of: one of the two is copied.
    let mut builder = Builder::new(Shape::new(4, 4, 8), 5);
    let first = builder.pointwise(builder.input(), 4);
    let second = builder.pointwise(builder.input(), 4);
    let module = builder.node(Op::Concat, &[first, second]);
    let again = builder.pointwise(second, 4);
    let outer = builder.node(Op::Concat, &[module, again]);
    let program = lowered(&builder.finish(outer));
    assert_eq!(slice(&program, module), Some((outer.0, 0)), "nested");
    assert_eq!(slice(&program, first), Some((module.0, 0)));
    assert_eq!(copies(&program), ["Conv 1/rescale"]);
}

#[test]
fn a_bare_pool_is_rescaled_where_it_lies() {
    // Inception v3's reduction module: the pool's scale is that of the module before.
    let mut builder = Builder::new(Shape::new(6, 6, 4), 2);
    let before = builder.pointwise(builder.input(), 6);
    let window = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
    let pooled = builder.node(Op::MaxPool(window), &[before]);
    let branch = builder.conv(before, 5, window, 1, tinception_models::graph::Clamp::RELU);
    let module = builder.node(Op::Concat, &[branch, pooled]);
    let graph = builder.finish(module);
    let sharing = sharing(&graph);
    assert_eq!(sharing[pooled.0], sharing[before.0]);
    assert_eq!(sharing[module.0], sharing[branch.0]);
    assert_ne!(sharing[module.0], sharing[pooled.0]);

    let mut program = lowered(&graph);
    let copied = copies(&program);
    assert_eq!(copied, ["MaxPool 1/rescale"]);
    let plan = plan(&mut program);
    let step = program.steps.iter().find(|step| step.name == "MaxPool 1/rescale").expect("the copy");
    assert_eq!((step.input, plan.locations[step.input]), (pooled.0, plan.locations[step.output]));
    let Location { offset, pixel_stride } = plan.locations[module.0];
    assert_eq!(plan.locations[pooled.0], Location { offset: offset + 5, pixel_stride });
}

#[test]
fn dense_connections_share_one_buffer() {
    // DenseNet: each layer reads the concatenation of all before it, through another tensor of its own.
    let mut builder = Builder::new(Shape::new(4, 4, 3), 3);
    let mut features = vec![builder.pointwise(builder.input(), 4)];
    let mut joined = features[0];
    for _ in 0..3 {
        let bottleneck = builder.pointwise(joined, 6);
        features.push(builder.conv(
            bottleneck,
            2,
            Window::square(3, 1).padded(Padding::same(1)),
            1,
            tinception_models::graph::Clamp::NONE,
        ));
        joined = builder.node(Op::Concat, &features);
    }
    let mut program = lowered(&builder.finish(joined));
    assert_eq!(copies(&program), [""; 0]);
    let plan = plan(&mut program);
    let whole = plan.locations[joined.0];
    for (feature, channel) in features.iter().zip([0, 4, 6, 8]) {
        assert_eq!(plan.locations[feature.0], Location { offset: whole.offset + channel, ..whole });
    }
}

#[test]
fn what_cannot_be_a_slice_is_copied() {
    // The picture, a value twice, and a value that two concatenations want at different places.
    let mut builder = Builder::new(Shape::new(4, 4, 3), 4);
    let input = builder.input();
    let value = builder.pointwise(input, 4);
    let other = builder.pointwise(input, 4);
    let first = builder.node(Op::Concat, &[input, value, value]);
    let between = builder.pointwise(first, 4);
    let second = builder.node(Op::Concat, &[other, between]);
    let last = builder.pointwise(second, 2);
    let third = builder.node(Op::Concat, &[last, other]);
    let program = lowered(&builder.finish(third));
    assert_eq!(copies(&program), ["picture/rescale", "Conv 0/rescale", "Conv 0/rescale", "Conv 1/rescale"]);
    assert_eq!(slice(&program, other), Some((third.0, 2)), "the last one gets it");
}
