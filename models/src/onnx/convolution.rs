//! Conv, Pad and BatchNormalization.

use tinception_core::shape::{Padding, Shape, Window};

use super::elementwise::apply_affine;
use super::error::ImportError;
use super::importer::{Entry, Importer};
use super::layout::{Layout, Tensor};
use super::node::NodeView;
use crate::graph::{Affine, Clamp, Conv, Op, overhang};

pub(super) fn conv<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let (input, shape) = importer.nchw(node, 0)?;
    let weights = importer.floats(node, 1)?;
    let &[outputs, depth, rows, columns] = weights.dims.as_slice() else {
        return Err(node.mismatch(format!("its weights have dimensions {:?} instead of four", weights.dims)));
    };
    let window = window(node, shape, Some((rows, columns)), false)?.window;
    let groups = match node.int("group")?.unwrap_or(1) {
        groups if groups >= 1 => groups as usize,
        other => return Err(node.bad_attribute("group", other, "1 or more")),
    };
    if depth.checked_mul(groups) != Some(shape.channels as usize) || outputs == 0 || outputs % groups != 0 {
        return Err(node.mismatch(format!(
            "its weights {:?} with {groups} group(s) don't fit an input of {} channels",
            weights.dims, shape.channels
        )));
    }
    if weights.len() == 0 {
        return Err(node.mismatch(format!("its weights {:?} have no elements", weights.dims)));
    }
    importer.charge_weights(node, weights.len() + outputs)?;
    let bias = match importer.entry(node, 2)? {
        None => vec![0.0; outputs],
        Some(_) => importer.floats(node, 2)?.as_floats().unwrap_or_default().to_vec(),
    };
    if bias.len() != outputs {
        return Err(node.mismatch(format!("its bias has {} values for {outputs} output channels", bias.len())));
    }
    let conv = Conv {
        window,
        groups,
        weights: channels_last(weights.as_floats().unwrap_or_default(), depth, rows * columns),
        bias,
        clamp: Clamp::NONE,
    };
    let (height, width) = output_size(node, window, shape)?;
    let shape = Shape::new(height, width, small(node, outputs)?);
    let output = importer.emit(node, Op::Conv(conv), vec![input], shape)?;
    Ok(Entry::Tensor(Tensor::nchw(output, shape)))
}

/// `[o][i][ky][kx]` to `[o][ky][kx][i]`.
fn channels_last(weights: &[f32], depth: usize, area: usize) -> Vec<f32> {
    let filters = weights.chunks_exact((depth * area).max(1));
    filters
        .flat_map(|filter| (0..area).flat_map(move |at| (0..depth).map(move |channel| filter[channel * area + at])))
        .collect()
}

/// A size as the graph keeps it.
pub(super) fn small(node: NodeView<'_>, size: usize) -> Result<u32, ImportError> {
    u32::try_from(size).map_err(|_| node.mismatch(format!("{size} channels are too many")))
}

pub(super) fn output_size(node: NodeView<'_>, window: Window, shape: Shape) -> Result<(u32, u32), ImportError> {
    window.output(shape.height, shape.width).ok_or_else(|| {
        node.mismatch(format!(
            "its {} x {} window does not fit an input of {} x {}",
            window.kernel_height, window.kernel_width, shape.height, shape.width
        ))
    })
}

/// A window as the file gives it.
pub(super) struct FileWindow {
    /// With the rows and columns that a ceil-mode pool hangs over as padding.
    pub(super) window: Window,
    /// The padding that is written in the file.
    pub(super) written: Padding,
}

