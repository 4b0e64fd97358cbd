//! AArch64 without dot products (Cortex-A53, A57, A72; any AArch64 has these instructions).
//!
//! A tile has 2 pixels by up to 3 quads of output channels, and an accumulator for each pixel and channel: 16 k of a
//! pixel and 16 k of a channel (LD4 takes them out of the blocks) are multiplied by SMULL and SMLAL2, which leave sums
//! of two products in 16 bits, and SADALP adds those to the accumulator's four partial sums. Weights are never -128, so
//! a sum of two products is at most 2 * 128 * 127 < 2^15. A round of 16 k takes 72 of these instructions and 5 loads.
#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::aarch64::{self, Group, Kernel};
use super::{Backend, Gemm, PoolWindow, Rows};
use crate::kernels::Pixels;
use crate::kernels::conv::{Conv, Layout};
use crate::kernels::lrn::Lrn;
use crate::shape::Window;

/// The backend for NEON alone.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

/// Pixels of a tile.
const PIXELS: usize = 2;

impl Neon {
    /// The backend: this target has NEON by definition.
    #[must_use]
    pub fn detect() -> Option<Self> {
        Some(Self(()))
    }
}

impl Backend for Neon {
    fn name(self) -> &'static str {
        "neon"
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        aarch64::gemm(self, gemm, out)
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        let depth = patch.len().min(block.len() / 4) / 4 * 4;
        let bias = [0; 4];
        // SAFETY: the patch has `depth` elements and the block four times as many.
        let [[sums], _] = unsafe { sums1([patch.as_ptr(); PIXELS], block.as_ptr(), depth, bias.as_ptr()) };
        let mut out = [0; 4];
        // SAFETY: `out` has four elements.
        unsafe { vst1q_s32(out.as_mut_ptr(), sums) };
        out
    }

    fn prepared_size(self, window: &Window, layout: &Layout) -> usize {
        aarch64::winograd::prepared_size(window, layout)
    }

    fn workspace_size(self, window: &Window, layout: &Layout) -> usize {
        aarch64::winograd::workspace_size(window, layout)
    }

    /// Tiles are of 2x2 outputs.
    fn prepared_rows(self, _: &Window, _: &Layout) -> usize {
        2
    }

    fn prepare(self, window: &Window, layout: &Layout, weights: &[i8], prepared: &mut [i16]) -> Option<()> {
        aarch64::winograd::prepare(window, layout, weights, prepared)
    }

    fn conv_prepared(
        self,
        conv: &Conv<'_>,
        prepared: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        workspace: &mut [i16],
    ) -> Option<()> {
        aarch64::winograd::run(conv, prepared, input, rows, workspace)
    }

    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        aarch64::pixels::copy_rows(source, stride, length, to)
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        aarch64::pixels::max_pool(window, limits, out)
    }

    fn lrn(self, lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
        aarch64::pixels::lrn(lrn, original, out)
    }
}

impl Kernel<PIXELS> for Neon {
    const QUADS: usize = 3;

    #[inline(always)]
    fn group(self, quads: usize, group: &Group<'_>) {
        match quads {
            // SAFETY: `run` passes patches, weights and biases as long as it says.
            1 => group.run(|x, w, depth, bias| unsafe { sums1(x, w, depth, bias) }),
            // SAFETY: as above.
            2 => group.run(|x, w, depth, bias| unsafe { sums2(x, w, depth, bias) }),
            // SAFETY: as above.
            _ => group.run(|x, w, depth, bias| unsafe { sums3(x, w, depth, bias) }),
        }
    }
}

/// Adds pairs of sums of products to an accumulator.
macro_rules! sadalp {
    ($a:ident $sums:literal) => {
        concat!("sadalp {", stringify!($a), ":v}.4s, ", $sums, ".8h\n")
    };
}

/// The two pixels' products with a quad's four channels in v26 to v29, 16 k. A register of weights holds sums of products
/// once it has been read for the last time; the order leaves room between a result and its use, for processors that
/// issue in order.
macro_rules! step {
    ($a0:ident $b0:ident $c0:ident $d0:ident $a1:ident $b1:ident $c1:ident $d1:ident) => {
        concat!(
            "smull v30.8h, v26.8b, v24.8b\n",
            "smull v31.8h, v26.8b, v25.8b\n",
            "smlal2 v30.8h, v26.16b, v24.16b\n",
            "smlal2 v31.8h, v26.16b, v25.16b\n",
            "smull v26.8h, v27.8b, v24.8b\n",
            sadalp!($a0 "v30"),
            "smull v30.8h, v27.8b, v25.8b\n",
            sadalp!($a1 "v31"),
            "smlal2 v26.8h, v27.16b, v24.16b\n",
            "smull v31.8h, v28.8b, v24.8b\n",
            "smlal2 v30.8h, v27.16b, v25.16b\n",
            "smull v27.8h, v28.8b, v25.8b\n",
            sadalp!($b0 "v26"),
            "smlal2 v31.8h, v28.16b, v24.16b\n",
            sadalp!($b1 "v30"),
            "smull v26.8h, v29.8b, v24.8b\n",
            "smlal2 v27.8h, v28.16b, v25.16b\n",
            "smull v30.8h, v29.8b, v25.8b\n",
            sadalp!($c0 "v31"),
            "smlal2 v26.8h, v29.16b, v24.16b\n",
            sadalp!($c1 "v27"),
            "smlal2 v30.8h, v29.16b, v25.16b\n",
            sadalp!($d0 "v26"),
            sadalp!($d1 "v30"),
        )
    };
}

