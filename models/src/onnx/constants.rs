//! Folding: nodes that make a constant, or compute one from constants and shapes.

use std::rc::Rc;

use super::error::ImportError;
use super::importer::{Entry, Importer};
use super::node::NodeView;
use super::shapes::{axis_index, permutation, resolve, slice_range, squeezed, unsqueezed};
use super::tensor::{self, Constant, Data, element_count, room};

/// The constant that a node makes; `None` for a node that needs the picture.
pub(super) fn fold(importer: &Importer<'_>, node: NodeView<'_>) -> Result<Option<Rc<Constant>>, ImportError> {
    match node.operator() {
        "Constant" => return constant(importer, node).map(Rc::new).map(Some),
        "Shape" => return shape(importer, node).map(Rc::new).map(Some),
        _ => {}
    }
    let mut inputs: Vec<Option<Rc<Constant>>> = Vec::new();
    for index in 0..node.inputs().len() {
        match importer.entry(node, index)? {
            None => inputs.push(None),
            Some(Entry::Constant(constant)) => inputs.push(Some(constant.clone())),
            Some(_) => return Ok(None),
        }
    }
    let Some(Some(first)) = inputs.first() else {
        return Ok(None);
    };
    // What only gives the constant another shape, order or type makes as many elements as it has.
    if !matches!(node.operator(), "Identity" | "Dropout" | "ConstantOfShape" | "Concat" | "Gather" | "Slice") {
        charge(importer, node, &first.dims)?;
    }
    let folded = match node.operator() {
        "Identity" | "Dropout" => return Ok(Some(first.clone())),
        "Cast" => cast(node, first)?,
        "ConstantOfShape" => constant_of_shape(importer, node, first)?,
        "Reshape" => {
            let wanted = importer.ints(node, "shape", 1)?.ok_or_else(|| node.missing_input("shape"))?;
            Constant { dims: resolve(node, &wanted, &first.dims)?, data: first.data.clone() }
        }
        "Squeeze" => {
            let axes = importer.ints(node, "axes", 1)?;
            Constant { dims: squeezed(node, &first.dims, axes)?, data: first.data.clone() }
        }
        "Unsqueeze" => {
            let axes = importer.ints(node, "axes", 1)?.ok_or_else(|| node.missing_input("axes"))?;
            Constant { dims: unsqueezed(node, &first.dims, &axes)?, data: first.data.clone() }
        }
        "Transpose" => transpose(node, first)?,
        "Concat" => concat(importer, node, &inputs)?,
        "Gather" => gather(importer, node, first, inputs.get(1))?,
        "Slice" => slice(importer, node, first)?,
        "Add" | "Sub" | "Mul" | "Div" => match inputs.get(1) {
            Some(Some(second)) => arithmetic(importer, node, first, second)?,
            _ => return Err(node.missing_input("number 2")),
        },
        _ => return Err(not_folded(node)),
    };
    Ok(Some(Rc::new(folded)))
}

/// Draws the elements that a node is about to make from the file's budget; the widest kind has 8 bytes.
fn charge(importer: &Importer<'_>, node: NodeView<'_>, dims: &[usize]) -> Result<(), ImportError> {
    let exceeds = |exceeded| node.exceeds(format!("it makes a constant of {dims:?}"), exceeded);
    importer.budget.take_elements::<i64>(room(dims)).map_err(exceeds)
}

fn not_folded(node: NodeView<'_>) -> ImportError {
    node.unsupported(
        "it computes with constants in a way that isn't folded",
        "simplify the model (onnxsim) and give the result",
    )
}

fn constant(importer: &Importer<'_>, node: NodeView<'_>) -> Result<Constant, ImportError> {
    let name = node.outputs().first().map_or("", String::as_str);
    if let Some(tensor) = node.tensor("value")? {
        return tensor::read(importer.file, name, tensor, importer.budget);
    }
    if let Some(value) = node.float("value_float")? {
        return Ok(Constant { dims: Vec::new(), data: Data::Float(vec![value]) });
    }
    if let Some(values) = node.floats("value_floats")? {
        return Ok(Constant { dims: vec![values.len()], data: Data::Float(values.to_vec()) });
    }
    if let Some(value) = node.int("value_int")? {
        return Ok(Constant { dims: Vec::new(), data: Data::Int(vec![value]) });
    }
    if let Some(values) = node.ints("value_ints")? {
        return Ok(Constant::ints(values.to_vec()));
    }
    Err(node.bad_attribute("value", "missing", "a tensor of floats or integers"))
}

