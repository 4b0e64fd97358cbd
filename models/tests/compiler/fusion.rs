//! Fusion: the bits stay, the peak falls, and each kind can be left out.

use std::collections::HashMap;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tinception_core::format::step::Link;
use tinception_core::format::tensor::Stored;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::fuse::{Fusions, fuse};
use tinception_models::graph::{AveragePool, Clamp, Graph, Op, ValueId};
use tinception_models::plan::{peak, plan};
use tinception_models::program::{COPY, Operator, Program};

use crate::graphs::{Builder, LRN, random_graph};
use crate::memory::{hashes, lowered};
use crate::ranges::joined;

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
    let found: HashMap<String, u32> = hashes(&fused, &fused_plan, seed).into_iter().collect();
    for (name, hash) in &expected {
        // Only a pool that was split has gone.
        let split = || name.starts_with("MaxPool") && found.keys().any(|part| part.starts_with(&format!("{name}/")));
        match found.get(name) {
            Some(found) => assert_eq!(found, hash, "graph {seed}, {fusions:?}: {name}"),
            None => assert!(split(), "graph {seed}, {fusions:?}: {name} has gone"),
        }
    }
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

/// Every combination of kinds.
fn combinations() -> impl Iterator<Item = Fusions> {
    (0..16).map(|kinds| Fusions {
        rows: kinds & 1 != 0,
        projection: kinds & 2 != 0,
        shared: kinds & 4 != 0,
        split: kinds & 8 != 0,
    })
}

/// The names of the steps that share their input, group by group.
fn shares(program: &Program) -> Vec<Vec<&str>> {
    let groups = program.groups().map(|group| &program.steps[group]).filter(|steps| steps[0].link == Link::Share);
    groups.map(|steps| steps.iter().map(|step| step.name.as_str()).collect()).collect()
}

/// Modules of branches, one after the other: what is read twice is often pooled into the next concatenation.
fn random_branches(seed: u64) -> Graph {
    let mut random = SmallRng::seed_from_u64(seed);
    let shape = Shape::new(random.random_range(4..13), random.random_range(4..13), random.random_range(1..6));
    let mut builder = Builder::new(shape, seed);
    let mut value = builder.input();
    for _ in 0..random.random_range(1..4) {
        let Shape { height, width, .. } = builder.graph.shape(value);
        let stride = if height.min(width) > 3 { random.random_range(1..=2) } else { 1 };
        let mut branches: Vec<ValueId> = Vec::new();
        for _ in 0..random.random_range(2..6) {
            let made = random_branch(&mut builder, &mut random, value, stride);
            branches.push(if random.random_bool(0.1) { *branches.choose(&mut random).unwrap_or(&made) } else { made });
        }
        value = builder.node(Op::Concat, &branches);
        if random.random_bool(0.3) {
            value = builder.node(Op::MaxPool(Window::square(3, 2).padded(Padding::same(1))), &[value]);
        }
    }
    let mut graph = builder.finish(value);
    // A branch that another one stands for leads nowhere.
    while let Some(dead) =
        graph.nodes.iter().position(|node| node.output != graph.output && graph.consumers(node.output).next().is_none())
    {
        graph.nodes.remove(dead);
    }
    graph
}

/// A branch of a module on `value`.
fn random_branch(builder: &mut Builder, random: &mut SmallRng, value: ValueId, stride: u32) -> ValueId {
    let window = Window::square(3, stride).padded(Padding::same(1));
    let channels = |random: &mut SmallRng| random.random_range(1..9);
    let pool = AveragePool { window, counted: Padding::NONE, clamp: Clamp::NONE };
    let pooled = |builder: &mut Builder, value| builder.node(Op::MaxPool(window), &[value]);
    let reduced = builder.pointwise(value, channels(random));
    match random.random_range(0..10) {
        0..2 if stride == 1 => reduced,
        2 if stride == 1 => builder.node(Op::Clamp(Clamp { min: 0.0, max: 0.5 }), &[reduced]),
        3 if stride == 1 => value,
        0..4 => builder.conv(reduced, channels(random), window, 1, Clamp::RELU),
        4 => pooled(builder, value),
        5 => pooled(builder, reduced),
        6 => {
            let pooled = pooled(builder, value);
            builder.pointwise(pooled, channels(random))
        }
        7 => builder.node(Op::AveragePool(pool), &[value]),
        8 => {
            let normal = builder.node(Op::Lrn(LRN), &[reduced]);
            pooled(builder, normal)
        }
        _ => {
            // A concatenation within this one, read by a convolution and pooled.
            let other = builder.pointwise(value, channels(random));
            let inner = builder.node(Op::Concat, &[reduced, other]);
            let read = builder.conv(inner, channels(random), window, 1, Clamp::RELU);
            let pooled = pooled(builder, inner);
            builder.node(Op::Concat, &[read, pooled])
        }
    }
}

