//! Steps that run together: which groups there are, and what must hold of them.

use super::resolve::{Operator, Step};
use super::verify::{overlap, require};
use super::{Model, Tensor};
use crate::EVERY_OPERATOR;
use crate::error::StepProblem;
use crate::format::step::Link;
use crate::format::tensor::{DataType, Stored};
use crate::kernels::conv::{is_pointwise, reads_in_place};

/// Most steps of a group.
pub const GROUP_LIMIT: usize = 4;

/// How a step and those linked to it run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One step on its own.
    Single,
    /// A convolution, operators on its single elements, and a max pool over it, row by row: the convolution's output
    /// only ever has the rows under one row of the pool.
    Rows,
    /// A pool and the 1x1 convolution behind it: pooled pixels are made in the convolution's patches.
    PooledPatches,
    /// 1x1 convolutions over one input, run on the same patches.
    SharedInput,
}

impl Kind {
    /// The kind's name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Rows => "rows",
            Self::PooledPatches => "pooled patches",
            Self::SharedInput => "shared input",
        }
    }
}

/// A group of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// How they run.
    pub kind: Kind,
    /// How many they are.
    pub length: usize,
}

impl Model<'_> {
    /// All groups in order, each with the index of its first step.
    pub fn groups(&self) -> impl Iterator<Item = (usize, Group)> + '_ {
        let mut first = 0;
        core::iter::from_fn(move || {
            let group = self.group(first)?;
            first += group.length;
            Some((first - group.length, group))
        })
    }

    /// The group that begins with step `first`; `None` where there is no such step, or the links make no group.
    #[must_use]
    pub fn group(&self, first: usize) -> Option<Group> {
        let step = self.step(first)?;
        let kind = match (step.link, &step.operator) {
            (Link::None, _) => return Some(Group { kind: Kind::Single, length: 1 }),
            (Link::Share, Operator::Conv(_)) => Kind::SharedInput,
            (Link::Stream, Operator::Conv(_)) => Kind::Rows,
            (Link::Stream, Operator::MaxPool(_) | Operator::AveragePool(_)) => Kind::PooledPatches,
            _ => return None,
        };
        let mut length = 1;
        loop {
            let next = self.step(first + length)?;
            length += 1;
            let belongs = match (kind, &next.operator) {
                (Kind::SharedInput | Kind::PooledPatches, Operator::Conv(_)) => true,
                (Kind::Rows, Operator::Lrn(_) | Operator::Rescale(_)) => next.link == Link::Stream,
                (Kind::Rows, Operator::MaxPool(_)) => next.link == Link::None,
                _ => false,
            };
            let goes_on = next.link == if kind == Kind::SharedInput { Link::Share } else { Link::Stream };
            if !belongs || length > GROUP_LIMIT || (!goes_on && next.link != Link::None) {
                return None;
            }
            if !goes_on {
                return Some(Group { kind, length });
            }
        }
    }
}

/// What must hold of a group beyond its steps. `Err` holds the index of the step and its problem.
pub(super) fn verify(model: &Model<'_>, first: usize, group: Group) -> Result<(), (usize, StepProblem)> {
    let last = first + group.length - 1;
    let at = |index: usize| model.step(index).ok_or((index, StepProblem::Link));
    let head = at(first)?;
    let mut tail = head;
    for index in first..=last {
        let step = at(index)?;
        // Only what one step of a group hands to the next may be without all its rows.
        let input_is_whole = index == first || group.kind == Kind::SharedInput;
        let output_is_whole = index == last || group.kind == Kind::SharedInput;
        let second_is_whole = step.second_input.is_none_or(|tensor| tensor.is_whole());
        let whole = (step.input.is_whole() || !input_is_whole) && (step.output.is_whole() || !output_is_whole);
        let problem = if !whole || !second_is_whole {
            Err(StepProblem::Shape)
        } else if index > first {
            linked(group.kind, &tail, &step)
        } else {
            Ok(())
        };
        problem.map_err(|problem| (index, problem))?;
        tail = step;
    }
    let apart = match group.kind {
        Kind::Single => true,
        Kind::SharedInput => outputs_are_apart(model, first, last),
        Kind::Rows | Kind::PooledPatches => !overlap(&head.input, &tail.output),
    };
    let window = match (group.kind, &head.operator, &tail.operator) {
        (Kind::Rows, _, Operator::MaxPool(pool)) => {
            head.output.stored_rows() >= pool.window.kernel_height.min(head.output.shape.height)
        }
        (Kind::PooledPatches, _, Operator::Conv(conv)) => {
            let fits = tail.layout().is_some_and(|layout| layout.padded_depth <= model.scratch_size());
            group.length == 2 && is_pointwise(&conv.window) && conv.groups == 1 && is_int8(&tail.output) && fits
        }
        (Kind::SharedInput, Operator::Conv(conv), _) => {
            is_pointwise(&conv.window) && conv.groups == 1 && is_int8(&head.output)
        }
        (kind, ..) => kind == Kind::Single,
    };
    if let (Kind::PooledPatches, Operator::Conv(conv), Some(layout)) = (group.kind, &tail.operator, tail.layout()) {
        let runs = EVERY_OPERATOR || reads_in_place(&conv.window, &layout);
        require(runs, StepProblem::LeftOut).map_err(|problem| (last, problem))?;
    }
    require(apart, StepProblem::Overlap).and(require(window, StepProblem::Link)).map_err(|problem| (last, problem))
}

fn is_int8(tensor: &Tensor) -> bool {
    tensor.data_type == DataType::Int8
}

/// Whether `next` takes what `step` gives it.
fn linked(kind: Kind, step: &Step<'_>, next: &Step<'_>) -> Result<(), StepProblem> {
    match (kind, &step.operator, &next.operator) {
        (Kind::SharedInput, Operator::Conv(conv), Operator::Conv(other)) => {
            let same = conv.window == other.window && conv.groups == other.groups && step.input == next.input;
            require(same && is_int8(&next.output), StepProblem::Link)
        }
        (Kind::Rows, ..) => {
            // Never a whole one: what is overwritten in place would be taken for the step's output.
            let is_ring = matches!(step.output.stored, Stored::Ring(_));
            let handed_over = step.output == next.input && is_int8(&step.output) && is_ring;
            let in_place = matches!(next.operator, Operator::MaxPool(_))
                || (next.input.offset == next.output.offset
                    && next.input.pixel_stride == next.output.pixel_stride
                    && next.input.stored == next.output.stored);
            require(handed_over && in_place, StepProblem::Link)
        }
        (Kind::PooledPatches, ..) => {
            let handed_over =
                step.output == next.input && is_int8(&step.output) && step.output.stored == Stored::Nothing;
            require(handed_over, StepProblem::Link)
        }
        _ => Err(StepProblem::Link),
    }
}

fn outputs_are_apart(model: &Model<'_>, first: usize, last: usize) -> bool {
    let output = |index| model.step(index).map(|step| step.output);
    (first..=last).all(|index| {
        (index + 1..=last).all(|other| match (output(index), output(other)) {
            (Some(a), Some(b)) => !overlap(&a, &b),
            _ => false,
        })
    })
}
