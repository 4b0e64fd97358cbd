//! Runs one group of steps: finds its tensors in the arena and calls the kernels.

use super::{Session, range};
use crate::arch::AnyBackend;
use crate::format::tensor::{DataType, Tensor};
use crate::kernels::conv::{self, Product};
use crate::kernels::{Pixels, PixelsMut, dense, elementwise, lrn, pool, softmax};
use crate::model::{GROUP_LIMIT, Group, Kind, Operator, Step};
use crate::shape::Shape;

/// Takes the parts of outputs that never exist as a whole.
type Parts<'p> = &'p mut dyn FnMut(usize, Pixels<'_>);

pub(super) fn group(session: &mut Session<'_, '_>, first: usize, group: Group, parts: Parts<'_>) -> Option<()> {
    match group.kind {
        Kind::Single => single(session.backend, &session.model.step(first)?, session.activations, session.scratch),
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
    let rows = u32::from(tensor.stored_rows);
    Pixels::ring(bytemuck::cast_slice(bytes), tensor.shape, tensor.pixel_stride as usize, rows)
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

fn single(backend: AnyBackend, step: &Step<'_>, arena: &mut [u8], scratch: &mut [i8]) -> Option<()> {
    match &step.operator {
        Operator::Lrn(_) | Operator::Rescale(_) => elements(step, &mut in_place(step, arena)?, scratch),
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
                    conv::run(backend, parameters, input, &mut pixels_mut(&step.output, write)?, scratch)
                }
                (Operator::Conv(parameters), _) => {
                    dense::run(backend, parameters, input, step.output.shape.channels, write, scratch)
                }
                (Operator::AveragePool(parameters), DataType::Int32) => {
                    pool::average_logits(parameters, input, step.output.shape.width, write)
                }
                (Operator::AveragePool(parameters), _) => {
                    pool::average(parameters, input, &mut pixels_mut(&step.output, write)?)
                }
                (Operator::MaxPool(parameters), _) => {
                    pool::max(parameters, input, &mut pixels_mut(&step.output, write)?)
                }
                _ => None,
            }
        }
    }
}

/// An operator on single elements or pixels, in place.
fn elements(step: &Step<'_>, output: &mut PixelsMut<'_>, scratch: &mut [i8]) -> Option<()> {
    match &step.operator {
        Operator::Lrn(parameters) => lrn::run(parameters, output, scratch),
        Operator::Rescale(parameters) => {
            elementwise::rescale(parameters, output);
            Some(())
        }
        _ => None,
    }
}

/// A convolution, operators on its single elements and a max pool, a row of the convolution at a time. The rows go
/// into a ring; a row of the pool is made as soon as the last row under it is there.
fn rows(session: &mut Session<'_, '_>, first: usize, length: usize, parts: Parts<'_>) -> Option<()> {
    let (model, backend) = (session.model, session.backend);
    let last = first + length - 1;
    let (head, tail) = (model.step(first)?, model.step(last)?);
    let (Operator::Conv(conv), Operator::MaxPool(pool)) = (&head.operator, &tail.operator) else { return None };
    let places = [range(&head.input), range(&head.output), range(&tail.output)];
    let [input, ring, pooled] = session.activations.get_disjoint_mut(places).ok()?;
    let input = pixels(&head.input, input)?;
    let (ring, pooled): (&mut [i8], &mut [i8]) = (bytemuck::cast_slice_mut(ring), bytemuck::cast_slice_mut(pooled));
    let (shape, stride) = (head.output.shape, head.output.pixel_stride as usize);
    let (pooled_shape, pooled_stride) = (tail.output.shape, tail.output.pixel_stride as usize);
    let (width, pooled_width) = (shape.width as usize, pooled_shape.width as usize);
    let row_shape = Shape { height: 1, ..shape };
    let stored_rows = u32::from(head.output.stored_rows);
    let mut pooled_rows = 0..pooled_shape.height;
    for y in 0..shape.height {
        let row = ring.get_mut(y.checked_rem(stored_rows)? as usize * width * stride..)?;
        let range = y as usize * width..(y as usize + 1) * width;
        conv::run_pixels(backend, conv, input, shape, range, row, stride, session.scratch)?;
        parts(first, Pixels::new(row, row_shape, stride)?);
        for index in first + 1..last {
            let mut row = PixelsMut::new(row, row_shape, stride)?;
            elements(&model.step(index)?, &mut row, session.scratch)?;
            parts(index, row.as_pixels());
        }
        let made = Pixels::ring(ring, shape, stride, stored_rows)?;
        let is_complete = |pooled: &u32| {
            let rows = pool.window.rows(*pooled, shape.height);
            rows.start + rows.length <= y + 1
        };
        while let Some(pooled_y) = pooled_rows.clone().next().filter(is_complete) {
            pooled_rows.next();
            let first = pooled_y as usize * pooled_width;
            let out = pooled.get_mut(first * pooled_stride..)?;
            pool::max_pixels(pool, made, pooled_shape, first..first + pooled_width, out, pooled_stride)?;
        }
    }
    Some(())
}

