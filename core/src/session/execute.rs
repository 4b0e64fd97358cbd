//! Runs one group of steps: finds its tensors in the arena and calls the kernels, on ranges of the output's pixels where
//! there are threads to share them.

use core::ops::Range;

use super::work::work;
use super::{Session, range, rows};
use crate::EVERY_OPERATOR;
use crate::arch::{AnyBackend, Backend};
use crate::executor::{Memory, Out, Split};
use crate::format::tensor::{DataType, Tensor};
use crate::kernels::conv::{self, Conv, Layout, Product};
use crate::kernels::{Pixels, PixelsMut, dense, elementwise, lrn, pool, sigmoid, softmax};
use crate::model::{GROUP_LIMIT, Group, Kind, Operator, Step};
use crate::shape::Shape;

/// Takes the parts of outputs that never exist as a whole.
pub(super) type Parts<'p> = &'p mut dyn FnMut(usize, Pixels<'_>);

pub(super) fn group(session: &mut Session<'_, '_>, first: usize, group: Group, parts: Option<Parts<'_>>) -> Option<()> {
    match group.kind {
        Kind::Single => single(session, &session.model.step(first)?),
        Kind::Rows => rows::run(session, first, group.length, parts),
        Kind::PooledPatches => pooled_patches(session, first, parts),
        Kind::SharedInput if EVERY_OPERATOR => shared_input(session, first, group.length),
        // Patches that are read where they lie are as good for each convolution on its own.
        Kind::SharedInput => {
            (first..first + group.length).try_for_each(|index| single(session, &session.model.step(index)?))
        }
    }
}

/// Three regions of the arena, apart from each other. One function on microcontrollers, where it is much code.
#[cfg_attr(target_os = "none", inline(never))]
pub(super) fn regions(arena: &mut [u8], places: [Range<usize>; 3]) -> Option<[&mut [u8]; 3]> {
    arena.get_disjoint_mut(places).ok()
}

/// A region to read and, apart from it, a region to write.
fn read_and_write<'a>(arena: &'a mut [u8], read: &Tensor, write: &Tensor) -> Option<(&'a [u8], &'a mut [u8])> {
    let [read, write, _] = regions(arena, [range(read), range(write), 0..0])?;
    Some((read, write))
}

pub(super) fn pixels<'a>(tensor: &Tensor, bytes: &'a [u8]) -> Option<Pixels<'a>> {
    Pixels::new(bytemuck::cast_slice(bytes), tensor.shape, tensor.pixel_stride as usize)
}

fn pixels_mut<'a>(tensor: &Tensor, bytes: &'a mut [u8]) -> Option<PixelsMut<'a>> {
    PixelsMut::new(bytemuck::cast_slice_mut(bytes), tensor.shape, tensor.pixel_stride as usize)
}

fn out<'a>(tensor: &Tensor, bytes: &'a mut [u8]) -> Out<'a> {
    Out { values: bytemuck::cast_slice_mut(bytes), stride: tensor.pixel_stride as usize }
}

/// The output of an operator that works in place, and the first input if it lies elsewhere: each range is copied from
/// there first.
fn in_place<'a>(step: &Step<'_>, arena: &'a mut [u8]) -> Option<(Out<'a>, Option<Pixels<'a>>)> {
    if step.input.offset == step.output.offset {
        return Some((out(&step.output, arena.get_mut(range(&step.output))?), None));
    }
    let (read, write) = read_and_write(arena, &step.input, &step.output)?;
    Some((out(&step.output, write), Some(pixels(&step.input, read)?)))
}

/// The output pixels `range` as a picture of one row, copied from `source` if there is one.
fn copied<'a>(range: &Range<usize>, shape: Shape, out: Out<'a>, source: Option<Pixels<'_>>) -> Option<PixelsMut<'a>> {
    let row = Shape { height: 1, width: range.len() as u32, ..shape };
    let mut output = PixelsMut::new(out.values, row, out.stride)?;
    if let Some(source) = source {
        output.copy_from(Pixels::new(source.from_pixel(range.start)?, row, source.stride())?)?;
    }
    Some(output)
}

