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

#[cfg(all(feature = "small-copies", any(arm_dsp_only, test)))]
mod copies;
mod pixels;
mod store;
mod sums;
#[cfg(feature = "winograd")]
mod winograd;
#[cfg(feature = "winograd")]
mod winograd_sums;
#[cfg(feature = "winograd")]
mod winograd_transforms;

use core::mem::MaybeUninit;
use core::ptr;

use store::{Store, store, store_clamped};
use sums::{Products, dot4, sum, widen_two};

use super::{Backend, Gemm, PoolWindow};
use crate::EVERY_OPERATOR;
#[cfg(feature = "winograd")]
use crate::arch::Rows;
#[cfg(feature = "winograd")]
use crate::kernels::{Pixels, conv::Conv};
use crate::quant::{COMMON_SHIFTS, Output, Requantize};

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
        let channels = gemm.outputs.next_multiple_of(4);
        let by_assembly = gemm.table.shift.get(..channels)?.iter().all(|shift| COMMON_SHIFTS.contains(shift));
        let (mut widened, mut sums) = ([MaybeUninit::uninit(); DEPTH / 4], [MaybeUninit::uninit(); CHANNELS]);
        let mut first = 0;
        while first < gemm.pixels {
            let pixels = PIXELS.min(gemm.pixels - first);
            let tile = Tile { gemm, patches: gemm.patches.get(first * gemm.patch_stride..)?, pixels, by_assembly };
            tile.run(&mut widened, &mut sums, out.get_mut(first * gemm.output_stride..)?)?;
            first += pixels;
        }
        Some(())
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        let steps = (patch.len() / 4).min(block.len() / 16);
        // SAFETY: both slices have as many steps, and the instructions are there: `self` exists.
        unsafe { dot4(patch.as_ptr(), block.as_ptr(), steps) }
    }

    #[cfg(feature = "winograd")]
    fn reads_winograd(self) -> bool {
        true
    }

    #[cfg(feature = "winograd")]
    fn conv_winograd(
        self,
        conv: &Conv<'_>,
        weights: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        scratch: &mut [i8],
    ) -> Option<()> {
        winograd::run(conv, weights, input, rows, scratch)
    }

    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        pixels::copy_rows(source, stride, length, to)
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        pixels::max_pool(window, limits, out)
    }
}

/// Up to 4 pixels of a product that [`Gemm::check`] has been asked about, or of sums from elsewhere: whoever stores those
/// answers for as many sums, table entries and places in the output.
struct Tile<'g> {
    gemm: &'g Gemm<'g>,
    /// From the first pixel's patch on.
    patches: &'g [i8],
    pixels: usize,
    /// Whether all shifts are what [`store`] takes.
    by_assembly: bool,
}

