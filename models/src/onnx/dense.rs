//! Gemm, MatMul, Softmax and LogSoftmax: what comes after the picture has become a vector.

use tinception_core::shape::Shape;

use super::convolution::small;
use super::error::ImportError;
use super::importer::{Entry, Importer};
use super::layout::{Layout, Tensor};
use super::node::NodeView;
use super::tensor::Constant;
use crate::graph::{Clamp, Dense, Op, nhwc_order};

/// `alpha * A' * B' + beta * C` with the picture's vector as A and constants as B and C.
pub(super) fn gemm<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let input = importer.tensor(node, 0)?;
    let row = match (node.flag("transA")?, input.dims.as_slice()) {
        (false, &[1, inputs]) | (true, &[inputs, 1]) => inputs,
        (_, dims) => return Err(not_a_row(node, dims)),
    };
    let matrix = importer.floats(node, 1)?;
    let transposed = node.flag("transB")?;
    let outputs = match (transposed, matrix.dims.as_slice()) {
        (false, &[inputs, outputs]) | (true, &[outputs, inputs]) if inputs == row => outputs,
        (_, dims) => return Err(node.mismatch(format!("its matrix {dims:?} doesn't fit {row} inputs"))),
    };
    importer.charge_weights(node, matrix.len() + outputs)?;
    let (alpha, beta) = (node.float("alpha")?.unwrap_or(1.0), node.float("beta")?.unwrap_or(1.0));
    let bias = match importer.entry(node, 2)? {
        None => vec![0.0; outputs],
        Some(_) => {
            let bias = importer.floats(node, 2)?;
            gemm_bias(node, &bias, outputs)?
        }
    };
    let dense = Dense {
        weights: rows_in_value_order(&input, &matrix, row, outputs, transposed).map(|weight| alpha * weight).collect(),
        bias: bias.into_iter().map(|bias| beta * bias).collect(),
        clamp: Clamp::NONE,
    };
    emit_dense(importer, node, &input, dense, vec![1, outputs])
}

/// The vector broadcast to one row of `outputs`.
fn gemm_bias(node: NodeView<'_>, bias: &Constant, outputs: usize) -> Result<Vec<f32>, ImportError> {
    let values = bias.as_floats().unwrap_or_default();
    match (bias.dims.as_slice(), values) {
        ([] | [1] | [1, 1], &[value]) => Ok(vec![value; outputs]),
        (&[size] | &[1, size], _) if size == outputs => Ok(values.to_vec()),
        (dims, _) => Err(node.mismatch(format!("its bias {dims:?} doesn't fit {outputs} outputs"))),
    }
}

/// A vector times a constant matrix; a bias follows as an `Add`.
pub(super) fn matmul<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let input = importer.tensor(node, 0)?;
    let matrix = importer.floats(node, 1)?;
    let elements = importer.graph.shape(input.value).elements();
    let (row, outputs) = match (input.dims.as_slice(), matrix.dims.as_slice()) {
        (&[.., row], &[inputs, outputs]) if row as u64 == elements && row == inputs => (row, outputs),
        (&[.., row], dims) if row as u64 == elements => {
            return Err(node.mismatch(format!("its matrix {dims:?} doesn't fit {row} inputs")));
        }
        (dims, _) => return Err(not_a_row(node, dims)),
    };
    importer.charge_weights(node, matrix.len() + outputs)?;
    let dense = Dense {
        weights: rows_in_value_order(&input, &matrix, row, outputs, false).collect(),
        bias: vec![0.0; outputs],
        clamp: Clamp::NONE,
    };
    let mut dims = input.dims.clone();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    emit_dense(importer, node, &input, dense, dims)
}

fn not_a_row(node: NodeView<'_>, dims: &[usize]) -> ImportError {
    node.unsupported(
        format!("its input has dimensions {dims:?}, not one row"),
        "flatten the picture in front of it: only vectors go through dense layers",
    )
}

/// The matrix as `[output][input]`, its inputs in the order of the value that `input` names.
fn rows_in_value_order<'m>(
    input: &Tensor,
    matrix: &'m Constant,
    inputs: usize,
    outputs: usize,
    transposed: bool,
) -> impl Iterator<Item = f32> + 'm {
    let order: Vec<usize> = match input.layout {
        Layout::FlatNchw(shape) => nhwc_order(shape).collect(),
        _ => (0..inputs).collect(),
    };
    let values = matrix.as_floats().unwrap_or_default();
    let (output_stride, input_stride) = if transposed { (inputs, 1) } else { (1, outputs) };
    (0..outputs).flat_map(move |output| {
        let row: Vec<f32> = order.iter().map(|input| values[output * output_stride + input * input_stride]).collect();
        row
    })
}

fn emit_dense<'a>(
    importer: &mut Importer<'a>,
    node: NodeView<'a>,
    input: &Tensor,
    dense: Dense,
    dims: Vec<usize>,
) -> Result<Entry, ImportError> {
    let shape = Shape::new(1, 1, small(node, dense.bias.len())?);
    let output = importer.emit(node, Op::Dense(dense), vec![input.value], shape)?;
    Ok(Entry::Tensor(Tensor::vector(output, dims)))
}

/// Softmax or LogSoftmax over all elements of a vector. Before operator set 13 the axis is where flattening starts.
pub(super) fn softmax<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let tensor = importer.tensor(node, 0)?;
    let old = importer.opset < 13;
    let axis = node.int("axis")?.unwrap_or(if old { 1 } else { -1 });
    let index = super::shapes::axis_index(node, axis, tensor.dims.len())?;
    let shape = importer.graph.shape(tensor.value);
    let covered: usize = if old { tensor.dims[index..].iter().product() } else { tensor.dims[index] };
    if shape.pixels() != 1 || covered as u64 != shape.elements() {
        return Err(node.unsupported(
            format!("it normalises axis {axis} of {:?}", tensor.dims),
            "softmax is known over the classes of one vector only: pool the picture first",
        ));
    }
    let op = if node.operator() == "LogSoftmax" { Op::LogSoftmax } else { Op::Softmax };
    let value = importer.emit(node, op, vec![tensor.value], shape)?;
    Ok(Entry::Tensor(Tensor { value, ..tensor }))
}
