//! Operators that move no data: concat, flatten, reshape, squeeze, unsqueeze, transpose, and picking channels of the
//! picture.

use tinception_core::shape::Shape;

use super::error::ImportError;
use super::importer::{Entry, Importer, PictureView};
use super::layout::{Layout, Tensor, is_vector};
use super::node::NodeView;
use super::tensor::MOST_AXES;
use crate::graph::{Affine, Op};

/// An axis counted from the front; negative ones count from the back.
pub(super) fn axis_index(node: NodeView<'_>, axis: i64, rank: usize) -> Result<usize, ImportError> {
    let index = if axis < 0 { usize::try_from(axis + rank as i64) } else { usize::try_from(axis) };
    match index {
        Ok(index) if index < rank => Ok(index),
        _ => Err(node.bad_attribute("axis", axis, format!("an axis of {rank} dimensions"))),
    }
}

pub(super) fn concat<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let axis = node.int("axis")?.unwrap_or(1);
    if let Some(view) = concat_views(importer, node, axis)? {
        return Ok(Entry::Picture(view));
    }
    let tensors = (0..node.inputs().len()).map(|index| importer.tensor(node, index)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = tensors.first() else {
        return Err(node.missing_input("number 1"));
    };
    let axis = axis_index(node, axis, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = 0;
    for tensor in &tensors {
        let fits = tensor.dims.len() == dims.len()
            && (0..dims.len()).all(|other| other == axis || tensor.dims[other] == dims[other]);
        if !fits || tensor.channel_axis() != axis || matches!(tensor.layout, Layout::FlatNchw(_)) {
            return Err(node.unsupported(
                format!("it joins {:?} with {:?} on axis {axis}", first.dims, tensor.dims),
                "only channels of pictures of the same size can be joined",
            ));
        }
        dims[axis] = dims[axis].saturating_add(tensor.dims[axis]);
    }
    let shape = importer.graph.shape(first.value);
    let channels = super::convolution::small(node, dims[axis])?;
    let inputs = tensors.iter().map(|tensor| tensor.value).collect();
    let value = importer.emit(node, Op::Concat, inputs, Shape { channels, ..shape })?;
    Ok(Entry::Tensor(Tensor { value, dims, layout: first.layout }))
}

/// Channels of the picture put together again, as torchvision's `transform_input` does.
fn concat_views(importer: &Importer<'_>, node: NodeView<'_>, axis: i64) -> Result<Option<PictureView>, ImportError> {
    let mut joined: Option<PictureView> = None;
    for index in 0..node.inputs().len() {
        let Entry::Picture(view) = importer.required(node, index)? else {
            return Ok(None);
        };
        let (_, channel_axis) = view.dims(Shape::default());
        if view.without_channel_axis || axis_index(node, axis, 4)? != channel_axis {
            return Ok(None);
        }
        match &mut joined {
            None => joined = Some(view.clone()),
            Some(joined) if joined.layout == view.layout => {
                joined.channels.extend(&view.channels);
                joined.affine.scale.extend(&view.affine.scale);
                joined.affine.shift.extend(&view.affine.shift);
            }
            Some(_) => return Ok(None),
        }
    }
    Ok(joined)
}

pub(super) fn flatten<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let tensor = importer.tensor(node, 0)?;
    let axis = node.int("axis")?.unwrap_or(1);
    let rank = tensor.dims.len();
    let split = if axis == rank as i64 { rank } else { axis_index(node, axis, rank)? };
    let (front, back) = tensor.dims.split_at(split);
    let dims = vec![front.iter().product(), back.iter().product()];
    with_dims(importer, node, tensor, dims)
}

pub(super) fn reshape<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let wanted = importer.ints(node, "shape", 1)?.ok_or_else(|| node.missing_input("shape"))?;
    let tensor = importer.tensor(node, 0)?;
    let dims = resolve(node, &wanted, &tensor.dims)?;
    with_dims(importer, node, tensor, dims)
}

/// The sizes that a Reshape asks for: 0 keeps the input's, -1 takes what is left.
pub(super) fn resolve(node: NodeView<'_>, wanted: &[i64], dims: &[usize]) -> Result<Vec<usize>, ImportError> {
    let keeps_zero = node.flag("allowzero")?;
    let bad = || node.mismatch(format!("{dims:?} cannot be reshaped to {wanted:?}"));
    let total: usize = dims.iter().product();
    if wanted.len() > MOST_AXES {
        return Err(bad());
    }
    let mut sizes = Vec::with_capacity(wanted.len());
    let mut known = 1_usize;
    for (index, &size) in wanted.iter().enumerate() {
        let size = match size {
            -1 => {
                sizes.push(None);
                continue;
            }
            0 if !keeps_zero => *dims.get(index).ok_or_else(bad)?,
            size => usize::try_from(size).map_err(|_| bad())?,
        };
        known = known.checked_mul(size).ok_or_else(bad)?;
        sizes.push(Some(size));
    }
    let rest = match sizes.iter().filter(|size| size.is_none()).count() {
        0 if known == total => 1,
        1 if known != 0 && total.is_multiple_of(known) => total / known,
        _ => return Err(bad()),
    };
    Ok(sizes.into_iter().map(|size| size.unwrap_or(rest)).collect())
}

