//! The graph: a float network as the compiler sees it, between an importer and the quantiser.
//!
//! Values are NHWC with a batch of one. Nodes stand in an order in which every input is made before it is used.
//! Weights sit inside the operators that use them, in the order the output format wants them (channels last), so that
//! no pass and no emitter knows where a network came from.

use std::ops::Index;

use tinception_core::shape::{Padding, Shape, Window};

use crate::ending::OwnOutput;

/// A float network for pictures: one input, one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// The network's name, for people.
    pub name: String,
    /// Every value; [`ValueId`] is an index into it.
    pub values: Vec<Value>,
    /// Operators, in an order that runs.
    pub nodes: Vec<Node>,
    /// The picture, as the first layer reads it: after `input_affine`.
    pub input: ValueId,
    /// The value that holds the scores of the classes.
    pub output: ValueId,
    /// What the network itself does to the picture before its first layer, to be folded into the preprocessing.
    pub input_affine: Affine,
    /// What the network itself gave before the passes ended it in probabilities; `None` until then.
    pub own_output: Option<OwnOutput>,
}

/// Names one value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// A tensor that flows between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The name it has in the source file.
    pub name: String,
    /// Height, width, channels.
    pub shape: Shape,
}

/// One operator with its inputs and its only output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name it has in the source file; errors and profiles show it.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it makes.
    pub output: ValueId,
}

/// `scale * x + shift`, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Factor of each channel.
    pub scale: Vec<f32>,
    /// Summand of each channel, added after the factor.
    pub shift: Vec<f32>,
}

impl Affine {
    /// The affine map that changes nothing.
    #[must_use]
    pub fn identity(channels: usize) -> Self {
        Self { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

    /// This map, then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let scale = self.scale.iter().zip(&next.scale).map(|(a, b)| a * b).collect();
        let shift = self.shift.iter().zip(&next.scale).zip(&next.shift).map(|((a, b), c)| a * b + c).collect();
        Self { scale, shift }
    }
}

/// The range an activation cuts its values to: ReLU is `0..inf`, ReLU6 `0..6`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Lower end; negative infinity where there is none.
    pub min: f32,
    /// Upper end; infinity where there is none.
    pub max: f32,
}

impl Clamp {
    /// No activation.
    pub const NONE: Self = Self { min: f32::NEG_INFINITY, max: f32::INFINITY };
    /// `max(x, 0)`.
    pub const RELU: Self = Self { min: 0.0, max: f32::INFINITY };

    /// One clamp that does what `self` and then `next` do.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        Self { min: self.min.max(next.min).min(next.max), max: self.max.min(next.max).max(next.min) }
    }

    /// `x` cut to the range.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        x.max(self.min).min(self.max)
    }
}

/// The operators the compiler knows.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution, groups and depthwise included.
    Conv(Conv),
    /// Fully connected layer over the input's elements in NHWC order; its output is 1 x 1 x `outputs`.
    Dense(Dense),
    /// Largest value of a window; padding is ignored.
    MaxPool(Window),
    /// Mean over a window.
    AveragePool(AveragePool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// Joins its inputs on the channel axis.
    Concat,
    /// Sum of two tensors of the same shape, then the clamp.
    Add(Clamp),
    /// An activation that no operator in front has taken in.
    Clamp(Clamp),
    /// Per-channel scale and shift: a batch normalisation, its four vectors already folded into two.
    BatchNorm(Affine),
    /// Zeros around the picture.
    Pad(Padding),
    /// The same elements as 1 x 1 x (height * width * channels), in NHWC order.
    Flatten,
    /// Probabilities over the channels of a 1 x 1 tensor, which sum up to 1.
    Softmax,
    /// The logarithms of a softmax's probabilities.
    LogSoftmax,
    /// `1 / (1 + exp(-x))` of each element.
    Sigmoid,
    /// The input, unchanged (dropout at inference).
    Identity,
}

/// A convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Kernel, stride and padding.
    pub window: Window,
    /// Groups the channels are split into; 1 is the plain convolution, the input's channel count is depthwise.
    pub groups: usize,
    /// `[output channel][ky][kx][input channel / groups]`.
    pub weights: Vec<f32>,
    /// One value per output channel.
    pub bias: Vec<f32>,
    /// The fused activation.
    pub clamp: Clamp,
}

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// `[output][input]`, inputs in NHWC order.
    pub weights: Vec<f32>,
    /// One value per output.
    pub bias: Vec<f32>,
    /// The fused activation.
    pub clamp: Clamp,
}

/// Average pooling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AveragePool {
    /// Kernel, stride and padding.
    pub window: Window,
    /// The part of the padding that counts in the divisor: none of it for `count_include_pad = 0`, the padding
    /// written in the model for 1 (but never the rows a ceil-mode pool hangs over).
    pub counted: Padding,
    /// The fused activation.
    pub clamp: Clamp,
}