fn single(session: &mut Session<'_, '_>, step: &Step<'_>) -> Option<()> {
    let prepared = session.prepared_weights(step);
    let Session { backend, activations: arena, scratch, workspace, threads, .. } = session;
    let (backend, scratch_size) = (*backend, scratch.len());
    let memory = Memory { scratch, workspace, rows: &mut [] };
    let shape = step.output.shape;
    let count = shape.pixels() as usize;
    let by_pixel = || (1, work(step));
    match &step.operator {
        Operator::Lrn(parameters) if EVERY_OPERATOR => {
            let (output, source) = in_place(step, arena)?;
            threads.run(threads.cut(count, by_pixel), output, memory, |range, out, memory| {
                lrn::run(backend, parameters, &mut copied(&range, shape, out, source)?, memory.scratch)
            })
        }
        Operator::Rescale(parameters) if EVERY_OPERATOR => {
            let (output, source) = in_place(step, arena)?;
            threads.run(threads.cut(count, by_pixel), output, memory, |range, out, _| {
                elementwise::rescale(parameters, &mut copied(&range, shape, out, source)?);
                Some(())
            })
        }
        Operator::Add(parameters) if EVERY_OPERATOR => {
            if step.input.offset != step.output.offset {
                let (read, write) = read_and_write(arena, &step.input, &step.output)?;
                pixels_mut(&step.output, write)?.copy_from(pixels(&step.input, read)?)?;
            }
            let second = step.second_input?;
            let (read, write) = read_and_write(arena, &second, &step.output)?;
            let second = pixels(&second, read)?;
            threads.run(threads.cut(count, by_pixel), out(&step.output, write), memory, |range, out, _| {
                let mut output = copied(&range, shape, out, None)?;
                let second = Pixels::new(second.from_pixel(range.start)?, output.shape(), second.stride())?;
                elementwise::add(parameters, &mut output, second)
            })
        }
        Operator::Softmax(parameters) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            softmax::run(parameters, read, write)
        }
        Operator::Sigmoid(parameters) if EVERY_OPERATOR => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            sigmoid::run(parameters, read, write)
        }
        Operator::Conv(_) | Operator::MaxPool(_) | Operator::AveragePool(_) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            let input = pixels(&step.input, read)?;
            match (&step.operator, step.output.data_type) {
                (Operator::Conv(parameters), DataType::Int8) => {
                    let cut = threads.cut(count, || {
                        let prepared = prepared.is_some();
                        let unit = step.layout().map_or(1, |layout| {
                            conv::pixels_together(backend, parameters, &layout, shape, prepared, scratch_size)
                        });
                        (unit, work(step))
                    });
                    threads.run(cut, out(&step.output, write), memory, |range, out, memory| {
                        let (out, memory) = ((out.values, out.stride), (memory.scratch, memory.workspace));
                        conv::run_range(backend, parameters, prepared, input, shape, range, out, memory)
                    })
                }
                (Operator::Conv(parameters), _) if EVERY_OPERATOR && !dense::channels_are_apart(parameters, shape) => {
                    let output = Out { values: write, stride: shape.channels as usize * 4 };
                    threads.run(threads.cut(count, by_pixel), output, memory, |range, out, memory| {
                        let outputs = (shape.channels, 0..shape.channels as usize);
                        dense::run_pixels(backend, parameters, input, range.start, outputs, out.values, memory.scratch)
                    })
                }
                (Operator::Conv(parameters), _) => {
                    // Channels are cut: they lie one after the other.
                    let cut = threads.cut(shape.channels as usize, || (4, work(step)));
                    threads.run(cut, Out { values: write, stride: 4 }, memory, |range, out, memory| {
                        let outputs = (shape.channels, range);
                        dense::run_pixels(backend, parameters, input, 0, outputs, out.values, memory.scratch)
                    })
                }
                (Operator::AveragePool(parameters), DataType::Int32) if EVERY_OPERATOR => {
                    let output = Out { values: write, stride: shape.channels as usize * 4 };
                    threads.run(threads.cut(count, by_pixel), output, memory, |range, out, _| {
                        pool::average_logits(parameters, input, shape.width, range.start as u32, out.values)
                    })
                }
                (Operator::AveragePool(parameters), _) if cfg!(feature = "threads") && count == 1 => {
                    // The channels of one pixel lie one after the other.
                    let cut = threads.cut(shape.channels as usize, || (pool::CHANNELS, work(step)));
                    let output = Out { stride: 1, ..out(&step.output, write) };
                    threads.run(cut, output, memory, |range, out, _| {
                        let shape = Shape { channels: range.len() as u32, ..shape };
                        let input = input.channels(&range)?;
                        pool::average_pixels(parameters, input, shape, 0..1, out.values, range.len())
                    })
                }
                (Operator::AveragePool(parameters), _) => {
                    threads.run(threads.cut(count, by_pixel), out(&step.output, write), memory, |range, out, _| {
                        pool::average_pixels(parameters, input, shape, range, out.values, out.stride)
                    })
                }
                (Operator::MaxPool(parameters), _) => {
                    threads.run(threads.cut(count, by_pixel), out(&step.output, write), memory, |range, out, _| {
                        pool::max_pixels(backend, parameters, input, shape, range, out.values, out.stride)
                    })
                }
                _ => None,
            }
        }
        // This build leaves the others out, and no verified model has them.
        _ => None,
    }
}

