//! Operators that treat every element alike, or every channel: activations, arithmetic with constants, sums.

use tinception_core::shape::Shape;

use super::error::ImportError;
use super::importer::{Entry, Importer, PictureView};
use super::layout::{Layout, Tensor};
use super::node::NodeView;
use super::tensor::{Constant, Data};
use crate::graph::{Affine, Clamp, Op, ValueId};

/// Relu and Clip; Clip's ends are attributes before operator set 11.
pub(super) fn clamp<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let clamp = match node.operator() {
        "Relu" => Clamp::RELU,
        _ => Clamp {
            min: clip_end(importer, node, "min", 1)?.unwrap_or(Clamp::NONE.min),
            max: clip_end(importer, node, "max", 2)?.unwrap_or(Clamp::NONE.max),
        },
    };
    let tensor = importer.tensor(node, 0)?;
    let shape = importer.graph.shape(tensor.value);
    let value = importer.emit(node, Op::Clamp(clamp), vec![tensor.value], shape)?;
    Ok(Entry::Tensor(Tensor { value, ..tensor }))
}

/// Sigmoid, which the passes take at the network's end.
pub(super) fn sigmoid<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let tensor = importer.tensor(node, 0)?;
    let shape = importer.graph.shape(tensor.value);
    let value = importer.emit(node, Op::Sigmoid, vec![tensor.value], shape)?;
    Ok(Entry::Tensor(Tensor { value, ..tensor }))
}

fn clip_end(importer: &Importer<'_>, node: NodeView<'_>, name: &str, index: usize) -> Result<Option<f32>, ImportError> {
    let end = match node.float(name)? {
        Some(end) => Some(end),
        None => match importer.constant(node, index)? {
            None => None,
            Some(constant) => match constant.as_floats() {
                Some(&[end]) => Some(end),
                _ => return Err(node.bad_attribute(name, format!("a tensor of {:?}", constant.dims), "one float")),
            },
        },
    };
    match end {
        Some(end) if end.is_nan() => Err(node.bad_attribute(name, end, "a number")),
        end => Ok(end),
    }
}

/// Identity, Dropout at inference, and casts from float to float.
pub(super) fn unchanged<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    // TensorProto's data types: 1 float, 10 float16, 11 double.
    if node.operator() == "Cast" {
        match node.int("to")? {
            Some(1 | 10 | 11) => {}
            other => return Err(node.bad_attribute("to", other.unwrap_or_default(), "a float type")),
        }
    }
    if node.operator() == "Dropout"
        && importer.constant(node, 2)?.is_some_and(|training| training.as_ints().is_some_and(|on| on != [0]))
    {
        return Err(node.bad_attribute("training_mode", "true", "false: export in evaluation mode"));
    }
    importer.required(node, 0).cloned()
}

/// Add, Sub, Mul and Div: two tensors can only be added; a constant is a scale or shift per channel.
pub(super) fn arithmetic<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let (left, right) = (importer.required(node, 0)?.clone(), importer.required(node, 1)?.clone());
    let (operand, constant, constant_first) = match (left, right) {
        (left, Entry::Constant(constant)) => (left, constant, false),
        (Entry::Constant(constant), right) => (right, constant, true),
        _ if node.operator() == "Add" => return sum(importer, node),
        (left, right) if [&left, &right].into_iter().any(|operand| is_sigmoid(importer, operand)) => {
            return Err(node.unsupported(
                "one operand is a sigmoid, as in squeeze and excitation or SiLU (swish)",
                "a sigmoid is known at the network's end only: replace the block in the network",
            ));
        }
        _ => {
            return Err(node.unsupported(
                "both operands are computed from the picture",
                "two tensors can only be added: replace the operator in the network",
            ));
        }
    };
    let (dims, axis) = match &operand {
        Entry::Tensor(tensor) => (tensor.dims.clone(), tensor.channel_axis()),
        Entry::Picture(view) => view.dims(importer.graph.shape(importer.graph.input)),
        Entry::Constant(_) => return Err(node.unsupported("both operands are constants", "fold it before the export")),
    };
    let values = per_channel(importer.opset, node, &constant, &dims, axis)?;
    let ones = vec![1.0; values.len()];
    let negated = || values.iter().map(|value| -value).collect();
    let affine = match (node.operator(), constant_first) {
        ("Add", _) => Affine { scale: ones, shift: values },
        ("Mul", _) => Affine { shift: vec![0.0; values.len()], scale: values },
        ("Sub", false) => Affine { scale: ones, shift: negated() },
        ("Sub", true) => Affine { scale: vec![-1.0; values.len()], shift: values },
        ("Div", false) if !values.contains(&0.0) => {
            Affine { scale: values.iter().map(|value| 1.0 / value).collect(), shift: vec![0.0; values.len()] }
        }
        _ => return Err(node.unsupported("it divides by the tensor or by zero", "replace it in the network")),
    };
    affine_entry(importer, node, operand, affine)
}

