//! What can be wrong with an ONNX file, said so that the reader knows what to do next.

use std::fmt;

use crate::budget::Exceeded;

/// Where in a file something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as the caller named it.
    pub file: String,
    /// The node's name; nodes without one are called after their first output.
    pub node: String,
    /// The node's operator, with its domain where that isn't ONNX's own.
    pub operator: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: node '{}' ({})", self.file, self.node, self.operator)
    }
}

/// Why a file could not become a [`Graph`](crate::graph::Graph).
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// Path of the .onnx file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error("{file}: not an ONNX model, or a truncated one ({reason}); export or download it again")]
    NotOnnx {
        /// Path of the .onnx file.
        file: String,
        /// What did not decode.
        reason: String,
    },
    /// The file is of another kind.
    #[error("{file}: not an ONNX model: {what}")]
    OtherKind {
        /// Path of the .onnx file.
        file: String,
        /// What it is, and the way out.
        what: String,
    },
    /// What is made of the file costs more than a file of its size may.
    #[error("{place}: {}{exceeded}", lead(.what))]
    Budget {
        /// The file, or the node in it.
        place: String,
        /// What was to be made; empty where it is the file itself.
        what: String,
        /// The limit that is exceeded, and by what.
        exceeded: Exceeded,
    },
    /// An operator the compiler doesn't know.
    #[error(
        "{place}: unknown operator; known are the operators of CNN classifiers (Conv, pools, BatchNormalization, Relu, \
         Clip, LRN, Concat, Add, Gemm, MatMul, shape changes, and at the end Softmax, LogSoftmax and Sigmoid): replace it in the network and export again"
    )]
    UnknownOperator {
        /// The node at fault, and the file that it is in.
        place: Box<Place>,
    },
    /// A node reads a tensor that nothing makes.
    #[error(
        "{place}: nothing makes its input '{input}'; the file is incomplete: export it again with its weights inside"
    )]
    MissingInput {
        /// The node at fault, and the file that it is in.
        place: Box<Place>,
        /// The tensor's name; for an input that isn't named at all, what it is for.
        input: String,
    },
    /// The picture's size isn't fixed.
    #[error(
        "{file}: input '{input}' has the dynamic dimension '{dimension}'; memory is planned at build time: export with \
         a fixed size (only the batch may be dynamic)"
    )]
    DynamicShape {
        /// Path of the .onnx file.
        file: String,
        /// The graph input.
        input: String,
        /// The dimension's symbol, or its position where it has none.
        dimension: String,
    },
    /// The model is quantised already.
    #[error("{place}: the model is already quantised; give the float model, the quantiser needs its weights")]
    Quantised {
        /// The first node that shows it.
        place: Box<Place>,
    },
    /// An attribute has a value that isn't supported.
    #[error("{place}: attribute {attribute} = {value} is not supported; supported: {supported}")]
    Attribute {
        /// The node at fault, and the file that it is in.
        place: Box<Place>,
        /// The attribute's name.
        attribute: String,
        /// The value found.
        value: String,
        /// The values that would be accepted.
        supported: String,
    },
    /// A known operator, used in a way that isn't supported.
    #[error("{place}: {what}; {way_out}")]
    Unsupported {
        /// The node at fault, and the file that it is in.
        place: Box<Place>,
        /// What the node does.
        what: String,
        /// What the reader can do about it.
        way_out: String,
    },
    /// Sizes that don't fit each other.
    #[error("{place}: {what}; the file is damaged or was edited: export it again")]
    Mismatch {
        /// The node at fault, and the file that it is in.
        place: Box<Place>,
        /// Which sizes do not fit each other.
        what: String,
    },
    /// A constant that cannot be read.
    #[error("{file}: tensor '{tensor}': {reason}; export the model again with float32 weights")]
    Tensor {
        /// Path of the .onnx file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// A constant whose data lies in another file that can't be used.
    #[error("{file}: tensor '{tensor}': {what}")]
    ExternalData {
        /// Path of the .onnx file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with the other file, and the way out.
        what: String,
    },
    /// The graph doesn't take exactly one float picture.
    #[error("{file}: {what}; a network must take one float picture (batch, channels, height, width)")]
    Input {
        /// Path of the .onnx file.
        file: String,
        /// What it takes instead.
        what: String,
    },
    /// The graph doesn't give exactly one result.
    #[error("{file}: {what}; a network must have one output: export it in evaluation mode, without auxiliary heads")]
    Output {
        /// Path of the .onnx file.
        file: String,
        /// What it gives instead.
        what: String,
    },
    /// An entry of the metadata that this project wrote or reads cannot be understood.
    #[error("{file}: its metadata '{key}' cannot be understood: {reason}")]
    Metadata {
        /// Path of the .onnx file.
        file: String,
        /// Key of the metadata entry.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// What comes in front of the limit.
fn lead(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!("{what}: ") }
}
