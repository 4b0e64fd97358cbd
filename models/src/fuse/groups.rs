//! Finding groups of steps that can run together, and linking them.

use tinception_core::format::SCRATCH_LIMIT;
use tinception_core::format::step::Link;
use tinception_core::format::tensor::{DataType, Stored};
use tinception_core::kernels::conv::is_pointwise;
use tinception_core::model::GROUP_LIMIT;

use super::Fusions;
use crate::plan::{is_possible, peak};
use crate::program::{Operator, Place, Program, Step, TensorId};

/// How steps could run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rows { stored: u16 },
    Projection,
    Shared,
}

/// Steps that could run together, by the tensors that they make.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    kind: Kind,
    outputs: Vec<TensorId>,
    /// Bytes that need no memory any more.
    saved: u64,
}

/// Links what saves memory and leaves the peak no higher than it is.
pub(super) fn save_memory(program: &mut Program, fusions: Fusions) {
    let mut candidates: Vec<Candidate> = Vec::new();
    for step in &program.steps {
        candidates.extend(fusions.rows.then(|| rows(program, step)).flatten());
        candidates.extend(fusions.projection.then(|| projection(program, step)).flatten());
    }
    // Stable: what saves the same stays in the order of the steps.
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.saved));
    let mut before = peak(program);
    for candidate in candidates {
        let mut attempt = program.clone();
        if apply(&mut attempt, &candidate) {
            let after = peak(&attempt);
            if after <= before {
                (*program, before) = (attempt, after);
            }
        }
    }
}

/// Links 1x1 convolutions over one input as long as the peak stays within `limit`: all of them, else fewer.
pub(super) fn share(program: &mut Program, limit: u64) {
    for input in 0..program.tensors.len() {
        let Some(mut candidate) = shared(program, input) else { continue };
        while candidate.outputs.len() > 1 {
            let mut attempt = program.clone();
            if apply(&mut attempt, &candidate) && peak(&attempt) <= limit {
                *program = attempt;
                break;
            }
            candidate.outputs.pop();
        }
    }
}

/// The step that alone reads a tensor which nothing else has a part of.
fn only_reader(program: &Program, tensor: TensorId) -> Option<&Step> {
    let is_end = [program.input, program.logits].contains(&tensor) || program.probabilities == Some(tensor);
    let is_part = |place: Place| match place {
        Place::Own => false,
        Place::Slice { of, .. } | Place::View { of } | Place::Same { of } => of == tensor,
    };
    let here = &program.tensors[tensor];
    let alone = here.place == Place::Own && !program.tensors.iter().any(|other| is_part(other.place));
    if is_end || !alone || here.data_type != DataType::Int8 {
        return None;
    }
    let mut readers = program.steps.iter().filter(|step| step.inputs().any(|input| input == tensor));
    readers.next().filter(|_| readers.next().is_none())
}

/// A convolution whose output goes through steps in place into a max pool.
fn rows(program: &Program, head: &Step) -> Option<Candidate> {
    if !matches!(head.operator, Operator::Conv(_)) {
        return None;
    }
    let tensor = &program.tensors[head.output];
    let mut outputs = vec![head.output];
    let window = loop {
        let step = only_reader(program, *outputs.last()?)?;
        outputs.push(step.output);
        match &step.operator {
            Operator::MaxPool(window) => break window,
            Operator::Lrn { .. } | Operator::Rescale(_) => {}
            _ => return None,
        }
    };
    // An even number of rows, since exact Winograd makes two at a time.
    let stored = (window.kernel_height + 1).next_multiple_of(2);
    let saved = tensor.size().saturating_sub(tensor.size() / u64::from(tensor.shape.height) * u64::from(stored));
    let stored = u16::try_from(stored).ok().filter(|stored| u32::from(*stored) < tensor.shape.height)?;
    (outputs.len() <= GROUP_LIMIT).then_some(Candidate { kind: Kind::Rows { stored }, outputs, saved })
}

/// A pool in front of a 1x1 convolution.
fn projection(program: &Program, pool: &Step) -> Option<Candidate> {
    if !matches!(pool.operator, Operator::MaxPool(_) | Operator::AveragePool { .. }) {
        return None;
    }
    let step = only_reader(program, pool.output)?;
    let depth = pointwise(program, step)?;
    let saved = program.tensors[pool.output].size();
    let outputs = vec![pool.output, step.output];
    (depth <= SCRATCH_LIMIT as usize).then_some(Candidate { kind: Kind::Projection, outputs, saved })
}

/// The 1x1 convolutions that read a tensor and run on their own so far. Of those whose outputs would get in each other's
/// way, as slices of one concatenation do, the first.
fn shared(program: &Program, input: TensorId) -> Option<Candidate> {
    let readers = program.steps.iter().filter(|step| step.input == input && pointwise(program, step).is_some());
    let free = readers.map(|step| step.output).filter(|output| index_if_free(program, *output).is_some());
    let mut candidate = Candidate { kind: Kind::Shared, outputs: Vec::new(), saved: 0 };
    for output in free {
        candidate.outputs.push(output);
        if candidate.outputs.len() > GROUP_LIMIT || !apply(&mut program.clone(), &candidate) {
            candidate.outputs.pop();
        }
    }
    (candidate.outputs.len() > 1).then_some(candidate)
}

/// The depth of a patch of a 1x1 convolution with one group and an int8 output.
fn pointwise(program: &Program, step: &Step) -> Option<usize> {
    let Operator::Conv(conv) = &step.operator else { return None };
    let is_int8 = program.tensors[step.output].data_type == DataType::Int8;
    (is_int8 && conv.groups == 1 && is_pointwise(&conv.window)).then_some(conv.layout.padded_depth)
}

/// Moves the steps of a candidate behind its first one and links them; `false` where one of them is linked already or
/// tensors would get in each other's way. Later steps read only what the first one reads or what steps of the candidate
/// make, so they may come earlier.
fn apply(program: &mut Program, candidate: &Candidate) -> bool {
    let Candidate { kind, outputs, .. } = candidate;
    let Some(first) = index_if_free(program, outputs[0]) else { return false };
    for (place, output) in (first + 1..).zip(&outputs[1..]) {
        let Some(index) = index_if_free(program, *output).filter(|index| *index >= place) else { return false };
        program.steps[place..=index].rotate_right(1);
    }
    let between = &outputs[..outputs.len() - 1];
    for step in &mut program.steps[first..first + between.len()] {
        step.link = if *kind == Kind::Shared { Link::Share } else { Link::Stream };
    }
    for (index, tensor) in between.iter().enumerate() {
        let tensor = &mut program.tensors[*tensor];
        match kind {
            Kind::Rows { stored } => {
                tensor.stored = Stored::Ring(*stored);
                if index > 0 {
                    tensor.place = Place::Same { of: between[0] };
                }
            }
            Kind::Projection => tensor.stored = Stored::Nothing,
            Kind::Shared => {}
        }
    }
    is_possible(program)
}

/// The index of the step that makes a tensor, if it runs on its own.
fn index_if_free(program: &Program, output: TensorId) -> Option<usize> {
    let index = program.steps.iter().position(|step| step.output == output)?;
    let before = index.checked_sub(1).map_or(Link::None, |before| program.steps[before].link);
    (program.steps[index].link == Link::None && before == Link::None).then_some(index)
}