fn shape(importer: &Importer<'_>, node: NodeView<'_>) -> Result<Constant, ImportError> {
    let dims = match importer.required(node, 0)? {
        Entry::Constant(constant) => constant.dims.clone(),
        Entry::Tensor(tensor) => tensor.dims.clone(),
        Entry::Picture(view) => view.dims(importer.graph.shape(importer.graph.input)).0,
    };
    let end = node.int("end")?.unwrap_or(i64::MAX);
    let range = slice_range(node.int("start")?.unwrap_or(0), end, dims.len());
    Ok(Constant::ints(dims.get(range).unwrap_or_default().iter().map(|&dim| dim as i64).collect()))
}

fn cast(node: NodeView<'_>, input: &Constant) -> Result<Constant, ImportError> {
    // TensorProto's data types: 1 float, 6 int32, 7 int64, 10 float16, 11 double.
    let data = match (node.int("to")?, &input.data) {
        (Some(1 | 10 | 11), Data::Int(values)) => Data::Float(values.iter().map(|&value| value as f32).collect()),
        (Some(6 | 7), Data::Float(values)) => Data::Int(values.iter().map(|&value| value as i64).collect()),
        (Some(1 | 10 | 11), data @ Data::Float(_)) | (Some(6 | 7), data @ Data::Int(_)) => data.clone(),
        (other, _) => return Err(node.bad_attribute("to", other.unwrap_or_default(), "a float or integer type")),
    };
    Ok(Constant { dims: input.dims.clone(), data })
}

fn constant_of_shape(importer: &Importer<'_>, node: NodeView<'_>, sizes: &Constant) -> Result<Constant, ImportError> {
    let sizes = sizes.as_ints().unwrap_or_default();
    let bad = || node.mismatch(format!("it makes a tensor of {sizes:?}"));
    let count = element_count(sizes).ok_or_else(|| {
        node.unsupported(
            format!("it makes a tensor of {sizes:?}"),
            "no tensor may have negative sizes, more than 8 axes or 2^28 elements: check the sizes in the network",
        )
    })?;
    let dims: Vec<usize> = sizes.iter().filter_map(|&size| usize::try_from(size).ok()).collect();
    charge(importer, node, &dims)?;
    let value = match node.tensor("value")? {
        Some(tensor) => tensor::read(importer.file, node.name(), tensor, importer.budget)?.data,
        None => Data::Float(vec![0.0]),
    };
    let data = match value {
        Data::Float(value) => Data::Float(vec![*value.first().ok_or_else(bad)?; count]),
        Data::Int(value) => Data::Int(vec![*value.first().ok_or_else(bad)?; count]),
    };
    Ok(Constant { dims, data })
}

/// Picks elements by their index in row-major order.
fn take(data: &Data, indices: impl Iterator<Item = usize>) -> Data {
    match data {
        Data::Float(values) => Data::Float(indices.filter_map(|index| values.get(index).copied()).collect()),
        Data::Int(values) => Data::Int(indices.filter_map(|index| values.get(index).copied()).collect()),
    }
}

/// Distance in elements between neighbours on each axis, row-major.
fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1);
    }
    strides
}

/// For every position of a tensor of `dims` in row-major order, `sum(position[axis] * strides[axis])`.
fn walk(dims: Vec<usize>, strides: Vec<usize>) -> impl Iterator<Item = usize> {
    let count = dims.iter().product();
    (0..count).map(move |mut flat: usize| {
        let mut index = 0;
        for (&dim, &stride) in dims.iter().zip(&strides).rev() {
            index += flat % dim * stride;
            flat /= dim;
        }
        index
    })
}

fn transpose(node: NodeView<'_>, input: &Constant) -> Result<Constant, ImportError> {
    let perm = permutation(node, input.dims.len())?;
    let from = strides(&input.dims);
    let dims: Vec<_> = perm.iter().map(|&axis| input.dims[axis]).collect();
    let data = take(&input.data, walk(dims.clone(), perm.iter().map(|&axis| from[axis]).collect()));
    Ok(Constant { dims, data })
}