fn is_sigmoid(importer: &Importer<'_>, operand: &Entry) -> bool {
    let Entry::Tensor(tensor) = operand else { return false };
    importer.graph.producer(tensor.value).is_some_and(|node| node.op == Op::Sigmoid)
}

/// A constant as one number per channel of a tensor of `dims`, by ONNX's broadcasting rule.
fn per_channel(
    opset: i64,
    node: NodeView<'_>,
    constant: &Constant,
    dims: &[usize],
    axis: usize,
) -> Result<Vec<f32>, ImportError> {
    let Data::Float(values) = &constant.data else {
        return Err(node.mismatch("its constant holds integers instead of floats"));
    };
    let mut sizes = constant.dims.clone();
    // Before operator set 7, broadcasting named the axis that the constant's first dimension lies on.
    if opset < 7
        && let Some(first) = node.int("axis")?
    {
        let first = super::shapes::axis_index(node, first, dims.len())?;
        sizes.resize((dims.len() - first).max(sizes.len()), 1);
    }
    let channels = dims.get(axis).copied().unwrap_or(1);
    let missing = dims.len().checked_sub(sizes.len());
    let fits = |missing: usize| {
        sizes.iter().enumerate().all(|(at, &size)| size == 1 || (at + missing == axis && size == channels))
    };
    match (missing.is_some_and(fits), values.as_slice()) {
        (true, &[value]) => Ok(vec![value; channels]),
        (true, values) => Ok(values.to_vec()),
        (false, _) => Err(node.unsupported(
            format!("its constant of {sizes:?} is neither one number nor one per channel of {dims:?}"),
            "only those can be folded",
        )),
    }
}

/// Scales and shifts an input whose channels lie on axis 1.
pub(super) fn apply_affine<'a>(
    importer: &mut Importer<'a>,
    node: NodeView<'a>,
    index: usize,
    affine: Affine,
) -> Result<Entry, ImportError> {
    let operand = importer.required(node, index)?.clone();
    let (dims, axis) = match &operand {
        Entry::Tensor(tensor) => (tensor.dims.clone(), tensor.channel_axis()),
        Entry::Picture(view) => view.dims(importer.graph.shape(importer.graph.input)),
        Entry::Constant(_) => return Err(node.unsupported("its input is a constant", "fold it before the export")),
    };
    if axis != 1 || dims.get(1) != Some(&affine.scale.len()) {
        return Err(node.mismatch(format!("its {} channels don't fit an input of {dims:?}", affine.scale.len())));
    }
    affine_entry(importer, node, operand, affine)
}

fn affine_entry<'a>(
    importer: &mut Importer<'a>,
    node: NodeView<'a>,
    operand: Entry,
    affine: Affine,
) -> Result<Entry, ImportError> {
    if affine.scale.iter().chain(&affine.shift).any(|value| !value.is_finite()) {
        return Err(node.mismatch("its constants are not all finite"));
    }
    match operand {
        Entry::Picture(view) => Ok(Entry::Picture(PictureView { affine: view.affine.then(&affine), ..view })),
        Entry::Tensor(tensor) => {
            let affine =
                Affine { scale: tensor.to_value_order(affine.scale), shift: tensor.to_value_order(affine.shift) };
            let shape = importer.graph.shape(tensor.value);
            let value = importer.emit(node, Op::BatchNorm(affine), vec![tensor.value], shape)?;
            Ok(Entry::Tensor(Tensor { value, ..tensor }))
        }
        constant @ Entry::Constant(_) => Ok(constant),
    }
}

impl PictureView {
    /// The dimensions ONNX sees, and the axis of the channels; without one, an axis past the end.
    pub(super) fn dims(&self, picture: Shape) -> (Vec<usize>, usize) {
        let (height, width, channels) = (picture.height as usize, picture.width as usize, self.channels.len());
        match (self.without_channel_axis, self.layout) {
            (true, _) => (vec![1, height, width], 3),
            (false, Layout::Nhwc) => (vec![1, height, width, channels], 3),
            (false, _) => (vec![1, channels, height, width], 1),
        }
    }
}

/// The sum of two or more tensors of the same shape.
pub(super) fn sum<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let mut total = importer.tensor(node, 0)?;
    for index in 1..node.inputs().len() {
        let next = importer.tensor(node, index)?;
        if next.dims != total.dims || next.layout != total.layout {
            return Err(node.unsupported(
                format!("it adds tensors of {:?} and {:?}", total.dims, next.dims),
                "only tensors of the same shape can be added: broadcast a constant or replace the operator",
            ));
        }
        total.value = add(importer, node, total.value, next.value)?;
    }
    Ok(Entry::Tensor(total))
}

fn add<'a>(
    importer: &mut Importer<'a>,
    node: NodeView<'a>,
    left: ValueId,
    right: ValueId,
) -> Result<ValueId, ImportError> {
    let shape = importer.graph.shape(left);
    importer.emit(node, Op::Add(Clamp::NONE), vec![left, right], shape)
}
