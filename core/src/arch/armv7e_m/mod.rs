//! ARM with DSP instructions on 32-bit registers: Cortex-M4 and M7 (ARMv7E-M), M33 with the DSP option, and ARMv7-A
//! without NEON.
//!
//! SMLAD multiplies two pairs of 16-bit halves and adds both products; SXTB16 widens bytes 0 and 2 of a word, or 1 and 3
//! of the rotated word. A word of weights holds 4 k of one output channel: two SXTB16 make two operands of it. A tile is
//! 4 pixels by 2 channels: 8 accumulators, 2 registers of weights, 2 of pixels, 2 pointers, all fourteen registers. 4 k
//! then take 26 instructions for 32 products: 16 SMLAD, 4 LDM of pixels, 2 LDRD and 4 SXTB16 of weights.
//!
//! The weights are read where they lie. The patches of 4 pixels are first widened onto the stack in the order that SXTB16
//! leaves, interleaved so that LDM reads them one after the other: for each 4 k the bytes 0 and 2 of four pixels, then
//! the bytes 1 and 3. What lies on the stack is bounded: 128 elements of a patch at a time, and sums of
//! 32 output channels, to which the next part of the patch adds.
#![allow(unsafe_code)]

/// What functions in assembly begin with. Where the instructions are an option, the assembler does not take them from the
/// build's flags, which reach code alone.
#[cfg(arm_dsp_option)]
macro_rules! architecture {
    () => {
        ".cpu cortex-m33"
    };
}

/// As above: the target itself has the instructions.
#[cfg(not(arm_dsp_option))]
macro_rules! architecture {
    () => {
        ""
    };
}

mod pixels;
mod store;
mod sums;

use core::mem::MaybeUninit;

use store::{Store, store, store_clamped};
use sums::{Products, dot4, sum_first, sum_more, widen_two};

use super::{Backend, Gemm, PoolWindow};
use crate::kernels::ChannelTable;
use crate::quant::{Output, Requantize};

/// The backend for SXTB16 and SMLAD.
#[derive(Clone, Copy, Debug)]
pub struct Dsp(());

/// Pixels of a tile.
const PIXELS: usize = 4;

/// Elements of each patch that are widened at a time.
const DEPTH: usize = 128;

/// Output channels whose sums are kept at a time.
const CHANNELS: usize = 32;

/// A tile's widened patches: for each 4 k the even bytes of every pixel, then the odd ones.
type Widened = [MaybeUninit<[u32; 2 * PIXELS]>; DEPTH / 4];

/// A tile's sums, `[channel][pixel]`.
type Sums = [MaybeUninit<[i32; PIXELS]>; CHANNELS];

/// Shifts that [`store`] can do: the high half of the product is enough from 33 on, and up to 54 the zero point fits
/// next to it.
const SHIFTS: core::ops::RangeInclusive<i32> = 33..=54;

impl Dsp {
    /// The backend: this module is compiled where the target has its instructions.
    pub(super) const ALWAYS: Self = Self(());
}

impl Backend for Dsp {
    fn name(self) -> &'static str {
        "dsp"
    }

    fn reads_runs(self) -> bool {
        true
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        gemm.check(1, out.len())?;
        let (mut widened, mut sums) = ([MaybeUninit::uninit(); DEPTH / 4], [MaybeUninit::uninit(); CHANNELS]);
        for first in (0..gemm.pixels).step_by(PIXELS) {
            let pixels = PIXELS.min(gemm.pixels - first);
            let gemm = Gemm { patches: gemm.patches.get(first * gemm.patch_stride..)?, pixels, ..*gemm };
            tile(&gemm, &mut widened, &mut sums, out.get_mut(first * gemm.output_stride..)?)?;
        }
        Some(())
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        let steps = (patch.len() / 4).min(block.len() / 16);
        // SAFETY: both slices have as many steps, and the instructions are there: `self` exists.
        unsafe { dot4(patch.as_ptr(), block.as_ptr(), steps) }
    }

    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        pixels::copy_rows(source, stride, length, to)
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        pixels::max_pool(window, limits, out)
    }
}

/// All output channels of up to 4 pixels. The caller has checked `gemm`.
fn tile(gemm: &Gemm<'_>, widened: &mut Widened, sums: &mut Sums, out: &mut [i8]) -> Option<()> {
    for first in (0..gemm.outputs).step_by(CHANNELS) {
        let outputs = CHANNELS.min(gemm.outputs - first);
        let channels = outputs.next_multiple_of(4);
        let table = gemm.table.slice(first, channels)?;
        let weights = gemm.weights.get(first * gemm.depth..)?.get(..channels * gemm.depth)?;
        for start in (0..gemm.depth).step_by(DEPTH) {
            let depth = DEPTH.min(gemm.depth - start);
            // A patch of one part stays as it is for the channels that follow.
            if first == 0 || gemm.depth > DEPTH {
                widen(gemm, start, depth, widened)?;
            }
            let products = Products {
                patches: widened.as_ptr().cast(),
                steps: depth / 4,
                weights: weights.get(4 * start..)?.as_ptr(),
                next_quad: 4 * gemm.depth,
                sums: sums.as_mut_ptr().cast(),
                pairs: channels / 2,
                bias: table.bias.as_ptr(),
            };
            let sum = if start == 0 { sum_first } else { sum_more };
            // SAFETY: the patches are widened to `depth`, a multiple of 4 of at least 4; `weights` has `channels / 4`
            // blocks of `gemm.depth` k, of which `start..start + depth` are inside; there are as many biases and sums,
            // and the first part has written all of them.
            unsafe { sum(&products) };
        }
        store_tile(sums, &table, gemm, outputs, out.get_mut(first..)?)?;
    }
    Some(())
}

