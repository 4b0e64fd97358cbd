//! Fusion: which steps run together, so that large tensors between them need little or no memory.
//!
//! | fusion | steps | what it saves |
//! | --- | --- | --- |
//! | rows | convolution, normalisation in place, max pool | all but some rows of the convolution's output |
//! | projection | pool, 1x1 convolution | the pooled tensor |
//! | shared | 1x1 convolutions over one input | gathering and packing the input more than once |
//! | split | max pool behind a concatenation | the concatenated tensor: each branch is pooled by itself |
//!
//! The steps are moved next to each other and linked; the file format says how they run. A fusion that saves memory is
//! taken where it leaves the peak no higher than it was, those that save most first. Splitting a pool takes more steps,
//! so it is done only where the peak gets lower. What saves time may raise the peak again, by a sixteenth: a shared
//! input, and taller rings of rows.
//!
//! Bits don't change: each step computes what it would compute alone.

mod groups;
mod rings;
mod split;

use crate::plan::peak;
use crate::program::{Operator, Program};

/// Which fusions may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fusions {
    /// A convolution, steps in place behind it and a max pool, some rows at a time.
    pub rows: bool,
    /// A pool in front of a 1x1 convolution, made in the convolution's patches.
    pub projection: bool,
    /// 1x1 convolutions over one input.
    pub shared: bool,
    /// A max pool behind a concatenation, on each branch by itself.
    pub split: bool,
}

impl Fusions {
    /// All of them.
    pub const ALL: Self = Self { rows: true, projection: true, shared: true, split: true };
    /// None of them.
    pub const NONE: Self = Self { rows: false, projection: false, shared: false, split: false };
}

impl Default for Fusions {
    fn default() -> Self {
        Self::ALL
    }
}

/// Moves and links steps.
pub fn fuse(program: &mut Program, fusions: Fusions) {
    // The program is copied for each attempt; its weights needn't be.
    let weights = take_weights(program);
    let (unsplit, before) = (program.clone(), peak(program));
    groups::save_memory(program, fusions);
    if fusions.split {
        let mut best = unsplit;
        for pool in split::candidates(&best) {
            let mut parts = best.clone();
            if !split::split(&mut parts, pool) {
                continue;
            }
            let mut linked = parts.clone();
            groups::save_memory(&mut linked, fusions);
            if peak(&linked) < peak(program) {
                (best, *program) = (parts, linked);
            }
        }
    }
    let limit = allowance(peak(program)).min(before);
    rings::grow(program, limit);
    if fusions.shared {
        groups::share(program, limit);
    }
    give_weights(program, weights);
}

/// The peak that is accepted for what saves time, where the least is `peak`.
const fn allowance(peak: u64) -> u64 {
    peak + peak / 16
}

/// The weights of all convolutions, with the tensor that each makes.
fn take_weights(program: &mut Program) -> Vec<(usize, Vec<i8>)> {
    let conv = |step: &mut crate::program::Step| match &mut step.operator {
        Operator::Conv(conv) => Some((step.output, std::mem::take(&mut conv.weights))),
        _ => None,
    };
    program.steps.iter_mut().filter_map(conv).collect()
}

fn give_weights(program: &mut Program, mut weights: Vec<(usize, Vec<i8>)>) {
    for step in &mut program.steps {
        if let Operator::Conv(conv) = &mut step.operator
            && let Some(index) = weights.iter().position(|(output, _)| *output == step.output)
        {
            conv.weights = weights.swap_remove(index).1;
        }
    }
}
