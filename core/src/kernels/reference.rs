//! Each operator as its definition reads, one output element at a time: what every backend is tested against.
//!
//! Nothing here is fast, shared with the kernels' loops, or ever optimised. Tensors are dense NHWC slices. Slices of
//! a wrong length panic: this is for tests and tools, no session calls it.

use super::conv::{Conv, Layout};
use super::elementwise::{Add, Rescale};
use super::lrn::Lrn;
use super::pool::{Average, Max};
use super::softmax::Softmax;
use crate::quant::{Requantize, clamp_to_i32};
use crate::shape::Shape;

/// The element at row `y`, column `x`, or `None` where that is padding.
fn at(input: &[i8], shape: Shape, y: i64, x: i64, channel: usize) -> Option<i8> {
    let inside = (0..i64::from(shape.height)).contains(&y) && (0..i64::from(shape.width)).contains(&x);
    inside.then(|| input[(y as usize * shape.width as usize + x as usize) * shape.channels as usize + channel])
}

/// The input position under kernel position `k` at output position `output`.
fn position(output: u32, stride: u32, k: u32, padding: u32) -> i64 {
    i64::from(output) * i64::from(stride) + i64::from(k) - i64::from(padding)
}

/// Calls `visit` with output index, row, column and channel of every output element.
fn for_each(shape: Shape, mut visit: impl FnMut(usize, u32, u32, usize)) {
    let mut index = 0;
    for y in 0..shape.height {
        for x in 0..shape.width {
            for channel in 0..shape.channels as usize {
                visit(index, y, x, channel);
                index += 1;
            }
        }
    }
}

/// The requantised accumulator of every output element of a convolution, before the zero point.
fn conv_values(conv: &Conv<'_>, input: &[i8], shape: Shape, out: Shape, mut emit: impl FnMut(usize, i64)) {
    let layout = Layout::new(&conv.window, conv.groups, shape.channels, out.channels).expect("groups divide");
    let window = &conv.window;
    for_each(out, |index, y, x, channel| {
        let first_input = channel / layout.group_outputs * layout.group_inputs;
        let entry = layout.table_index(channel);
        let mut sum = conv.table.bias[entry];
        let mut k = 0;
        for ky in 0..window.kernel_height {
            for kx in 0..window.kernel_width {
                for input_channel in first_input..first_input + layout.group_inputs {
                    let in_y = position(y, window.stride_height, ky, window.padding.top);
                    let in_x = position(x, window.stride_width, kx, window.padding.left);
                    let value = at(input, shape, in_y, in_x, input_channel).unwrap_or(conv.input_zero_point);
                    sum += i32::from(value) * i32::from(conv.weights[layout.weight_index(channel, k)]);
                    k += 1;
                }
            }
        }
        let rule = Requantize::new(conv.table.multiplier[entry], conv.table.shift[entry] as u32).expect("in range");
        emit(index, rule.apply(sum));
    });
}

/// Convolution with an int8 output.
pub fn conv(conv: &Conv<'_>, input: &[i8], shape: Shape, output: &mut [i8], out: Shape) {
    conv_values(conv, input, shape, out, |index, value| output[index] = conv.output.clamp(value));
}

/// Convolution with an int32 output.
pub fn conv_logits(conv: &Conv<'_>, input: &[i8], shape: Shape, output: &mut [i32], out: Shape) {
    conv_values(conv, input, shape, out, |index, value| output[index] = clamp_to_i32(value));
}

/// Max pool.
pub fn max_pool(pool: &Max, input: &[i8], shape: Shape, output: &mut [i8], out: Shape) {
    let window = &pool.window;
    for_each(out, |index, y, x, channel| {
        let mut largest = None;
        for ky in 0..window.kernel_height {
            for kx in 0..window.kernel_width {
                let in_y = position(y, window.stride_height, ky, window.padding.top);
                let in_x = position(x, window.stride_width, kx, window.padding.left);
                largest = largest.max(at(input, shape, in_y, in_x, channel));
            }
        }
        output[index] = largest.expect("a window sees its input").clamp(pool.output.min, pool.output.max);
    });
}

