//! AArch64 with SMMLA (Neoverse V1, Cortex-A710 and later; FEAT_I8MM).
//!
//! SMMLA multiplies 2 x 8 by 8 x 2 int8: here two pixels by two output channels, 8 k deep. Two blocks of weights,
//! `[4 oc][4 k]`, zipped by 32-bit lanes are the operands of two pairs of channels. A tile has 8 pixels by up to 3 quads
//! of output channels: 24 accumulators of 2 pixels by 2 channels. 8 k take 24 SMMLA, 11 loads and 6 zips.
#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::aarch64::{self, Group, Kernel};
use super::{Backend, Gemm, PoolWindow, dotprod};
use crate::kernels::lrn::Lrn;

/// The backend for SMMLA.
#[derive(Clone, Copy, Debug)]
pub struct I8mm(());

/// Pixels of a tile.
const PIXELS: usize = 8;

impl I8mm {
    /// The backend, where the processor has its instructions. It wants SDOT as well, for single pixels.
    #[must_use]
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::arch::is_aarch64_feature_detected!("i8mm");
        #[cfg(not(feature = "std"))]
        let found = cfg!(target_feature = "i8mm");
        (found && dotprod::Dotprod::detect().is_some()).then_some(Self(()))
    }
}

impl Backend for I8mm {
    fn name(self) -> &'static str {
        "i8mm"
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        aarch64::gemm(self, gemm, out)
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        let steps = (patch.len() / 4).min(block.len() / 16);
        // SAFETY: both slices have as many steps, and SDOT is there: `self` exists.
        unsafe { dotprod::dot4(patch.as_ptr(), block.as_ptr(), steps) }
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        aarch64::pixels::max_pool(window, limits, out)
    }

    fn lrn(self, lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
        aarch64::pixels::lrn(lrn, original, out)
    }
}

impl Kernel<PIXELS> for I8mm {
    const QUADS: usize = 3;

    #[inline(always)]
    fn group(self, quads: usize, group: &Group<'_>) {
        match quads {
            // SAFETY: `run` passes patches, weights and biases as long as it says; SMMLA is there: `self` exists.
            1 => group.run(|x, w, depth, bias| unsafe { sums1(x, w, depth, bias) }),
            // SAFETY: as above.
            2 => group.run(|x, w, depth, bias| unsafe { sums2(x, w, depth, bias) }),
            // SAFETY: as above.
            _ => group.run(|x, w, depth, bias| unsafe { sums3(x, w, depth, bias) }),
        }
    }
}

/// Products of the four pairs of pixels in v24 to v27 with the two pairs of channels in v30 and v31.
macro_rules! products {
    ($a0:ident $a1:ident $a2:ident $a3:ident $b0:ident $b1:ident $b2:ident $b3:ident) => {
        concat!(
            "smmla {",
            stringify!($a0),
            ":v}.4s, v24.16b, v30.16b\n",
            "smmla {",
            stringify!($a1),
            ":v}.4s, v25.16b, v30.16b\n",
            "smmla {",
            stringify!($a2),
            ":v}.4s, v26.16b, v30.16b\n",
            "smmla {",
            stringify!($a3),
            ":v}.4s, v27.16b, v30.16b\n",
            "smmla {",
            stringify!($b0),
            ":v}.4s, v24.16b, v31.16b\n",
            "smmla {",
            stringify!($b1),
            ":v}.4s, v25.16b, v31.16b\n",
            "smmla {",
            stringify!($b2),
            ":v}.4s, v26.16b, v31.16b\n",
            "smmla {",
            stringify!($b3),
            ":v}.4s, v27.16b, v31.16b\n",
        )
    };
}

/// 8 k of the eight pixels and of all quads.
macro_rules! step {
    ($($w:ident $a0:ident $a1:ident $a2:ident $a3:ident $b0:ident $b1:ident $b2:ident $b3:ident,)+) => {
        concat!(
            "ldr d24, [{x0}], #8\n", "ldr d25, [{x2}], #8\n", "ldr d26, [{x4}], #8\n", "ldr d27, [{x6}], #8\n",
            "ld1 {{v24.d}}[1], [{x1}], #8\n", "ld1 {{v25.d}}[1], [{x3}], #8\n",
            "ld1 {{v26.d}}[1], [{x5}], #8\n", "ld1 {{v27.d}}[1], [{x7}], #8\n",
            $(
                "ldp q28, q29, [{", stringify!($w), "}], #32\n",
                "zip1 v30.4s, v28.4s, v29.4s\n",
                "zip2 v31.4s, v28.4s, v29.4s\n",
                products!($a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3),
            )+
        )
    };
}

