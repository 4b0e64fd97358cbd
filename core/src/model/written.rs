//! That a step reads nothing but what this run has written: the arena holds what earlier runs left, and a step that read it
//! would give the picture before away.
//!
//! What a run has written only grows, so for each tensor that is read the steps before are gone through, the latest first,
//! until they have written all of it. A tensor is a run of bytes in each of its pixels; one without gaps is a single run.
//! What is still to be found are runs, too, all alike: a step that wrote their ends, in all pixels, makes them shorter.
//!
//! This finds what compilers make: a tensor that was written whole, its views and channels, and the slices of a
//! concatenation side by side. What is written in rows by one step and in channels by another counts as unwritten.

use core::num::NonZeroU32;

use super::Model;
use super::effort::{Effort, LOOK};
use crate::error::{FormatError, StepProblem};
use crate::format::step;
use crate::format::tensor::Tensor;

/// Bytes of the arena: a run in each pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Runs {
    /// First byte of the first run.
    start: u32,
    /// One past the last byte of the first run.
    end: u32,
    /// Bytes from the start of one run to the next; no less than a run has.
    stride: u32,
    /// How many runs there are, at least 1.
    count: u32,
}

impl Runs {
    /// The stored bytes of a verified tensor, which end below 2^32; `None` where it has none.
    fn of(tensor: &Tensor) -> Option<Self> {
        let (start, end) = (tensor.offset, tensor.end() as u32);
        let count = tensor.stored_rows() * tensor.shape.width;
        if tensor.is_contiguous() || count <= 1 {
            return (start < end).then_some(Self { start, end, stride: end - start, count: 1 });
        }
        // Only int8 has gaps, so that elements are bytes.
        Some(Self { start, end: start + tensor.shape.channels, stride: tensor.pixel_stride, count })
    }

    /// What is left of these runs once `written` are there: runs that end where those of `written` begin, or the same.
    fn without(self, written: &Self) -> Self {
        self.shortened(written).unwrap_or(self)
    }

    fn shortened(self, written: &Self) -> Option<Self> {
        if written.count == 1 {
            let last = u64::from(self.end - 1) + u64::from(self.count - 1) * u64::from(self.stride);
            let ends = self.end > written.start && last < u64::from(written.end);
            return ends.then_some(Self { end: written.start.max(self.start), ..self });
        }
        let stride = NonZeroU32::new(written.stride)?;
        let length = self.end - self.start;
        let mut wanted = self;
        if self.count == 1 && length >= written.stride && length % stride == 0 {
            // One long run is as many pixels as were written.
            wanted = Self { end: self.start + written.stride, stride: written.stride, count: length / stride, ..self };
        }
        let ahead = (wanted.end - 1).checked_sub(written.start)?;
        let (first, within) = (ahead / stride, ahead % stride);
        let alike = wanted.count == 1 || wanted.stride == written.stride;
        let inside = within < written.end - written.start
            && u64::from(first) + u64::from(wanted.count) <= u64::from(written.count);
        (alike && inside).then_some(Self { end: (wanted.end - 1 - within).max(wanted.start), ..wanted })
    }
}

/// Verifies it of all steps, and of what the caller reads after them.
pub(super) fn verify(model: &Model<'_>, effort: &mut Effort) -> Result<(), FormatError> {
    for index in 0..model.step_count() {
        let Some(step) = model.step(index) else { break };
        // What has not all its rows is read by the next step of its group alone, as the group makes it.
        let mut read = [Some(step.input), step.second_input].into_iter().flatten().filter(Tensor::is_whole);
        let written = read.try_for_each(|tensor| is_written(model, &tensor, index, effort));
        written.map_err(|problem| FormatError::Step { step: index as u16, problem })?;
    }
    for tensor in [model.header.logits, model.header.probabilities] {
        let written =
            model.tensor(tensor).map_or(Ok(()), |result| is_written(model, &result, model.step_count(), effort));
        written.map_err(|_| FormatError::Unwritten { tensor })?;
    }
    Ok(())
}

