//! The last layer: logits as int32, so that classes that int8 could not tell apart keep their order.
//!
//! `logit = clamp_i32((accumulator * multiplier + 2^(shift-1)) >> shift)`: requantised to one scale for all classes,
//! without a zero point and without losing bits to int8.

use core::ops::Range;

use super::Pixels;
use super::conv::{Conv, Layout, gather, group_weights, reads_in_place};
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
    run_channels(backend, conv, input, (outputs, 0..outputs as usize), logits, scratch)
}

/// Whether the channels of a convolution's logits can be computed in several ranges: there is one pixel and one group.
pub(crate) fn channels_are_apart(conv: &Conv<'_>, shape: Shape) -> bool {
    shape.pixels() == 1 && conv.groups == 1
}

/// As [`run`], for the output channels `range` of `outputs` alone, whose logits are all that `logits` has. It begins at a multiple of
/// 4, and is all channels unless they [are apart](channels_are_apart).
pub(crate) fn run_channels<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    input: Pixels<'_>,
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
    let in_place = reads_in_place(&conv.window, &layout);
    for (pixel, logits) in (0..).zip(logits.chunks_exact_mut((range.len() * 4).max(1))) {
        for (group, logits) in logits.chunks_exact_mut((layout.group_outputs.min(range.len()) * 4).max(1)).enumerate() {
            let patch = if in_place {
                input.from_pixel(pixel as usize)?.get(group * layout.group_inputs..)?.get(..layout.depth)?
            } else {
                let patch = scratch.get_mut(..layout.padded_depth)?;
                gather(backend, conv, &layout, input, (pixel / width.max(1), pixel % width.max(1)), group, patch)?;
                &*patch
            };
            let weights = group_weights(conv, &layout, group)?;
            let table = conv.table.slice(group * layout.padded_outputs, layout.padded_outputs)?;
            let blocks = weights.chunks_exact((4 * layout.padded_depth).max(1));
            let blocks = blocks.enumerate().skip(range.start / 4);
            for ((quad, block), logits) in blocks.zip(logits.chunks_mut(16)) {
                let sums = backend.dot4(patch, block);
                let table = table.slice(quad * 4, 4)?;
                let channels = sums.iter().zip(table.bias).zip(table.multiplier.iter().zip(table.shift));
                for (((sum, bias), (multiplier, shift)), logit) in channels.zip(logits.chunks_exact_mut(4)) {
                    let rule = Requantize::new(*multiplier, *shift as u32)?;
                    let value = clamp_to_i32(rule.apply(sum.wrapping_add(*bias)));
                    logit.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
    Some(())
}
