//! Fusion: the bits stay, the peak falls, and each kind can be left out.

use std::collections::HashMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tinception_core::format::step::Link;
use tinception_core::format::tensor::Stored;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::fuse::{Fusions, fuse};
use tinception_models::graph::{Clamp, Graph, Op, ValueId};
use tinception_models::plan::{peak, plan};
use tinception_models::program::{Operator, Program};

use crate::graphs::{Builder, LRN, random_graph};
use crate::memory::{hashes, lowered};

const GRAPHS: u64 = 150;

/// Each kind alone, and all.
const KINDS: [Fusions; 5] = [
    Fusions::ALL,
    Fusions { rows: true, ..Fusions::NONE },
    Fusions { projection: true, ..Fusions::NONE },
    Fusions { shared: true, ..Fusions::NONE },
    Fusions { rows: true, projection: true, split: true, ..Fusions::NONE },
];

/// Fuses a program and compares each step's output with what it is without; the fused program.
fn check(before: &Program, fusions: Fusions, seed: u64) -> Program {
    let mut plain = before.clone();
    let plain_plan = plan(&mut plain);
    let expected: HashMap<String, u32> = hashes(&plain, &plain_plan, seed).into_iter().collect();
    let mut fused = before.clone();
    fuse(&mut fused, fusions);
    let fused_plan = plan(&mut fused);
    assert!(fused_plan.lower_bound <= plain_plan.lower_bound, "graph {seed}: {fusions:?}");
    let mut known = 0;
    for (name, hash) in hashes(&fused, &fused_plan, seed) {
        if let Some(expected) = expected.get(&name) {
            assert_eq!(hash, *expected, "graph {seed}, {fusions:?}: {name}");
            known += 1;
        }
    }
    // Only a pool that was split has gone.
    assert!(known + 2 >= expected.len(), "graph {seed}: {known} of {} steps", expected.len());
    fused
}

fn count(program: &Program, is_counted: impl Fn(&tinception_models::program::Step) -> bool) -> usize {
    program.steps.iter().filter(|step| is_counted(step)).count()
}

#[test]
fn random_graphs_give_the_same_bits() {
    let (mut streams, mut shares, mut splits) = (0, 0, 0);
    for seed in 0..GRAPHS {
        let graph = if seed % 2 == 0 { random_graph(seed) } else { random_modules(seed) };
        let before = lowered(&graph);
        for fusions in KINDS {
            let fused = check(&before, fusions, seed);
            streams += count(&fused, |step| step.link == Link::Stream);
            shares += count(&fused, |step| step.link == Link::Share);
            splits += usize::from(fused.steps.len() > before.steps.len());
        }
    }
    assert!(streams > 300 && shares > 50 && splits > 5, "{streams} stream, {shares} share, {splits} pools split");
}

/// A chain of what is made to be fused, in random sizes.
fn random_modules(seed: u64) -> Graph {
    let mut random = SmallRng::seed_from_u64(seed);
    let shape = Shape::new(random.random_range(9..26), random.random_range(9..26), random.random_range(1..9));
    let mut builder = Builder::new(shape, seed);
    let mut value = builder.input();
    for _ in 0..random.random_range(1..4) {
        value = if random.random_bool(0.5) {
            let (outputs, kernel) = (random.random_range(4..24), random.random_range(1..=3));
            let window = Window::square(kernel, 1).padded(Padding::same(kernel / 2));
            let made = builder.conv(value, outputs, window, 1, Clamp::RELU);
            if random.random_bool(0.5) { builder.node(Op::Lrn(LRN), &[made]) } else { made }
        } else {
            module(&mut builder, value)
        };
        let shape = builder.graph.shape(value);
        let window = Window::square(random.random_range(2..=3), random.random_range(1..=2));
        if window.output(shape.height, shape.width).is_some() {
            value = builder.node(Op::MaxPool(window), &[value]);
        }
    }
    builder.finish(value)
}

/// An inception module of 3b's shape in small, on `value`.
fn module(builder: &mut Builder, value: ValueId) -> ValueId {
    let same = |kernel: u32| Window::square(kernel, 1).padded(Padding::same(kernel / 2));
    let direct = builder.pointwise(value, 16);
    let reduced = builder.pointwise(value, 8);
    let three = builder.conv(reduced, 24, same(3), 1, Clamp::RELU);
    let reduced = builder.pointwise(value, 4);
    let five = builder.conv(reduced, 8, same(5), 1, Clamp::RELU);
    let pooled = builder.node(Op::MaxPool(same(3)), &[value]);
    let projected = builder.pointwise(pooled, 8);
    builder.node(Op::Concat, &[direct, three, five, projected])
}

/// A stem and two modules, a pool behind each.
fn small_googlenet() -> Graph {
    let mut builder = Builder::new(Shape::new(48, 48, 3), 3);
    let pool = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
    let stem = builder.conv(builder.input(), 16, Window::square(7, 2).padded(Padding::same(3)), 1, Clamp::RELU);
    let normal = builder.node(Op::Lrn(LRN), &[stem]);
    let mut value = builder.node(Op::MaxPool(pool), &[normal]);
    for _ in 0..2 {
        let all = module(&mut builder, value);
        value = builder.node(Op::MaxPool(pool), &[all]);
    }
    builder.finish(value)
}

#[test]
fn each_fusion_is_taken_and_can_be_left_out() {
    let before = lowered(&small_googlenet());
    let rows =
        |program: &Program| program.tensors.iter().filter(|tensor| matches!(tensor.stored, Stored::Ring(_))).count();
    let projections =
        |program: &Program| program.tensors.iter().filter(|tensor| tensor.stored == Stored::Nothing).count();
    let shares = |program: &Program| count(program, |step| step.link == Link::Share);
    let pools = |program: &Program| count(program, |step| matches!(step.operator, Operator::MaxPool(_)));

    let all = check(&before, Fusions::ALL, 0);
    assert!(rows(&all) >= 2 && projections(&all) == 2 && shares(&all) >= 1, "{:?}", all.steps);
    assert!(pools(&all) > pools(&before), "a pool was split");
    assert!(peak(&all) * 4 < peak(&before) * 3, "{} of {} bytes", peak(&all), peak(&before));

    let without = |fusions| check(&before, fusions, 0);
    assert_eq!(rows(&without(Fusions { rows: false, ..Fusions::ALL })), 0);
    assert_eq!(projections(&without(Fusions { projection: false, ..Fusions::ALL })), 0);
    assert_eq!(shares(&without(Fusions { shared: false, ..Fusions::ALL })), 0);
    assert_eq!(pools(&without(Fusions { split: false, ..Fusions::ALL })), pools(&before));
    let mut same = before.clone();
    fuse(&mut same, Fusions::NONE);
    assert_eq!(same, before);
}