/// A pool and the 1x1 convolution over it: pooled pixels are the convolution's patches.
fn pooled_patches(session: &mut Session<'_, '_>, first: usize, parts: Parts<'_>) -> Option<()> {
    let (head, tail) = (session.model.step(first)?, session.model.step(first + 1)?);
    let Operator::Conv(conv) = &tail.operator else { return None };
    let layout = tail.layout()?;
    let (read, write) = read_and_write(session.activations, &head.input, &tail.output)?;
    let input = pixels(&head.input, read)?;
    let shape = head.output.shape;
    let pixel_shape = Shape { height: 1, width: 1, ..shape };
    let mut fill = |pixel: usize, patch: &mut [i8]| {
        let (values, padding) = patch.split_at_mut_checked(layout.depth)?;
        padding.fill(0);
        match &head.operator {
            Operator::MaxPool(pool) => pool::max_pixels(pool, input, shape, pixel..pixel + 1, values, layout.depth)?,
            Operator::AveragePool(pool) => {
                pool::average_pixels(pool, input, shape, pixel..pixel + 1, values, layout.depth)?;
            }
            _ => return None,
        }
        parts(first, Pixels::new(values, pixel_shape, layout.depth)?);
        Some(())
    };
    let gemm = conv.gemm(&layout, 0, tail.output.pixel_stride as usize)?;
    let products = &mut [Some(Product { gemm, out: bytemuck::cast_slice_mut(write) })];
    conv::by_tiles(session.backend, &layout, 0..shape.pixels() as usize, session.scratch, &mut fill, products)
}

/// 1x1 convolutions over one input, on the same patches.
fn shared_input(session: &mut Session<'_, '_>, first: usize, length: usize) -> Option<()> {
    let model = session.model;
    let head = model.step(first)?;
    let (Operator::Conv(conv), Some(layout)) = (&head.operator, head.layout()) else { return None };
    let mut places = [const { 0..0 }; GROUP_LIMIT + 1];
    places[GROUP_LIMIT] = range(&head.input);
    for (place, index) in places.iter_mut().zip(first..first + length) {
        *place = range(&model.step(index)?.output);
    }
    let [outputs @ .., input] = session.activations.get_disjoint_mut(places).ok()?;
    let input = pixels(&head.input, input)?;
    let mut products = [const { None }; GROUP_LIMIT];
    for ((product, out), index) in products.iter_mut().zip(outputs).zip(first..first + length) {
        let step = model.step(index)?;
        let Operator::Conv(conv) = &step.operator else { return None };
        let gemm = conv.gemm(&step.layout()?, 0, step.output.pixel_stride as usize)?;
        *product = Some(Product { gemm, out: bytemuck::cast_slice_mut(out) });
    }
    let pixels = head.output.shape.pixels() as usize;
    conv::run_shared(session.backend, conv, &layout, input, pixels, session.scratch, &mut products)
}
