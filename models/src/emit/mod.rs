//! A planned program becomes the bytes of a file.

mod selftest;

use std::num::NonZeroU32;

pub use selftest::self_test;
use tinception_core::format::step::{self, Step};
use tinception_core::format::tensor::{self, DataType, Stored};
use tinception_core::format::writer::Writer;
use tinception_core::format::{ALIGNMENT, NO_TENSOR, SCRATCH_LIMIT};
use tinception_core::kernels::conv::minimum_scratch;
use tinception_core::kernels::lrn;
use tinception_core::quant::Requantize;
use tinception_core::shape::{Padding, Window};

use crate::compile::CompileError;
use crate::names::step_name;
use crate::plan::Plan;
use crate::program::{self, Operator, Program};
use crate::quantize::tables;
use crate::winograd;

/// Patches that a convolution gathers at a time where the scratch's limit allows it: the widest tile of any backend.
const PATCHES: usize = 16;

/// A writer with the program's tensors, steps, weights and tables in it, and the classes' ids where they have some, one a line;
/// labels, preprocessing, provenance and self-test are still to come.
///
/// # Errors
/// [`CompileError`] where a step exceeds what the format holds.
pub fn emit(program: &Program, plan: &Plan, label_ids: Option<String>) -> Result<Writer, CompileError> {
    let too_large = |what| CompileError::TooLarge { what };
    if program.tensors.len() >= usize::from(NO_TENSOR) || program.steps.len() >= usize::from(NO_TENSOR) {
        return Err(too_large("more than 65,534 tensors or steps"));
    }
    let weights: u64 = program.steps.iter().map(|step| (weight_bytes(step) + winograd_bytes(step)) as u64).sum();
    if plan.size >= u64::from(u32::MAX) || weights >= u64::from(u32::MAX / 2) {
        return Err(too_large("activations above 4 GiB or weights above 2 GiB"));
    }
    let mut writer = label_ids.map_or_else(Writer::new, Writer::with_label_ids);
    writer.tensors = program
        .tensors
        .iter()
        .zip(&plan.locations)
        .map(|(tensor, location)| tensor::Tensor {
            offset: location.offset as u32,
            shape: tensor.shape,
            pixel_stride: location.pixel_stride,
            stored: tensor.stored,
            data_type: tensor.data_type,
            quant: tensor.quant,
        })
        .collect();
    writer.input = program.input as u16;
    writer.logits = program.logits as u16;
    writer.probabilities = program.probabilities.map(|tensor| tensor as u16);
    for step in &program.steps {
        let record = record(&mut writer, step)?;
        writer.steps.push(record);
    }
    writer.scratch_size = scratch(program)?;
    Ok(writer)
}

/// Bytes of a step's weights in the file; 0 where it has none.
#[must_use]
pub fn weight_bytes(step: &program::Step) -> usize {
    match &step.operator {
        Operator::Conv(conv) => conv.weights.len(),
        _ => 0,
    }
}

/// Bytes of a step's transformed weights in the file; 0 where it has none.
#[must_use]
pub fn winograd_bytes(step: &program::Step) -> usize {
    match &step.operator {
        Operator::Conv(conv) => winograd::bytes(conv),
        _ => 0,
    }
}

