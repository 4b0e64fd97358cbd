//! Sessions on several threads: what memory the further ones need.

use super::{Session, prepared};
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

impl<'a> Session<'_, 'a> {
    fn memory_sizes(&self) -> MemorySizes {
        MemorySizes {
            scratch: self.model.scratch_size(),
            workspace: prepared::workspace_size(&self.model, self.backend),
            rows: rows_size(&self.model),
        }
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
        self.threads = Threads::new(executor, self.memory_sizes(), memory);
        Ok(())
    }
}