/// The pixels `range` of a pool's output, one after the other in `out`.
fn pool_pixels(
    backend: AnyBackend,
    pool: &Operator<'_>,
    input: Pixels<'_>,
    (shape, range): (Shape, Range<usize>),
    out: &mut [i8],
) -> Option<()> {
    let stride = shape.channels as usize;
    match pool {
        Operator::MaxPool(pool) => pool::max_pixels(backend, pool, input, shape, range, out, stride),
        Operator::AveragePool(pool) => pool::average_pixels(pool, input, shape, range, out, stride),
        _ => None,
    }
}

/// A pool and the 1x1 convolution over it.
struct Pooled<'a> {
    backend: AnyBackend,
    /// The pool's index, operator, input and output shape.
    first: usize,
    pool: &'a Operator<'a>,
    input: Pixels<'a>,
    shape: Shape,
    conv: &'a Conv<'a>,
    layout: Layout,
    prepared: Option<&'a [i16]>,
    outputs: u32,
}

fn pooled_patches(session: &mut Session<'_, '_>, first: usize, parts: Option<Parts<'_>>) -> Option<()> {
    let (head, tail) = (session.model.step(first)?, session.model.step(first + 1)?);
    let prepared = session.prepared_weights(&tail);
    let Session { backend, activations, scratch, workspace, threads, .. } = session;
    let Operator::Conv(conv) = &tail.operator else { return None };
    let (read, write) = read_and_write(activations, &head.input, &tail.output)?;
    let job = Pooled {
        backend: *backend,
        first,
        pool: &head.operator,
        input: pixels(&head.input, read)?,
        shape: head.output.shape,
        conv,
        layout: tail.layout()?,
        prepared,
        outputs: tail.output.shape.channels,
    };
    let memory = Memory { scratch, workspace, rows: &mut [] };
    let (output, count) = (out(&tail.output, write), job.shape.pixels() as usize);
    if !cfg!(feature = "threads") {
        return job.run(0..count, output, memory, parts.unwrap_or(&mut |_, _| ()));
    }
    let cut = threads.cut(count, || (backend.tile_pixels(), work(&head).saturating_add(work(&tail))));
    if let Some(parts) = parts {
        return threads.run_here(&cut, output, memory, |range, out, memory| job.run(range, out, memory, &mut *parts));
    }
    threads.run(cut, output, memory, |range, out, memory| job.run(range, out, memory, &mut |_, _| ()))
}

