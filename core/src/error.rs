//! What can go wrong: one small enum per layer, without strings, so that errors cost a device nothing.

use core::fmt;

/// Why a file is not a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes do not start at a multiple of 16 in memory; see [`include_model!`](crate::include_model).
    Misaligned,
    /// The file ends early, or is longer than it says.
    Length,
    /// The first bytes are not those of a `.tin` file.
    Magic,
    /// The file is of a major version that this crate does not read.
    Version {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
    },
    /// The file's bytes are not those that were written.
    Checksum,
    /// A section is missing, twice there, out of bounds, or of a wrong size.
    Section,
    /// A text is not UTF-8, has control characters or a line that is too long, or there are not as many labels as classes, or ids as labels.
    Text,
    /// The sizes of the arena in the header are not those of the tensors and steps.
    Arena,
    /// A tensor's shape, stride, offset or type is impossible.
    Tensor {
        /// Index of the tensor.
        tensor: u16,
    },
    /// The preprocessing is none that this reader knows, or a scale or mean in it is not finite, or a scale not positive.
    Preprocess,
    /// A result that neither the input nor a step writes.
    Unwritten {
        /// Index of the tensor.
        tensor: u16,
    },
    /// A step has an operator that this crate does not know, or that this build leaves out.
    Operator {
        /// Index of the step.
        step: u16,
        /// Number of the operator.
        operator: u8,
    },
    /// A step cannot run.
    Step {
        /// Index of the step.
        step: u16,
        /// What is wrong with it.
        problem: StepProblem,
    },
}

/// What is wrong with a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepProblem {
    /// It names a tensor that does not exist.
    Tensor,
    /// Its tensors have shapes, strides or types that the operator cannot join.
    Shape,
    /// It would overwrite what it reads.
    Overlap,
    /// A table or the weights lie outside the file, or not at the alignment they need.
    Data,
    /// A weight is -128, padding is not zero, or a sum of weights is wrong.
    Weights,
    /// A bias is so large that an accumulator could overflow.
    Bias,
    /// A multiplier, a shift or an activation's range is out of its bounds.
    Requantize,
    /// A window lies in the padding alone, or a table lacks an entry that the operator will ask for.
    Window,
    /// It needs more scratch than the file states.
    Scratch,
    /// It is linked to a step that it can't run together with.
    Link,
    /// This build leaves out what it computes: see the feature `every-operator`.
    LeftOut,
    /// It reads bytes that neither the input nor a step before it writes.
    Unwritten,
    /// Its name is too long, is not UTF-8 or has control characters.
    Name,
    /// Up to it, weights and tables are shared by so many steps that verifying them takes longer than it does for any file of
    /// this size without.
    Effort,
}

/// Why a session cannot be made or cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// The arena has fewer bytes than the model needs.
    ArenaTooSmall {
        /// Bytes the model needs.
        needed: usize,
    },
    /// The memory for prepared weights has fewer elements than the model needs on this backend.
    PreparedTooSmall {
        /// Elements the model needs.
        needed: usize,
    },
    /// The memory that a session works with, its own or its further threads', has fewer elements than it needs.
    WorkspaceTooSmall {
        /// Elements of 16 bits it needs.
        needed: usize,
    },
    /// The observer asked to stop, or the flag of [`Session::stop_at`](crate::session::Session::stop_at) is set.
    Stopped,
    /// A step could not run. A verified model never gives this.
    Step {
        /// Index of the step.
        step: u16,
    },
}

