//! What must hold of a file beyond its records being readable.

use core::num::NonZeroU32;

use super::effort::{Effort, LOOK};
use super::resolve::{self, Operator, Step};
use super::text::is_clean;
use super::{Model, group, written};
use crate::error::{FormatError, StepProblem};
use crate::format::tensor::{DataType, Stored, Tensor};
use crate::format::{ALIGNMENT, NAME_LIMIT, NO_TENSOR, SCRATCH_LIMIT, step as record};
use crate::kernels::conv::{self, Conv, Layout};
use crate::kernels::dense;
use crate::kernels::lrn::Lrn;
use crate::kernels::pool::Average;
use crate::kernels::softmax::Softmax;
use crate::kernels::winograd;
use crate::quant::{COMMON_SHIFTS, Requantize, is_scale};
use crate::shape::Window;
use crate::{EVERY_CHECK, EVERY_OPERATOR};

/// Largest product of an activation and a weight: 128 * 127, rounded up.
const PRODUCT_LIMIT: i64 = 16384;
/// Most positions of an average pool's kernel, so that a sum of `q - zero_point` stays within 2^30.
const POOL_AREA_LIMIT: u64 = 1 << 22;
/// Most classes, so that a `u16` numbers them.
const CLASS_LIMIT: u32 = 1 << 16;
/// Largest value of an entry of the softmax's tables.
const POWER_LIMIT: u32 = 1 << 30;

pub(super) fn model(model: &Model<'_>) -> Result<(), FormatError> {
    let count = u16::try_from(model.tensor_count()).map_err(|_| FormatError::Section)?;
    if count == NO_TENSOR || u16::try_from(model.step_count()).is_err() || model.step_count() == 0 {
        return Err(FormatError::Section);
    }
    let mut end = 0;
    for index in 0..count {
        let tensor = model.tensor(index).filter(tensor_is_possible).ok_or(FormatError::Tensor { tensor: index })?;
        end = end.max(tensor.end());
    }
    if end.next_multiple_of(ALIGNMENT as u64) != model.activation_size() as u64 {
        return Err(FormatError::Arena);
    }
    if model.scratch_size() > SCRATCH_LIMIT as usize || !model.scratch_size().is_multiple_of(ALIGNMENT) {
        return Err(FormatError::Arena);
    }
    let mut effort = Effort::of(model.file_size());
    for index in 0..model.step_count() {
        let step = index as u16;
        let bytes = model.steps.get(index).ok_or(FormatError::Section)?;
        let record = record::Step::parse(bytes).map_err(|unknown| match unknown {
            record::Unknown::Operator(operator) => FormatError::Operator { step, operator },
            record::Unknown::Link(_) => FormatError::Step { step, problem: StepProblem::Link },
        })?;
        let verified = resolve::step(model, &record).and_then(|step| verify_step(model, &record, &step, &mut effort));
        verified.map_err(|problem| FormatError::Step { step, problem })?;
    }
    let mut index = 0;
    while index < model.step_count() {
        let problem = |(step, problem)| FormatError::Step { step: step as u16, problem };
        let group = model.group(index).ok_or((index, StepProblem::Link)).map_err(problem)?;
        group::verify(model, index, group).map_err(problem)?;
        index += group.length;
    }
    ends(model)?;
    if EVERY_CHECK { written::verify(model, &mut effort) } else { Ok(()) }
}

/// The tensors that go in and out, and the sections that must agree with them.
fn ends(model: &Model<'_>) -> Result<(), FormatError> {
    let tensor = |index| FormatError::Tensor { tensor: index };
    let input = model.input().ok_or(tensor(model.header.input))?;
    if input.data_type != DataType::Int8 || !input.is_contiguous() || !input.is_whole() {
        return Err(tensor(model.header.input));
    }
    let logits = model.logits().ok_or(tensor(model.header.logits))?;
    let ranked = logits.shape.pixels() == 1 && logits.shape.channels <= CLASS_LIMIT;
    if !ranked || logits.data_type == DataType::UInt16 || !logits.is_whole() {
        return Err(tensor(model.header.logits));
    }
    if model.header.probabilities != NO_TENSOR {
        let probabilities = model.probabilities().ok_or(tensor(model.header.probabilities))?;
        if probabilities.shape != logits.shape
            || probabilities.data_type != DataType::UInt16
            || !probabilities.is_whole()
        {
            return Err(tensor(model.header.probabilities));
        }
    }
    let labels = lines(model.labels);
    if labels != 0 && labels as u64 != u64::from(logits.shape.channels) {
        return Err(FormatError::Text);
    }
    let ids = lines(model.label_ids);
    if ids != 0 && ids != labels {
        return Err(FormatError::Text);
    }
    if let Some(preprocess) = model.preprocess() {
        let channels = preprocess.order.channels().count();
        if channels as u64 != u64::from(input.shape.channels) || model.pixel_table().is_none() {
            return Err(FormatError::Section);
        }
    }
    if let Some((self_test, hashes)) = &model.self_test
        && (self_test.steps as usize != model.step_count() || hashes.len() as u64 != u64::from(self_test.steps) * 4)
    {
        return Err(FormatError::Section);
    }
    Ok(())
}

