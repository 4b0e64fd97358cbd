//! nano, the reduced Inception for microcontrollers: `models/train/nets/nano.py`.

use tinception_core::shape::{Padding, Window};

use super::NetError;
use super::builder::Builder;
use super::googlenet::{Five, module, same};

/// Four modules behind two convolutions.
pub(super) fn build(builder: &mut Builder<'_>) -> Result<(), NetError> {
    let x = builder.basic("conv1", builder.input(), 16, same(3))?;
    let x = builder.basic("conv2", x, 32, Window::square(3, 2).padded(Padding::same(1)))?;
    let x = module(builder, "inception3a", x, [12, 16, 20, 8, 12, 8], Five::Split)?;
    let x = module(builder, "inception3b", x, [16, 24, 32, 8, 16, 8], Five::Split)?;
    let x = builder.max_pool("maxpool3", x, [2, 2, 0], false)?;
    let x = module(builder, "inception4a", x, [32, 24, 40, 12, 24, 16], Five::Split)?;
    let x = module(builder, "inception4b", x, [32, 28, 52, 12, 24, 16], Five::Split)?;
    let x = builder.global_average("avgpool", x)?;
    builder.classifier("fc", x)?;
    Ok(())
}