/// Why a picture can't become a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// A picture or an output without rows or without columns.
    Empty,
    /// A side of the picture, of the output or of the resized picture is longer than this version computes with.
    TooLarge,
    /// This build leaves out the picture's format or grey networks: see the feature `every-format`.
    LeftOut,
    /// A YUYV picture of odd width: its pixels come in pairs.
    OddWidth,
    /// The stride is shorter than a row of pixels, which has `needed` bytes.
    StrideTooShort {
        /// Bytes in a row of pixels.
        needed: usize,
    },
    /// The data ends before the picture does, which has `needed` bytes (`usize::MAX` where even that overflows).
    DataTooShort {
        /// Bytes from the first pixel to the last one.
        needed: usize,
    },
    /// A resize to nothing: a shorter side of 0, or a central crop outside 1 to 1000 thousandths.
    BadResize,
    /// The output is larger than the resized picture it should be cut from.
    CropOutside,
    /// The picture's size isn't the one the geometry was planned for.
    PictureMismatch,
    /// The scratch has fewer than `needed` words.
    ScratchTooSmall {
        /// Words the resampling needs.
        needed: usize,
    },
    /// The output buffer doesn't have the `needed` bytes.
    OutputLength {
        /// Bytes in the output: height times width times channels.
        needed: usize,
    },
    /// The pixels to quantise aren't a whole number of pixels.
    PartialPixel,
    /// The tables don't have the `needed` entries: 256 per channel.
    TableLength {
        /// Entries in all tables together.
        needed: usize,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misaligned => f.write_str("the model does not start at a multiple of 16 bytes in memory"),
            Self::Length => f.write_str("the file is truncated, or longer than it says"),
            Self::Magic => f.write_str("not a .tin file"),
            Self::Version { major, minor } => write!(f, "format version {major}.{minor} is newer than this reader"),
            Self::Checksum => f.write_str("the checksum is wrong: the file is damaged"),
            Self::Section => f.write_str("a section is missing or out of bounds"),
            Self::Text => f.write_str(
                "a text is not UTF-8, has control characters or too long a line, or the labels or their ids are not as many as \
                 the classes",
            ),
            Self::Arena => f.write_str("the stated arena is not the one the tensors need"),
            Self::Tensor { tensor } => write!(f, "tensor {tensor} is impossible"),
            Self::Preprocess => f.write_str("the preprocessing is unknown, or its scales and means are not finite and positive"),
            Self::Unwritten { tensor } => write!(f, "tensor {tensor} is a result, and no step writes all of it"),
            Self::Operator { step, operator } => {
                write!(f, "step {step} has operator {operator}, which this build does not know")
            }
            Self::Step { step, problem } => write!(f, "step {step} cannot run: {problem}"),
        }
    }
}

impl fmt::Display for StepProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tensor => "it names a tensor that does not exist",
            Self::Shape => "its tensors do not fit together",
            Self::Overlap => "it would overwrite its input",
            Self::Data => "its weights or tables lie outside the file",
            Self::Weights => "its weights or their sums are invalid",
            Self::Bias => "a bias could overflow the accumulator",
            Self::Requantize => "a multiplier, shift or activation range is out of bounds",
            Self::Window => "a window or table does not cover what is asked of it",
            Self::Scratch => "it needs more scratch than stated",
            Self::LeftOut => "this build leaves out what it computes",
            Self::Unwritten => "it reads what neither the input nor a step before it writes",
            Self::Name => "its name is too long, not UTF-8 or has control characters",
            Self::Effort => "its weights or tables are shared by too many steps for a file of this size",
            Self::Link => "it can't run together with the step it is linked to",
        })
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ArenaTooSmall { needed } => write!(f, "the arena is too small: the model needs {needed} bytes"),
            Self::PreparedTooSmall { needed } => {
                write!(f, "the memory for prepared weights is too small: the model needs {needed} elements")
            }
            Self::WorkspaceTooSmall { needed } => {
                write!(f, "the workspace is too small: the session needs {needed} elements")
            }
            Self::Stopped => f.write_str("the run was stopped"),
            Self::Step { step } => write!(f, "step {step} could not run"),
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the picture or the output has no pixels"),
            Self::TooLarge => f.write_str("a side of the picture or of its resized form is too long"),
            Self::LeftOut => f.write_str("this build takes RGB565 pictures for networks of three channels alone"),
            Self::OddWidth => f.write_str("a YUYV picture needs an even width"),
            Self::StrideTooShort { needed } => write!(f, "the stride is shorter than a row of {needed} bytes"),
            Self::DataTooShort { needed } => write!(f, "the picture's data is shorter than its {needed} bytes"),
            Self::BadResize => f.write_str("the resize leaves nothing, or keeps more than the whole picture"),
            Self::CropOutside => f.write_str("the output is larger than the resized picture"),
            Self::PictureMismatch => f.write_str("the picture has another size than the geometry was planned for"),
            Self::ScratchTooSmall { needed } => write!(f, "the resampling needs {needed} words of scratch"),
            Self::OutputLength { needed } => write!(f, "the output buffer must have {needed} bytes"),
            Self::PartialPixel => f.write_str("the buffer doesn't hold a whole number of pixels"),
            Self::TableLength { needed } => write!(f, "the quantisation tables must have {needed} entries"),
        }
    }
}

impl core::error::Error for FormatError {}
impl core::error::Error for StepProblem {}
impl core::error::Error for RunError {}
impl core::error::Error for ImageError {}