/// As many lines as [`str::lines`] gives, without its search for line ends.
fn lines(text: &[u8]) -> usize {
    let line_end = |byte: &u8| *byte == b'\n';
    let ended = text.iter().filter(|byte| line_end(byte)).count();
    ended + usize::from(text.last().is_some_and(|byte| !line_end(byte)))
}

fn tensor_is_possible(tensor: &Tensor) -> bool {
    let shape = tensor.shape;
    let size = tensor.data_type.size();
    shape.elements() > 0
        && shape.height <= u32::from(u16::MAX)
        && shape.width <= u32::from(u16::MAX)
        && tensor.stored_rows() <= shape.height
        && tensor.stored != Stored::Ring(0)
        && tensor.pixel_stride >= shape.channels
        && tensor.end() <= u64::from(u32::MAX)
        && (tensor.data_type == DataType::Int8 || (tensor.is_contiguous() && tensor.offset.is_multiple_of(size)))
        && is_scale(tensor.quant.scale)
}

/// Whether two tensors share any byte between their first and last.
pub(super) fn overlap(a: &Tensor, b: &Tensor) -> bool {
    a.extent() > 0 && b.extent() > 0 && u64::from(a.offset) < b.end() && u64::from(b.offset) < a.end()
}

pub(super) fn require(holds: bool, problem: StepProblem) -> Result<(), StepProblem> {
    if holds { Ok(()) } else { Err(problem) }
}

fn verify_step(
    model: &Model<'_>,
    record: &record::Step,
    step: &Step<'_>,
    effort: &mut Effort,
) -> Result<(), StepProblem> {
    let (input, output) = (&step.input, &step.output);
    require(is_clean(step.name, NAME_LIMIT, false), StepProblem::Name)?;
    require(record.min <= record.max, StepProblem::Requantize)?;
    require(tables_are_aligned(&record.operator), StepProblem::Data)?;
    require(step.minimum_scratch() <= model.scratch_size(), StepProblem::Scratch)?;
    let same_place = input.offset == output.offset && input.pixel_stride == output.pixel_stride;
    let same_type = input.data_type == DataType::Int8 && output.data_type == DataType::Int8;
    let elementwise = || {
        require(same_type && input.shape == output.shape, StepProblem::Shape)?;
        require(same_place || !overlap(input, output), StepProblem::Overlap)
    };
    let windowed = |window: &Window| {
        let expected = window.output(input.shape.height, input.shape.width);
        let fits = expected == Some((output.shape.height, output.shape.width));
        let types = input.data_type == DataType::Int8 && output.data_type != DataType::UInt16;
        require(fits && types, StepProblem::Shape)?;
        require(!overlap(input, output), StepProblem::Overlap)
    };
    match &step.operator {
        Operator::Conv(conv) => {
            windowed(&conv.window)?;
            let layout = step.layout().ok_or(StepProblem::Shape)?;
            effort.take(bytes_of(conv))?;
            let int8 = output.data_type == DataType::Int8;
            require(!layout.depthwise || int8, StepProblem::Shape)?;
            require(EVERY_OPERATOR || int8 || dense::is_plain(conv, &layout, output.shape), StepProblem::LeftOut)?;
            let shifts_are_common = || conv.table.shift.iter().all(|shift| COMMON_SHIFTS.contains(shift));
            require(EVERY_OPERATOR || !int8 || shifts_are_common(), StepProblem::LeftOut)?;
            // The data first: their sizes bound those of the rows.
            conv_data(conv, &layout, output.shape.channels as usize)?;
            require(!int8 || conv::is_run(conv, &layout, output.shape, model.scratch_size()), StepProblem::LeftOut)
        }
        Operator::MaxPool(pool) => {
            windowed(&pool.window)?;
            require(same_type && input.shape.channels == output.shape.channels, StepProblem::Shape)?;
            pool_windows(&pool.window, input, output)
        }
        Operator::AveragePool(pool) => {
            windowed(&pool.window.window)?;
            require(input.shape.channels == output.shape.channels, StepProblem::Shape)?;
            pool_windows(&pool.window.window, input, output)?;
            require(EVERY_OPERATOR || output.data_type == DataType::Int8, StepProblem::LeftOut)?;
            average_divisors(pool, input, output, effort)
        }
        Operator::Lrn(lrn) if EVERY_OPERATOR => {
            elementwise()?;
            lrn_table(lrn, input.shape.channels as usize)
        }
        Operator::Add(_) if EVERY_OPERATOR => {
            elementwise()?;
            let second = step.second_input.ok_or(StepProblem::Tensor)?;
            let fits = second.data_type == DataType::Int8 && second.shape == output.shape;
            require(fits, StepProblem::Shape)?;
            require(!overlap(&second, output), StepProblem::Overlap)
        }
        Operator::Rescale(_) if EVERY_OPERATOR => elementwise(),
        Operator::Softmax(softmax) => probabilities(softmax, input, output),
        Operator::Sigmoid(sigmoid) if EVERY_OPERATOR => probabilities(sigmoid, input, output),
        _ => Err(StepProblem::LeftOut),
    }
}

