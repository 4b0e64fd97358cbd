//! Sessions on several threads: what memory the further ones need.

use core::sync::atomic::AtomicBool;

use super::{Prepared, Session, prepared};
use crate::arch::AnyBackend;
use crate::error::RunError;
use crate::executor::{Executor, MemorySizes, Threads};
use crate::model::{Kind, Model};

/// Bytes of the largest rows between two steps that run row by row and never hold their tensor as a whole.
fn rows_size(model: &Model<'_>) -> usize {
    let mut largest = 0;
    let mut first = 0;
    while let Some(group) = model.group(first) {
        if let (Kind::Rows, Some(step)) = (group.kind, model.step(first))
            && !step.output.is_whole()
        {
            largest = largest.max(usize::try_from(step.output.extent()).unwrap_or(usize::MAX));
        }
        first += group.length;
    }
    largest
}

fn memory_sizes(model: &Model<'_>, backend: AnyBackend) -> MemorySizes {
    MemorySizes {
        scratch: model.scratch_size(),
        workspace: prepared::workspace_size(model, backend),
        rows: rows_size(model),
    }
}

impl<'m> Prepared<'m, '_> {
    /// Bytes that a model takes on a backend in a session of so many threads: prepared weights, arena, workspace, and the
    /// memory of the further threads. A file decides it: whoever runs those of others looks at it first.
    #[must_use]
    pub fn memory_size(model: &Model<'m>, backend: AnyBackend, threads: usize) -> u64 {
        let others = Threads::others(threads, &memory_sizes(model, backend));
        let words = [Self::size(model, backend), prepared::workspace_size(model, backend), others];
        let bytes = words.into_iter().fold(0, |sum: u64, words| sum.saturating_add((words as u64).saturating_mul(2)));
        bytes.saturating_add(model.arena_size() as u64)
    }
}

impl<'a> Session<'_, 'a> {
    fn memory_sizes(&self) -> MemorySizes {
        memory_sizes(&self.model, self.backend)
    }

    /// Elements of memory that [`set_executor`](Self::set_executor) takes for this many threads.
    #[must_use]
    pub fn threads_size(&self, threads: usize) -> usize {
        Threads::others(threads, &self.memory_sizes())
    }

    /// Runs steps on the threads of `executor` from now on, in memory of at least [`threads_size`](Self::threads_size)
    /// elements besides the arena. The bits of the results stay the same. While an observer
    /// [takes parts](super::Observer::takes_parts), groups of steps that have them run on one thread.
    pub fn set_executor(&mut self, executor: &'a dyn Executor, memory: &'a mut [i16]) -> Result<(), RunError> {
        let needed = self.threads_size(executor.threads());
        let memory = memory.get_mut(..needed).ok_or(RunError::WorkspaceTooSmall { needed })?;
        self.threads.set_executor(executor, self.memory_sizes(), memory);
        Ok(())
    }

    /// Stops runs when `stop` is set, by a signal, a timer or another thread: before the next step, and within steps that
    /// take long, between rows. The run then ends with [`RunError::Stopped`], and so do further steps until the flag is no
    /// longer set; if a step was left halfway, until the next run.
    ///
    /// Steps that are short on a fast processor, some milliseconds of one thread, aren't cut: the flag costs them nothing.
    pub fn stop_at(&mut self, stop: &'a AtomicBool) {
        self.threads.stop_at(stop);
    }
}
