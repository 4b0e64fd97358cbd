//! Weights that a backend rewrites once, before the first run.

use super::Session;
use crate::arch::{AnyBackend, Backend};
use crate::error::RunError;
use crate::format::tensor::DataType;
use crate::kernels::conv::{Conv, Layout};
use crate::model::{Model, Operator, Step};

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

    /// All of a model.
    fn all(model: &Model<'m>, backend: AnyBackend) -> impl Iterator<Item = Self> {
        model.steps().filter_map(move |step| Self::of(backend, &step))
    }
}

/// Elements of workspace that the prepared convolutions of a model run with.
pub(super) fn workspace_size(model: &Model<'_>, backend: AnyBackend) -> usize {
    let sizes =
        PreparedConv::all(model, backend).map(|found| backend.workspace_size(&found.conv.window, &found.layout));
    sizes.max().unwrap_or(0)
}

/// A model's weights, rewritten to what runs fastest on a backend, the bits of the results unchanged. Any number of
/// sessions runs from one copy.
#[derive(Clone, Copy, Debug)]
pub struct Prepared<'m, 'a> {
    model: Model<'m>,
    backend: AnyBackend,
    /// All steps' prepared weights, one after the other.
    weights: &'a [i16],
}

impl<'m, 'a> Prepared<'m, 'a> {
    /// Elements of memory that the weights of a model take on a backend; 0 where it has nothing to prepare.
    #[must_use]
    pub fn size(model: &Model<'m>, backend: AnyBackend) -> usize {
        PreparedConv::all(model, backend).fold(0, |sum: usize, found| sum.saturating_add(found.size))
    }

    /// Rewrites the weights, in memory of at least [`size`](Self::size) elements.
    pub fn new(model: &Model<'m>, backend: AnyBackend, memory: &'a mut [i16]) -> Result<Self, RunError> {
        let needed = Self::size(model, backend);
        let too_small = RunError::PreparedTooSmall { needed };
        let memory = memory.get_mut(..needed).ok_or(too_small)?;
        let mut rest = &mut *memory;
        for (index, step) in model.steps().enumerate() {
            let Some(PreparedConv { conv, layout, size }) = PreparedConv::of(backend, &step) else { continue };
            let (weights, others) = rest.split_at_mut_checked(size).ok_or(too_small)?;
            let prepared = backend.prepare(&conv.window, &layout, conv.weights, weights);
            prepared.ok_or(RunError::Step { step: index as u16 })?;
            rest = others;
        }
        Ok(Self { model: *model, backend, weights: memory })
    }

    /// Elements of workspace that each [`session`](Self::session) takes.
    #[must_use]
    pub fn workspace_size(&self) -> usize {
        workspace_size(&self.model, self.backend)
    }

    /// A session that runs from these weights, in an arena of [`Model::arena_size`] bytes and a workspace of
    /// [`workspace_size`](Self::workspace_size) elements.
    pub fn session(&self, arena: &'a mut [u8], workspace: &'a mut [i16]) -> Result<Session<'m, 'a>, RunError> {
        let needed = self.workspace_size();
        let workspace = workspace.get_mut(..needed).ok_or(RunError::WorkspaceTooSmall { needed })?;
        let session = Session::with_backend(&self.model, arena, self.backend)?;
        Ok(Session { prepared: self.weights, workspace, ..session })
    }
}

impl<'a> Session<'_, 'a> {
    /// Elements of memory that [`prepare`](Self::prepare) takes; 0 where this backend has nothing to prepare.
    #[must_use]
    pub fn prepared_size(&self) -> usize {
        let weights = Prepared::size(&self.model, self.backend);
        weights.saturating_add(workspace_size(&self.model, self.backend))
    }

    /// Prepares the weights for this session alone, in memory of at least [`prepared_size`](Self::prepared_size)
    /// elements: a [`Prepared`] and a workspace. Without it the session runs from the file's weights.
    pub fn prepare(&mut self, memory: &'a mut [i16]) -> Result<(), RunError> {
        let needed = self.prepared_size();
        let memory = memory.get_mut(..needed).ok_or(RunError::PreparedTooSmall { needed })?;
        let weights = Prepared::size(&self.model, self.backend);
        let (weights, workspace) = memory.split_at_mut_checked(weights).ok_or(RunError::PreparedTooSmall { needed })?;
        let prepared = Prepared::new(&self.model, self.backend, weights)?;
        (self.prepared, self.workspace, self.next, self.next_prepared) = (prepared.weights, workspace, 0, 0);
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