/// A softmax or sigmoid over one pixel's logits.
fn probabilities(softmax: &Softmax<'_>, input: &Tensor, output: &Tensor) -> Result<(), StepProblem> {
    let types = input.data_type == DataType::Int32 && output.data_type == DataType::UInt16;
    require(types && input.shape == output.shape && input.shape.pixels() == 1, StepProblem::Shape)?;
    require(!overlap(input, output), StepProblem::Overlap)?;
    // The largest logit's own power is never 0, so the sum can be divided by.
    let bounded = softmax.whole.iter().chain(softmax.fraction).all(|power| *power <= POWER_LIMIT);
    require(bounded && softmax.whole[0] == POWER_LIMIT && softmax.fraction[0] == POWER_LIMIT, StepProblem::Data)
}

/// Whether weights and tables start where the format says, which is stricter than what their elements need.
fn tables_are_aligned(operator: &record::Operator) -> bool {
    match operator {
        record::Operator::Conv(conv) => {
            let transformed = conv.winograd.filter(|_| cfg!(feature = "winograd"));
            let mut offsets = [conv.weights, conv.channel_table].into_iter().chain(transformed.map(NonZeroU32::get));
            offsets.all(|at| at.is_multiple_of(16))
        }
        record::Operator::AveragePool(pool) => pool.divisor_table.is_multiple_of(4),
        record::Operator::Lrn(lrn) => lrn.table.is_multiple_of(4),
        record::Operator::Softmax(softmax) | record::Operator::Sigmoid(softmax) => softmax.table.is_multiple_of(4),
        record::Operator::MaxPool(_) | record::Operator::Add(_) | record::Operator::Rescale(_) => true,
    }
}

/// Weights, their sums, biases and requantisation rules of a convolution.
fn conv_data(conv: &Conv<'_>, layout: &Layout, outputs: usize) -> Result<(), StepProblem> {
    let table = &conv.table;
    for (multiplier, shift) in table.multiplier.iter().zip(table.shift) {
        let shift = u32::try_from(*shift).map_err(|_| StepProblem::Requantize)?;
        Requantize::new(*multiplier, shift).ok_or(StepProblem::Requantize)?;
    }
    let limit = i64::from(i32::MAX) - PRODUCT_LIMIT.saturating_mul(layout.depth as i64);
    if table.bias.iter().any(|bias| i64::from(*bias).abs() > limit) {
        return Err(StepProblem::Bias);
    }
    let agrees = |transformed| winograd::agrees(layout, conv.weights, transformed);
    let transformed = conv.winograd.filter(|_| cfg!(feature = "winograd"));
    let valid = weights_are_valid(conv, layout, outputs) && transformed.is_none_or(agrees);
    require(valid, StepProblem::Weights)
}

