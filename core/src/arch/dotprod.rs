//! AArch64 with SDOT (Cortex-A76, A55, Neoverse N1 and later; FEAT_DotProd).
//!
//! A block of 16 weights, `[4 oc][4 k]`, is one operand; SDOT by element multiplies it with 4 k of one pixel. A tile
//! has 4 pixels by up to 6 quads of output channels: 24 accumulators, 4 registers of pixels (16 k each), 4 of weights.
//! A round of 16 k takes 96 SDOT and 10 loads. The intrinsics are not stable, so that the loop over k is assembly.
#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::aarch64::{self, Group, Kernel};
use super::{Backend, Gemm, PoolWindow};
use crate::kernels::lrn::Lrn;

/// The backend for SDOT.
#[derive(Clone, Copy, Debug)]
pub struct Dotprod(());

/// Pixels of a tile.
const PIXELS: usize = 4;

impl Dotprod {
    /// The backend, where the processor has its instructions.
    #[must_use]
    pub fn detect() -> Option<Self> {
        #[cfg(feature = "std")]
        let found = std::arch::is_aarch64_feature_detected!("dotprod");
        #[cfg(not(feature = "std"))]
        let found = cfg!(target_feature = "dotprod");
        found.then_some(Self(()))
    }
}

impl Backend for Dotprod {
    fn name(self) -> &'static str {
        "dotprod"
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
        unsafe { dot4(patch.as_ptr(), block.as_ptr(), steps) }
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

impl Kernel<PIXELS> for Dotprod {
    const QUADS: usize = 6;

    #[inline(always)]
    fn group(self, quads: usize, group: &Group<'_>) {
        match quads {
            // SAFETY: `run` passes patches, weights and biases as long as it says; SDOT is there: `self` exists.
            1 => group.run(|x, w, depth, bias| unsafe { sums1(x, w, depth, bias) }),
            // SAFETY: as above.
            2 => group.run(|x, w, depth, bias| unsafe { sums2(x, w, depth, bias) }),
            // SAFETY: as above.
            3 => group.run(|x, w, depth, bias| unsafe { sums3(x, w, depth, bias) }),
            // SAFETY: as above.
            4 => group.run(|x, w, depth, bias| unsafe { sums4(x, w, depth, bias) }),
            // SAFETY: as above.
            5 => group.run(|x, w, depth, bias| unsafe { sums5(x, w, depth, bias) }),
            // SAFETY: as above.
            _ => group.run(|x, w, depth, bias| unsafe { sums6(x, w, depth, bias) }),
        }
    }
}

/// SDOTs of one block of weights with the same 4 k of the four pixels.
macro_rules! step {
    ($weights:literal, $element:literal, $a0:ident $a1:ident $a2:ident $a3:ident) => {
        concat!(
            "sdot {",
            stringify!($a0),
            ":v}.4s, ",
            $weights,
            ".16b, v24.4b[",
            $element,
            "]\n",
            "sdot {",
            stringify!($a1),
            ":v}.4s, ",
            $weights,
            ".16b, v25.4b[",
            $element,
            "]\n",
            "sdot {",
            stringify!($a2),
            ":v}.4s, ",
            $weights,
            ".16b, v26.4b[",
            $element,
            "]\n",
            "sdot {",
            stringify!($a3),
            ":v}.4s, ",
            $weights,
            ".16b, v27.4b[",
            $element,
            "]\n",
        )
    };
}

/// A function that computes the sums of a tile: for each quad its number, its pointer, its accumulators.
macro_rules! sums {
    ($name:ident, $quads:literal, $($quad:literal $w:ident $a0:ident $a1:ident $a2:ident $a3:ident,)+) => {
        /// Sums of 4 patches with some quads of weights, bias included.
        ///
        /// # Safety
        /// The processor has SDOT. Each patch has `depth` elements, a multiple of 4; the weights have `4 * depth` for
        /// each quad, the bias has 4.
        #[inline(always)]
        unsafe fn $name(
            patches: [*const i8; PIXELS],
            weights: *const i8,
            depth: usize,
            bias: *const i32,
        ) -> [[int32x4_t; $quads]; PIXELS] {
            let [x0, x1, x2, x3] = patches;
            $(let ($a0, $a1, $a2, $a3): (int32x4_t, int32x4_t, int32x4_t, int32x4_t);)+
            // SAFETY: the loops read 16 or 4 elements of each patch and 64 or 16 of each quad at a time, `depth` and
            // `4 * depth` in total, and 4 biases for each quad: what the caller vouches for. Nothing is written.
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    $(concat!(
                        "ldr {", stringify!($a0), ":q}, [{bias}, #16 * ", $quad, "]\n",
                        "ldr {", stringify!($a1), ":q}, [{bias}, #16 * ", $quad, "]\n",
                        "ldr {", stringify!($a2), ":q}, [{bias}, #16 * ", $quad, "]\n",
                        "ldr {", stringify!($a3), ":q}, [{bias}, #16 * ", $quad, "]\n",
                    ),)+
                    "cbz {rounds}, 3f",
                    "2:",
                    "ldr q24, [{x0}], #16",
                    "ldr q25, [{x1}], #16",
                    "ldr q26, [{x2}], #16",
                    "ldr q27, [{x3}], #16",
                    $(concat!(
                        "ld1 {{v28.16b-v31.16b}}, [{", stringify!($w), "}], #64\n",
                        step!("v28", 0, $a0 $a1 $a2 $a3),
                        step!("v29", 1, $a0 $a1 $a2 $a3),
                        step!("v30", 2, $a0 $a1 $a2 $a3),
                        step!("v31", 3, $a0 $a1 $a2 $a3),
                    ),)+
                    "subs {rounds}, {rounds}, #1",
                    "b.ne 2b",
                    "3:",
                    "cbz {rest}, 5f",
                    "4:",
                    "ldr s24, [{x0}], #4",
                    "ldr s25, [{x1}], #4",
                    "ldr s26, [{x2}], #4",
                    "ldr s27, [{x3}], #4",
                    $(concat!(
                        "ldr q28, [{", stringify!($w), "}], #16\n",
                        step!("v28", 0, $a0 $a1 $a2 $a3),
                    ),)+
                    "subs {rest}, {rest}, #1",
                    "b.ne 4b",
                    "5:",
                    rounds = inout(reg) depth / 16 => _,
                    rest = inout(reg) depth % 16 / 4 => _,
                    bias = in(reg) bias,
                    x0 = inout(reg) x0 => _,
                    x1 = inout(reg) x1 => _,
                    x2 = inout(reg) x2 => _,
                    x3 = inout(reg) x3 => _,
                    $($w = inout(reg) weights.add($quad * 4 * depth) => _,)+
                    $($a0 = out(vreg) $a0, $a1 = out(vreg) $a1, $a2 = out(vreg) $a2, $a3 = out(vreg) $a3,)+
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack, readonly),
                );
            }
            [[$($a0),+], [$($a1),+], [$($a2),+], [$($a3),+]]
        }
    };
}

