//! A step record, its indices and offsets resolved to tensors and slices.

use bytemuck::AnyBitPattern;

use super::text::text;
use super::verify::require;
use super::{Model, slice};
use crate::EVERY_OPERATOR;
use crate::error::StepProblem;
use crate::format::step::Link;
use crate::format::tensor::Tensor;
use crate::format::{NO_TENSOR, step as record};
use crate::kernels::conv::{Conv, Layout, minimum_scratch};
use crate::kernels::elementwise::{Add, Rescale};
use crate::kernels::lrn::{self, Lrn};
use crate::kernels::pool::{Average, Max};
use crate::kernels::softmax::{FRACTION, Softmax, WHOLE};
use crate::kernels::{AverageWindow, ChannelTable, Divisors, winograd};
use crate::quant::{Output, Requantize};

/// A step, ready to run.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// UTF-8, once it is verified.
    pub(super) name: &'a [u8],
    /// What it reads.
    pub input: Tensor,
    /// What an addition reads besides.
    pub second_input: Option<Tensor>,
    /// What it writes.
    pub output: Tensor,
    /// How it runs together with the next step.
    pub link: Link,
    /// What it computes.
    pub operator: Operator<'a>,
}

/// What a step computes, with the parameters its kernel takes.
#[derive(Clone, Copy, Debug)]
pub enum Operator<'a> {
    /// Convolution or dense layer.
    Conv(Conv<'a>),
    /// Max pool.
    MaxPool(Max),
    /// Average pool.
    AveragePool(Average<'a>),
    /// Local response normalisation.
    Lrn(Lrn<'a>),
    /// Addition.
    Add(Add),
    /// A copy with another scale or an activation.
    Rescale(Rescale),
    /// Probabilities that sum up to 1.
    Softmax(Softmax<'a>),
    /// Probabilities, each by itself.
    Sigmoid(Softmax<'a>),
}

impl<'a> Step<'a> {
    /// The name of the layer it comes from.
    #[must_use]
    pub fn name(&self) -> &'a str {
        text(self.name)
    }

    /// The operator's name, for people.
    #[must_use]
    pub const fn operator_name(&self) -> &'static str {
        match self.operator {
            Operator::Conv(_) => "conv",
            Operator::MaxPool(_) => "max pool",
            Operator::AveragePool(_) => "average pool",
            Operator::Lrn(_) => "lrn",
            Operator::Add(_) => "add",
            Operator::Rescale(_) => "rescale",
            Operator::Softmax(_) => "softmax",
            Operator::Sigmoid(_) => "sigmoid",
        }
    }

    /// How a convolution's weights are laid out; `None` for other operators.
    #[must_use]
    pub fn layout(&self) -> Option<Layout> {
        let Operator::Conv(conv) = &self.operator else { return None };
        Layout::new(&conv.window, conv.groups, self.input.shape.channels, self.output.shape.channels)
    }

    /// Multiply-accumulates of a convolution, padding positions counted as work; 0 for other operators.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.layout().map_or(0, |layout| self.output.shape.elements().saturating_mul(layout.depth as u64))
    }

    /// The least scratch the step runs with, in bytes.
    #[must_use]
    pub fn minimum_scratch(&self) -> usize {
        match (&self.operator, self.layout()) {
            (Operator::Conv(conv), Some(layout)) => minimum_scratch(&conv.window, &layout),
            (Operator::Lrn(_), _) => lrn::minimum_scratch(self.input.shape.channels),
            _ => 0,
        }
    }
}

/// A table of `count` values of `T` at `offset`, aligned as `T` needs.
fn table<T: AnyBitPattern>(file: &[u8], offset: u32, count: usize) -> Result<&[T], StepProblem> {
    let bytes = slice(file, offset, count as u64 * size_of::<T>() as u64).ok_or(StepProblem::Data)?;
    bytemuck::try_cast_slice(bytes).map_err(|_| StepProblem::Data)
}

/// A convolution's transformed weights, if it has any and this build has kernels for them.
fn transformed_weights<'a>(
    file: &'a [u8],
    conv: &record::Conv,
    layout: &Layout,
) -> Result<Option<&'a [i16]>, StepProblem> {
    let Some(offset) = conv.winograd.filter(|_| cfg!(feature = "winograd")) else { return Ok(None) };
    if !winograd::applies(&conv.window, layout) {
        return Err(StepProblem::Data);
    }
    table(file, offset.get(), winograd::size(layout)).map(Some)
}

