//! What a file may cost that tract runs as it is, without the importer: tract computes every constant it can before it
//! looks at the picture, and has no limit for it.
//!
//! The walk finds the nodes that don't depend on the picture and bounds the elements that each makes, from the sizes of
//! what it reads. Nodes that make tensors of a size that isn't known before they are computed are refused.

use std::collections::HashMap;

use tract_onnx::pb::NodeProto;

use super::error::ImportError;
use super::file::OnnxFile;
use super::node::NodeView;
use super::tensor::{self, element_count, room};
use super::{MOST_NODES, MOST_WEIGHTED};
use crate::budget::Resource;

/// Sizes and axes have no more numbers.
const SMALL: usize = 64;

/// A tensor that doesn't depend on the picture.
#[derive(Clone, Default)]
struct Known {
    /// Its elements, at most.
    count: u64,
    /// Its sizes, at most, where they can be told.
    dims: Option<Vec<usize>>,
    /// Its values, where it is a small vector of integers in the file.
    values: Option<Vec<i64>>,
}

/// Draws what tract will compute without the picture from the file's budget.
///
/// # Errors
/// [`ImportError::Budget`], and [`ImportError::Unsupported`] for a node whose result could have any size.
pub(crate) fn check_constants(opened: &OnnxFile) -> Result<(), ImportError> {
    let file = opened.name.as_str();
    let graph = opened.graph()?;
    let mut known: HashMap<&str, Known> = HashMap::new();
    // Shape computations beside the layers double their number.
    let (mut nodes, mut weighted) = (0, 0);
    for initializer in &graph.initializer {
        known.insert(&initializer.name, of_tensor(opened, &initializer.name, initializer)?);
    }
    for proto in &graph.node {
        let node = NodeView::new(file, proto);
        nodes += usize::from(node.operator() != "Constant");
        weighted += usize::from(matches!(node.operator(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul"));
        if nodes > 2 * MOST_NODES || weighted > MOST_WEIGHTED {
            return Err(node.unsupported(
                format!("with it the network has more than {} nodes, or {MOST_WEIGHTED} with weights", 2 * MOST_NODES),
                "that is deeper than what is run here: give a smaller network",
            ));
        }
        if matches!(node.operator(), "Loop" | "Scan" | "If") {
            return Err(unknown_size(node));
        }
        let Some(made) = made(opened, node, proto, &known)? else {
            continue;
        };
        let bytes = made.count.saturating_mul(size_of::<i64>() as u64);
        opened.budget.take(Resource::Memory, bytes).map_err(|exceeded| {
            node.exceeds(format!("it makes a constant of up to {} elements", made.count), exceeded)
        })?;
        for output in node.outputs().iter().filter(|name| !name.is_empty()) {
            known.insert(output, made.clone());
        }
    }
    Ok(())
}

fn unknown_size(node: NodeView<'_>) -> ImportError {
    node.unsupported(
        "the size of what it makes is not known before it is computed",
        "simplify the model (onnxsim) and give the result",
    )
}

fn of_tensor(opened: &OnnxFile, name: &str, proto: &tract_onnx::pb::TensorProto) -> Result<Known, ImportError> {
    let count = element_count(&proto.dims).unwrap_or(usize::MAX);
    let dims = proto.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let small = count <= SMALL;
    let values = match small.then(|| tensor::read(&opened.name, name, proto, &opened.budget)) {
        Some(Ok(constant)) => constant.as_ints().map(<[i64]>::to_vec),
        _ => None,
    };
    Ok(Known { count: count as u64, dims, values })
}

/// What a node makes of constants alone; `None` for a node that depends on the picture.
fn made(
    opened: &OnnxFile,
    node: NodeView<'_>,
    proto: &NodeProto,
    known: &HashMap<&str, Known>,
) -> Result<Option<Known>, ImportError> {
    // Shapes are known to tract, and only to it.
    if matches!(node.operator(), "Shape" | "Size") {
        return Ok(Some(Known { count: 8, dims: Some(vec![8]), values: None }));
    }
    let mut inputs: Vec<&Known> = Vec::new();
    for name in proto.input.iter().filter(|name| !name.is_empty()) {
        match known.get(name.as_str()) {
            Some(input) => inputs.push(input),
            None => return Ok(None),
        }
    }
    let product =
        |values: &[i64]| values.iter().fold(1_u64, |product, &size| product.saturating_mul(size.unsigned_abs().max(1)));
    let counts = || inputs.iter().map(|input| input.count.max(1));
    let bounded = |count: u64| Ok(Some(Known { count, ..Known::default() }));
    match (node.operator(), inputs.as_slice()) {
        ("Constant", _) => match node.tensor("value")? {
            Some(tensor) => of_tensor(opened, node.name(), tensor).map(Some),
            None => {
                let values =
                    node.ints("value_ints")?.map(<[i64]>::to_vec).or(node.int("value_int")?.map(|one| vec![one]));
                let count = values.as_ref().map_or(node.floats("value_floats")?.map_or(1, <[f32]>::len), Vec::len);
                Ok(Some(Known { count: count as u64, dims: Some(vec![count]), values }))
            }
        },
        ("ConstantOfShape", [Known { values: Some(sizes), .. }]) => bounded(product(sizes)),
        ("Expand" | "Tile", [input, Known { values: Some(sizes), .. }]) => {
            bounded(input.count.saturating_mul(product(sizes)))
        }
        ("Range", [a, b, c]) => match [a, b, c].map(|input| input.values.as_deref()) {
            [Some(&[start]), Some(&[end]), Some(&[step])] => {
                bounded(end.abs_diff(start) / step.unsigned_abs().max(1) + 1)
            }
            _ => Err(unknown_size(node)),
        },
        (
            "ConstantOfShape" | "Expand" | "Tile" | "OneHot" | "EyeLike" | "Resize" | "Upsample" | "Pad" | "Bernoulli"
            | "Multinomial" | "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike"
            | "ConvTranspose" | "CumSum" | "DepthToSpace" | "SpaceToDepth",
            _,
        ) => Err(unknown_size(node)),
        ("Concat", _) => bounded(counts().fold(0, u64::saturating_add)),
        // Kept axes are one long, so what they are combined with again stays as large.
        (operator, [input, ..]) if operator.starts_with("Reduce") => {
            let keeps = node.int("keepdims")? != Some(0);
            Ok(Some(Known { count: input.count, dims: input.dims.clone().filter(|_| keeps), values: None }))
        }
        ("NonZero", [input]) => bounded(input.count.saturating_mul(8)),
        ("Transpose" | "Flatten" | "Squeeze" | "Unsqueeze" | "Split", [input]) => bounded(input.count),
        // One by one.
        (_, [input]) => Ok(Some(Known { values: None, ..(*input).clone() })),
        ("Reshape" | "Squeeze" | "Unsqueeze" | "Slice" | "Split", [input, ..]) => bounded(input.count),
        (
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Max" | "Min" | "Mod" | "Where" | "Equal" | "Less" | "Greater"
            | "And" | "Or" | "Sum" | "Clip" | "PRelu",
            several,
        ) => match several.iter().map(|input| input.dims.as_deref()).collect::<Option<Vec<_>>>() {
            Some(sizes) => {
                let dims = broadcast(&sizes);
                Ok(Some(Known { count: room(&dims) as u64, dims: Some(dims), values: None }))
            }
            None => bounded(counts().fold(1, u64::saturating_mul)),
        },
        _ => bounded(counts().fold(1, u64::saturating_mul)),
    }
}

/// The sizes that tensors of these sizes have together, each axis the longest.
fn broadcast(sizes: &[&[usize]]) -> Vec<usize> {
    let rank = sizes.iter().map(|dims| dims.len()).max().unwrap_or(0);
    (0..rank)
        .map(|axis| {
            let at = |dims: &&[usize]| (axis + dims.len()).checked_sub(rank).map_or(1, |axis| dims[axis]);
            sizes.iter().map(at).max().unwrap_or(1)
        })
        .collect()
}