/// Widens `depth` elements from `start` on of the tile's patches. Pixels that the tile lacks are its first pixel again.
fn widen(gemm: &Gemm<'_>, start: usize, depth: usize, widened: &mut Widened) -> Option<()> {
    let run = gemm.depth.checked_div(gemm.runs)?;
    let mut to: *mut u32 = widened.as_mut_ptr().cast();
    let mut left = depth;
    let (mut first, mut within) = (start.checked_div(run)? * gemm.run_stride, start.checked_rem(run)?);
    while left > 0 {
        let length = left.min(run - within);
        let patch = |pixel: usize| {
            let pixel = if pixel < gemm.pixels { pixel * gemm.patch_stride } else { 0 };
            Some(gemm.patches.get(pixel + first + within..)?.get(..length)?.as_ptr())
        };
        let patches = [patch(0)?, patch(1)?, patch(2)?, patch(3)?];
        // SAFETY: each patch has `length` elements from there on, a multiple of 4 of at least 4, and there is room for
        // `depth` elements of each, at most DEPTH.
        unsafe {
            widen_two(patches[0], patches[1], to, length / 4);
            widen_two(patches[2], patches[3], to.add(2), length / 4);
            to = to.add(2 * length);
        }
        (left, first, within) = (left - length, first + gemm.run_stride, 0);
    }
    Some(())
}

/// Requantises and stores `outputs` channels of the tile's pixels. Their sums have been written.
fn store_tile(sums: &Sums, table: &ChannelTable<'_>, gemm: &Gemm<'_>, outputs: usize, out: &mut [i8]) -> Option<()> {
    let Output { zero_point, min, max } = gemm.output;
    if !table.shift.iter().all(|shift| SHIFTS.contains(shift)) {
        return store_portable(sums, table, gemm, outputs, out);
    }
    let store = if (min, max) == (i8::MIN, i8::MAX) { store } else { store_clamped };
    let rule = |to: *mut i8, stride: usize| Store {
        multiplier: table.multiplier.as_ptr(),
        shift: table.shift.as_ptr(),
        zero_point: 2 * i32::from(zero_point) + 1,
        stride,
        out: to,
        end: to.wrapping_add(outputs),
        min: i32::from(min),
        max: i32::from(max),
    };
    if gemm.pixels == PIXELS {
        let rule = rule(out.as_mut_ptr(), gemm.output_stride);
        // SAFETY: there are `outputs` sums, multipliers and shifts, all shifts are what it takes, and `out` has as many
        // elements of each of the four pixels: `Gemm::check`.
        unsafe { store(&rule, sums.as_ptr().cast()) };
        return Some(());
    }
    // Not every value of this tile has a place in the output.
    let mut whole = [0; PIXELS * CHANNELS];
    let rule = rule(whole.as_mut_ptr(), CHANNELS);
    // SAFETY: as above; `whole` is made for four pixels of up to `CHANNELS`.
    unsafe { store(&rule, sums.as_ptr().cast()) };
    for (out, whole) in out.chunks_mut(gemm.output_stride.max(1)).zip(whole.chunks(CHANNELS)).take(gemm.pixels) {
        out.get_mut(..outputs)?.copy_from_slice(whole.get(..outputs)?);
    }
    Some(())
}

/// As [`store_tile`], for shifts of all sizes.
fn store_portable(
    sums: &Sums,
    table: &ChannelTable<'_>,
    gemm: &Gemm<'_>,
    outputs: usize,
    out: &mut [i8],
) -> Option<()> {
    let rules = table.multiplier.iter().zip(table.shift);
    for (channel, (sums, (multiplier, shift))) in sums.iter().take(outputs).zip(rules).enumerate() {
        let rule = Requantize::new(*multiplier, *shift as u32)?;
        // SAFETY: the sums of `outputs` channels have been written: the caller says so.
        let sums = unsafe { sums.assume_init() };
        for (pixel, sum) in sums.iter().take(gemm.pixels).enumerate() {
            *out.get_mut(pixel * gemm.output_stride + channel)? = gemm.output.clamp(rule.apply(*sum));
        }
    }
    Some(())
}
