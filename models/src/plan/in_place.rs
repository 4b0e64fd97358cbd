//! Steps that write their output over their input.
//!
//! That is legal where nothing reads the input's memory afterwards. Either the output takes the input's place, or,
//! where the output is a slice of a concatenation, the input is made in that slice at once: so a bare max pool that
//! needs another scale than the concatenation it goes into is rescaled where it lies.

use std::cmp::Reverse;

use tinception_core::format::tensor::DataType;

use super::position;
use crate::program::{Operator, Place, Program, Step, TensorId};

/// Marks what can work in place, in the order of the steps.
pub(super) fn merge(program: &mut Program) {
    for index in 0..program.steps.len() {
        let step = &program.steps[index];
        if !step.works_in_place() {
            continue;
        }
        let swapped = matches!(step.operator, Operator::Add { .. }).then(|| swap(step)).flatten();
        let mut ways = vec![step.clone()];
        ways.extend(swapped);
        // Of an addition's inputs the one with the larger buffer goes first: more memory is saved.
        ways.sort_by_key(|way| Reverse(program.tensors[position(program, way.input).root].size()));
        for way in ways {
            let original = std::mem::replace(&mut program.steps[index], way);
            if merge_step(program, index) {
                break;
            }
            program.steps[index] = original;
        }
    }
}

/// The addition with its inputs swapped.
fn swap(step: &Step) -> Option<Step> {
    let Operator::Add { multipliers: [first, second], shift } = step.operator else { return None };
    Some(Step {
        operator: Operator::Add { multipliers: [second, first], shift },
        input: step.second_input?,
        second_input: Some(step.input),
        ..step.clone()
    })
}

fn root(program: &Program, tensor: TensorId) -> TensorId {
    position(program, tensor).root
}

fn merge_step(program: &mut Program, index: usize) -> bool {
    let (input, output) = (program.steps[index].input, program.steps[index].output);
    if !is_dead_after(program, index, input) {
        return false;
    }
    let [from, to] = [input, output].map(|tensor| &program.tensors[tensor]);
    let fits = from.data_type == DataType::Int8 && to.data_type == DataType::Int8 && from.shape == to.shape;
    let (moved, place) = match (to.place, from.place) {
        (Place::Own, _) => (output, Place::Same { of: input }),
        (Place::Slice { .. }, Place::Own) if input != program.input => (input, Place::Same { of: output }),
        _ => return false,
    };
    let before = std::mem::replace(&mut program.tensors[moved].place, place);
    if fits && is_possible(program) {
        return true;
    }
    program.tensors[moved].place = before;
    false
}

/// Whether nothing in the buffer of `tensor` is written or read after this step.
fn is_dead_after(program: &Program, index: usize, tensor: TensorId) -> bool {
    let buffer = root(program, tensor);
    let inside = |tensor: TensorId| root(program, tensor) == buffer;
    let output = program.steps[index].output;
    let kept = inside(program.logits) || program.probabilities.is_some_and(inside);
    let used_later = program.steps[index + 1..].iter().any(|step| step.inputs().chain([step.output]).any(inside));
    !inside(output) && !kept && !used_later
}

/// Whether no step reads and writes one buffer unless in the very same place, nor the steps of a group together, and
/// every view is of a dense tensor.
pub(crate) fn is_possible(program: &Program) -> bool {
    let steps = program.steps.iter().all(|step| {
        let output = position(program, step.output);
        let apart = |tensor: TensorId| root(program, tensor) != output.root;
        (apart(step.input) || is_in_place(program, step)) && step.second_input.is_none_or(apart)
    });
    let views = program.tensors.iter().all(|tensor| match tensor.place {
        Place::View { of } => {
            let shape = program.tensors[of].shape;
            shape.pixels() == 1 || position(program, of).pixel_stride == shape.channels
        }
        _ => true,
    });
    steps && views && program.groups().all(|group| is_possible_together(program, &program.steps[group]))
}

/// Whether a step writes its output where its input lies.
fn is_in_place(program: &Program, step: &Step) -> bool {
    step.works_in_place() && position(program, step.input) == position(program, step.output)
}

/// Whether what a group of steps reads, what it makes for others and what it makes for itself are all apart: each in a
/// buffer of its own, since slices of one buffer overlap between their first and last byte.
fn is_possible_together(program: &Program, steps: &[Step]) -> bool {
    let [first, .., _] = steps else { return true };
    // A step in place makes what is there already.
    let made = steps.iter().filter(|step| !is_in_place(program, step)).map(|step| step.output);
    let mut roots: Vec<TensorId> = made.chain([first.input]).map(|tensor| root(program, tensor)).collect();
    let count = roots.len();
    roots.sort_unstable();
    roots.dedup();
    roots.len() == count
}
