//! Pools, global pools, ReduceMean over a picture, and LRN.

use tinception_core::shape::{Padding, Shape, Window};

use super::convolution::{FileWindow, output_size, window};
use super::error::ImportError;
use super::importer::{Entry, Importer};
use super::layout::{Layout, Tensor};
use super::node::NodeView;
use super::shapes::axis_index;
use crate::graph::{AveragePool, Clamp, Lrn, Op};

pub(super) fn max_pool<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let (input, shape) = importer.nchw(node, 0)?;
    let FileWindow { window, .. } = pool_window(node, shape)?;
    let (height, width) = output_size(node, window, shape)?;
    let shape = Shape { height, width, ..shape };
    let output = importer.emit(node, Op::MaxPool(window), vec![input], shape)?;
    Ok(Entry::Tensor(Tensor::nchw(output, shape)))
}

pub(super) fn average_pool<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let (input, shape) = importer.nchw(node, 0)?;
    let FileWindow { window, written } = pool_window(node, shape)?;
    let counted = if node.flag("count_include_pad")? { written } else { Padding::NONE };
    let (height, width) = output_size(node, window, shape)?;
    let shape = Shape { height, width, ..shape };
    let pool = AveragePool { window, counted, clamp: Clamp::NONE };
    let output = importer.emit(node, Op::AveragePool(pool), vec![input], shape)?;
    Ok(Entry::Tensor(Tensor::nchw(output, shape)))
}

/// A pool's window; none may lie in the padding alone, there would be nothing to pool.
fn pool_window(node: NodeView<'_>, shape: Shape) -> Result<FileWindow, ImportError> {
    let ceil = node.flag("ceil_mode")? && matches!(node.string("auto_pad")?.as_deref(), None | Some("" | "NOTSET"));
    let found = window(node, shape, None, ceil)?;
    let window = found.window;
    let Padding { top, left, bottom, right } = window.padding;
    let (kernel_height, kernel_width) = (window.kernel_height, window.kernel_width);
    if top >= kernel_height || bottom >= kernel_height || left >= kernel_width || right >= kernel_width {
        return Err(node.bad_attribute(
            "pads",
            format!("{:?}", [top, left, bottom, right]),
            "less than the kernel on each side",
        ));
    }
    Ok(found)
}

pub(super) fn global_pool<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let (input, shape) = importer.nchw(node, 0)?;
    let window = Window::global(shape.height, shape.width);
    let op = match node.operator() {
        "GlobalMaxPool" => Op::MaxPool(window),
        _ => global_average(shape),
    };
    let shape = Shape::new(1, 1, shape.channels);
    let output = importer.emit(node, op, vec![input], shape)?;
    Ok(Entry::Tensor(Tensor::nchw(output, shape)))
}

fn global_average(shape: Shape) -> Op {
    let window = Window::global(shape.height, shape.width);
    Op::AveragePool(AveragePool { window, counted: Padding::NONE, clamp: Clamp::NONE })
}

/// The mean over height and width, with or without the two axes kept.
pub(super) fn reduce_mean<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let tensor = importer.tensor(node, 0)?;
    let expected = match tensor.layout {
        Layout::Nchw => [2, 3],
        Layout::Nhwc => [1, 2],
        _ => return Err(node.unsupported("it averages a vector", "only a picture's height and width can be averaged")),
    };
    let axes = importer.ints(node, "axes", 1)?.unwrap_or_default();
    let mut found = axes.iter().map(|&axis| axis_index(node, axis, 4)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    if found != expected {
        return Err(node.bad_attribute("axes", format!("{axes:?}"), format!("{expected:?}, height and width")));
    }
    let keep = node.int("keepdims")?.unwrap_or(1) != 0;
    let shape = importer.graph.shape(tensor.value);
    let channels = Shape::new(1, 1, shape.channels);
    let output = importer.emit(node, global_average(shape), vec![tensor.value], channels)?;
    Ok(Entry::Tensor(match (keep, tensor.layout) {
        (false, _) => Tensor::vector(output, vec![1, shape.channels as usize]),
        (true, Layout::Nhwc) => Tensor::nhwc(output, channels),
        (true, _) => Tensor::nchw(output, channels),
    }))
}

pub(super) fn lrn<'a>(importer: &mut Importer<'a>, node: NodeView<'a>) -> Result<Entry, ImportError> {
    let (input, shape) = importer.nchw(node, 0)?;
    // ONNX Runtime refuses even sizes too: nothing says where their middle is.
    let size = match node.int("size")? {
        Some(size @ 1..=65535) if size % 2 == 1 => size as u32,
        Some(other) => return Err(node.bad_attribute("size", other, "an odd number of channels")),
        None => return Err(node.bad_attribute("size", "missing", "an odd number of channels")),
    };
    let lrn = Lrn {
        size,
        alpha: node.float("alpha")?.unwrap_or(1e-4),
        beta: node.float("beta")?.unwrap_or(0.75),
        bias: node.float("bias")?.unwrap_or(1.0),
    };
    let numbers = [("alpha", lrn.alpha), ("beta", lrn.beta), ("bias", lrn.bias)];
    if let Some((name, value)) = numbers.into_iter().find(|(_, value)| !value.is_finite()) {
        return Err(node.bad_attribute(name, value, "a finite number"));
    }
    let output = importer.emit(node, Op::Lrn(lrn), vec![input], shape)?;
    Ok(Entry::Tensor(Tensor::nchw(output, shape)))
}