/// Reads kernel, strides, pads, auto_pad and dilations. `kernel` is the size that the weights have.
pub(super) fn window(
    node: NodeView<'_>,
    shape: Shape,
    kernel: Option<(usize, usize)>,
    ceil: bool,
) -> Result<FileWindow, ImportError> {
    let kernel_attribute = pair(node, "kernel_shape")?;
    let (kernel_height, kernel_width) = match (kernel_attribute, kernel) {
        (Some(kernel), None) => kernel,
        (None, Some((rows, columns))) => (small(node, rows)?, small(node, columns)?),
        (Some((rows, columns)), Some(weights)) if (rows as usize, columns as usize) == weights => (rows, columns),
        (Some(attribute), Some(weights)) => {
            return Err(node.mismatch(format!("kernel_shape is {attribute:?}, but its weights are {weights:?}")));
        }
        (None, None) => return Err(node.bad_attribute("kernel_shape", "missing", "two sizes")),
    };
    let (stride_height, stride_width) = pair(node, "strides")?.unwrap_or((1, 1));
    match pair(node, "dilations")? {
        None | Some((1, 1)) => {}
        Some((rows, columns)) => {
            return Err(node.bad_attribute("dilations", format!("[{rows}, {columns}]"), "[1, 1]"));
        }
    }
    let window = Window { kernel_height, kernel_width, stride_height, stride_width, padding: Padding::NONE };
    let same = |lower: bool| {
        let (top, bottom) = same_padding(shape.height, kernel_height, stride_height, lower);
        let (left, right) = same_padding(shape.width, kernel_width, stride_width, lower);
        Padding { top, left, bottom, right }
    };
    let written = match node.string("auto_pad")?.as_deref() {
        None | Some("" | "NOTSET") => pads(node)?,
        Some("VALID") => Padding::NONE,
        Some("SAME_UPPER") => same(false),
        Some("SAME_LOWER") => same(true),
        Some(other) => {
            return Err(node.bad_attribute("auto_pad", other, "NOTSET, VALID, SAME_UPPER or SAME_LOWER"));
        }
    };
    let mut padding = written;
    if ceil {
        padding.bottom += overhang(shape.height, written.top, written.bottom, kernel_height, stride_height);
        padding.right += overhang(shape.width, written.left, written.right, kernel_width, stride_width);
    }
    Ok(FileWindow { window: window.padded(padding), written })
}

/// Padding in front and behind so that the output has `ceil(size / stride)` rows; the odd one goes behind, or in front
/// for `SAME_LOWER`.
fn same_padding(size: u32, kernel: u32, stride: u32, lower: bool) -> (u32, u32) {
    let reach = u64::from(size.div_ceil(stride) - 1) * u64::from(stride) + u64::from(kernel);
    let total = reach.saturating_sub(u64::from(size)) as u32;
    let less = total / 2;
    if lower { (total - less, less) } else { (less, total - less) }
}

/// Two positive sizes, at most 2^16 each.
fn pair(node: NodeView<'_>, name: &str) -> Result<Option<(u32, u32)>, ImportError> {
    let Some(values) = node.ints(name)? else {
        return Ok(None);
    };
    match values {
        &[rows, columns] if [rows, columns].iter().all(|size| (1..=1 << 16).contains(size)) => {
            Ok(Some((rows as u32, columns as u32)))
        }
        other => Err(node.bad_attribute(name, format!("{other:?}"), "two sizes from 1 to 65536")),
    }
}

fn pads(node: NodeView<'_>) -> Result<Padding, ImportError> {
    match node.ints("pads")? {
        None => Ok(Padding::NONE),
        Some(pads @ &[top, left, bottom, right]) if pads.iter().all(|pad| (0..=1 << 16).contains(pad)) => {
            Ok(Padding { top: top as u32, left: left as u32, bottom: bottom as u32, right: right as u32 })
        }
        Some(other) => Err(node.bad_attribute("pads", format!("{other:?}"), "four sizes from 0 to 65536")),
    }
}

