//! Running a model: a verified file, the caller's arena, one step after another.
//!
//! A session allocates nothing. [`Session::run`] runs all steps, [`Session::step`] one, so that a main loop can do
//! other work in between; an [`Observer`] sees every output and can stop the run.

use core::ops::{ControlFlow, Range};

use crate::arch::{self, AnyBackend, Backend};
use crate::error::RunError;
use crate::format::Crc32;
use crate::format::tensor::{DataType, Tensor};
use crate::kernels::{Pixels, PixelsMut, conv, dense, elementwise, lrn, pool, softmax};
use crate::model::{Model, Operator, Step};

/// Watches a run: profiles, hashes, keeps deadlines.
pub trait Observer {
    /// Called before a step runs.
    fn before(&mut self, index: usize, step: &Step<'_>) {
        let _ = (index, step);
    }

    /// Called after a step has run, with what it wrote. `Break` ends the run with [`RunError::Stopped`]; the next call
    /// of [`Session::step`] or [`Session::resume`] goes on behind this step.
    fn after(&mut self, index: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        let _ = (index, step, output);
        ControlFlow::Continue(())
    }
}

/// Watches nothing.
impl Observer for () {}

/// A tensor's values in the arena.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    tensor: Tensor,
    bytes: &'a [u8],
}

impl<'a> Values<'a> {
    /// Shape, type and quantisation.
    #[must_use]
    pub const fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// The bytes of each pixel in row-major order, without what lies between them.
    fn pixels(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let size = self.tensor.data_type.size() as usize;
        let channels = self.tensor.shape.channels as usize * size;
        let stride = (self.tensor.pixel_stride as usize * size).max(1);
        self.bytes.chunks(stride).filter_map(move |pixel| pixel.get(..channels))
    }

    /// All elements in NHWC order, widened to i32.
    pub fn iter(&self) -> impl Iterator<Item = i32> + use<'a> {
        let data_type = self.tensor.data_type;
        self.pixels().flat_map(move |pixel| {
            pixel.chunks_exact(data_type.size() as usize).map(move |bytes| match (data_type, bytes) {
                (DataType::Int8, [value]) => i32::from(*value as i8),
                (DataType::UInt16, [a, b]) => i32::from(u16::from_le_bytes([*a, *b])),
                (DataType::Int32, [a, b, c, d]) => i32::from_le_bytes([*a, *b, *c, *d]),
                _ => 0,
            })
        })
    }

    /// CRC-32 of the elements' little-endian bytes in NHWC order: the hash that the self-test holds.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        let mut crc = Crc32::new();
        self.pixels().for_each(|pixel| crc.update(pixel));
        crc.finish()
    }

    /// Writes the classes with the largest values into `best`, best first, and returns as many as there are. Of equal
    /// values the lower class comes first.
    pub fn top<'b>(&self, best: &'b mut [Ranked]) -> &'b [Ranked] {
        let mut count = 0;
        for (class, value) in (0..=u16::MAX).zip(self.iter()) {
            let ahead = best.iter().take(count).take_while(|other| other.value >= value).count();
            let end = best.len().min(count + 1);
            if let Some(moved @ [_, ..]) = best.get_mut(ahead..end) {
                moved.rotate_right(1);
                moved[0] = Ranked { class, value };
                count = end;
            }
        }
        best.get(..count).unwrap_or_default()
    }
}

/// A class and the value that ranks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranked {
    /// Index of the class.
    pub class: u16,
    /// Its logit or probability.
    pub value: i32,
}

