//! ONNX in and out: [`import`] turns a file into the graph, [`to_onnx`] turns a graph back into a model.
//!
//! ONNX values are NCHW, the graph's are NHWC. The importer keeps, for every ONNX tensor, the graph value that holds
//! its elements and how the two orders relate; transposes and reshapes only change that note. Where a flattened
//! picture meets a dense layer, the layer's columns are put into NHWC order. Constants are folded while importing, so
//! the graph holds none outside its operators.
//!
//! The operators' meaning: <https://onnx.ai/onnx/operators/>. All sizes in a file are checked before use, and what is made
//! of it is counted against the file's budget: a hostile file gets an [`ImportError`].

mod constants;
mod convolution;
mod dense;
mod elementwise;
mod ending;
mod error;
mod export;
mod external;
mod file;
mod guard;
mod importer;
mod interface;
mod layout;
mod messages;
mod metadata;
mod node;
mod pooling;
mod shapes;
mod tensor;

use std::path::{Path, PathBuf};

pub(crate) use ending::own_ending;
pub use error::{ImportError, Place};
pub use export::{encode, to_onnx, to_onnx_with_outputs};
pub(crate) use file::OnnxFile;
pub(crate) use guard::check_constants;
pub(crate) use interface::{check_float, check_tensors, graph_output, picture_input};
pub use metadata::Metadata;

use crate::graph::Graph;

/// No tensor has more elements: 2^28, 1 GiB of floats.
const MOST_ELEMENTS: usize = 1 << 28;

/// No network has more layers, nor more of them with weights: tract's time grows with the square of their number, 12
/// seconds for 1,000 convolutions. NASNet-A, among the deepest, has some 1,500 and 600.
const MOST_NODES: usize = 1 << 11;
const MOST_WEIGHTED: usize = 768;

/// Imports the ONNX file at `path`.
///
/// Accepted are float CNN classifiers as PyTorch, TensorFlow, Caffe and the ONNX model zoo export them: one picture in
/// (NCHW, or NHWC that is transposed first), one output, a batch of one or a dynamic one.
///
/// Weights may lie in other files beside it (external data), in its folder or below.
///
/// # Errors
/// [`ImportError`] names the file, the node and what to do about it.
pub fn import(path: impl AsRef<Path>) -> Result<Graph, ImportError> {
    importer::import_model(&OnnxFile::open(path.as_ref())?)
}

/// Imports an ONNX model from memory; `file` is what errors call it. Its weights must be in it.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: &[u8], file: &str) -> Result<Graph, ImportError> {
    importer::import_model(&OnnxFile::from_bytes(bytes, file)?)
}

/// The files beside the model at `path` that hold weights of it, as it names them: whoever writes files must spare them.
///
/// # Errors
/// [`ImportError::Read`], [`ImportError::NotOnnx`], [`ImportError::OtherKind`], [`ImportError::Budget`].
pub fn data_files(path: impl AsRef<Path>) -> Result<Vec<PathBuf>, ImportError> {
    let path = path.as_ref();
    let (file, bytes) = file::read(path)?;
    let (model, _) = file::decode(&bytes, &file)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(external::locations(model)?.into_iter().map(|location| folder.join(location)).collect())
}