/// The two pixels' products with one channel, 4 k.
macro_rules! short_step {
    ($w:ident, $a0:ident $a1:ident) => {
        concat!(
            "ldr s26, [{",
            stringify!($w),
            "}], #4\n",
            "smull v30.8h, v26.8b, v24.8b\n",
            "smull v31.8h, v26.8b, v25.8b\n",
            sadalp!($a0 "v30"),
            sadalp!($a1 "v31"),
        )
    };
}

/// A function that computes the sums of a tile: for each quad its number, its pointer, and four accumulators for each
/// of two pixels.
macro_rules! sums {
    ($name:ident, $quads:literal,
     $($quad:literal $w:ident $a0:ident $b0:ident $c0:ident $d0:ident $a1:ident $b1:ident $c1:ident $d1:ident,)+) => {
        /// Sums of 2 patches with some quads of weights, bias included.
        ///
        /// # Safety
        /// Each patch has `depth` elements, a multiple of 4; the weights have `4 * depth` for each quad, the bias 4.
        #[inline(always)]
        unsafe fn $name(
            patches: [*const i8; PIXELS],
            weights: *const i8,
            depth: usize,
            bias: *const i32,
        ) -> [[int32x4_t; $quads]; PIXELS] {
            let [x0, x1] = patches;
            $(
                let ($a0, $b0, $c0, $d0): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);
                let ($a1, $b1, $c1, $d1): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);
            )+
            // SAFETY: the loops read 16 or 4 elements of each patch and 64 or 16 of each quad at a time, `depth` and
            // `4 * depth` in total, which the caller vouches for. Nothing is written.
            unsafe {
                asm!(
                    $(concat!(
                        "movi {", stringify!($a0), ":v}.4s, #0\n", "movi {", stringify!($a1), ":v}.4s, #0\n",
                        "movi {", stringify!($b0), ":v}.4s, #0\n", "movi {", stringify!($b1), ":v}.4s, #0\n",
                        "movi {", stringify!($c0), ":v}.4s, #0\n", "movi {", stringify!($c1), ":v}.4s, #0\n",
                        "movi {", stringify!($d0), ":v}.4s, #0\n", "movi {", stringify!($d1), ":v}.4s, #0\n",
                    ),)+
                    "cbz {rounds}, 3f",
                    "2:",
                    "ldr q24, [{x0}], #16",
                    "ldr q25, [{x1}], #16",
                    $(concat!(
                        "ld4 {{v26.4s-v29.4s}}, [{", stringify!($w), "}], #64\n",
                        step!($a0 $b0 $c0 $d0 $a1 $b1 $c1 $d1),
                    ),)+
                    "subs {rounds}, {rounds}, #1",
                    "b.ne 2b",
                    "3:",
                    "cbz {rest}, 5f",
                    "4:",
                    "ldr s24, [{x0}], #4",
                    "ldr s25, [{x1}], #4",
                    $(concat!(
                        short_step!($w, $a0 $a1), short_step!($w, $b0 $b1),
                        short_step!($w, $c0 $c1), short_step!($w, $d0 $d1),
                    ),)+
                    "subs {rest}, {rest}, #1",
                    "b.ne 4b",
                    "5:",
                    rounds = inout(reg) depth / 16 => _,
                    rest = inout(reg) depth % 16 / 4 => _,
                    x0 = inout(reg) x0 => _,
                    x1 = inout(reg) x1 => _,
                    $($w = inout(reg) weights.add($quad * 4 * depth) => _,)+
                    $(
                        $a0 = out(vreg) $a0, $b0 = out(vreg) $b0, $c0 = out(vreg) $c0, $d0 = out(vreg) $d0,
                        $a1 = out(vreg) $a1, $b1 = out(vreg) $b1, $c1 = out(vreg) $c1, $d1 = out(vreg) $d1,
                    )+
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack, readonly),
                );
            }
            // SAFETY: the bias has 4 entries for each quad; this target has NEON.
            let total = |quad: usize, a, b, c, d| unsafe {
                vaddq_s32(vld1q_s32(bias.add(4 * quad)), vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)))
            };
            [[$(total($quad, $a0, $b0, $c0, $d0)),+], [$(total($quad, $a1, $b1, $c1, $d1)),+]]
        }
    };
}

sums!(sums1, 1, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07,);
sums!(sums2, 2, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07, 1 w1 a10 a11 a12 a13 a14 a15 a16 a17,);
sums!(
    sums3, 3, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07, 1 w1 a10 a11 a12 a13 a14 a15 a16 a17,
    2 w2 a20 a21 a22 a23 a24 a25 a26 a27,
);
