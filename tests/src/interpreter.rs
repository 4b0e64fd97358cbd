//! Runs a model by `kernels::reference` alone, one dense tensor after another: what a session is compared with.

use tinception_core::format::Crc32;
use tinception_core::format::tensor::{DataType, Tensor};
use tinception_core::kernels::reference;
use tinception_core::model::{Model, Operator, Step};

/// Bytes of the elements of `tensor` in NHWC order, gathered from an arena.
#[must_use]
pub fn gather(tensor: &Tensor, arena: &[u8]) -> Vec<u8> {
    let size = tensor.data_type.size() as usize;
    let (channels, stride) = (tensor.shape.channels as usize * size, tensor.pixel_stride as usize * size);
    let pixel = |index: usize| &arena[tensor.offset as usize + index * stride..][..channels];
    (0..tensor.shape.pixels() as usize).flat_map(pixel).copied().collect()
}

/// Writes `dense` where a tensor lies.
fn scatter(tensor: &Tensor, arena: &mut [u8], dense: &[u8]) {
    let size = tensor.data_type.size() as usize;
    let (channels, stride) = (tensor.shape.channels as usize * size, tensor.pixel_stride as usize * size);
    for (index, pixel) in dense.chunks(channels).enumerate() {
        arena[tensor.offset as usize + index * stride..][..channels].copy_from_slice(pixel);
    }
}

fn to_i32(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect()
}

/// Bytes of a step's output; `bytes` are those of its input.
fn output_of(step: &Step<'_>, bytes: &[u8], arena: &[u8]) -> Vec<u8> {
    let (shape, out) = (step.input.shape, step.output.shape);
    let input: &[i8] = bytemuck::cast_slice(bytes);
    let elements = out.elements() as usize;
    let (mut int8, mut int32) = (vec![0_i8; elements], vec![0_i32; elements]);
    let logits = step.output.data_type == DataType::Int32;
    match &step.operator {
        Operator::Conv(conv) if logits => reference::conv_logits(conv, input, shape, &mut int32, out),
        Operator::Conv(conv) => reference::conv(conv, input, shape, &mut int8, out),
        Operator::MaxPool(pool) => reference::max_pool(pool, input, shape, &mut int8, out),
        Operator::AveragePool(pool) if logits => reference::average_pool_logits(pool, input, shape, &mut int32, out),
        Operator::AveragePool(pool) => reference::average_pool(pool, input, shape, &mut int8, out),
        Operator::Lrn(lrn) => reference::lrn(lrn, input, shape, &mut int8),
        Operator::Add(add) => {
            let second = gather(step.second_input.as_ref().expect("an addition has two inputs"), arena);
            reference::add(add, input, bytemuck::cast_slice(&second), &mut int8);
        }
        Operator::Rescale(rescale) => reference::rescale(rescale, input, &mut int8),
        Operator::Softmax(parameters) | Operator::Sigmoid(parameters) => {
            let mut probabilities = vec![0; elements];
            let reference = match &step.operator {
                Operator::Sigmoid(_) => reference::sigmoid,
                _ => reference::softmax,
            };
            reference(parameters, &to_i32(bytes), &mut probabilities);
            return probabilities.iter().flat_map(|value: &u16| value.to_le_bytes()).collect();
        }
    }
    if logits {
        int32.iter().flat_map(|value| value.to_le_bytes()).collect()
    } else {
        bytemuck::cast_slice(&int8).to_vec()
    }
}

/// The bytes of each step's output in NHWC order, for an input of dense NHWC values.
///
/// # Panics
/// If the input's length is not the model's.
#[must_use]
pub fn run(model: &Model<'_>, input: &[i8]) -> Vec<Vec<u8>> {
    let mut arena = vec![0; model.activation_size()];
    let tensor = model.input().expect("a verified model has an input");
    assert_eq!(input.len() as u64, tensor.shape.elements());
    scatter(&tensor, &mut arena, bytemuck::cast_slice(input));
    let mut outputs: Vec<Vec<u8>> = Vec::new();
    for step in model.steps() {
        // What has no memory of its own is what the step before made.
        let handed_over = outputs.last().filter(|_| !step.input.is_whole()).cloned();
        let input = handed_over.unwrap_or_else(|| gather(&step.input, &arena));
        let output = output_of(&step, &input, &arena);
        if step.output.is_whole() {
            scatter(&step.output, &mut arena, &output);
        }
        outputs.push(output);
    }
    outputs
}

/// CRC-32 of each step's output for the self-test input of `seed`.
///
/// # Panics
/// Never on a verified model.
#[must_use]
pub fn self_test_hashes(model: &Model<'_>, seed: u32) -> Vec<u32> {
    let shape = model.input().expect("a verified model has an input").shape;
    let mut input = vec![0; shape.elements() as usize];
    tinception_core::selftest::fill_input(seed, shape, &mut input);
    let hash = |bytes: Vec<u8>| {
        let mut crc = Crc32::new();
        crc.update(&bytes);
        crc.finish()
    };
    run(model, &input).into_iter().map(hash).collect()
}

/// What a step makes of real inputs of its own, in the integers of its output and NHWC order, whatever the steps before
/// it would have made.
///
/// # Panics
/// If an input's length is not the step's.
#[must_use]
pub fn step_alone(model: &Model<'_>, step: &Step<'_>, inputs: &[&[f32]]) -> Vec<i32> {
    let quantise = |tensor: &Tensor, values: &[f32]| -> Vec<u8> {
        assert_eq!(values.len() as u64, tensor.shape.elements());
        let value = |value: &f32| tinception_models::quantize::quantize(f64::from(*value), tensor.quant) as u8;
        values.iter().map(value).collect()
    };
    let mut arena = vec![0; model.activation_size()];
    if let (Some(tensor), Some(values)) = (&step.second_input, inputs.get(1)) {
        scatter(tensor, &mut arena, &quantise(tensor, values));
    }
    let output = output_of(step, &quantise(&step.input, inputs[0]), &arena);
    match step.output.data_type {
        DataType::Int8 => output.into_iter().map(|value| i32::from(value as i8)).collect(),
        DataType::UInt16 => output.as_chunks().0.iter().map(|bytes| i32::from(u16::from_le_bytes(*bytes))).collect(),
        DataType::Int32 => to_i32(&output),
    }
}
