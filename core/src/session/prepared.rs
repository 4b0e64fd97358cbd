//! Weights that a backend rewrites once, before the first run.

use super::Session;
use crate::arch::{AnyBackend, Backend};
use crate::error::RunError;
use crate::format::tensor::DataType;
use crate::kernels::conv::{Conv, Layout};
use crate::model::{Operator, Step};

/// A step's convolution whose weights the backend prepares.
struct PreparedConv<'m> {
    conv: Conv<'m>,
    layout: Layout,
    /// Elements of the prepared weights.
    size: usize,
}

impl<'m> PreparedConv<'m> {
    fn of(backend: AnyBackend, step: &Step<'m>) -> Option<Self> {
        let Operator::Conv(conv) = step.operator else { return None };
        let layout = step.layout()?;
        let size = backend.prepared_size(&conv.window, &layout);
        (size > 0 && step.output.data_type == DataType::Int8).then_some(Self { conv, layout, size })
    }
}

impl<'a> Session<'_, 'a> {
    /// Elements of memory that [`prepare`](Self::prepare) takes; 0 where this backend has nothing to prepare.
    #[must_use]
    pub fn prepared_size(&self) -> usize {
        let (mut weights, mut workspace) = (0_usize, 0);
        for found in self.model.steps().filter_map(|step| PreparedConv::of(self.backend, &step)) {
            weights = weights.saturating_add(found.size);
            workspace = workspace.max(self.backend.workspace_size(&found.conv.window, &found.layout));
        }
        weights.saturating_add(workspace)
    }

    /// Rewrites weights once to what runs fastest on this backend, the bits of the results unchanged, in memory of at
    /// least [`prepared_size`](Self::prepared_size) elements. Without it the session runs from the file's weights.
    pub fn prepare(&mut self, memory: &'a mut [i16]) -> Result<(), RunError> {
        let needed = self.prepared_size();
        let mut rest = memory.get_mut(..needed).ok_or(RunError::PreparedTooSmall { needed })?;
        let mut total = 0;
        for (index, step) in self.model.steps().enumerate() {
            let Some(PreparedConv { conv, layout, size }) = PreparedConv::of(self.backend, &step) else { continue };
            let (weights, others) = rest.split_at_mut_checked(size).ok_or(RunError::PreparedTooSmall { needed })?;
            let prepared = self.backend.prepare(&conv.window, &layout, conv.weights, weights);
            prepared.ok_or(RunError::Step { step: index as u16 })?;
            (rest, total) = (others, total + size);
        }
        let (prepared, workspace) = memory.split_at_mut_checked(total).ok_or(RunError::PreparedTooSmall { needed })?;
        (self.prepared, self.workspace, self.next, self.next_prepared) = (prepared, workspace, 0, 0);
        Ok(())
    }

    /// The prepared weights of the next step, which is `step`, if there are any. Every step has to be asked for, in
    /// order.
    pub(super) fn prepared_weights(&mut self, step: &Step<'_>) -> Option<&'a [i16]> {
        if self.prepared.is_empty() {
            return None;
        }
        let size = PreparedConv::of(self.backend, step)?.size;
        let weights = self.prepared.get(self.next_prepared..)?.get(..size);
        self.next_prepared += size;
        weights
    }
}