/// A function that computes the sums of a tile: for each quad its number, its pointer, and accumulators of four pairs
/// of pixels for each of two pairs of channels.
macro_rules! sums {
    ($name:ident, $quads:literal,
     $($quad:literal $w:ident $a0:ident $a1:ident $a2:ident $a3:ident $b0:ident $b1:ident $b2:ident $b3:ident,)+) => {
        /// Sums of 8 patches with some quads of weights, bias included.
        ///
        /// # Safety
        /// The processor has SMMLA. Each patch has `depth` elements, a multiple of 4; the weights have `4 * depth` for
        /// each quad, the bias has 4.
        #[inline(always)]
        unsafe fn $name(
            patches: [*const i8; PIXELS],
            weights: *const i8,
            depth: usize,
            bias: *const i32,
        ) -> [[int32x4_t; $quads]; PIXELS] {
            let [x0, x1, x2, x3, x4, x5, x6, x7] = patches;
            $(
                let ($a0, $a1, $a2, $a3): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);
                let ($b0, $b1, $b2, $b3): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);
            )+
            // SAFETY: the loops read 8 or 4 elements of each patch and 32 or 16 of each quad at a time, `depth` and
            // `4 * depth` in total, and 4 biases for each quad: what the caller vouches for. Nothing is written.
            unsafe {
                asm!(
                    ".arch_extension i8mm",
                    $(concat!(
                        "ld1r {{{", stringify!($a0), ":v}.2d}}, [{bias}]\n",
                        "ld1r {{{", stringify!($a1), ":v}.2d}}, [{bias}]\n",
                        "ld1r {{{", stringify!($a2), ":v}.2d}}, [{bias}]\n",
                        "ld1r {{{", stringify!($a3), ":v}.2d}}, [{bias}], #8\n",
                        "ld1r {{{", stringify!($b0), ":v}.2d}}, [{bias}]\n",
                        "ld1r {{{", stringify!($b1), ":v}.2d}}, [{bias}]\n",
                        "ld1r {{{", stringify!($b2), ":v}.2d}}, [{bias}]\n",
                        "ld1r {{{", stringify!($b3), ":v}.2d}}, [{bias}], #8\n",
                    ),)+
                    "cbz {rounds}, 3f",
                    "2:",
                    step!($($w $a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3,)+),
                    step!($($w $a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3,)+),
                    "subs {rounds}, {rounds}, #1",
                    "b.ne 2b",
                    "3:",
                    "tbz {depth}, #3, 4f",
                    step!($($w $a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3,)+),
                    "4:",
                    "tbz {depth}, #2, 5f",
                    "ldr s24, [{x0}]", "ldr s25, [{x2}]", "ldr s26, [{x4}]", "ldr s27, [{x6}]",
                    "ld1 {{v24.s}}[2], [{x1}]", "ld1 {{v25.s}}[2], [{x3}]",
                    "ld1 {{v26.s}}[2], [{x5}]", "ld1 {{v27.s}}[2], [{x7}]",
                    "movi v29.4s, #0",
                    $(concat!(
                        "ldr q28, [{", stringify!($w), "}]\n",
                        "zip1 v30.4s, v28.4s, v29.4s\n",
                        "zip2 v31.4s, v28.4s, v29.4s\n",
                        products!($a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3),
                    ),)+
                    "5:",
                    depth = in(reg) depth,
                    rounds = inout(reg) depth / 16 => _,
                    bias = inout(reg) bias => _,
                    x0 = inout(reg) x0 => _,
                    x1 = inout(reg) x1 => _,
                    x2 = inout(reg) x2 => _,
                    x3 = inout(reg) x3 => _,
                    x4 = inout(reg) x4 => _,
                    x5 = inout(reg) x5 => _,
                    x6 = inout(reg) x6 => _,
                    x7 = inout(reg) x7 => _,
                    $($w = inout(reg) weights.add($quad * 4 * depth) => _,)+
                    $(
                        $a0 = out(vreg) $a0, $a1 = out(vreg) $a1, $a2 = out(vreg) $a2, $a3 = out(vreg) $a3,
                        $b0 = out(vreg) $b0, $b1 = out(vreg) $b1, $b2 = out(vreg) $b2, $b3 = out(vreg) $b3,
                    )+
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack, readonly),
                );
            }
            // An accumulator has [pixel 0, channels 0 1; pixel 1, channels 0 1], its neighbour channels 2 3.
            [
                [$(low_halves($a0, $b0)),+], [$(high_halves($a0, $b0)),+],
                [$(low_halves($a1, $b1)),+], [$(high_halves($a1, $b1)),+],
                [$(low_halves($a2, $b2)),+], [$(high_halves($a2, $b2)),+],
                [$(low_halves($a3, $b3)),+], [$(high_halves($a3, $b3)),+],
            ]
        }
    };
}

sums!(sums1, 1, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07,);
sums!(sums2, 2, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07, 1 w1 a10 a11 a12 a13 a14 a15 a16 a17,);
sums!(
    sums3, 3, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07, 1 w1 a10 a11 a12 a13 a14 a15 a16 a17,
    2 w2 a20 a21 a22 a23 a24 a25 a26 a27,
);

#[inline(always)]
fn low_halves(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: this target has NEON, and only registers are touched.
    unsafe { vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b))) }
}

#[inline(always)]
fn high_halves(a: int32x4_t, b: int32x4_t) -> int32x4_t {
    // SAFETY: this target has NEON, and only registers are touched.
    unsafe { vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b))) }
}