impl Tile<'_> {
    /// All output channels.
    fn run(&self, widened: &mut Widened, sums: &mut Sums, out: &mut [i8]) -> Option<()> {
        let gemm = self.gemm;
        let mut first = 0;
        while first < gemm.outputs {
            let outputs = CHANNELS.min(gemm.outputs - first);
            let mut start = 0;
            while start < gemm.depth {
                let depth = DEPTH.min(gemm.depth - start);
                // A patch of one part stays as it is for the channels that follow.
                if first == 0 || gemm.depth > DEPTH {
                    self.widen(start, depth, widened)?;
                }
                let bias = gemm.table.bias.as_ptr().wrapping_add(first);
                let products = Products {
                    patches: widened.as_ptr().cast(),
                    steps: depth / 4,
                    weights: gemm.weights.as_ptr().wrapping_add(first * gemm.depth + 4 * start),
                    next_quad: 4 * gemm.depth,
                    sums: sums.as_mut_ptr().cast(),
                    pairs: outputs.next_multiple_of(4) / 2,
                    bias: if start == 0 { bias } else { ptr::null() },
                };
                // SAFETY: the patches are widened to `depth`, a multiple of 4 of at least 4. `first` and `CHANNELS` are
                // multiples of 4, so that the blocks of `gemm.depth` k and the biases of these channels are there
                // (`Gemm::check`), and `start..start + depth` is inside a block; there is room for as many sums, and the
                // first part has written all of them.
                unsafe { sum(&products) };
                start += depth;
            }
            self.store(sums, (first, outputs), out.get_mut(first..)?)?;
            first += outputs;
        }
        Some(())
    }

    /// Widens `depth` elements from `start` on of the patches. Pixels that the tile lacks are its first pixel again.
    fn widen(&self, start: usize, depth: usize, widened: &mut Widened) -> Option<()> {
        let gemm = self.gemm;
        let run = gemm.depth.checked_div(gemm.runs)?;
        let mut to: *mut u32 = widened.as_mut_ptr().cast();
        let mut left = depth;
        let at = start.checked_div(run)?;
        let mut within = start - at * run;
        let mut first = self.patches.as_ptr().wrapping_add(at * gemm.run_stride);
        while left > 0 {
            let length = left.min(run - within);
            let patch = |pixel: usize| {
                let pixel = if pixel < self.pixels { pixel * gemm.patch_stride } else { 0 };
                first.wrapping_add(pixel + within)
            };
            // SAFETY: each patch has `length` elements from there on, a multiple of 4 of at least 4: every run of every
            // pixel lies inside the patches (`Gemm::check`). There is room for `depth` elements of each, at most DEPTH.
            unsafe {
                widen_two(patch(0), patch(1), to, length / 4);
                widen_two(patch(2), patch(3), to.add(2), length / 4);
                to = to.add(2 * length);
            }
            (left, first, within) = (left - length, first.wrapping_add(gemm.run_stride), 0);
        }
        Some(())
    }

    /// Requantises and stores `outputs` channels from `first` on. Their sums have been written.
    fn store(
        &self,
        sums: &[MaybeUninit<[i32; PIXELS]>],
        (first, outputs): (usize, usize),
        out: &mut [i8],
    ) -> Option<()> {
        let Gemm { table, output: Output { zero_point, min, max }, output_stride, .. } = self.gemm;
        if !self.by_assembly {
            // No model that such a build takes has other shifts.
            return if EVERY_OPERATOR { self.store_portable(sums, (first, outputs), out) } else { None };
        }
        // One function does for both, but a little slower.
        let is_full = EVERY_OPERATOR && (*min, *max) == (i8::MIN, i8::MAX);
        let store = if is_full { store } else { store_clamped };
        // A tile that lacks pixels has no place for every value.
        let mut whole = [MaybeUninit::<i8>::uninit(); PIXELS * CHANNELS];
        let is_whole = self.pixels == PIXELS;
        let (to, stride) =
            if is_whole { (out.as_mut_ptr(), *output_stride) } else { (whole.as_mut_ptr().cast(), CHANNELS) };
        let rule = Store {
            multiplier: table.multiplier.as_ptr().wrapping_add(first),
            shift: table.shift.as_ptr().wrapping_add(first),
            zero_point: 2 * i32::from(*zero_point) + 1,
            stride,
            out: to,
            end: to.wrapping_add(outputs),
            min: i32::from(*min),
            max: i32::from(*max),
        };
        // SAFETY: there are `outputs` sums, multipliers and shifts, all shifts are what it takes, and `out` has as many
        // elements of each of the four pixels (`Gemm::check`, or the caller); `whole` is made for four pixels of up to `CHANNELS`.
        unsafe { store(&rule, sums.as_ptr().cast()) };
        if is_whole {
            return Some(());
        }
        for (pixel, whole) in whole.chunks_exact(CHANNELS).take(self.pixels).enumerate() {
            let out = out.get_mut(pixel * output_stride..)?.get_mut(..outputs)?;
            // SAFETY: `outputs` elements of each of the four pixels have been written.
            out.iter_mut().zip(whole).for_each(|(out, value)| *out = unsafe { value.assume_init() });
        }
        Some(())
    }

    /// As [`store`](Self::store), for shifts of all sizes.
    #[cold]
    fn store_portable(
        &self,
        sums: &[MaybeUninit<[i32; PIXELS]>],
        (first, outputs): (usize, usize),
        out: &mut [i8],
    ) -> Option<()> {
        let Gemm { table, output, output_stride, .. } = self.gemm;
        let rules = table.multiplier.get(first..)?.iter().zip(table.shift.get(first..)?);
        for (channel, (sums, (multiplier, shift))) in sums.iter().take(outputs).zip(rules).enumerate() {
            let rule = Requantize::new(*multiplier, *shift as u32)?;
            // SAFETY: the sums of `outputs` channels have been written: the caller says so.
            let sums = unsafe { sums.assume_init() };
            for (pixel, sum) in sums.iter().take(self.pixels).enumerate() {
                *out.get_mut(pixel * output_stride + channel)? = output.clamp(rule.apply(*sum));
            }
        }
        Some(())
    }
}
