//! How an ONNX tensor's elements lie in the graph value that holds them.

use tinception_core::shape::Shape;

use crate::graph::{ValueId, nhwc_order};

/// Which order an ONNX tensor has, against the NHWC order of its graph value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[1, channels, height, width]`.
    Nchw,
    /// `[1, height, width, channels]`: as the value.
    Nhwc,
    /// One axis holds all elements, in the value's order; the value is 1 x 1 x n.
    Vector,
    /// One axis holds all elements of a picture of this shape, in NCHW order; the value is 1 x 1 x n in NHWC order.
    FlatNchw(Shape),
}

/// An ONNX tensor that a graph value holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tensor {
    pub(super) value: ValueId,
    /// The sizes ONNX sees.
    pub(super) dims: Vec<usize>,
    pub(super) layout: Layout,
}

impl Tensor {
    /// A picture in ONNX's usual layout.
    pub(super) fn nchw(value: ValueId, shape: Shape) -> Self {
        let dims = vec![1, shape.channels as usize, shape.height as usize, shape.width as usize];
        Self { value, dims, layout: Layout::Nchw }
    }

    /// A picture in the graph's layout.
    pub(super) fn nhwc(value: ValueId, shape: Shape) -> Self {
        let dims = vec![1, shape.height as usize, shape.width as usize, shape.channels as usize];
        Self { value, dims, layout: Layout::Nhwc }
    }

    /// A 1 x 1 x n value seen with `dims`, whose only axis longer than one has n elements.
    pub(super) fn vector(value: ValueId, dims: Vec<usize>) -> Self {
        let layout = match dims.as_slice() {
            [1, _, 1, 1] => Layout::Nchw,
            [1, 1, 1, _] => Layout::Nhwc,
            _ => Layout::Vector,
        };
        Self { value, dims, layout }
    }

    /// The axis that the value's channels lie on.
    pub(super) fn channel_axis(&self) -> usize {
        match self.layout {
            Layout::Nchw => 1,
            Layout::Nhwc => 3,
            Layout::Vector | Layout::FlatNchw(_) => {
                self.dims.iter().position(|&dim| dim != 1).unwrap_or(self.dims.len().saturating_sub(1))
            }
        }
    }

    /// Puts one number per ONNX element of the channel axis into the value's channel order.
    pub(super) fn to_value_order(&self, per_channel: Vec<f32>) -> Vec<f32> {
        match self.layout {
            Layout::FlatNchw(shape) => nhwc_order(shape).map(|index| per_channel[index]).collect(),
            _ => per_channel,
        }
    }
}

/// Whether `dims` holds all its elements on one axis.
pub(super) fn is_vector(dims: &[usize]) -> bool {
    dims.iter().filter(|&&dim| dim != 1).count() <= 1
}
