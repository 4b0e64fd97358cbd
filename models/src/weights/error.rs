//! What can be wrong with a file of weights.

use crate::budget::Exceeded;

/// Why a file of weights could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file could not be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// Path of the file of weights.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content is of no kind that is known.
    #[error(
        "{file}: no file of weights, or a truncated one ({reason}); known are PyTorch checkpoints (.pth, .pt), \
         safetensors and Caffe models (.caffemodel)"
    )]
    Unknown {
        /// Path of the file of weights.
        file: String,
        /// What did not decode.
        reason: String,
    },
    /// The file is of another kind.
    #[error("{file}: no file of weights: {what}")]
    OtherKind {
        /// Path of the file of weights.
        file: String,
        /// What it is, and the way out.
        what: String,
    },
    /// What is made of the file costs more than a file of its size may.
    #[error("{file}: {part}: {exceeded}")]
    Budget {
        /// Path of the file of weights.
        file: String,
        /// The tensor, or another part of the file.
        part: String,
        /// The limit that is exceeded, and by what.
        exceeded: Exceeded,
    },
    /// Several sets of weights in one file.
    #[error(
        "{file}: holds several sets of weights ({}); save the one that is meant alone: torch.save(checkpoint['{}'], \
         \"weights.pth\")", quoted(.keys), .keys.first().map_or("", String::as_str)
    )]
    Several {
        /// Path of the file of weights.
        file: String,
        /// Keys under which the sets of weights stand.
        keys: Vec<String>,
    },
    /// The kind is known, the content damaged.
    #[error("{file}: the {kind} is damaged or truncated: {reason}; download or save it again")]
    Damaged {
        /// Path of the file of weights.
        file: String,
        /// What it is.
        kind: &'static str,
        /// What did not decode.
        reason: String,
    },
    /// A pickle that would import more than a state dict needs.
    #[error(
        "{file}: refused: its pickle asks for {name}, which no state dict needs and which could run a program; nothing \
         was run. Take the file from its publisher, or save the state dict alone: torch.save(net.state_dict(), ...)"
    )]
    Pickle {
        /// Path of the file of weights.
        file: String,
        /// What it asks for: `module.name`, or an instruction.
        name: String,
    },
    /// A tensor that cannot be read.
    #[error("{file}: tensor '{tensor}': {reason}; download or save the file again")]
    Tensor {
        /// Path of the file of weights.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// What is wrong.
        reason: String,
    },
    /// No tensor at all.
    #[error("{file}: holds no weights")]
    Empty {
        /// Path of the file of weights.
        file: String,
    },
}

/// Names as a list.
fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
