//! The memory planner: no step ever reads a byte that isn't what it should be, and the stated arena is exact.

use std::ops::ControlFlow;

use tinception_core::error::RunError;
use tinception_core::model::Model;
use tinception_core::selftest::fill_input;
use tinception_core::session::{Hashes, Session};
use tinception_core::shape::{Shape, Window};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::Method;
use tinception_models::emit::emit;
use tinception_models::graph::{Graph, Op};
use tinception_models::plan::{Location, Plan, plan};
use tinception_models::program::{Place, Program, TensorId, lower};
use tinception_models::quantize::activations;

use crate::graphs::{Builder, LRN, calibrated, random_graph};

const GRAPHS: u64 = 150;

pub(crate) fn lowered(graph: &Graph) -> Program {
    let calibration = calibrated(graph, 1);
    let quant = activations(graph, &calibration, Method::MinMax, None).expect("calibrated");
    lower(graph, &quant, None).expect("it lowers")
}

/// The arena addresses of a tensor's elements, each element once, in NHWC order.
fn addresses(program: &Program, plan: &Plan, tensor: TensorId) -> Vec<usize> {
    let (shape, Location { offset, pixel_stride }) = (program.tensors[tensor].shape, plan.locations[tensor]);
    let size = program.tensors[tensor].data_type.size() as usize;
    let (pixels, channels) = (shape.pixels() as usize, shape.channels as usize);
    let start =
        |element: usize| offset as usize + (element / channels * pixel_stride as usize + element % channels) * size;
    (0..pixels * channels).flat_map(|element| start(element)..start(element) + size).collect()
}

/// What a byte of a tensor must hold: the tensor that a step wrote it as, and its number in that tensor. Traced back
/// through slices and views, without looking at addresses.
fn expected(program: &Program, written: &[bool], tensor: TensorId) -> Vec<Option<(TensorId, usize)>> {
    let here = &program.tensors[tensor];
    let (bytes, channels) = (here.size() as usize, here.shape.channels as usize);
    let own: Vec<_> = (0..bytes).map(|byte| Some((tensor, byte))).collect();
    if written[tensor] {
        return own;
    }
    if let Place::View { of } = here.place {
        return expected(program, written, of);
    }
    // A concatenation that is itself a slice, and one with parts: each channel is some part's.
    let mut all = vec![None; bytes];
    if let Place::Slice { of, first_channel } = here.place {
        let (wide, wide_channels) = (expected(program, written, of), program.tensors[of].shape.channels as usize);
        for (byte, slot) in all.iter_mut().enumerate() {
            *slot = wide[byte / channels * wide_channels + first_channel as usize + byte % channels];
        }
    }
    for (part, tensor_of_part) in program.tensors.iter().enumerate() {
        if let Place::Slice { of, first_channel } = tensor_of_part.place
            && of == tensor
            && (written[part]
                || program.tensors.iter().any(|t| matches!(t.place, Place::Slice { of, .. } if of == part)))
        {
            let width = tensor_of_part.shape.channels as usize;
            for (byte, value) in parts_of(program, written, part).into_iter().enumerate() {
                all[byte / width * channels + first_channel as usize + byte % width] = value;
            }
        }
    }
    all
}

/// As [`expected`], downwards only, so that a part doesn't ask its whole again.
fn parts_of(program: &Program, written: &[bool], tensor: TensorId) -> Vec<Option<(TensorId, usize)>> {
    let mut alone = program.clone();
    alone.tensors[tensor].place = Place::Own;
    expected(&alone, written, tensor)
}

/// Runs a plan with bytes that know where they come from.
fn simulate(before: &Program, after: &Program, plan: &Plan, seed: u64) {
    let mut arena = vec![None; plan.size as usize];
    let mut written = vec![false; before.tensors.len()];
    let mut write = |arena: &mut Vec<Option<(TensorId, usize)>>, tensor: TensorId| {
        for (byte, address) in addresses(after, plan, tensor).into_iter().enumerate() {
            arena[address] = Some((tensor, byte));
        }
        written[tensor] = true;
        written.clone()
    };
    let mut known = write(&mut arena, before.input);
    for step in &after.steps {
        for input in step.inputs() {
            let holds: Vec<_> = addresses(after, plan, input).into_iter().map(|address| arena[address]).collect();
            assert_eq!(holds, expected(before, &known, input), "graph {seed}: what '{}' reads", step.name);
        }
        known = write(&mut arena, step.output);
    }
    for kept in std::iter::once(before.logits).chain(before.probabilities) {
        let holds: Vec<_> = addresses(after, plan, kept).into_iter().map(|address| arena[address]).collect();
        assert_eq!(holds, expected(before, &known, kept), "graph {seed}: the scores live to the end");
    }
}

