//! Why a graph cannot be compiled.

use tinception_core::error::FormatError;
use tinception_core::format::{LABEL_LIMIT, SCRATCH_LIMIT};
use tinception_core::shape::Shape;

use crate::quantize::WeightError;

/// What is wrong with a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LabelProblem {
    /// It has a control character.
    Control,
    /// It is longer than [`LABEL_LIMIT`].
    Length,
}

impl LabelProblem {
    fn text(self) -> String {
        match self {
            Self::Control => "has a tab or another control character in it; write names without".into(),
            Self::Length => format!("is longer than {LABEL_LIMIT} bytes; shorten it"),
        }
    }
}

/// Why a graph cannot be compiled. Every message names the node and the way out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// An operator that the quantiser doesn't take.
    #[error("node '{node}' ({operator}): {problem}")]
    Unsupported {
        /// Name of the node at fault.
        node: String,
        /// ONNX name of its operator.
        operator: &'static str,
        /// What is wrong and what to do.
        problem: &'static str,
    },
    /// The calibration is not of this graph.
    #[error("the calibration doesn't know the value '{value}': calibrate on the very graph that is compiled")]
    NotCalibrated {
        /// Name of the value that has no range.
        value: String,
    },
    /// The scores are no vector.
    #[error(
        "node '{node}' gives scores of {} x {} pixels: a classifier's end is 1 x 1; add a global pool", shape.height,
        shape.width
    )]
    ScoresShape {
        /// The node that makes the scores.
        node: String,
        /// Shape of the scores.
        shape: Shape,
    },
    /// Weights that have no int8 form.
    #[error("node '{node}': {}", weight_problem(*.problem))]
    Weights {
        /// Name of the node at fault.
        node: String,
        /// What is wrong.
        problem: WeightError,
    },
    /// Scales too far apart for an integer rule.
    #[error("node '{node}': the scales of its input and output are too far apart; look for dead layers around it")]
    Ratio {
        /// Name of the node at fault.
        node: String,
    },
    /// A local response normalisation whose factors have no table.
    #[error("node '{node}' (LRN): its factors are negative, infinite or too large for a table of 16 bits")]
    LrnTable {
        /// Name of the node at fault.
        node: String,
    },
    /// A window or its padding is too large for the format.
    #[error("node '{node}': kernel, stride or padding is above 65,535")]
    Window {
        /// Name of the node at fault.
        node: String,
    },
    /// A layer needs more scratch than a file may ask for.
    #[error(
        "node '{node}' needs {needed} bytes of scratch for one patch, and at most {SCRATCH_LIMIT} are allowed: give it fewer channels or a smaller kernel"
    )]
    Scratch {
        /// Name of the node at fault.
        node: String,
        /// Bytes of one patch.
        needed: u64,
    },
    /// The label file doesn't fit the network.
    #[error("{file}: {lines} lines, but the network has {classes} classes: one line per class is wanted")]
    Labels {
        /// The label file.
        file: String,
        /// How many lines the label file has.
        lines: usize,
        /// The network's classes.
        classes: usize,
    },
    /// A label that no file may have.
    #[error("{file}: line {line} {}", .problem.text())]
    Label {
        /// The label file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: LabelProblem,
    },
    /// A scale or a mean of the preprocessing is no number that a file may have.
    #[error(
        "the preprocessing's mean {mean} and scale {scale} of a channel make no picture: a mean is finite, a scale finite and \
         positive (a standard deviation of {} is a scale of {scale})", 1.0 / scale
    )]
    Preprocessing {
        /// The channel's mean.
        mean: f32,
        /// The channel's scale.
        scale: f32,
    },
    /// The preprocessing gives another number of channels than the network takes.
    #[error(
        "the preprocessing gives {given} channels, but the network's input '{input}' takes {taken}: choose another colour order"
    )]
    InputChannels {
        /// Channels of the colour order.
        given: usize,
        /// The network's input.
        input: String,
        /// Channels of that input.
        taken: u32,
    },
    /// More than the format's fields hold.
    #[error("the network is too large for the format: {what}")]
    TooLarge {
        /// What exceeds which limit.
        what: &'static str,
    },
    /// The reader refuses the file: a bug of the compiler.
    #[error("the compiled file is refused by its reader ({0}): please report this network")]
    Refused(FormatError),
}

fn weight_problem(problem: WeightError) -> String {
    match problem {
        WeightError::Layout => "its weights don't fit its shapes".into(),
        WeightError::NotFinite => "a weight or bias is infinite or not a number: repair the model".into(),
        WeightError::TooDeep { depth } => {
            format!("each output sums up {depth} products, more than an int32 holds: split the layer or pool before it")
        }
        WeightError::Ratio => "the scales of its weights and its output are too far apart".into(),
    }
}
