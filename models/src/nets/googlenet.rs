//! GoogLeNet with batch normalisation, and the book's network: nine inception modules each.
//!
//! Szegedy et al. 2014, "Going deeper with convolutions", table 1. Names of layers are those of torchvision's
//! `googlenet.py`, which `models/train` uses too.

use tinception_core::shape::{Padding, Window};

use super::NetError;
use super::builder::Builder;
use crate::graph::ValueId;

/// Output channels of a module: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection.
pub(super) type Channels = [u32; 6];

/// The nine modules, their names behind `inception`.
pub(super) const MODULES: [(&str, Channels); 9] = [
    ("3a", [64, 96, 128, 16, 32, 32]),
    ("3b", [128, 128, 192, 32, 96, 64]),
    ("4a", [192, 96, 208, 16, 48, 64]),
    ("4b", [160, 112, 224, 24, 64, 64]),
    ("4c", [128, 128, 256, 24, 64, 64]),
    ("4d", [112, 144, 288, 32, 64, 64]),
    ("4e", [256, 160, 320, 32, 128, 128]),
    ("5a", [256, 160, 320, 32, 128, 128]),
    ("5b", [384, 192, 384, 48, 128, 128]),
];

/// What the "5x5" of a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Five {
    /// One 5x5, as in the paper.
    True,
    /// One 3x3, as in torchvision.
    Three,
    /// Two 3x3, as in the book.
    Split,
}

/// The second pool of the ImageNet network: kernel, stride, padding.
pub(super) const HALVING: [u32; 3] = [3, 2, 0];

/// The second pool for pictures so small that the modules would have hardly any pixels left.
pub(super) const KEEPING: [u32; 3] = [3, 1, 1];

/// A square window that keeps the size of its input, at stride 1.
pub(super) const fn same(kernel: u32) -> Window {
    Window::square(kernel, 1).padded(Padding::same(kernel / 2))
}

/// The ImageNet network, its second pool [`HALVING`] or [`KEEPING`].
pub(super) fn build(builder: &mut Builder<'_>, five: Five, second_pool: [u32; 3]) -> Result<(), NetError> {
    let stem = Window::square(7, 2).padded(Padding::same(3));
    let x = builder.basic("conv1", builder.input(), 64, stem)?;
    let x = builder.max_pool("maxpool1", x, [3, 2, 0], true)?;
    let x = builder.basic("conv2", x, 64, same(1))?;
    let x = builder.basic("conv3", x, 192, same(3))?;
    let x = builder.max_pool("maxpool2", x, second_pool, true)?;
    let x = modules(builder, x, five, [3, 2, 0], [2, 2, 0], true)?;
    let x = builder.global_average("avgpool", x)?;
    builder.classifier("fc", x)?;
    Ok(())
}

/// The book's network. At 32x32 its average pool leaves 2x2 pixels, so the classifier has 4096 inputs.
pub(super) fn build_book(builder: &mut Builder<'_>) -> Result<(), NetError> {
    let x = builder.basic("conv1", builder.input(), 192, same(3))?;
    let x = modules(builder, x, Five::Split, [3, 2, 1], [3, 2, 1], false)?;
    let x = builder.average_pool("avgpool", x, Window::square(7, 1))?;
    builder.classifier("fc", x)?;
    Ok(())
}

/// All nine modules and the two max pools between them.
fn modules(
    builder: &mut Builder<'_>,
    input: ValueId,
    five: Five,
    third_pool: [u32; 3],
    fourth_pool: [u32; 3],
    ceil: bool,
) -> Result<ValueId, NetError> {
    let mut x = input;
    for (name, channels) in MODULES {
        match name {
            "4a" => x = builder.max_pool("maxpool3", x, third_pool, ceil)?,
            "5a" => x = builder.max_pool("maxpool4", x, fourth_pool, ceil)?,
            _ => {}
        }
        x = module(builder, &format!("inception{name}"), x, channels, five)?;
    }
    Ok(x)
}

/// An inception module: four branches, joined on the channels.
pub(super) fn module(
    builder: &mut Builder<'_>,
    name: &str,
    input: ValueId,
    [one, reduce_three, three, reduce_five, fives, projection]: Channels,
    five: Five,
) -> Result<ValueId, NetError> {
    let first = builder.basic(&format!("{name}.branch1"), input, one, same(1))?;
    let second = builder.basic(&format!("{name}.branch2.0"), input, reduce_three, same(1))?;
    let second = builder.basic(&format!("{name}.branch2.1"), second, three, same(3))?;
    let third = builder.basic(&format!("{name}.branch3.0"), input, reduce_five, same(1))?;
    let kernel = if five == Five::True { 5 } else { 3 };
    let mut third = builder.basic(&format!("{name}.branch3.1"), third, fives, same(kernel))?;
    if five == Five::Split {
        third = builder.basic(&format!("{name}.branch3.2"), third, fives, same(3))?;
    }
    let pooled = builder.max_pool(&format!("{name}.branch4.0"), input, [3, 1, 1], false)?;
    let fourth = builder.basic(&format!("{name}.branch4.1"), pooled, projection, same(1))?;
    Ok(builder.concat(name, vec![first, second, third, fourth]))
}
