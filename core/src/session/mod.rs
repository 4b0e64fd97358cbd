//! Running a model: a verified file, the caller's arena, one group of steps after another.
//!
//! A session allocates nothing. [`Session::run`] runs all steps, [`Session::step`] one, together with those linked to
//! it, so that a main loop can do other work in between; an [`Observer`] sees every output and can stop the run, and with the
//! feature `threads` a flag stops it within a step. It all happens on the caller's thread, or on those of an [`Executor`](crate::executor::Executor) too.

mod execute;
mod observer;
mod prepared;
mod rows;
#[cfg(feature = "threads")]
mod threads;
mod values;
mod work;

use core::ops::{ControlFlow, Range};

#[cfg(feature = "alloc")]
pub use observer::Whole;
pub use observer::{Hashes, Observer};
pub use prepared::Prepared;
pub use values::{Ranked, Values};

use crate::arch::{self, AnyBackend};
use crate::error::RunError;
use crate::executor::{Threads, is_set};
use crate::format::tensor::Tensor;
use crate::kernels::Pixels;
use crate::model::Model;

/// The next step where the one before was left halfway: none. Some of what it reads may be overwritten.
const LEFT_HALFWAY: usize = usize::MAX;

/// A model with the memory it runs in.
#[derive(Debug)]
pub struct Session<'m, 'a> {
    model: Model<'m>,
    backend: AnyBackend,
    activations: &'a mut [u8],
    scratch: &'a mut [i8],
    /// What a [`Prepared`] holds; empty where there is none.
    prepared: &'a [i16],
    /// What prepared convolutions run with.
    workspace: &'a mut [i16],
    threads: Threads<'a>,
    /// Where the next step's prepared weights begin.
    next_prepared: usize,
    next: usize,
}

impl<'m, 'a> Session<'m, 'a> {
    /// A session in `arena`, of which the first [`Model::arena_size`] bytes are used, on this machine's best backend.
    pub fn new(model: &Model<'m>, arena: &'a mut [u8]) -> Result<Self, RunError> {
        Self::with_backend(model, arena, arch::detect())
    }

    /// As [`new`](Self::new), on a chosen backend.
    pub fn with_backend(model: &Model<'m>, arena: &'a mut [u8], backend: AnyBackend) -> Result<Self, RunError> {
        let needed = model.arena_size();
        let arena = arena.get_mut(..needed).ok_or(RunError::ArenaTooSmall { needed })?;
        let split = arena.split_at_mut_checked(model.activation_size());
        let (activations, scratch) = split.ok_or(RunError::ArenaTooSmall { needed })?;
        Ok(Self {
            model: *model,
            backend,
            activations,
            scratch: bytemuck::cast_slice_mut(scratch),
            prepared: &[],
            workspace: &mut [],
            threads: Threads::default(),
            next_prepared: 0,
            next: 0,
        })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// The backend that runs the inner loops.
    #[must_use]
    pub const fn backend(&self) -> AnyBackend {
        self.backend
    }

    /// The input, dense NHWC, to be written before each run: steps reuse its memory. The next step is the first.
    pub fn input_mut(&mut self) -> &mut [i8] {
        self.next = 0;
        let range = self.model.input().map_or(0..0, |tensor| range(&tensor));
        bytemuck::cast_slice_mut(self.activations.get_mut(range).unwrap_or_default())
    }

    /// Runs all steps from the first.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.next = 0;
        while self.step()? {}
        Ok(())
    }

    /// Runs all steps from the first, and shows them to `observer`.
    pub fn run_observed(&mut self, observer: &mut impl Observer) -> Result<(), RunError> {
        self.next = 0;
        self.resume(observer)
    }

    /// Runs the steps that are left.
    pub fn resume(&mut self, observer: &mut impl Observer) -> Result<(), RunError> {
        while self.step_observed(observer)? {}
        Ok(())
    }

    /// Runs the next step, and those linked to it; `false` where there was none left.
    pub fn step(&mut self) -> Result<bool, RunError> {
        Ok(!self.advance(None)?.is_empty())
    }

