//! A max pool behind a concatenation, moved in front of it: each branch is pooled by itself into its slice of the pooled
//! tensor, and the concatenated one isn't needed.

use tinception_core::format::step::Link;
use tinception_core::format::tensor::Stored;

use crate::program::{Operator, Place, Program, Step, Tensor, TensorId};

/// Pools that may be split, by the tensors they make.
pub(super) fn candidates(program: &Program) -> Vec<TensorId> {
    let pools = program.steps.iter().filter(|step| matches!(step.operator, Operator::MaxPool(_)));
    pools.map(|step| step.output).filter(|pooled| branches(program, *pooled).is_some()).collect()
}

/// The branches of what is pooled, with their first channels there; `None` where it is not wholly made of branches, or
/// somebody else reads it.
fn branches(program: &Program, pooled: TensorId) -> Option<Vec<(TensorId, u32)>> {
    let pool = program.steps.iter().find(|step| step.output == pooled)?;
    let wide = pool.input;
    let ends = [program.input, program.logits].into_iter().chain(program.probabilities);
    let place_of = |tensor: &Tensor| match tensor.place {
        Place::Own => None,
        Place::Slice { of, .. } | Place::View { of } | Place::Same { of } => Some(of),
    };
    let parts: Vec<TensorId> =
        (0..program.tensors.len()).filter(|part| place_of(&program.tensors[*part]) == Some(wide)).collect();
    let readers = program.steps.iter().filter(|step| step.inputs().any(|input| input == wide)).count();
    let is_own = program.tensors[wide].place == Place::Own && !ends.into_iter().any(|end| end == wide);
    if !is_own || readers != 1 || program.steps.iter().any(|step| step.output == wide) {
        return None;
    }
    let mut branches = Vec::new();
    for part in parts {
        let Place::Slice { first_channel, .. } = program.tensors[part].place else { return None };
        let makers = program.steps.iter().filter(|step| step.output == part).count();
        let has_parts = program.tensors.iter().any(|other| place_of(other) == Some(part));
        if makers != 1 || has_parts {
            return None;
        }
        branches.push((part, first_channel));
    }
    branches.sort_unstable_by_key(|(_, first)| *first);
    let mut end = 0;
    for (branch, first) in &branches {
        if *first != end {
            return None;
        }
        end += program.tensors[*branch].shape.channels;
    }
    (branches.len() > 1 && end == program.tensors[wide].shape.channels).then_some(branches)
}

/// Splits the pool that makes `pooled`; `false` where that can't be.
pub(super) fn split(program: &mut Program, pooled: TensorId) -> bool {
    let Some(branches) = branches(program, pooled) else { return false };
    let Some(index) = program.steps.iter().position(|step| step.output == pooled) else { return false };
    let pool = program.steps.remove(index);
    let whole = program.tensors[pooled].clone();
    for (position, (branch, first_channel)) in branches.into_iter().enumerate() {
        let Some(maker) = program.steps.iter().position(|step| step.output == branch) else { return false };
        let name = format!("{}/{}", pool.name, program.steps[maker].name);
        let channels = program.tensors[branch].shape.channels;
        let slice = Tensor {
            name: name.clone(),
            shape: tinception_core::shape::Shape { channels, ..whole.shape },
            place: Place::Slice { of: pooled, first_channel },
            stored: Stored::Whole,
            ..whole.clone()
        };
        // Nothing needs the concatenated tensor any more: the first slice takes its number.
        let output = if position == 0 {
            program.tensors[pool.input] = slice;
            pool.input
        } else {
            program.tensors.push(slice);
            program.tensors.len() - 1
        };
        program.tensors[branch].place = Place::Own;
        let step = Step { name, input: branch, output, link: Link::None, ..pool.clone() };
        program.steps.insert(maker + 1, step);
    }
    true
}
