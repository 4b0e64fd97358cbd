//! Runs one group of steps: finds its tensors in the arena and calls the kernels.

use core::ops::Range;

use super::{Session, range};
use crate::arch::{AnyBackend, Backend, Rows};
use crate::format::tensor::{DataType, Tensor};
use crate::kernels::conv::{self, Product};
use crate::kernels::{Pixels, PixelsMut, dense, elementwise, lrn, pool, softmax};
use crate::model::{GROUP_LIMIT, Group, Kind, Operator, Step};
use crate::shape::Shape;

/// Takes the parts of outputs that never exist as a whole.
type Parts<'p> = &'p mut dyn FnMut(usize, Pixels<'_>);

pub(super) fn group(session: &mut Session<'_, '_>, first: usize, group: Group, parts: Parts<'_>) -> Option<()> {
    match group.kind {
        Kind::Single => single(session, &session.model.step(first)?),
        Kind::Rows => rows(session, first, group.length, parts),
        Kind::PooledPatches => pooled_patches(session, first, parts),
        Kind::SharedInput => shared_input(session, first, group.length),
    }
}

/// A region to read and, apart from it, a region to write.
fn read_and_write<'a>(arena: &'a mut [u8], read: &Tensor, write: &Tensor) -> Option<(&'a [u8], &'a mut [u8])> {
    let [read, write] = arena.get_disjoint_mut([range(read), range(write)]).ok()?;
    Some((read, write))
}

fn pixels<'a>(tensor: &Tensor, bytes: &'a [u8]) -> Option<Pixels<'a>> {
    Pixels::new(bytemuck::cast_slice(bytes), tensor.shape, tensor.pixel_stride as usize)
}

fn pixels_mut<'a>(tensor: &Tensor, bytes: &'a mut [u8]) -> Option<PixelsMut<'a>> {
    PixelsMut::new(bytemuck::cast_slice_mut(bytes), tensor.shape, tensor.pixel_stride as usize)
}

/// All rows of a tensor, to write.
fn all_rows<'a>(tensor: &Tensor, bytes: &'a mut [u8]) -> Rows<'a> {
    let (shape, stride) = (tensor.shape, tensor.pixel_stride as usize);
    Rows { shape, first: 0, count: shape.height, out: bytemuck::cast_slice_mut(bytes), stride }
}

/// The output of an operator that works in place, the first input copied there if it lies elsewhere.
fn in_place<'a>(step: &Step<'_>, arena: &'a mut [u8]) -> Option<PixelsMut<'a>> {
    if step.input.offset != step.output.offset {
        let (read, write) = read_and_write(arena, &step.input, &step.output)?;
        pixels_mut(&step.output, write)?.copy_from(pixels(&step.input, read)?)?;
    }
    pixels_mut(&step.output, arena.get_mut(range(&step.output))?)
}

fn single(session: &mut Session<'_, '_>, step: &Step<'_>) -> Option<()> {
    let prepared = session.prepared_weights(step);
    let (backend, arena) = (session.backend, &mut *session.activations);
    match &step.operator {
        Operator::Lrn(parameters) => lrn::run(backend, parameters, &mut in_place(step, arena)?, session.scratch),
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
        Operator::Conv(_) | Operator::MaxPool(_) | Operator::AveragePool(_) => {
            let (read, write) = read_and_write(arena, &step.input, &step.output)?;
            let input = pixels(&step.input, read)?;
            match (&step.operator, step.output.data_type) {
                (Operator::Conv(parameters), DataType::Int8) => {
                    let memory = (&mut *session.scratch, &mut *session.workspace);
                    conv::run_rows(backend, parameters, prepared, input, all_rows(&step.output, write), memory)
                }
                (Operator::Conv(parameters), _) => {
                    dense::run(backend, parameters, input, step.output.shape.channels, write, session.scratch)
                }
                (Operator::AveragePool(parameters), DataType::Int32) => {
                    pool::average_logits(parameters, input, step.output.shape.width, write)
                }
                (Operator::AveragePool(parameters), _) => {
                    pool::average(parameters, input, &mut pixels_mut(&step.output, write)?)
                }
                (Operator::MaxPool(parameters), _) => {
                    pool::max(backend, parameters, input, &mut pixels_mut(&step.output, write)?)
                }
                _ => None,
            }
        }
    }
}

