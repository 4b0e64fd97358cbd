//! The memory planner: where every tensor lies in the arena.
//!
//! First, steps that can work in place are found: their output is then the same memory as their input. What is left are
//! buffers, each with a size and the steps during which it is needed: a concatenation and its slices are one buffer, as
//! are a tensor and its views. Buffers whose times overlap must not overlap in memory; [`allocate`] packs them.

use std::ops::Range;

mod allocate;
mod in_place;

pub use allocate::{Buffer, allocate, lower_bound};
pub(crate) use in_place::is_possible;
use tinception_core::format::ALIGNMENT;

use crate::program::{Place, Program, TensorId};

/// Where a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// First byte in the arena.
    pub offset: u64,
    /// Elements from one pixel to the next.
    pub pixel_stride: u32,
}

/// Where everything lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Each tensor's location, by its index.
    pub locations: Vec<Location>,
    /// Bytes of all.
    pub size: u64,
    /// Bytes that some step needs at once: no plan of these buffers can be smaller.
    pub lower_bound: u64,
}

/// The most bytes that a step, or a group of steps, of a program needs at once: no plan can be smaller.
#[must_use]
pub fn peak(program: &Program) -> u64 {
    let mut program = program.clone();
    in_place::merge(&mut program);
    lower_bound(&buffers(&program).2)
}

/// Plans a program's memory. Additions whose second input is overwritten have their inputs swapped.
pub fn plan(program: &mut Program) -> Plan {
    in_place::merge(program);
    let (positions, roots, buffers) = buffers(program);
    let offsets = allocate(&buffers);
    let locations = positions.iter().map(|position| Location {
        offset: roots.binary_search(&position.root).map_or(0, |index| offsets[index]) + position.first_channel,
        pixel_stride: position.pixel_stride,
    });
    let ends = buffers.iter().zip(&offsets).map(|(buffer, offset)| offset + buffer.size);
    Plan { locations: locations.collect(), size: ends.max().unwrap_or(0), lower_bound: lower_bound(&buffers) }
}

/// Where each tensor lies in its buffer, the buffers' roots, ascending, and the buffers.
fn buffers(program: &Program) -> (Vec<Position>, Vec<TensorId>, Vec<Buffer>) {
    let positions: Vec<Position> = (0..program.tensors.len()).map(|tensor| position(program, tensor)).collect();
    let roots: Vec<TensorId> = (0..positions.len()).filter(|tensor| positions[*tensor].root == *tensor).collect();
    let groups: Vec<Range<usize>> = program.groups().collect();
    let buffers = roots.iter().map(|root| buffer(program, &groups, &positions, *root)).collect();
    (positions, roots, buffers)
}

/// Where a tensor lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The tensor whose memory it is.
    root: TensorId,
    /// Bytes from the buffer's start; all slices are int8.
    first_channel: u64,
    /// Elements from one pixel to the next.
    pixel_stride: u32,
}

fn position(program: &Program, tensor: TensorId) -> Position {
    let channels = program.tensors[tensor].shape.channels;
    match program.tensors[tensor].place {
        Place::Own => Position { root: tensor, first_channel: 0, pixel_stride: channels },
        Place::Same { of } => position(program, of),
        Place::View { of } => Position { pixel_stride: channels, ..position(program, of) },
        Place::Slice { of, first_channel } => {
            let wide = position(program, of);
            Position { first_channel: wide.first_channel + u64::from(first_channel), ..wide }
        }
    }
}

/// Size and times of the buffer of a root. What a step needs is there while those run that run together with it.
fn buffer(program: &Program, groups: &[Range<usize>], positions: &[Position], root: TensorId) -> Buffer {
    let last_step = program.steps.len().saturating_sub(1);
    let mut buffer = Buffer {
        size: program.tensors[root].stored_size().next_multiple_of(ALIGNMENT as u64),
        first: usize::MAX,
        last: 0,
    };
    let mut used_at = |step: usize| {
        buffer.first = buffer.first.min(step);
        buffer.last = buffer.last.max(step);
    };
    let inside = |tensor: TensorId| positions[tensor].root == root;
    if inside(program.input) {
        used_at(0);
    }
    // What the caller reads after the run.
    if inside(program.logits) || program.probabilities.is_some_and(inside) {
        used_at(last_step);
    }
    for group in groups {
        if program.steps[group.clone()].iter().any(|step| step.inputs().chain([step.output]).any(inside)) {
            used_at(group.start);
            used_at(group.end - 1);
        }
    }
    // A tensor that nothing makes or reads needs no memory for longer than a step.
    buffer.first = buffer.first.min(buffer.last);
    buffer
}