/// A plan in which nothing is reused.
fn wasteful(program: &Program) -> Plan {
    let mut size = 0;
    let mut locations = vec![Location { offset: 0, pixel_stride: 0 }; program.tensors.len()];
    for (tensor, location) in program.tensors.iter().zip(&mut locations) {
        *location = Location { offset: size, pixel_stride: tensor.shape.channels };
        size += tensor.size().next_multiple_of(16);
    }
    // The places point from part to whole, so as many rounds as there are tensors settle them.
    for _ in 0..program.tensors.len() {
        for (index, tensor) in program.tensors.iter().enumerate() {
            match tensor.place {
                Place::Own => {}
                Place::View { of } => locations[index].offset = locations[of].offset,
                Place::Same { of } => locations[index] = locations[of],
                Place::Slice { of, first_channel } => {
                    locations[index] = locations[of];
                    locations[index].offset += u64::from(first_channel);
                }
            }
        }
    }
    Plan { locations, size, lower_bound: size }
}

pub(crate) fn hashes(program: &Program, plan: &Plan, seed: u64) -> Vec<(String, u32)> {
    let file = Aligned::new(&emit(program, plan, None).expect("it is small").finish());
    let model = Model::new(&file).unwrap_or_else(|error| panic!("graph {seed}: {error}"));
    let mut arena = Aligned::zeroed(model.arena_size());
    let short = arena.len() - 1;
    let needed = RunError::ArenaTooSmall { needed: short + 1 };
    assert_eq!(Session::new(&model, &mut arena[..short]).err(), Some(needed), "one byte less is refused");
    // What lies in the arena beforehand must not matter.
    arena.fill(seed as u8);
    let mut session = Session::new(&model, &mut arena).expect("the stated arena suffices");
    fill_input(1, model.input().map(|input| input.shape).unwrap_or_default(), session.input_mut());
    let mut hashes = Vec::new();
    let mut observer = Hashes::new(|_, step, crc| {
        hashes.push((step.name().to_owned(), crc));
        ControlFlow::Continue(())
    });
    session.run_observed(&mut observer).expect("a valid file runs");
    hashes
}

#[test]
fn random_graphs_compute_the_same_in_less_memory() {
    let (mut in_place, mut slices, mut copies) = (0, 0, 0);
    for seed in 0..GRAPHS {
        let graph = random_graph(seed);
        let before = lowered(&graph);
        let mut after = before.clone();
        let plan = plan(&mut after);
        assert!(plan.size >= plan.lower_bound, "graph {seed}");
        assert!(
            plan.locations
                .iter()
                .zip(&after.tensors)
                .all(|(location, tensor)| { !matches!(tensor.place, Place::Own) || location.offset % 16 == 0 })
        );
        simulate(&before, &after, &plan, seed);
        let wasteful = wasteful(&before);
        assert_eq!(hashes(&after, &plan, seed), hashes(&before, &wasteful, seed), "graph {seed}");
        assert!(plan.size <= wasteful.size);
        in_place += after.tensors.iter().filter(|tensor| matches!(tensor.place, Place::Same { .. })).count();
        slices += after.tensors.iter().filter(|tensor| matches!(tensor.place, Place::Slice { .. })).count();
        copies += after.steps.iter().filter(|step| step.name.ends_with("/rescale")).count();
    }
    assert!(in_place > 100 && slices > 100 && copies > 50, "{in_place} in place, {slices} slices, {copies} copies");
}

#[test]
fn a_normalisation_takes_no_memory_of_its_own() {
    // GoogLeNet's stem in small: the normalised tensor is the largest, and two of it would not fit.
    let mut builder = Builder::new(Shape::new(8, 8, 3), 1);
    let wide = builder.pointwise(builder.input(), 64);
    let normalised = builder.node(Op::Lrn(LRN), &[wide]);
    let pooled = builder.node(Op::MaxPool(Window::square(2, 2)), &[normalised]);
    let mut program = lowered(&builder.finish(pooled));
    let plan = plan(&mut program);
    assert_eq!(plan.locations[wide.0], plan.locations[normalised.0]);
    // The wide tensor and the pooled one.
    assert_eq!((plan.size, plan.lower_bound), (64 * 64 + 16 * 64, 64 * 64 + 16 * 64));
}

#[test]
fn an_addition_overwrites_whichever_side_dies() {
    for swapped in [false, true] {
        let mut builder = Builder::new(Shape::new(4, 4, 8), 2);
        let kept = builder.pointwise(builder.input(), 8);
        let dying = builder.pointwise(kept, 8);
        let sum = builder
            .node(Op::Add(tinception_models::graph::Clamp::RELU), &if swapped { [kept, dying] } else { [dying, kept] });
        let last = builder.node(Op::Concat, &[sum, kept]);
        let mut program = lowered(&builder.finish(last));
        let plan = plan(&mut program);
        // The sum is a slice of the concatenation, and what it is made from is made there at once.
        assert_eq!(plan.locations[dying.0], plan.locations[sum.0]);
        let step = program.steps.iter().find(|step| step.output == sum.0).expect("the addition");
        assert_eq!(step.input, dying.0);
        assert_eq!(step.second_input, Some(kept.0));
    }
}
