//! The last layer: logits as int32, so that classes that int8 could not tell apart keep their order.
//!
//! `logit = clamp_i32((accumulator * multiplier + 2^(shift-1)) >> shift)`: requantised to one scale for all classes,
//! without a zero point and without losing bits to int8.

use core::ops::Range;

use super::Pixels;
use super::conv::{Conv, Layout, gather, group_weights, reads_in_place};
use crate::EVERY_OPERATOR;
use crate::arch::Backend;
use crate::quant::{Requantize, clamp_to_i32};
use crate::shape::Shape;

/// Runs a convolution with an int32 output: `logits` has 4 little-endian bytes for each output element, pixel by
/// pixel. `shape` of the output is what the window makes of the input, with `outputs` channels.
pub fn run<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    input: Pixels<'_>,
    outputs: u32,
    logits: &mut [u8],
    scratch: &mut [i8],
) -> Option<()> {
    run_pixels(backend, conv, input, 0, (outputs, 0..outputs as usize), logits, scratch)
}

/// Whether the channels of a convolution's logits can be computed in several ranges: there is one pixel and one group.
pub(crate) fn channels_are_apart(conv: &Conv<'_>, shape: Shape) -> bool {
    shape.pixels() == 1 && conv.groups == 1
}

/// As [`run`], for the output pixels from `first` on that `logits` has, and for the output channels `range` of `outputs` alone.
/// It begins at a multiple of 4, and is all channels unless they [are apart](channels_are_apart).
pub(crate) fn run_pixels<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    input: Pixels<'_>,
    first: usize,
    (outputs, range): (u32, Range<usize>),
    logits: &mut [u8],
    scratch: &mut [i8],
) -> Option<()> {
    let shape = input.shape();
    let layout = Layout::new(&conv.window, conv.groups, shape.channels, outputs)?;
    let (_, width) = conv.window.output(shape.height, shape.width)?;
    if layout.depthwise {
        return None;
    }
    if !EVERY_OPERATOR {
        let patch = input.from_pixel(0)?.get(..layout.depth)?;
        return group(backend, conv, &layout, (0, range.start), patch, logits);
    }
    let in_place = reads_in_place(&conv.window, &layout);
    for (pixel, logits) in (first as u32..).zip(logits.chunks_exact_mut((range.len() * 4).max(1))) {
        let groups = logits.chunks_exact_mut((layout.group_outputs.min(range.len()) * 4).max(1));
        for (index, logits) in groups.enumerate() {
            let patch = if in_place {
                input.from_pixel(pixel as usize)?.get(index * layout.group_inputs..)?.get(..layout.depth)?
            } else {
                let patch = scratch.get_mut(..layout.padded_depth)?;
                gather(backend, conv, &layout, input, (pixel / width.max(1), pixel % width.max(1)), index, patch)?;
                &*patch
            };
            group(backend, conv, &layout, (index, range.start), patch, logits)?;
        }
    }
    Some(())
}

/// Whether these are the logits of one pixel that is read where it lies, in one group: all that a build without the
/// feature `every-operator` runs.
pub(crate) fn is_plain(conv: &Conv<'_>, layout: &Layout, shape: Shape) -> bool {
    channels_are_apart(conv, shape) && reads_in_place(&conv.window, layout)
}

/// The logits of one group and pixel, from the group's channel `first` on.
fn group<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    layout: &Layout,
    (index, first): (usize, usize),
    patch: &[i8],
    logits: &mut [u8],
) -> Option<()> {
    let weights = group_weights(conv, layout, index)?;
    let table = conv.table.slice(index * layout.padded_outputs, layout.padded_outputs)?;
    let mut blocks = weights.chunks_exact((4 * layout.padded_depth).max(1)).skip(first / 4);
    let mut first = first;
    for logits in logits.chunks_mut(16) {
        let sums = backend.dot4(patch, blocks.next()?);
        let table = table.slice(first, 4)?;
        let channels = sums.iter().zip(table.bias).zip(table.multiplier.iter().zip(table.shift));
        for (((sum, bias), (multiplier, shift)), logit) in channels.zip(logits.as_chunks_mut().0) {
            let rule = Requantize::new(*multiplier, *shift as u32)?;
            *logit = clamp_to_i32(rule.apply(sum.wrapping_add(*bias))).to_le_bytes();
        }
        first += 4;
    }
    Some(())
}