/// Every weight in -127..=127, padding zero, every stored sum right.
fn weights_are_valid(conv: &Conv<'_>, layout: &Layout, outputs: usize) -> bool {
    let table = &conv.table;
    let sum_is = |entry: usize, sum: i64| table.weight_sum.get(entry).is_some_and(|stored| i64::from(*stored) == sum);
    if conv.weights.contains(&i8::MIN) {
        return false;
    }
    if EVERY_OPERATOR && layout.depthwise {
        let sum =
            |channel| conv.weights.iter().skip(channel).step_by(outputs.max(1)).map(|weight| i64::from(*weight)).sum();
        return (0..layout.table).all(|channel| sum_is(channel, if channel < outputs { sum(channel) } else { 0 }));
    }
    let quads = conv.weights.chunks_exact((4 * layout.padded_depth).max(1));
    quads.enumerate().all(|(quad, block)| {
        let first_in_group = quad * 4 % layout.padded_outputs.max(1);
        let mut sums = [0_i64; 4];
        let mut padding_is_zero = true;
        for (k, quad_of_weights) in (0..).step_by(4).zip(block.as_chunks::<16>().0) {
            let channels = quad_of_weights.as_chunks::<4>().0;
            for (within, (sum, weights)) in sums.iter_mut().zip(channels).enumerate() {
                *sum += weights.iter().map(|weight| i64::from(*weight)).sum::<i64>();
                if first_in_group + within >= layout.group_outputs {
                    padding_is_zero &= *weights == [0; 4];
                } else if k + 4 > layout.depth {
                    padding_is_zero &= weights.iter().skip(layout.depth - k).all(|weight| *weight == 0);
                }
            }
        }
        padding_is_zero && (0..).zip(sums).all(|(within, sum)| sum_is(quad * 4 + within, sum))
    })
}

/// Bytes of what belongs to a convolution.
fn bytes_of(conv: &Conv<'_>) -> usize {
    let table = size_of_val(conv.table.bias).saturating_mul(4);
    table.saturating_add(conv.weights.len()).saturating_add(conv.winograd.map_or(0, size_of_val))
}

/// Every window of a pool sees at least one element of the input: the first one along each axis, and the last one. Those
/// between begin and end between them.
fn pool_windows(window: &Window, input: &Tensor, output: &Tensor) -> Result<(), StepProblem> {
    let (size, windows) = (input.shape, output.shape);
    let rows = |y| window.rows(y, size.height).length > 0;
    let columns = |x| window.columns(x, size.width).length > 0;
    let seen = rows(0) && rows(windows.height - 1) && columns(0) && columns(windows.width - 1);
    require(seen, StepProblem::Window)
}

/// The table has a rule for every divisor that will be asked for, and no sum overflows.
fn average_divisors(
    pool: &Average<'_>,
    input: &Tensor,
    output: &Tensor,
    effort: &mut Effort,
) -> Result<(), StepProblem> {
    let (padding, counted) = (&pool.window.window.padding, &pool.window.counted);
    let within = counted.top <= padding.top
        && counted.left <= padding.left
        && counted.bottom <= padding.bottom
        && counted.right <= padding.right;
    if !within || pool.window.window.area() > POOL_AREA_LIMIT {
        return Err(StepProblem::Window);
    }
    let (rows, columns) = (pool.window.rows(input.shape.height), pool.window.columns(input.shape.width));
    // Each count once: a window has as many rows as the one above it only where all between have.
    let mut y = 0;
    while y < output.shape.height {
        let mut x = 0;
        while x < output.shape.width {
            effort.take(LOOK)?;
            let divisor = pool.window.divisor(y, x, input.shape.height, input.shape.width);
            require(pool.divisors.rule(divisor).is_some(), StepProblem::Window)?;
            x = columns.next_count(x);
        }
        y = rows.next_count(y);
    }
    Ok(())
}

/// The table has an entry for every sum of squares.
fn lrn_table(lrn: &Lrn<'_>, channels: usize) -> Result<(), StepProblem> {
    if !(1..=30).contains(&lrn.shift) || lrn.index_shift > 31 || lrn.size == 0 {
        return Err(StepProblem::Requantize);
    }
    let largest = (lrn.size.min(channels) as u64) * 255 * 255;
    let covered = (largest >> lrn.index_shift) < lrn.table.len() as u64;
    if covered && largest <= u64::from(u32::MAX) { Ok(()) } else { Err(StepProblem::Window) }
}
