//! The program: a quantised network as steps over tensors, between the quantiser and the memory planner.
//!
//! It has the operators of the file format, their parameters computed, but no addresses. Concatenations are gone: a
//! branch is a tensor that is a channel slice of the wide one ([`Place::Slice`]); where it can't be, a rescale copies it
//! there.

use std::ops::Range;

mod lower;
mod slices;

pub use lower::lower;
#[cfg(feature = "tract")]
pub(crate) use lower::scores;
pub use slices::{Slice, slices};
use tinception_core::format::step::Link;
use tinception_core::format::tensor::{DataType, Stored};
use tinception_core::kernels::softmax::{FRACTION, WHOLE};
use tinception_core::quant::{QuantParams, Requantize};
use tinception_core::shape::{Padding, Shape, Window};

use crate::quantize::QuantizedConv;
use crate::quantize::tables::LrnTable;

/// Index of a tensor of a program.
pub type TensorId = usize;

/// Entries of a softmax's tables together.
pub const SOFTMAX_ENTRIES: usize = WHOLE + FRACTION;

/// What the name of a copy into a concatenation ends in, behind the name of what it copies.
pub const COPY: &str = "/rescale";

/// Steps over tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// All tensors; [`TensorId`] is an index into them.
    pub tensors: Vec<Tensor>,
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// The tensor that holds the picture.
    pub input: TensorId,
    /// What ranks the classes: int32.
    pub logits: TensorId,
    /// The softmax's or sigmoid's output, where there is one.
    pub probabilities: Option<TensorId>,
}

/// A tensor without an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name of the graph's value, or of what it is a part of.
    pub name: String,
    /// Height, width, channels.
    pub shape: Shape,
    /// What its elements are.
    pub data_type: DataType,
    /// Scale and zero point.
    pub quant: QuantParams,
    /// How it lies in memory.
    pub place: Place,
    /// Which of its rows have memory.
    pub stored: Stored,
}

impl Tensor {
    /// Bytes of its elements.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.shape.elements() * u64::from(self.data_type.size())
    }

    /// Bytes of its rows that have memory.
    #[must_use]
    pub fn stored_size(&self) -> u64 {
        match self.stored {
            Stored::Whole => self.size(),
            Stored::Ring(rows) => Self { shape: Shape { height: rows.into(), ..self.shape }, ..self.clone() }.size(),
            Stored::Nothing => 0,
        }
    }
}

/// How a tensor lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a buffer of its own.
    Own,
    /// These channels of a wider tensor with the same pixels.
    Slice {
        /// The wider tensor.
        of: TensorId,
        /// Its channel that is this tensor's first.
        first_channel: u32,
    },
    /// The same bytes as a dense tensor of another shape.
    View {
        /// The dense tensor.
        of: TensorId,
    },
    /// Where another tensor of the same shape is: the step that makes one of them from the other works in place.
    Same {
        /// The other tensor.
        of: TensorId,
    },
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The node's name; a copy has the name of what it copies with `/rescale` behind.
    pub name: String,
    /// What it computes.
    pub operator: Operator,
    /// What it reads.
    pub input: TensorId,
    /// What an addition reads besides.
    pub second_input: Option<TensorId>,
    /// What it makes.
    pub output: TensorId,
    /// The fused activation's ends, in output units.
    pub range: (i8, i8),
    /// How it runs together with the next step.
    pub link: Link,
}

impl Program {
    /// The steps that run together, group by group, most of them alone.
    pub fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let mut first = 0;
        std::iter::from_fn(move || {
            let rest = self.steps.get(first..).filter(|rest| !rest.is_empty())?;
            let length = rest.iter().position(|step| step.link == Link::None).map_or(rest.len(), |last| last + 1);
            first += length;
            Some(first - length..first)
        })
    }
}

impl Step {
    /// The tensors it reads.
    pub fn inputs(&self) -> impl Iterator<Item = TensorId> {
        std::iter::once(self.input).chain(self.second_input)
    }

    /// Whether its output may lie where its input lies.
    #[must_use]
    pub fn works_in_place(&self) -> bool {
        matches!(self.operator, Operator::Lrn { .. } | Operator::Add { .. } | Operator::Rescale(_))
    }
}

/// Operators with their parameters.
#[derive(Clone, Debug, PartialEq)]
pub enum Operator {
    /// Convolution or dense layer.
    Conv(QuantizedConv),
    /// Max pool.
    MaxPool(Window),
    /// Average pool.
    AveragePool {
        /// Kernel, stride, padding.
        window: Window,
        /// The part of the padding that counts in the divisor.
        counted: Padding,
        /// `[divisor, multiplier, shift]`, ascending.
        divisors: Vec<[i32; 3]>,
    },
    /// Local response normalisation.
    Lrn {
        /// Channels in the sum.
        size: u32,
        /// Factors by the sum of squares.
        table: LrnTable,
    },
    /// Sum of two tensors.
    Add {
        /// Multiplier of each input.
        multipliers: [i32; 2],
        /// Right shift of the sum of both products.
        shift: u32,
    },
    /// A copy with another scale, or an activation on its own.
    Rescale(Requantize),
    /// Probabilities that sum up to 1; the rule brings a difference of logits to 1/256.
    Softmax(Requantize),
    /// Probabilities, each by itself; the rule brings a logit to 1/256.
    Sigmoid(Requantize),
}