/// Which rows of a ring can be made next.
struct Ring {
    /// Rows of the whole tensor.
    height: u32,
    /// Rows that have memory.
    stored: u32,
    /// Rows made.
    made: u32,
}

impl Ring {
    /// How many rows to make next, all of them one after the other in memory, none of them over one from row `needed` on.
    /// A multiple of 4, or at least of 2, where there are as many: tiles of pixels come out even, and exact Winograd makes
    /// two rows at a time.
    fn band(&self, needed: u32) -> Option<u32> {
        let free = self.stored.checked_sub(self.made.saturating_sub(needed))?;
        let to_end = self.stored - self.made.checked_rem(self.stored)?;
        let left = self.height - self.made;
        match free.min(to_end).min(left) {
            0 => None,
            band if band == left => Some(band),
            band @ (1 | 2) => Some(band),
            3 => Some(2),
            band => Some(band - band % 4),
        }
    }
}

/// A convolution, operators on its single elements and a max pool, some rows of the convolution at a time. The rows go
/// into a ring; a row of the pool is made as soon as the last row under it is there.
fn rows(session: &mut Session<'_, '_>, first: usize, length: usize, parts: Parts<'_>) -> Option<()> {
    let (model, backend) = (session.model, session.backend);
    let last = first + length - 1;
    let (head, tail) = (model.step(first)?, model.step(last)?);
    let prepared = session.prepared_weights(&head);
    let (Operator::Conv(conv), Operator::MaxPool(pool)) = (&head.operator, &tail.operator) else { return None };
    let places = [range(&head.input), range(&head.output), range(&tail.output)];
    let [input, rows, pooled] = session.activations.get_disjoint_mut(places).ok()?;
    let input = pixels(&head.input, input)?;
    let (rows, pooled): (&mut [i8], &mut [i8]) = (bytemuck::cast_slice_mut(rows), bytemuck::cast_slice_mut(pooled));
    let (shape, stride) = (head.output.shape, head.output.pixel_stride as usize);
    let (pooled_shape, pooled_stride) = (tail.output.shape, tail.output.pixel_stride as usize);
    let (row, pooled_width) = (shape.width as usize * stride, pooled_shape.width as usize);
    let mut ring = Ring { height: shape.height, stored: head.output.stored_rows(), made: 0 };
    let mut next = 0;
    while ring.made < shape.height {
        // Once the pool is done, no row is needed any more.
        let needed = if next < pooled_shape.height { pool.window.rows(next, shape.height).start } else { ring.made };
        let count = ring.band(needed)?;
        let band = Shape { height: count, ..shape };
        let place = rows.get_mut(ring.made.checked_rem(ring.stored)? as usize * row..)?;
        let out = Rows { shape, first: ring.made, count, out: &mut *place, stride };
        conv::run_rows(backend, conv, prepared, input, out, (&mut *session.scratch, &mut *session.workspace))?;
        parts(first, Pixels::new(place, band, stride)?);
        for index in first + 1..last {
            let mut output = PixelsMut::new(place, band, stride)?;
            match &model.step(index)?.operator {
                Operator::Lrn(parameters) => lrn::run(backend, parameters, &mut output, session.scratch)?,
                Operator::Rescale(parameters) => elementwise::rescale(parameters, &mut output),
                _ => return None,
            }
            parts(index, output.as_pixels());
        }
        ring.made += count;
        let made = Pixels::ring(rows, shape, stride, ring.stored)?;
        while next < pooled_shape.height {
            let under = pool.window.rows(next, shape.height);
            if under.start + under.length > ring.made {
                break;
            }
            let pixels = next as usize * pooled_width..(next as usize + 1) * pooled_width;
            let out = pooled.get_mut(pixels.start * pooled_stride..)?;
            pool::max_pixels(backend, pool, made, pooled_shape, pixels, out, pooled_stride)?;
            next += 1;
        }
    }
    Some(())
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

/// A pool and the 1x1 convolution over it: as many pooled pixels as the scratch holds are the convolution's input, or, for
/// a backend that packs patches, pooled pixels are its patches.
fn pooled_patches(session: &mut Session<'_, '_>, first: usize, parts: Parts<'_>) -> Option<()> {
    let backend = session.backend;
    let (head, tail) = (session.model.step(first)?, session.model.step(first + 1)?);
    let prepared = session.prepared_weights(&tail);
    let Operator::Conv(conv) = &tail.operator else { return None };
    let layout = tail.layout()?;
    let (read, write) = read_and_write(session.activations, &head.input, &tail.output)?;
    let input = pixels(&head.input, read)?;
    let (shape, stride) = (head.output.shape, tail.output.pixel_stride as usize);
    let (count, channels) = (shape.pixels() as usize, layout.depth);
    let write: &mut [i8] = bytemuck::cast_slice_mut(write);
    let reads_in_place = backend.reads_in_place() && conv::reads_in_place(&conv.window, &layout);
    if prepared.is_none() && !reads_in_place {
        let mut fill = |pixel: usize, patch: &mut [i8]| {
            let (values, padding) = patch.split_at_mut_checked(channels)?;
            padding.fill(0);
            pool_pixels(backend, &head.operator, input, (shape, pixel..pixel + 1), values)?;
            parts(first, Pixels::new(values, Shape { height: 1, width: 1, ..shape }, channels)?);
            Some(())
        };
        let gemm = conv.gemm(&layout, 0, stride)?;
        let products = &mut [Some(Product { gemm, out: write })];
        return conv::by_tiles(backend, &layout, 0..count, session.scratch, &mut fill, products);
    }
    let fitting = match session.scratch.len().checked_div(channels)? {
        0 => return None,
        many if many > backend.tile_pixels() => many - many % backend.tile_pixels(),
        few => few,
    };
    for start in (0..count).step_by(fitting) {
        let range = start..count.min(start + fitting);
        let row = Shape::new(1, range.len() as u32, channels as u32);
        pool_pixels(backend, &head.operator, input, (shape, range), session.scratch)?;
        let pooled = Pixels::new(session.scratch, row, channels)?;
        parts(first, pooled);
        let out = write.get_mut(start * stride..)?;
        let rows =
            Rows { shape: Shape { channels: tail.output.shape.channels, ..row }, first: 0, count: 1, out, stride };
        conv::run_rows(backend, conv, prepared, pooled, rows, (&mut [], &mut *session.workspace))?;
    }
    Some(())
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
    let [outputs @ .., input] = session.activations.get_disjoint_mut(places).ok()?;
    let input = pixels(&head.input, input)?;
    let mut products = [const { None }; GROUP_LIMIT];
    let outputs = outputs.into_iter().zip(prepared).zip(first..first + length);
    for (((out, prepared), index), product) in outputs.zip(&mut products) {
        let step = model.step(index)?;
        let Operator::Conv(conv) = &step.operator else { return None };
        if prepared.is_some() {
            let memory = (&mut *session.scratch, &mut *session.workspace);
            conv::run_rows(session.backend, conv, prepared, input, all_rows(&step.output, out), memory)?;
            continue;
        }
        let gemm = conv.gemm(&step.layout()?, 0, step.output.pixel_stride as usize)?;
        *product = Some(Product { gemm, out: bytemuck::cast_slice_mut(out) });
    }
    if products.iter().all(Option::is_none) {
        return Some(());
    }
    let pixels = head.output.shape.pixels() as usize;
    conv::run_shared(session.backend, conv, &layout, input, pixels, session.scratch, &mut products)
}