/// The parameters of a softmax or sigmoid.
fn softmax<'a>(file: &'a [u8], record: &record::Softmax) -> Result<Softmax<'a>, StepProblem> {
    let entries: &[u32] = table(file, record.table, WHOLE + FRACTION)?;
    let (whole, rest) = entries.split_first_chunk().ok_or(StepProblem::Data)?;
    let fraction = rest.first_chunk().ok_or(StepProblem::Data)?;
    let rule = Requantize::new(record.multiplier, record.shift).ok_or(StepProblem::Requantize)?;
    Ok(Softmax { rule, whole, fraction })
}

pub(super) fn step<'a>(model: &Model<'a>, record: &record::Step) -> Result<Step<'a>, StepProblem> {
    let tensor = |index| model.tensor(index).ok_or(StepProblem::Tensor);
    let (input, output) = (tensor(record.input)?, tensor(record.output)?);
    let has_second = EVERY_OPERATOR && record.second_input != NO_TENSOR;
    let second_input = if has_second { Some(tensor(record.second_input)?) } else { None };
    let name = slice(model.file, record.name, u64::from(record.name_length)).ok_or(StepProblem::Data)?;
    let requantized = Output { zero_point: output.quant.zero_point, min: record.min, max: record.max };
    let rule = |multiplier, shift| Requantize::new(multiplier, shift).ok_or(StepProblem::Requantize);
    let file = model.file;
    let zero_point = input.quant.zero_point;
    let operator = match record.operator {
        record::Operator::Conv(conv) => {
            let layout = Layout::new(&conv.window, conv.groups as usize, input.shape.channels, output.shape.channels)
                .ok_or(StepProblem::Shape)?;
            require(EVERY_OPERATOR || conv.groups == 1, StepProblem::LeftOut)?;
            let entries = layout.table.checked_mul(4).ok_or(StepProblem::Data)?;
            let mut arrays = table::<i32>(file, conv.channel_table, entries)?.chunks_exact(layout.table.max(1));
            let mut array = || arrays.next().ok_or(StepProblem::Data);
            let channels = ChannelTable { bias: array()?, multiplier: array()?, shift: array()?, weight_sum: array()? };
            Operator::Conv(Conv {
                window: conv.window,
                groups: conv.groups as usize,
                weights: table(file, conv.weights, layout.weights)?,
                winograd: transformed_weights(file, &conv, &layout)?,
                table: channels,
                input_zero_point: zero_point,
                output: requantized,
            })
        }
        record::Operator::MaxPool(window) => Operator::MaxPool(Max { window, output: requantized }),
        record::Operator::AveragePool(pool) => {
            let divisors = Divisors::new(table(file, pool.divisor_table, pool.divisors as usize)?);
            let window = AverageWindow { window: pool.window, counted: pool.counted };
            Operator::AveragePool(Average { window, divisors, zero_point, output: requantized })
        }
        record::Operator::Lrn(lrn) if EVERY_OPERATOR => Operator::Lrn(Lrn {
            size: lrn.size as usize,
            table: table(file, lrn.table, lrn.entries as usize)?,
            index_shift: lrn.index_shift,
            shift: lrn.shift,
            zero_point,
            output: requantized,
        }),
        record::Operator::Add(add) if EVERY_OPERATOR => {
            let second = second_input.ok_or(StepProblem::Tensor)?;
            for multiplier in add.multipliers {
                rule(multiplier, add.shift)?;
            }
            Operator::Add(Add {
                zero_points: [zero_point, second.quant.zero_point],
                multipliers: add.multipliers,
                shift: add.shift,
                output: requantized,
            })
        }
        record::Operator::Rescale(rescale) if EVERY_OPERATOR => {
            let rule = rule(rescale.multiplier, rescale.shift)?;
            Operator::Rescale(Rescale { zero_point, rule, output: requantized })
        }
        record::Operator::Softmax(record) => Operator::Softmax(softmax(file, &record)?),
        record::Operator::Sigmoid(record) if EVERY_OPERATOR => Operator::Sigmoid(softmax(file, &record)?),
        _ => return Err(StepProblem::LeftOut),
    };
    Ok(Step { name, input, second_input, output, link: record.link, operator })
}