pub(super) fn pad<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    match node.string("mode")?.as_deref() {
        None | Some("" | "constant") => {}
        Some(other) => return Err(node.bad_attribute("mode", other, "constant")),
    }
    let value = match node.float("value")? {
        Some(value) => value,
        None => match importer.constant(node, 2)? {
            None => 0.0,
            Some(value) => value.as_floats().and_then(|value| value.first().copied()).unwrap_or(0.0),
        },
    };
    if value != 0.0 {
        return Err(node.bad_attribute("value", value, "0"));
    }
    if node.input(3).is_some() {
        return Err(node.unsupported("it pads chosen axes", "give the padding of all four axes"));
    }
    let old_name = if node.has("paddings") { "paddings" } else { "pads" };
    let pads = importer.ints(node, old_name, 1)?.ok_or_else(|| node.missing_input("pads"))?;
    let tensor = importer.tensor(node, 0)?;
    let axes = match tensor.layout {
        Layout::Nchw => [0, 1, 2, 3],
        Layout::Nhwc => [0, 3, 1, 2],
        _ => return Err(node.unsupported("it pads a vector", "only the rows and columns of a picture can be padded")),
    };
    let [batch, channels, rows, columns] = axes;
    let fine = pads.len() == 8 && pads.iter().all(|pad| (0..=1 << 16).contains(pad));
    if !fine || [batch, channels].iter().any(|&axis| pads[axis] != 0 || pads[axis + 4] != 0) {
        return Err(node.bad_attribute(
            "pads",
            format!("{pads:?}"),
            "sizes from 0 to 65536 on height and width, 0 on the other axes",
        ));
    }
    let padding = Padding {
        top: pads[rows] as u32,
        left: pads[columns] as u32,
        bottom: pads[rows + 4] as u32,
        right: pads[columns + 4] as u32,
    };
    let shape = importer.graph.shape(tensor.value);
    let (height, width) = output_size(node, Window::square(1, 1).padded(padding), shape)?;
    let shape = Shape { height, width, ..shape };
    let output = importer.emit(node, Op::Pad(padding), vec![tensor.value], shape)?;
    Ok(Entry::Tensor(match tensor.layout {
        Layout::Nhwc => Tensor::nhwc(output, shape),
        _ => Tensor::nchw(output, shape),
    }))
}

/// `y = (x - mean) / sqrt(variance + epsilon) * scale + bias`, folded to one factor and one summand per channel.
pub(super) fn batch_normalization<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    if node.flag("training_mode")? {
        return Err(node.bad_attribute("training_mode", 1, "0: export in evaluation mode"));
    }
    if node.int("spatial")?.unwrap_or(1) != 1 {
        return Err(node.bad_attribute("spatial", 0, "1"));
    }
    let epsilon = f64::from(node.float("epsilon")?.unwrap_or(1e-5));
    let vectors = [1, 2, 3, 4].map(|index| importer.floats(node, index));
    let [scale, bias, mean, variance] = vectors;
    let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
    let vectors = [&scale, &bias, &mean, &variance].map(|vector| vector.as_floats().unwrap_or_default());
    let [scale, bias, mean, variance] = vectors;
    if vectors.iter().any(|vector| vector.len() != scale.len()) {
        return Err(node.mismatch(format!("its four vectors have lengths {:?}", vectors.map(<[f32]>::len))));
    }
    let mut affine = Affine { scale: Vec::with_capacity(scale.len()), shift: Vec::with_capacity(scale.len()) };
    for (((&scale, &bias), &mean), &variance) in scale.iter().zip(bias).zip(mean).zip(variance) {
        let factor = f64::from(scale) / (f64::from(variance) + epsilon).sqrt();
        if !factor.is_finite() {
            return Err(node.mismatch(format!("variance {variance} with epsilon {epsilon} has no square root")));
        }
        affine.scale.push(factor as f32);
        affine.shift.push((f64::from(bias) - f64::from(mean) * factor) as f32);
    }
    apply_affine(importer, node, 0, affine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        // tf.nn.conv2d SAME, 224 / 2 with a kernel of 3: 0 in front, 1 behind.
        assert_eq!(same_padding(224, 3, 2, false), (0, 1));
        assert_eq!(same_padding(224, 3, 2, true), (1, 0));
        assert_eq!(same_padding(7, 3, 1, false), (1, 1));
        assert_eq!(same_padding(7, 1, 2, false), (0, 0));
    }

    #[test]
    fn weights_become_channels_last() {
        // One filter of 2 channels with a 1 x 3 kernel: [c0k0, c0k1, c0k2, c1k0, c1k1, c1k2].
        let weights = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
        assert_eq!(channels_last(&weights, 2, 3), [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
    }
}
