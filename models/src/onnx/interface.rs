//! What a file takes and gives: its one picture, its one output, and what lies between.

use std::collections::HashSet;

use tinception_core::shape::Shape;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, ValueInfoProto, type_proto};

use super::MOST_ELEMENTS;
use super::error::ImportError;
use super::layout::Layout;
use super::node::NodeView;
use super::tensor;
use crate::budget::Budget;

/// The graph's only picture, as the file declares it.
pub(crate) struct PictureInput<'a> {
    /// The input's name.
    pub(crate) name: &'a str,
    /// Its size.
    pub(crate) shape: Shape,
    pub(super) layout: Layout,
}

impl PictureInput<'_> {
    /// Whether the file takes NHWC instead of NCHW.
    pub(crate) fn is_nhwc(&self) -> bool {
        self.layout == Layout::Nhwc
    }
}

/// The graph's only input that isn't an initializer.
///
/// # Errors
/// [`ImportError::Input`] for none, several, or one that isn't a float picture, [`ImportError::DynamicShape`].
pub(crate) fn picture_input<'a>(proto: &'a GraphProto, file: &str) -> Result<PictureInput<'a>, ImportError> {
    let bad = |what: String| ImportError::Input { file: file.to_owned(), what };
    let weights: HashSet<&str> = proto.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<_> = proto.input.iter().filter(|input| !weights.contains(input.name.as_str())).collect();
    let input = match inputs.as_slice() {
        [input] => *input,
        [] => return Err(bad("the graph has no input".into())),
        several => {
            let names: Vec<_> = several.iter().map(|input| format!("'{}'", input.name)).collect();
            return Err(bad(format!("the graph has {} inputs: {}", names.len(), names.join(", "))));
        }
    };
    let name = input.name.as_str();
    let dims = fixed_dims(input, file)?;
    let &[batch, a, b, c] = dims.as_slice() else {
        return Err(bad(format!("input '{name}' has {} dimensions instead of 4", dims.len())));
    };
    if batch != 1 {
        return Err(bad(format!("input '{name}' takes batches of {batch} pictures")));
    }
    let layout = if is_transposed_first(proto, name) { Layout::Nhwc } else { Layout::Nchw };
    let shape = match layout {
        Layout::Nhwc => Shape::new(a, b, c),
        _ => Shape::new(b, c, a),
    };
    if shape.elements() == 0 || shape.elements() > MOST_ELEMENTS as u64 {
        return Err(bad(format!("input '{name}' is {} x {} x {} pictures", shape.height, shape.width, shape.channels)));
    }
    Ok(PictureInput { name, shape, layout })
}

/// An input's sizes, a dynamic batch taken as one.
fn fixed_dims(input: &ValueInfoProto, file: &str) -> Result<Vec<u32>, ImportError> {
    let bad = |what: String| ImportError::Input { file: file.to_owned(), what };
    let name = &input.name;
    let kind = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(kind)) = kind else {
        return Err(bad(format!("input '{name}' is not a tensor")));
    };
    match DataType::try_from(kind.elem_type).unwrap_or(DataType::Undefined) {
        DataType::Float | DataType::Float16 | DataType::Double => {}
        other => return Err(bad(format!("input '{name}' is of type {}", other.as_str_name()))),
    }
    let Some(shape) = &kind.shape else {
        return Err(ImportError::DynamicShape {
            file: file.to_owned(),
            input: name.clone(),
            dimension: "all of them: it has no shape".into(),
        });
    };
    let fixed = |(position, dim): (usize, &tract_onnx::pb::tensor_shape_proto::Dimension)| {
        let dynamic = |symbol: &str| match position {
            0 => Ok(1),
            _ => Err(ImportError::DynamicShape {
                file: file.to_owned(),
                input: name.clone(),
                dimension: if symbol.is_empty() { format!("number {position}") } else { symbol.to_owned() },
            }),
        };
        match &dim.value {
            None => dynamic(""),
            Some(dimension::Value::DimParam(symbol)) => dynamic(symbol),
            Some(dimension::Value::DimValue(size)) if *size < 1 => dynamic(""),
            Some(dimension::Value::DimValue(size)) => {
                u32::try_from(*size).map_err(|_| bad(format!("input '{name}' has a dimension of {size}")))
            }
        }
    };
    shape.dim.iter().enumerate().map(fixed).collect()
}

/// Whether the picture runs, through scaling only, into a transpose from NHWC to NCHW, as TensorFlow exports do.
fn is_transposed_first(proto: &GraphProto, picture: &str) -> bool {
    let mut names = HashSet::from([picture]);
    for node in &proto.node {
        if !node.input.iter().any(|name| names.contains(name.as_str())) {
            continue;
        }
        match node.op_type.as_str() {
            "Transpose" => {
                let perm = node.attribute.iter().find(|attribute| attribute.name == "perm");
                if perm.is_some_and(|perm| perm.ints == [0, 3, 1, 2]) {
                    return true;
                }
            }
            "Identity" | "Cast" | "Mul" | "Add" | "Sub" | "Div" => names.extend(node.output.iter().map(String::as_str)),
            _ => {}
        }
    }
    false
}

/// The name of the graph's only output, which a node makes.
///
/// # Errors
/// [`ImportError::Output`].
pub(crate) fn graph_output<'a>(proto: &'a GraphProto, file: &str) -> Result<&'a str, ImportError> {
    let bad = |what: String| ImportError::Output { file: file.to_owned(), what };
    let output = match proto.output.as_slice() {
        [output] => output.name.as_str(),
        [] => return Err(bad("the graph has no output".into())),
        several => {
            let names: Vec<_> = several.iter().map(|output| format!("'{}'", output.name)).collect();
            return Err(bad(format!("the graph has {} outputs: {}", names.len(), names.join(", "))));
        }
    };
    match proto.node.iter().any(|node| node.output.iter().any(|name| name == output)) {
        true => Ok(output),
        false => Err(bad(format!("no node makes the graph's output '{output}'"))),
    }
}

/// Checks that every constant can be read.
///
/// # Errors
/// [`ImportError::Tensor`], [`ImportError::ExternalData`], [`ImportError::Budget`].
pub(crate) fn check_tensors(proto: &GraphProto, file: &str, budget: &Budget) -> Result<(), ImportError> {
    proto
        .initializer
        .iter()
        .try_for_each(|initializer| tensor::read(file, &initializer.name, initializer, budget).map(|_| ()))
}

/// The names that the output depends on: what no one reads is not imported.
pub(super) fn needed_names<'a>(proto: &'a GraphProto, output: &'a str) -> HashSet<&'a str> {
    let mut needed = HashSet::from([output]);
    for node in proto.node.iter().rev() {
        if node.output.iter().any(|name| !name.is_empty() && needed.contains(name.as_str())) {
            needed.extend(node.input.iter().map(String::as_str));
        }
    }
    needed.remove("");
    needed
}

/// Checks that the model isn't quantised: nothing here could use it, and tract computes some such files wrongly.
///
/// # Errors
/// [`ImportError::Quantised`].
pub(crate) fn check_float(proto: &GraphProto, file: &str) -> Result<(), ImportError> {
    match proto.node.iter().find(|node| is_quantised(&node.op_type)) {
        Some(node) => Err(NodeView::new(file, node).quantised()),
        None => Ok(()),
    }
}

fn is_quantised(operator: &str) -> bool {
    operator.starts_with("QLinear")
        || matches!(
            operator,
            "QuantizeLinear"
                | "DequantizeLinear"
                | "DynamicQuantizeLinear"
                | "ConvInteger"
                | "MatMulInteger"
                | "QGemm"
                | "QAttention"
        )
}