sums!(sums1, 1, 0 w0 a00 a01 a02 a03,);
sums!(sums2, 2, 0 w0 a00 a01 a02 a03, 1 w1 a10 a11 a12 a13,);
sums!(sums3, 3, 0 w0 a00 a01 a02 a03, 1 w1 a10 a11 a12 a13, 2 w2 a20 a21 a22 a23,);
sums!(sums4, 4, 0 w0 a00 a01 a02 a03, 1 w1 a10 a11 a12 a13, 2 w2 a20 a21 a22 a23, 3 w3 a30 a31 a32 a33,);
sums!(
    sums5, 5, 0 w0 a00 a01 a02 a03, 1 w1 a10 a11 a12 a13, 2 w2 a20 a21 a22 a23, 3 w3 a30 a31 a32 a33,
    4 w4 a40 a41 a42 a43,
);
sums!(
    sums6, 6, 0 w0 a00 a01 a02 a03, 1 w1 a10 a11 a12 a13, 2 w2 a20 a21 a22 a23, 3 w3 a30 a31 a32 a33,
    4 w4 a40 a41 a42 a43, 5 w5 a50 a51 a52 a53,
);

/// Sums of one patch with one quad of weights, without bias.
///
/// # Safety
/// The processor has SDOT. The patch has `4 * steps` elements, the block `16 * steps`.
pub(super) unsafe fn dot4(patch: *const i8, block: *const i8, steps: usize) -> [i32; 4] {
    let mut sums = [0; 4];
    // SAFETY: the loops read 16 or 4 elements of the patch and 64 or 16 of the block at a time, as many as the caller
    // says there are; the sums are stored where they belong.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "movi v0.4s, #0",
            "movi v1.4s, #0",
            "cbz {rounds}, 3f",
            "2:",
            "ldr q4, [{x}], #16",
            "ld1 {{v16.16b-v19.16b}}, [{w}], #64",
            "sdot v0.4s, v16.16b, v4.4b[0]",
            "sdot v1.4s, v17.16b, v4.4b[1]",
            "sdot v0.4s, v18.16b, v4.4b[2]",
            "sdot v1.4s, v19.16b, v4.4b[3]",
            "subs {rounds}, {rounds}, #1",
            "b.ne 2b",
            "3:",
            "cbz {rest}, 5f",
            "4:",
            "ldr s4, [{x}], #4",
            "ldr q16, [{w}], #16",
            "sdot v0.4s, v16.16b, v4.4b[0]",
            "subs {rest}, {rest}, #1",
            "b.ne 4b",
            "5:",
            "add v0.4s, v0.4s, v1.4s",
            "str q0, [{sums}]",
            rounds = inout(reg) steps / 4 => _,
            rest = inout(reg) steps % 4 => _,
            x = inout(reg) patch => _,
            w = inout(reg) block => _,
            sums = in(reg) sums.as_mut_ptr(),
            out("v0") _, out("v1") _, out("v4") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
            options(nostack),
        );
    }
    sums
}
