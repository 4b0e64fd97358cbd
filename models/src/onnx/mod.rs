//! ONNX in and out: [`import`] turns a file into the graph, [`to_onnx`] turns a graph back into a model.
//!
//! ONNX values are NCHW, the graph's are NHWC. The importer keeps, for every ONNX tensor, the graph value that holds
//! its elements and how the two orders relate; transposes and reshapes only change that note. Where a flattened
//! picture meets a dense layer, the layer's columns are put into NHWC order. Constants are folded while importing, so
//! the graph holds none outside its operators.
//!
//! The operators' meaning: <https://onnx.ai/onnx/operators/>. All sizes in a file are checked before use: a hostile
//! file gets an [`ImportError`].

mod constants;
mod convolution;
mod dense;
mod elementwise;
mod ending;
mod error;
mod export;
mod importer;
mod interface;
mod layout;
mod metadata;
mod node;
mod pooling;
mod shapes;
mod tensor;

use std::path::Path;

use prost::Message;
use tract_onnx::pb;

pub(crate) use ending::own_ending;
pub use error::{ImportError, Place};
pub use export::{encode, to_onnx, to_onnx_with_outputs};
pub(crate) use interface::{check_float, check_tensors, graph_output, picture_input};
pub use metadata::Metadata;

use crate::graph::Graph;

/// No tensor has more elements: 2^28, 1 GiB of floats.
const MOST_ELEMENTS: usize = 1 << 28;

/// No constant that the file doesn't spell out has more elements: a few bytes must not claim gigabytes.
const MOST_FILLED: usize = 1 << 20;

/// Imports the ONNX file at `path`.
///
/// Accepted are float CNN classifiers as PyTorch, TensorFlow, Caffe and the ONNX model zoo export them: one picture in
/// (NCHW, or NHWC that is transposed first), one output, a batch of one or a dynamic one.
///
/// # Errors
/// [`ImportError`] names the file, the node and what to do about it.
pub fn import(path: impl AsRef<Path>) -> Result<Graph, ImportError> {
    let (file, bytes) = read(path.as_ref())?;
    import_bytes(&bytes, &file)
}

/// Imports an ONNX model from memory; `file` is what errors call it.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: &[u8], file: &str) -> Result<Graph, ImportError> {
    let model = decode(bytes, file)?;
    importer::import_model(&model, file)
}

/// A file's display name and bytes.
pub(crate) fn read(path: &Path) -> Result<(String, Vec<u8>), ImportError> {
    let file = path.display().to_string();
    match std::fs::read(path) {
        Ok(bytes) => Ok((file, bytes)),
        Err(source) => Err(ImportError::Read { file, source }),
    }
}

/// Decodes the protobuf and checks that it can be a model: almost any bytes are some protobuf message.
pub(crate) fn decode(bytes: &[u8], file: &str) -> Result<pb::ModelProto, ImportError> {
    let bad = |reason: String| ImportError::NotOnnx { file: file.to_owned(), reason };
    let model = pb::ModelProto::decode(bytes).map_err(|error| bad(error.to_string()))?;
    match &model.graph {
        Some(graph) if graph.node.is_empty() => Err(bad("its graph has no nodes".into())),
        Some(_) => Ok(model),
        None => Err(bad("it has no graph".into())),
    }
}