/// Joins vectors of integers, as shape computations do.
fn concat(
    importer: &Importer<'_>,
    node: NodeView<'_>,
    inputs: &[Option<Rc<Constant>>],
) -> Result<Constant, ImportError> {
    let count = inputs.iter().flatten().map(|input| input.len()).sum();
    charge(importer, node, &[count])?;
    let mut values = Vec::with_capacity(count);
    for input in inputs.iter().flatten() {
        match (&input.data, input.dims.len()) {
            (Data::Int(part), 1) => values.extend(part),
            _ => return Err(not_folded(node)),
        }
    }
    Ok(Constant::ints(values))
}

/// Picks from a vector.
fn gather(
    importer: &Importer<'_>,
    node: NodeView<'_>,
    input: &Constant,
    indices: Option<&Option<Rc<Constant>>>,
) -> Result<Constant, ImportError> {
    let Some(Some(indices)) = indices else {
        return Err(node.missing_input("indices"));
    };
    charge(importer, node, &indices.dims)?;
    let (&[size], Some(values)) = (input.dims.as_slice(), indices.as_ints()) else {
        return Err(not_folded(node));
    };
    let picked = values.iter().map(|&index| axis_index(node, index, size)).collect::<Result<Vec<_>, _>>()?;
    Ok(Constant { dims: indices.dims.clone(), data: take(&input.data, picked.into_iter()) })
}

/// A part of a vector.
fn slice(importer: &Importer<'_>, node: NodeView<'_>, input: &Constant) -> Result<Constant, ImportError> {
    let ints = |name, index| importer.ints(node, name, index).map(Option::unwrap_or_default);
    let (starts, ends, steps) = (ints("starts", 1)?, ints("ends", 2)?, ints("steps", 4)?);
    match (input.dims.as_slice(), starts.as_slice(), ends.as_slice(), steps.as_slice()) {
        (&[size], &[start], &[end], [] | [1]) => {
            let range = slice_range(start, end, size);
            charge(importer, node, &[range.len()])?;
            let data = take(&input.data, range);
            let dims = match &data {
                Data::Float(values) => vec![values.len()],
                Data::Int(values) => vec![values.len()],
            };
            Ok(Constant { dims, data })
        }
        _ => Err(not_folded(node)),
    }
}

/// Element by element, broadcast as NumPy does.
fn arithmetic(
    importer: &Importer<'_>,
    node: NodeView<'_>,
    left: &Constant,
    right: &Constant,
) -> Result<Constant, ImportError> {
    let rank = left.dims.len().max(right.dims.len());
    let size = |dims: &[usize], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(axis) => dims[axis],
        None => 1,
    };
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        dims.push(match (size(&left.dims, axis), size(&right.dims, axis)) {
            (left, right) if left == right || right == 1 => left,
            (1, right) => right,
            _ => return Err(node.mismatch(format!("{:?} and {:?} cannot be broadcast", left.dims, right.dims))),
        });
    }
    // Both operands are spread out over the result before they are combined.
    for _ in 0..3 {
        charge(importer, node, &dims)?;
    }
    let indices = |operand: &[usize]| {
        let own = strides(operand);
        let spread = (0..rank).map(|axis| match (axis + operand.len()).checked_sub(rank) {
            Some(at) if operand[at] != 1 => own[at],
            _ => 0,
        });
        walk(dims.clone(), spread.collect())
    };
    let left = take(&left.data, indices(&left.dims));
    let right = take(&right.data, indices(&right.dims));
    let operator = node.operator();
    let data = match (left, right) {
        (Data::Float(left), Data::Float(right)) => {
            let apply = |(left, right)| match operator {
                "Add" => left + right,
                "Sub" => left - right,
                "Mul" => left * right,
                _ => left / right,
            };
            Data::Float(left.into_iter().zip(right).map(apply).collect())
        }
        (Data::Int(left), Data::Int(right)) => {
            let apply = |(left, right): (i64, i64)| match operator {
                "Add" => left.checked_add(right),
                "Sub" => left.checked_sub(right),
                "Mul" => left.checked_mul(right),
                _ => left.checked_div(right),
            };
            let values: Option<Vec<_>> = left.into_iter().zip(right).map(apply).collect();
            Data::Int(values.ok_or_else(|| node.mismatch("its result overflows"))?)
        }
        _ => return Err(node.mismatch("it mixes floats and integers")),
    };
    Ok(Constant { dims, data })
}