fn record(writer: &mut Writer, step: &program::Step) -> Result<Step, CompileError> {
    let name = step_name(&step.name);
    let window = |window: &Window, counted: &Padding| check_window(step, window, counted);
    let operator = match &step.operator {
        Operator::Conv(conv) => {
            window(&conv.window, &Padding::NONE)?;
            let weights = writer.add_data(bytemuck::cast_slice(&conv.weights), ALIGNMENT);
            let table = [&conv.bias, &conv.multiplier, &conv.shift, &conv.weight_sum].map(Vec::as_slice).concat();
            let channel_table = writer.add_table(&table);
            let groups = conv.groups as u32;
            let winograd = winograd::transformed(conv).map(|bytes| writer.add_data(&bytes, ALIGNMENT));
            let winograd = winograd.and_then(NonZeroU32::new);
            step::Operator::Conv(step::Conv { window: conv.window, groups, weights, channel_table, winograd })
        }
        Operator::MaxPool(pool) => {
            window(pool, &Padding::NONE)?;
            step::Operator::MaxPool(*pool)
        }
        Operator::AveragePool { window: pool, counted, divisors } => {
            window(pool, counted)?;
            let divisor_table = writer.add_table(divisors.as_flattened());
            let divisors = divisors.len() as u32;
            step::Operator::AveragePool(step::AveragePool { window: *pool, counted: *counted, divisor_table, divisors })
        }
        Operator::Lrn { size, table } => {
            let bytes: Vec<u8> = table.entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
            step::Operator::Lrn(step::Lrn {
                size: *size,
                table: writer.add_data(&bytes, 4),
                entries: table.entries.len() as u32,
                index_shift: table.index_shift,
                shift: table.shift,
            })
        }
        Operator::Add { multipliers, shift } => {
            step::Operator::Add(step::Add { multipliers: *multipliers, shift: *shift })
        }
        Operator::Rescale(rule) => {
            step::Operator::Rescale(step::Rescale { multiplier: rule.multiplier(), shift: rule.shift() })
        }
        Operator::Softmax(rule) => step::Operator::Softmax(softmax(writer, rule)),
        Operator::Sigmoid(rule) => step::Operator::Sigmoid(softmax(writer, rule)),
    };
    Ok(Step {
        input: step.input as u16,
        second_input: step.second_input.map_or(NO_TENSOR, |tensor| tensor as u16),
        output: step.output as u16,
        min: step.range.0,
        max: step.range.1,
        name: writer.add_data(name.as_bytes(), 1),
        name_length: name.len() as u16,
        link: step.link,
        operator,
    })
}

/// The fields of a softmax or sigmoid, and its tables.
fn softmax(writer: &mut Writer, rule: &Requantize) -> step::Softmax {
    let bytes: Vec<u8> = tables::softmax().iter().flat_map(|entry| entry.to_le_bytes()).collect();
    step::Softmax { multiplier: rule.multiplier(), shift: rule.shift(), table: writer.add_data(&bytes, 4) }
}

/// Fails where a window's fields don't fit their 16 bits.
fn check_window(step: &program::Step, window: &Window, counted: &Padding) -> Result<(), CompileError> {
    let Window { kernel_height, kernel_width, stride_height, stride_width, padding } = *window;
    let sides = |padding: &Padding| [padding.top, padding.left, padding.bottom, padding.right];
    let sizes = [kernel_height, kernel_width, stride_height, stride_width];
    let mut all = sizes.into_iter().chain(sides(&padding)).chain(sides(counted));
    if all.all(|size| size <= u32::from(u16::MAX)) {
        Ok(())
    } else {
        Err(CompileError::Window { node: step.name.clone() })
    }
}

/// The scratch a file states: what lets every convolution gather [`PATCHES`] patches at a time, within the format's
/// limit.
fn scratch(program: &Program) -> Result<u32, CompileError> {
    let limit = SCRATCH_LIMIT as usize;
    let mut largest = 0;
    for step in &program.steps {
        let (least, wanted) = match &step.operator {
            Operator::Conv(conv) => {
                // Pooled pixels are made in the scratch.
                let pooled = program.tensors[step.input].stored == Stored::Nothing;
                let least = if pooled { conv.layout.padded_depth } else { minimum_scratch(&conv.window, &conv.layout) };
                let is_dense = program.tensors[step.output].data_type == DataType::Int32;
                (least, if is_dense { least } else { (least * PATCHES).max(winograd::scratch(conv)) })
            }
            Operator::Lrn { .. } => {
                let least = lrn::minimum_scratch(program.tensors[step.input].shape.channels);
                (least, least)
            }
            _ => (0, 0),
        };
        if least > limit {
            return Err(CompileError::Scratch { node: step.name.clone(), needed: least as u64 });
        }
        largest = largest.max(wanted.min(limit).max(least));
    }
    Ok(largest.next_multiple_of(ALIGNMENT) as u32)
}
