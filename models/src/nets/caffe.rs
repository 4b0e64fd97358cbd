//! Caffe's GoogLeNet: `bvlc_googlenet` of the model zoo, the paper's network with local response normalisation.
//!
//! Layers stand in the order of its `deploy.prototxt` and have its names. Every convolution has a bias and a ReLU.

use tinception_core::shape::{Padding, Window};

use super::NetError;
use super::builder::Builder;
use super::googlenet::{Channels, MODULES, same};
use crate::graph::{Lrn, Op, ValueId};

/// `local_size: 5, alpha: 0.0001, beta: 0.75`, Caffe's `k` of 1.
const LRN: Lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 };

/// The network up to its logits.
pub(super) fn build(builder: &mut Builder<'_>) -> Result<(), NetError> {
    let stem = Window::square(7, 2).padded(Padding::same(3));
    let x = conv(builder, "conv1/7x7_s2", builder.input(), 64, stem)?;
    let x = builder.max_pool("pool1/3x3_s2", x, [3, 2, 0], true)?;
    let x = builder.unary("pool1/norm1", Op::Lrn(LRN), x);
    let x = conv(builder, "conv2/3x3_reduce", x, 64, same(1))?;
    let x = conv(builder, "conv2/3x3", x, 192, same(3))?;
    let x = builder.unary("conv2/norm2", Op::Lrn(LRN), x);
    let mut x = builder.max_pool("pool2/3x3_s2", x, [3, 2, 0], true)?;
    for (name, channels) in MODULES {
        match name {
            "4a" => x = builder.max_pool("pool3/3x3_s2", x, [3, 2, 0], true)?,
            "5a" => x = builder.max_pool("pool4/3x3_s2", x, [3, 2, 0], true)?,
            _ => {}
        }
        x = module(builder, &format!("inception_{name}"), x, channels)?;
    }
    let x = builder.average_pool("pool5/7x7_s1", x, Window::square(7, 1))?;
    builder.classifier("loss3/classifier", x)?;
    Ok(())
}

fn conv(
    builder: &mut Builder<'_>,
    name: &str,
    input: ValueId,
    outputs: u32,
    window: Window,
) -> Result<ValueId, NetError> {
    let conv = builder.conv(name, name, input, outputs, window, true)?;
    Ok(builder.relu(name, conv))
}

fn module(
    builder: &mut Builder<'_>,
    name: &str,
    input: ValueId,
    [one, reduce_three, three, reduce_five, five, projection]: Channels,
) -> Result<ValueId, NetError> {
    let first = conv(builder, &format!("{name}/1x1"), input, one, same(1))?;
    let second = conv(builder, &format!("{name}/3x3_reduce"), input, reduce_three, same(1))?;
    let second = conv(builder, &format!("{name}/3x3"), second, three, same(3))?;
    let third = conv(builder, &format!("{name}/5x5_reduce"), input, reduce_five, same(1))?;
    let third = conv(builder, &format!("{name}/5x5"), third, five, same(5))?;
    let pooled = builder.max_pool(&format!("{name}/pool"), input, [3, 1, 1], false)?;
    let fourth = conv(builder, &format!("{name}/pool_proj"), pooled, projection, same(1))?;
    Ok(builder.concat(&format!("{name}/output"), vec![first, second, third, fourth]))
}