/// `y = x / (bias + alpha / size * sum(x^2))^beta`, the sum over `size` neighbouring channels
/// (Krizhevsky et al. 2012, section 3.3; ONNX `LRN`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lrn {
    /// Channels in the sum.
    pub size: u32,
    /// Weight of the sum.
    pub alpha: f32,
    /// Exponent of the normalisation.
    pub beta: f32,
    /// Constant in front of the sum.
    pub bias: f32,
}

impl Op {
    /// The operator's name in ONNX's words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "Conv",
            Self::Dense(_) => "Gemm",
            Self::MaxPool(_) => "MaxPool",
            Self::AveragePool(_) => "AveragePool",
            Self::Lrn(_) => "LRN",
            Self::Concat => "Concat",
            Self::Add(_) => "Add",
            Self::Clamp(_) => "Clip",
            Self::BatchNorm(_) => "BatchNormalization",
            Self::Pad(_) => "Pad",
            Self::Flatten => "Flatten",
            Self::Softmax => "Softmax",
            Self::LogSoftmax => "LogSoftmax",
            Self::Sigmoid => "Sigmoid",
            Self::Identity => "Identity",
        }
    }
}

impl Graph {
    /// The shape of a value.
    #[must_use]
    pub fn shape(&self, value: ValueId) -> Shape {
        self[value].shape
    }

    /// Adds a value and returns its id.
    pub fn add_value(&mut self, name: impl Into<String>, shape: Shape) -> ValueId {
        self.values.push(Value { name: name.into(), shape });
        ValueId(self.values.len() - 1)
    }

    /// The node that makes `value`; `None` for the input.
    #[must_use]
    pub fn producer(&self, value: ValueId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.output == value)
    }

    /// The nodes that read `value`.
    pub fn consumers(&self, value: ValueId) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.inputs.contains(&value))
    }

    /// Multiply-accumulates of one run: convolutions and dense layers, padding positions counted as work.
    #[must_use]
    pub fn macs(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| match &node.op {
                Op::Conv(conv) => self.shape(node.output).pixels() * conv.weights.len() as u64,
                Op::Dense(dense) => dense.weights.len() as u64,
                _ => 0,
            })
            .sum()
    }
}

impl Index<ValueId> for Graph {
    type Output = Value;

    fn index(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }
}

/// For each element of a picture in NHWC order, its index in NCHW order.
#[cfg(feature = "weights")]
pub(crate) fn nhwc_order(shape: Shape) -> impl Iterator<Item = usize> + Clone {
    let (pixels, channels) = (shape.pixels() as usize, shape.channels as usize);
    (0..pixels).flat_map(move |pixel| (0..channels).map(move |channel| channel * pixels + pixel))
}

/// Rows that the last window of a ceil-mode pool hangs over the padded input. A window that would start behind the
/// input and the padding in front of it is left out (PyTorch's `pooling_output_shape`, ONNX since operator set 19).
#[cfg(feature = "weights")]
pub(crate) fn overhang(size: u32, before: u32, after: u32, kernel: u32, stride: u32) -> u32 {
    let padded = u64::from(size) + u64::from(before) + u64::from(after);
    let Some(room) = padded.checked_sub(u64::from(kernel)) else {
        return 0;
    };
    let stride = u64::from(stride);
    let start = room.div_ceil(stride) * stride;
    if start >= u64::from(size) + u64::from(before) {
        return 0;
    }
    (start + u64::from(kernel) - padded) as u32
}

#[cfg(all(test, feature = "weights"))]
mod tests {
    use super::*;

    #[test]
    fn nhwc_order_finds_each_element_in_nchw_data() {
        // A 1 x 2 picture of 3 channels; NCHW data is [c0p0, c0p1, c1p0, c1p1, c2p0, c2p1].
        let order: Vec<usize> = nhwc_order(Shape::new(1, 2, 3)).collect();
        assert_eq!(order, [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn ceil_mode_adds_the_rows_that_pytorch_adds() {
        // torch.nn.MaxPool2d(3, 2, ceil_mode=True): 112 -> 56, one row over; 113 -> 56, none.
        assert_eq!(overhang(112, 0, 0, 3, 2), 1);
        assert_eq!(overhang(113, 0, 0, 3, 2), 0);
        // MaxPool2d(2, 2, padding=1, ceil_mode=True) over 4: the third window starts at 4 - 1 = 3, inside.
        assert_eq!(overhang(4, 1, 1, 2, 2), 0);
        // Over 3: windows start at -1 and 1; a third would start at 3, behind the input: left out.
        assert_eq!(overhang(3, 1, 1, 2, 2), 0);
        // MaxPool2d(1, 2, ceil_mode=True) over 2: a second window would start at 2, behind the input: left out.
        assert_eq!(overhang(2, 0, 0, 1, 2), 0);
    }
}