impl Pooled<'_> {
    /// The output pixels `range`: as many pooled pixels as the scratch holds are the convolution's input, or, for a
    /// backend that packs patches, pooled pixels are its patches.
    fn run(&self, range: Range<usize>, out: Out<'_>, memory: Memory<'_>, parts: Parts<'_>) -> Option<()> {
        let Self { backend, first, pool, input, shape, conv, layout, prepared, outputs } = self;
        let (backend, Memory { scratch, workspace, .. }) = (*backend, memory);
        let channels = layout.depth;
        let lies_there = !EVERY_OPERATOR || conv::reads_in_place(&conv.window, layout);
        let reads_in_place = backend.reads_in_place() && lies_there;
        if prepared.is_none() && !reads_in_place {
            let mut fill = |pixel: usize, patch: &mut [i8]| {
                let (values, padding) = patch.split_at_mut_checked(channels)?;
                padding.fill(0);
                pool_pixels(backend, pool, *input, (*shape, pixel..pixel + 1), values)?;
                parts(*first, Pixels::new(values, Shape { height: 1, width: 1, ..*shape }, channels)?);
                Some(())
            };
            let gemm = conv.gemm(layout, 0, out.stride)?;
            let products = &mut [Some(Product { gemm, out: out.values })];
            return conv::by_tiles(backend, layout, range, scratch, &mut fill, products);
        }
        let fitting = match scratch.len().checked_div(channels)? {
            0 => return None,
            many if many > backend.tile_pixels() => many - many % backend.tile_pixels().max(1),
            few => few,
        };
        let mut start = range.start;
        while start < range.end {
            let pixels = start..range.end.min(start + fitting);
            let count = pixels.len();
            let row = Shape::new(1, count as u32, channels as u32);
            pool_pixels(backend, pool, *input, (*shape, pixels), scratch)?;
            let pooled = Pixels::new(scratch, row, channels)?;
            parts(*first, pooled);
            let to = (out.values.get_mut((start - range.start) * out.stride..)?, out.stride);
            let shape = Shape { channels: *outputs, ..row };
            conv::run_range(backend, conv, *prepared, pooled, shape, 0..count, to, (&mut [], &mut *workspace))?;
            start += count;
        }
        Some(())
    }
}

/// One of several convolutions over the same input.
struct Branch<'a> {
    /// The step's index.
    index: usize,
    prepared: Option<&'a [i16]>,
    out: Out<'a>,
}

impl Split for Branch<'_> {
    fn split(self, pixels: usize) -> Option<(Self, Self)> {
        let (out, second) = self.out.split(pixels)?;
        Some((Self { out, ..self }, Self { out: second, ..self }))
    }
}

/// 1x1 convolutions over one input, on the same patches.
fn shared_input(session: &mut Session<'_, '_>, first: usize, length: usize) -> Option<()> {
    let model = session.model;
    let head = model.step(first)?;
    let (Operator::Conv(conv), Some(layout)) = (&head.operator, head.layout()) else { return None };
    let mut places = [const { 0..0 }; GROUP_LIMIT + 1];
    let mut prepared = [None; GROUP_LIMIT];
    places[GROUP_LIMIT] = range(&head.input);
    for ((place, prepared), index) in places.iter_mut().zip(&mut prepared).zip(first..first + length) {
        let step = model.step(index)?;
        *prepared = session.prepared_weights(&step);
        *place = range(&step.output);
    }
    let Session { backend, activations, scratch, workspace, threads, .. } = session;
    let backend = *backend;
    let [outputs @ .., input] = activations.get_disjoint_mut(places).ok()?;
    let input = pixels(&head.input, input)?;
    let mut branches = [const { None }; GROUP_LIMIT];
    let outputs = outputs.into_iter().zip(prepared).zip(first..first + length);
    for (((bytes, prepared), index), branch) in outputs.zip(&mut branches) {
        *branch = Some(Branch { index, prepared, out: out(&model.step(index)?.output, bytes) });
    }
    let memory = Memory { scratch, workspace, rows: &mut [] };
    let cut = threads.cut(head.output.shape.pixels() as usize, || {
        let works = (first..first + length).filter_map(|index| model.step(index).as_ref().map(work));
        (backend.tile_pixels(), works.fold(0, u64::saturating_add))
    });
    threads.run(cut, branches, memory, |range, branches, Memory { scratch, workspace, .. }| {
        let mut products = [const { None }; GROUP_LIMIT];
        for (branch, product) in branches.into_iter().flatten().zip(&mut products) {
            let Branch { index, prepared, out: Out { values, stride } } = branch;
            let step = model.step(index)?;
            let Operator::Conv(conv) = &step.operator else { return None };
            if prepared.is_some() {
                let (out, memory) = ((values, stride), (&mut *scratch, &mut *workspace));
                conv::run_range(backend, conv, prepared, input, step.output.shape, range.clone(), out, memory)?;
            } else {
                *product = Some(Product { gemm: conv.gemm(&step.layout()?, 0, stride)?, out: values });
            }
        }
        if products.iter().all(Option::is_none) {
            return Some(());
        }
        conv::run_shared(backend, conv, &layout, input, range, scratch, &mut products)
    })
}