#[test]
fn branches_give_the_same_bits_with_every_combination() {
    let (mut shared, mut splits, mut rescaled) = (0, 0, 0);
    for seed in 0..GRAPHS {
        let before = lowered(&random_branches(seed));
        rescaled += count(&before, |step| step.name.starts_with("MaxPool") && step.name.ends_with(COPY));
        for fusions in combinations() {
            let fused = check(&before, fusions, seed);
            shared += shares(&fused).len();
            splits += usize::from(fused.steps.len() > before.steps.len());
        }
    }
    assert!(shared > 300 && splits > 100 && rescaled > 50, "{shared} share, {splits} split, {rescaled} pools rescaled");
}

#[test]
fn joined_branches_give_the_same_bits_with_every_combination() {
    for (seed, (_, graph)) in (0..).zip(joined()) {
        let before = lowered(&graph);
        for fusions in combinations() {
            check(&before, fusions, seed);
        }
    }
}

#[test]
fn branches_of_one_concatenation_do_not_share_their_input() {
    // Two slices of one tensor overlap from their first byte to their last, so no two steps may make both at once.
    let mut builder = Builder::new(Shape::new(8, 8, 3), 1);
    let branches = [builder.pointwise(builder.input(), 3), builder.pointwise(builder.input(), 5)];
    let module = builder.node(Op::Concat, &branches);
    let half = Window::square(2, 2);
    let pooled = builder.node(Op::MaxPool(half), &[module]);
    let reduced = builder.pointwise(module, 4);
    let read = builder.conv(reduced, 4, half, 1, Clamp::RELU);
    let next = builder.node(Op::Concat, &[read, pooled]);
    let before = lowered(&builder.finish(next));
    for fusions in combinations() {
        assert_eq!(shares(&check(&before, fusions, 0)), [[""; 0]; 0]);
    }
}

#[test]
fn those_that_cannot_share_stay_out_of_the_group() {
    let mut builder = Builder::new(Shape::new(8, 8, 16), 2);
    let value = builder.pointwise(builder.input(), 32);
    let [one, other, reduced] = [4, 4, 4].map(|outputs| builder.pointwise(value, outputs));
    let three = builder.conv(reduced, 4, Window::square(3, 1).padded(Padding::same(1)), 1, Clamp::RELU);
    let module = builder.node(Op::Concat, &[one, other, three]);
    let before = lowered(&builder.finish(module));
    let fused = check(&before, Fusions { shared: true, ..Fusions::NONE }, 0);
    assert_eq!(shares(&fused), [["Conv 1", "Conv 3"]]);
}

#[test]
fn nothing_is_made_in_place_where_its_group_writes() {
    // The clamped value is a slice; made there at once, its convolution would overlap with the one it shares its input with.
    let mut builder = Builder::new(Shape::new(8, 8, 16), 3);
    let value = builder.pointwise(builder.input(), 32);
    let [direct, made] = [4, 4].map(|outputs| builder.pointwise(value, outputs));
    let clamped = builder.node(Op::Clamp(Clamp { min: 0.0, max: 0.5 }), &[made]);
    let module = builder.node(Op::Concat, &[direct, clamped]);
    let before = lowered(&builder.finish(module));
    let fused = check(&before, Fusions { shared: true, ..Fusions::NONE }, 0);
    assert_eq!(shares(&fused), [["Conv 1", "Conv 2"]]);
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