/// The requantised mean of every output element of an average pool, before the zero point.
fn average_values(pool: &Average<'_>, input: &[i8], shape: Shape, out: Shape, mut emit: impl FnMut(usize, i64)) {
    let (window, counted) = (pool.window.window, pool.window.counted);
    for_each(out, |index, y, x, channel| {
        let (mut sum, mut divisor) = (0, 0);
        for ky in 0..window.kernel_height {
            for kx in 0..window.kernel_width {
                let in_y = position(y, window.stride_height, ky, window.padding.top);
                let in_x = position(x, window.stride_width, kx, window.padding.left);
                if let Some(value) = at(input, shape, in_y, in_x, channel) {
                    sum += i32::from(value) - i32::from(pool.zero_point);
                }
                let rows = -i64::from(counted.top)..i64::from(shape.height) + i64::from(counted.bottom);
                let columns = -i64::from(counted.left)..i64::from(shape.width) + i64::from(counted.right);
                divisor += u32::from(rows.contains(&in_y) && columns.contains(&in_x));
            }
        }
        emit(index, pool.divisors.rule(divisor).expect("a rule for every divisor").apply(sum));
    });
}

/// Average pool with an int8 output.
pub fn average_pool(pool: &Average<'_>, input: &[i8], shape: Shape, output: &mut [i8], out: Shape) {
    average_values(pool, input, shape, out, |index, value| output[index] = pool.output.clamp(value));
}

/// Average pool with an int32 output.
pub fn average_pool_logits(pool: &Average<'_>, input: &[i8], shape: Shape, output: &mut [i32], out: Shape) {
    average_values(pool, input, shape, out, |index, value| output[index] = clamp_to_i32(value));
}

/// Local response normalisation.
pub fn lrn(lrn: &Lrn<'_>, input: &[i8], shape: Shape, output: &mut [i8]) {
    let channels = shape.channels as usize;
    for_each(shape, |index, _, _, channel| {
        let pixel = &input[index - channel..][..channels];
        let first = channel.saturating_sub((lrn.size - 1) / 2);
        let last = (channel + lrn.size / 2).min(channels - 1);
        let sum: i32 = pixel[first..=last].iter().map(|q| (i32::from(*q) - i32::from(lrn.zero_point)).pow(2)).sum();
        let factor = lrn.table[(sum >> lrn.index_shift) as usize];
        let product = i64::from(i32::from(pixel[channel]) - i32::from(lrn.zero_point)) * i64::from(factor);
        output[index] = lrn.output.clamp((product + (1 << (lrn.shift - 1))) >> lrn.shift);
    });
}

/// Addition.
pub fn add(add: &Add, a: &[i8], b: &[i8], output: &mut [i8]) {
    for (index, out) in output.iter_mut().enumerate() {
        let side = |value: i8, which: usize| {
            (i64::from(value) - i64::from(add.zero_points[which])) * i64::from(add.multipliers[which])
        };
        let sum = side(a[index], 0) + side(b[index], 1) + (1 << (add.shift - 1));
        *out = add.output.clamp(sum >> add.shift);
    }
}

/// Rescale.
pub fn rescale(rescale: &Rescale, input: &[i8], output: &mut [i8]) {
    for (out, value) in output.iter_mut().zip(input) {
        *out = rescale.output.clamp(rescale.rule.apply(i32::from(*value) - i32::from(rescale.zero_point)));
    }
}

/// Sigmoid of logits to u16 probabilities: each logit's part in a softmax of 0 and itself.
pub fn sigmoid(parameters: &Softmax<'_>, logits: &[i32], probabilities: &mut [u16]) {
    for (probability, logit) in probabilities.iter_mut().zip(logits) {
        let mut both = [0; 2];
        softmax(parameters, &[0, *logit], &mut both);
        *probability = both[1];
    }
}

/// Softmax of logits to u16 probabilities.
pub fn softmax(softmax: &Softmax<'_>, logits: &[i32], probabilities: &mut [u16]) {
    let largest = *logits.iter().max().expect("at least one class");
    let power = |logit: i32| {
        let distance = (i64::from(largest) - i64::from(logit)).min((1 << 31) - 1) as i32;
        let x = softmax.rule.apply(distance);
        if x >= 32 * 256 {
            return 0;
        }
        let (whole, fraction) = ((x / 256) as usize, (x % 256) as usize);
        (u64::from(softmax.whole[whole]) * u64::from(softmax.fraction[fraction])) >> 30
    };
    let sum: u64 = logits.iter().map(|logit| power(*logit)).sum();
    for (probability, logit) in probabilities.iter_mut().zip(logits) {
        *probability = ((power(*logit) * 65535 + sum / 2) / sum) as u16;
    }
}