/// Whether the input or one of the steps before step `before` has written each byte of a tensor.
fn is_written(model: &Model<'_>, tensor: &Tensor, before: usize, effort: &mut Effort) -> Result<(), StepProblem> {
    let Some(mut wanted) = Runs::of(tensor) else { return Ok(()) };
    loop {
        let earlier = wanted;
        for index in (0..=before).rev() {
            effort.take(LOOK)?;
            let output = match index.checked_sub(1) {
                Some(step) => model.steps.get(step).map(step::output),
                None => Some(model.header.input),
            };
            // Rows of a ring are made in the memory of whichever thread makes them.
            let written = output.and_then(|output| model.tensor(output)).filter(Tensor::is_whole);
            if let Some(written) = written.and_then(|tensor| Runs::of(&tensor)) {
                wanted = wanted.without(&written);
            }
            if wanted.start == wanted.end {
                return Ok(());
            }
        }
        if wanted == earlier {
            return Err(StepProblem::Unwritten);
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::Runs;

    /// Runs as (start, length, stride, count).
    fn runs((start, length, stride, count): (u32, u32, u32, u32)) -> Runs {
        Runs { start, end: start + length, stride, count }
    }

    fn fill(bytes: &mut [bool], runs: &Runs, value: bool) {
        for run in 0..runs.count {
            let start = runs.start + run * runs.stride;
            bytes[start as usize..(start + runs.end - runs.start) as usize].fill(value);
        }
    }

    /// Whether all of `wanted` is found, against a map of bytes: never more is found than was written.
    fn is_found(wanted: Runs, written: &[Runs]) -> bool {
        let mut left = wanted;
        for _ in 0..=written.len() {
            for runs in written.iter().rev() {
                if left.start < left.end {
                    left = left.without(runs);
                }
            }
        }
        let mut bytes = vec![false; 400];
        fill(&mut bytes, &wanted, true);
        written.iter().for_each(|runs| fill(&mut bytes, runs, false));
        let found = left.start == left.end;
        assert!(!found || !bytes.contains(&true), "{wanted:?} is not all in {written:?}");
        found
    }

    #[test]
    fn what_compilers_write_is_found() {
        let whole = runs((16, 60, 60, 1));
        let slices = [runs((16, 3, 12, 5)), runs((19, 5, 12, 5)), runs((24, 4, 12, 5))];
        // The tensor as a whole, its channels, its rows, a view of its middle.
        for wanted in
            [(16, 60, 60, 1), (16, 12, 12, 5), (18, 2, 12, 5), (28, 12, 12, 2), (40, 12, 12, 1), (28, 24, 24, 1)]
        {
            let wanted = runs(wanted);
            assert!(is_found(wanted, &[whole]), "{wanted:?}");
            assert!(is_found(wanted, &slices), "{wanted:?}");
            let other_order: Vec<Runs> = [1, 2, 0].map(|slice| slices[slice]).to_vec();
            assert!(is_found(wanted, &other_order), "{wanted:?}");
            let missing = slices.iter().filter(|slice| slice.start != 19).copied().collect::<Vec<Runs>>();
            assert!(!is_found(wanted, &missing), "{wanted:?}");
        }
        // Halves, one after the other.
        assert!(is_found(whole, &[runs((16, 24, 24, 1)), runs((40, 36, 36, 1))]));
        assert!(!is_found(whole, &[runs((16, 24, 24, 1)), runs((41, 36, 36, 1))]));
    }

    #[test]
    fn nothing_is_found_that_was_not_written() {
        let mut state = 7_u32;
        let mut random = |limit: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state % limit
        };
        let rounds = if cfg!(miri) { 300 } else { 200_000 };
        let mut found = 0;
        for _ in 0..rounds {
            let mut any = || {
                let stride = 1 + random(12);
                let length = 1 + random(stride);
                match random(2) {
                    0 => runs((random(40), stride * (1 + random(8)), 0, 1)),
                    _ => runs((random(40), length, stride, 1 + random(8))),
                }
            };
            let wanted = any();
            let written = [any(), any(), any()];
            found += u32::from(is_found(wanted, &written));
        }
        assert!(found > rounds / 100, "{found}");
    }
}