pub(super) fn squeeze<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let axes = importer.ints(node, "axes", 1)?;
    let tensor = importer.tensor(node, 0)?;
    let dims = squeezed(node, &tensor.dims, axes)?;
    with_dims(importer, node, tensor, dims)
}

/// `dims` without the given axes, or without all that are 1.
pub(super) fn squeezed(node: NodeView<'_>, dims: &[usize], axes: Option<Vec<i64>>) -> Result<Vec<usize>, ImportError> {
    let Some(axes) = axes else {
        return Ok(dims.iter().copied().filter(|&dim| dim != 1).collect());
    };
    let axes = axes.iter().map(|&axis| axis_index(node, axis, dims.len())).collect::<Result<Vec<_>, _>>()?;
    if axes.iter().any(|&axis| dims[axis] != 1) {
        return Err(node.mismatch(format!("axes {axes:?} of {dims:?} are not all 1")));
    }
    Ok(dims.iter().enumerate().filter(|(axis, _)| !axes.contains(axis)).map(|(_, &dim)| dim).collect())
}

pub(super) fn unsqueeze<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let axes = importer.ints(node, "axes", 1)?.ok_or_else(|| node.missing_input("axes"))?;
    if let Entry::Picture(view) = importer.required(node, 0)?
        && view.without_channel_axis
        && axes.len() == 1
    {
        let axis = axis_index(node, axes[0], 4)?;
        let view = PictureView { without_channel_axis: false, ..view.clone() };
        if view.dims(Shape::default()).1 == axis {
            return Ok(Entry::Picture(view));
        }
    }
    let tensor = importer.tensor(node, 0)?;
    let dims = unsqueezed(node, &tensor.dims, &axes)?;
    with_dims(importer, node, tensor, dims)
}

/// `dims` with a 1 at each of the given axes of the result.
pub(super) fn unsqueezed(node: NodeView<'_>, dims: &[usize], axes: &[i64]) -> Result<Vec<usize>, ImportError> {
    // Eight axes are twice what any picture has.
    let rank = Some(dims.len() + axes.len()).filter(|&rank| rank <= 8);
    let rank = rank.ok_or_else(|| node.bad_attribute("axes", format!("{axes:?}"), "at most 8 dimensions"))?;
    let axes = axes.iter().map(|&axis| axis_index(node, axis, rank)).collect::<Result<Vec<_>, _>>()?;
    let mut rest = dims.iter().copied();
    let result: Vec<_> =
        (0..rank).filter_map(|axis| if axes.contains(&axis) { Some(1) } else { rest.next() }).collect();
    match result.len() == rank && rest.next().is_none() {
        true => Ok(result),
        false => Err(node.bad_attribute("axes", format!("{axes:?}"), "different axes")),
    }
}

/// The same elements seen with other sizes. Only a picture that becomes a vector needs an operator.
fn with_dims<'a>(
    importer: &mut Importer<'a>,
    node: NodeView<'a>,
    tensor: Tensor,
    dims: Vec<usize>,
) -> Result<Entry, ImportError> {
    if dims == tensor.dims {
        return Ok(Entry::Tensor(tensor));
    }
    let shape = importer.graph.shape(tensor.value);
    if !is_vector(&dims) {
        return Err(node.unsupported(
            format!("it turns {:?} into {dims:?}", tensor.dims),
            "a picture can only be flattened: replace the reshape in the network",
        ));
    }
    if matches!(tensor.layout, Layout::FlatNchw(_)) {
        return Ok(Entry::Tensor(Tensor { dims, ..tensor }));
    }
    if shape.pixels() == 1 {
        return Ok(Entry::Tensor(Tensor::vector(tensor.value, dims)));
    }
    let channels = super::convolution::small(node, shape.elements() as usize)?;
    let value = importer.emit(node, Op::Flatten, vec![tensor.value], Shape::new(1, 1, channels))?;
    Ok(Entry::Tensor(match tensor.layout {
        Layout::Nchw if shape.channels > 1 => Tensor { value, dims, layout: Layout::FlatNchw(shape) },
        _ => Tensor::vector(value, dims),
    }))
}

pub(super) fn transpose<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    if let Entry::Picture(view) = importer.required(node, 0)?
        && !view.without_channel_axis
        && let Some(layout) = transposed_layout(view.layout, &permutation(node, 4)?)
    {
        return Ok(Entry::Picture(PictureView { layout, ..view.clone() }));
    }
    let tensor = importer.tensor(node, 0)?;
    let perm = permutation(node, tensor.dims.len())?;
    if let Some(layout) = transposed_layout(tensor.layout, &perm) {
        let dims = perm.iter().map(|&axis| tensor.dims[axis]).collect();
        return Ok(Entry::Tensor(Tensor { dims, layout, ..tensor }));
    }
    let dims: Vec<_> = perm.iter().map(|&axis| tensor.dims[axis]).collect();
    match (is_vector(&dims), tensor.layout) {
        (true, Layout::FlatNchw(_)) => Ok(Entry::Tensor(Tensor { dims, ..tensor })),
        // A picture one pixel high or wide with one channel is no vector to the graph.
        (true, _) if importer.graph.shape(tensor.value).pixels() == 1 => {
            Ok(Entry::Tensor(Tensor::vector(tensor.value, dims)))
        }
        _ => Err(node.unsupported(
            format!("it permutes {:?} by {perm:?}", tensor.dims),
            "only changes between NCHW and NHWC can be folded: replace the transpose in the network",
        )),
    }
}