    /// Runs the next step, and those linked to it, and shows them to `observer`; `false` where there was none left.
    pub fn step_observed(&mut self, observer: &mut impl Observer) -> Result<bool, RunError> {
        let first = self.next;
        let Some(group) = self.model.group(first) else { return Ok(!self.advance(None)?.is_empty()) };
        let failed = RunError::Step { step: first as u16 };
        for index in first..first + group.length {
            observer.before(index, &self.model.step(index).ok_or(failed)?);
        }
        let takes_parts = observer.takes_parts();
        let mut part = |index: usize, pixels: Pixels<'_>| observer.part(index, pixels);
        let steps = self.advance(if takes_parts { Some(&mut part) } else { None })?;
        let mut flow = ControlFlow::Continue(());
        for index in steps {
            let step = self.model.step(index).ok_or(failed)?;
            let output = self.values(Some(step.output)).ok_or(failed)?;
            if observer.after(index, &step, output).is_break() {
                flow = ControlFlow::Break(());
            }
        }
        match flow {
            ControlFlow::Continue(()) => Ok(true),
            ControlFlow::Break(()) => Err(RunError::Stopped),
        }
    }

    /// Runs the next step, and those linked to it, and tells which they were: none where there was none left.
    fn advance(&mut self, parts: Option<execute::Parts<'_>>) -> Result<Range<usize>, RunError> {
        let first = self.next;
        if first == 0 {
            self.next_prepared = 0;
        }
        let stop = self.threads.stop();
        if is_set(stop) || (stop.is_some() && first == LEFT_HALFWAY) {
            return Err(RunError::Stopped);
        }
        let Some(group) = self.model.group(first) else { return Ok(0..0) };
        if execute::group(self, first, group, parts).is_none() {
            if is_set(stop) {
                self.next = LEFT_HALFWAY;
                return Err(RunError::Stopped);
            }
            return Err(RunError::Step { step: first as u16 });
        }
        self.next = first + group.length;
        Ok(first..self.next)
    }

    /// The values that rank the classes, after a run.
    #[must_use]
    pub fn logits(&self) -> Option<Values<'_>> {
        self.values(self.model.logits())
    }

    /// The probabilities after a run (65535 is 1.0), if the model computes them.
    #[must_use]
    pub fn probabilities(&self) -> Option<Values<'_>> {
        self.values(self.model.probabilities())
    }

    fn values(&self, tensor: Option<Tensor>) -> Option<Values<'_>> {
        let tensor = tensor?;
        let bytes = if tensor.extent() == 0 { &[] } else { self.activations.get(range(&tensor))? };
        Some(Values { tensor, bytes })
    }

    /// Runs the file's self-test; the first step whose output is not the expected one, if any.
    /// `Ok(None)` with no hashes in the file as well: see [`Model::self_test_seed`].
    pub fn self_test(&mut self) -> Result<Option<Mismatch>, RunError> {
        let (Some(seed), Some(input)) = (self.model.self_test_seed(), self.model.input()) else { return Ok(None) };
        crate::selftest::fill_input(seed, input.shape, self.input_mut());
        let mut expected = self.model.self_test_hashes();
        let mut mismatch = None;
        let run = self.run_observed(&mut Hashes::new(|step, _, computed| match expected.next() {
            Some(expected) if expected != computed && mismatch.is_none() => {
                mismatch = Some(Mismatch { step, expected, computed });
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }));
        match run {
            Ok(()) | Err(RunError::Stopped) => Ok(mismatch),
            Err(error) => Err(error),
        }
    }
}

/// A step whose output was not the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Index of the step.
    pub step: usize,
    /// The CRC-32 in the file.
    pub expected: u32,
    /// The CRC-32 of what this machine computed.
    pub computed: u32,
}

/// Where a tensor lies in the arena.
fn range(tensor: &Tensor) -> Range<usize> {
    tensor.offset as usize..tensor.end() as usize
}