/// A model with the memory it runs in.
#[derive(Debug)]
pub struct Session<'m, 'a> {
    model: Model<'m>,
    backend: AnyBackend,
    activations: &'a mut [u8],
    scratch: &'a mut [i8],
    /// All steps' prepared weights, one after the other; empty where none are.
    prepared: &'a [i16],
    /// What prepared convolutions run with.
    workspace: &'a mut [i16],
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
            next_prepared: 0,
            next: 0,
        })
    }

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
        self.run_observed(&mut ())
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

    /// Runs the next step; `false` where there was none left.
    pub fn step(&mut self) -> Result<bool, RunError> {
        self.step_observed(&mut ())
    }

    /// Runs the next step and shows it to `observer`; `false` where there was none left.
    pub fn step_observed(&mut self, observer: &mut impl Observer) -> Result<bool, RunError> {
        let index = self.next;
        if index >= self.model.step_count() {
            return Ok(false);
        }
        let failed = RunError::Step { step: index as u16 };
        let step = self.model.step(index).ok_or(failed)?;
        observer.before(index, &step);
        self.execute(&step).ok_or(failed)?;
        self.next = index + 1;
        let output = self.values(Some(step.output)).ok_or(failed)?;
        match observer.after(index, &step, output) {
            ControlFlow::Continue(()) => Ok(true),
            ControlFlow::Break(()) => Err(RunError::Stopped),
        }
    }

    /// Runs a step, with its prepared weights if there are any.
    fn execute(&mut self, step: &Step<'_>) -> Option<()> {
        if self.next == 0 {
            self.next_prepared = 0;
        }
        match PreparedConv::of(self.backend, step) {
            Some(PreparedConv { conv, size, .. }) if !self.prepared.is_empty() => {
                let weights = self.prepared.get(self.next_prepared..)?;
                self.next_prepared += size;
                let (read, write) = read_and_write(self.activations, &step.input, &step.output)?;
                let (input, mut output) = (pixels(&step.input, read)?, pixels_mut(&step.output, write)?);
                conv::run_prepared(self.backend, &conv, weights, input, &mut output, self.workspace)
            }
            _ => execute(self.backend, step, self.activations, self.scratch),
        }
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
        Some(Values { tensor, bytes: self.activations.get(range(&tensor))? })
    }

    /// Runs the file's self-test; the first step whose output is not the expected one, if any.
    /// `Ok(None)` with no hashes in the file as well: see [`Model::self_test_seed`].
    pub fn self_test(&mut self) -> Result<Option<Mismatch>, RunError> {
        let (Some(seed), Some(input)) = (self.model.self_test_seed(), self.model.input()) else { return Ok(None) };
        crate::selftest::fill_input(seed, input.shape, self.input_mut());
        let mut comparison = Comparison { expected: self.model.self_test_hashes(), mismatch: None };
        match self.run_observed(&mut comparison) {
            Ok(()) | Err(RunError::Stopped) => Ok(comparison.mismatch),
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

struct Comparison<I> {
    expected: I,
    mismatch: Option<Mismatch>,
}

impl<I: Iterator<Item = u32>> Observer for Comparison<I> {
    fn after(&mut self, step: usize, _: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        let computed = output.crc32();
        match self.expected.next() {
            Some(expected) if expected != computed => {
                self.mismatch = Some(Mismatch { step, expected, computed });
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Where a tensor lies in the arena.
fn range(tensor: &Tensor) -> Range<usize> {
    tensor.offset as usize..tensor.end() as usize
}

/// A region to read and, apart from it, a region to write.
fn read_and_write<'a>(arena: &'a mut [u8], read: &Tensor, write: &Tensor) -> Option<(&'a [u8], &'a mut [u8])> {
    let (read, write) = (range(read), range(write));
    if read.end <= write.start {
        let (low, high) = arena.split_at_mut_checked(write.start)?;
        Some((low.get(read)?, high.get_mut(..write.len())?))
    } else {
        let (low, high) = arena.split_at_mut_checked(read.start)?;
        Some((high.get(..read.len())?, low.get_mut(write)?))
    }
}

fn pixels<'a>(tensor: &Tensor, bytes: &'a [u8]) -> Option<Pixels<'a>> {
    Pixels::new(bytemuck::cast_slice(bytes), tensor.shape, tensor.pixel_stride as usize)
}

fn pixels_mut<'a>(tensor: &Tensor, bytes: &'a mut [u8]) -> Option<PixelsMut<'a>> {
    PixelsMut::new(bytemuck::cast_slice_mut(bytes), tensor.shape, tensor.pixel_stride as usize)
}

/// The output of an operator that works in place, the first input copied there if it lies elsewhere.
fn in_place<'a>(step: &Step<'_>, arena: &'a mut [u8]) -> Option<PixelsMut<'a>> {
    if step.input.offset != step.output.offset {
        let (read, write) = read_and_write(arena, &step.input, &step.output)?;
        pixels_mut(&step.output, write)?.copy_from(pixels(&step.input, read)?)?;
    }
    pixels_mut(&step.output, arena.get_mut(range(&step.output))?)
}

/// A step's convolution whose weights the backend prepares.
struct PreparedConv<'m> {
    conv: conv::Conv<'m>,
    layout: conv::Layout,
    /// Elements of the prepared weights.
    size: usize,
}

impl<'m> PreparedConv<'m> {
    fn of(backend: AnyBackend, step: &Step<'m>) -> Option<Self> {
        let Operator::Conv(conv) = step.operator else { return None };
        let channels = (step.input.shape.channels, step.output.shape.channels);
        let layout = conv::Layout::new(&conv.window, conv.groups, channels.0, channels.1)?;
        let size = backend.prepared_size(&conv.window, &layout);
        (size > 0 && step.output.data_type == DataType::Int8).then_some(Self { conv, layout, size })
    }
}

fn execute(backend: AnyBackend, step: &Step<'_>, arena: &mut [u8], scratch: &mut [i8]) -> Option<()> {
    let out = step.output.shape;
    let to_int8 = step.output.data_type == DataType::Int8;
    match &step.operator {
        Operator::Lrn(parameters) => lrn::run(backend, parameters, &mut in_place(step, arena)?, scratch),
        Operator::Rescale(parameters) => {
            elementwise::rescale(parameters, &mut in_place(step, arena)?);
            Some(())
        }
        Operator::Add(parameters) => {
            in_place(step, arena)?;
            let second = step.second_input?;
            let (read, write) = read_and_write(arena, &second, &step.output)?;
            elementwise::add(parameters, &mut pixels_mut(&step.output, write)?, pixels(&second, read)?)
        }
        Operator::Softmax(parameters) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            softmax::run(parameters, read, write)
        }
        Operator::Conv(parameters) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            let input = pixels(&step.input, read)?;
            if to_int8 {
                conv::run(backend, parameters, input, &mut pixels_mut(&step.output, write)?, scratch)
            } else {
                dense::run(backend, parameters, input, out.channels, write, scratch)
            }
        }
        Operator::MaxPool(window, output) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            pool::max(
                backend,
                window,
                (output.min, output.max),
                pixels(&step.input, read)?,
                &mut pixels_mut(&step.output, write)?,
            )
        }
        Operator::AveragePool(parameters, output) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            let input = pixels(&step.input, read)?;
            if to_int8 {
                pool::average(parameters, *output, input, &mut pixels_mut(&step.output, write)?)
            } else {
                pool::average_logits(parameters, input, out.width, write)
            }
        }
    }
}