fn transposed_layout(layout: Layout, perm: &[usize]) -> Option<Layout> {
    match (layout, perm) {
        (layout @ (Layout::Nchw | Layout::Nhwc), [0, 1, 2, 3]) => Some(layout),
        (Layout::Nchw, [0, 2, 3, 1]) => Some(Layout::Nhwc),
        (Layout::Nhwc, [0, 3, 1, 2]) => Some(Layout::Nchw),
        _ => None,
    }
}

/// A Transpose's permutation; without one it reverses the axes.
pub(super) fn permutation(node: NodeView<'_>, rank: usize) -> Result<Vec<usize>, ImportError> {
    let Some(perm) = node.ints("perm")? else {
        return Ok((0..rank).rev().collect());
    };
    let axes: Vec<_> = perm.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
    match perm.len() == rank && (0..rank).all(|axis| axes.contains(&axis)) {
        true => Ok(axes),
        false => Err(node.bad_attribute("perm", format!("{perm:?}"), format!("a permutation of {rank} axes"))),
    }
}

/// Picks channels of the picture, or the only element of an axis of a vector.
pub(super) fn gather<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let indices = importer.constant(node, 1)?.ok_or_else(|| node.missing_input("indices"))?;
    let axis = node.int("axis")?.unwrap_or(0);
    if let Entry::Tensor(tensor) = importer.required(node, 0)?.clone()
        && is_vector(&tensor.dims)
        && matches!(indices.as_ints(), Some([0 | -1]))
    {
        let axis = axis_index(node, axis, tensor.dims.len())?;
        if tensor.dims[axis] == 1 {
            let mut dims = tensor.dims.clone();
            dims.splice(axis..=axis, indices.dims.iter().copied());
            return with_dims(importer, node, tensor, dims);
        }
    }
    let view = whole_picture(importer, node)?;
    let channels = view.channels.len();
    let (_, channel_axis) = view.dims(Shape::default());
    let picked = indices.as_ints().unwrap_or_default().iter().map(|&index| {
        let index = if index < 0 { index + channels as i64 } else { index };
        usize::try_from(index).ok().filter(|&index| index < channels)
    });
    let picked: Option<Vec<_>> = picked.collect();
    match (picked, indices.dims.len()) {
        (Some(picked), rank @ (0 | 1)) if axis_index(node, axis, 4)? == channel_axis && !picked.is_empty() => {
            Ok(Entry::Picture(pick(&view, &picked, rank == 0)))
        }
        _ => Err(only_channels(node)),
    }
}

/// A range of the picture's channels, or a slice that takes everything.
pub(super) fn slice<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let starts = importer.ints(node, "starts", 1)?.ok_or_else(|| node.missing_input("starts"))?;
    let ends = importer.ints(node, "ends", 2)?.ok_or_else(|| node.missing_input("ends"))?;
    let axes = importer.ints(node, "axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = importer.ints(node, "steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    let mut view = whole_picture(importer, node)?;
    for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let (dims, channel_axis) = view.dims(importer.graph.shape(importer.graph.input));
        let axis = axis_index(node, axis, 4)?;
        let range = slice_range(start, end, dims[axis]);
        if step != 1 || (axis != channel_axis && range != (0..dims[axis])) || range.is_empty() {
            return Err(only_channels(node));
        }
        if axis == channel_axis {
            view = pick(&view, &range.collect::<Vec<_>>(), false);
        }
    }
    Ok(Entry::Picture(view))
}

/// The positions that a slice with step 1 takes of an axis: negative ends count from the back.
pub(super) fn slice_range(start: i64, end: i64, size: usize) -> std::ops::Range<usize> {
    let size = size as i64;
    let clip = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(0, size) as usize;
    clip(start)..clip(end)
}

fn whole_picture(importer: &Importer<'_>, node: NodeView<'_>) -> Result<PictureView, ImportError> {
    match importer.required(node, 0)? {
        Entry::Picture(view) if !view.without_channel_axis => Ok(view.clone()),
        _ => Err(only_channels(node)),
    }
}

fn only_channels(node: NodeView<'_>) -> ImportError {
    node.unsupported(
        "it takes a part of a tensor",
        "only channels of the picture itself can be picked: replace it in the network",
    )
}

fn pick(view: &PictureView, picked: &[usize], without_channel_axis: bool) -> PictureView {
    PictureView {
        channels: picked.iter().map(|&index| view.channels[index]).collect(),
        affine: Affine {
            scale: picked.iter().map(|&index| view.affine.scale[index]).collect(),
            shift: picked.iter().map(|&index| view.affine.shift[index]).collect(),
        },
        layout: view.layout,
        without_channel_axis,
    }
}
