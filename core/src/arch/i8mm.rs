//! AArch64 with SMMLA (Neoverse V1, Cortex-A710 and later; FEAT_I8MM).
//!
//! SMMLA multiplies 2 x 8 by 8 x 2 int8: here two pixels by two output channels, 8 k deep. Two blocks of weights,
//! `[4 oc][4 k]`, zipped by 32-bit lanes are the operands of two pairs of channels. A tile has 8 pixels by up to 3 quads
//! of output channels: 24 accumulators of 2 pixels by 2 channels. 8 k take 24 SMMLA, 11 loads and 6 zips; prepared weights
//! are zipped already.
#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;

use super::aarch64::{self, Group, Kernel};
use super::{Backend, Gemm, PoolWindow, Rows, dotprod};
use crate::kernels::Pixels;
use crate::kernels::conv::{self, Conv, Layout, reads_in_place};
use crate::kernels::lrn::Lrn;
use crate::shape::Window;

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

    /// Zipped weights take the bytes of the others.
    fn prepared_size(self, _: &Window, layout: &Layout) -> usize {
        if layout.depthwise || !layout.padded_depth.is_multiple_of(8) { 0 } else { layout.weights / 2 }
    }

    /// Three times the patches of a tile.
    fn workspace_size(self, window: &Window, layout: &Layout) -> usize {
        if reads_in_place(window, layout) { 0 } else { 3 * PIXELS * layout.padded_depth / 2 }
    }

    fn prepare(self, window: &Window, layout: &Layout, weights: &[i8], prepared: &mut [i16]) -> Option<()> {
        let prepared = prepared.get_mut(..self.prepared_size(window, layout))?;
        let weights = weights.get(..layout.weights)?.as_chunks::<32>().0;
        for (out, pair) in bytemuck::cast_slice_mut::<i16, i8>(prepared).as_chunks_mut::<32>().0.iter_mut().zip(weights)
        {
            for (index, out) in out.iter_mut().enumerate() {
                // Groups of four: 0, 4, 1, 5, 2, 6, 3, 7.
                let (channel, half) = (index / 8, index / 4 % 2);
                *out = pair[half * 16 + channel * 4 + index % 4];
            }
        }
        Some(())
    }

    fn conv_prepared(
        self,
        conv: &Conv<'_>,
        prepared: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        workspace: &mut [i16],
    ) -> Option<()> {
        let conv = Conv { weights: bytemuck::cast_slice(prepared), ..*conv };
        let width = rows.shape.width as usize;
        let range = rows.first as usize * width..rows.first.checked_add(rows.count)? as usize * width;
        let workspace = bytemuck::cast_slice_mut(workspace);
        conv::run_pixels(Zipped(self), &conv, input, rows.shape, range, rows.out, rows.stride, workspace)
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

/// The same on zipped weights, which only depths that are a multiple of 8 have.
#[derive(Clone, Copy, Debug)]
struct Zipped(I8mm);

impl Backend for Zipped {
    fn name(self) -> &'static str {
        self.0.name()
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        gemm.depth.is_multiple_of(8).then(|| aarch64::gemm(self, gemm, out))?
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        self.0.dot4(patch, block)
    }

    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        self.0.copy_rows(source, stride, length, to)
    }
}

impl Kernel<PIXELS> for Zipped {
    const QUADS: usize = I8mm::QUADS;

    #[inline(always)]
    fn group(self, quads: usize, group: &Group<'_>) {
        match quads {
            // SAFETY: `run` passes patches, weights and biases as long as it says; SMMLA is there: an `I8mm` exists.
            1 => group.run(|x, w, depth, bias| unsafe { zipped1(x, w, depth, bias) }),
            // SAFETY: as above.
            2 => group.run(|x, w, depth, bias| unsafe { zipped2(x, w, depth, bias) }),
            // SAFETY: as above.
            _ => group.run(|x, w, depth, bias| unsafe { zipped3(x, w, depth, bias) }),
        }
    }
}

/// One SMMLA: an accumulator, a pair of pixels, a pair of channels.
macro_rules! smmla {
    ($a:ident $pixels:literal $channels:literal) => {
        concat!("smmla {", stringify!($a), ":v}.4s, ", $pixels, ".16b, ", $channels, ".16b\n")
    };
}

/// Products of the four pairs of pixels in v24 to v27 with the two pairs of channels in v30 and v31.
macro_rules! products {
    ($a0:ident $a1:ident $a2:ident $a3:ident $b0:ident $b1:ident $b2:ident $b3:ident) => {
        concat!(
            smmla!($a0 "v24" "v30"), smmla!($a1 "v25" "v30"), smmla!($a2 "v26" "v30"), smmla!($a3 "v27" "v30"),
            smmla!($b0 "v24" "v31"), smmla!($b1 "v25" "v31"), smmla!($b2 "v26" "v31"), smmla!($b3 "v27" "v31"),
        )
    };
}

/// Loads a pair of channels' 8 k into v30 and another pair's into v31: from blocks as they lie in the file, or from zipped
/// ones.
macro_rules! load {
    (blocks, $w:ident) => {
        concat!(
            "ldp q28, q29, [{",
            stringify!($w),
            "}], #32\n",
            "zip1 v30.4s, v28.4s, v29.4s\n",
            "zip2 v31.4s, v28.4s, v29.4s\n",
        )
    };
    (zipped, $w:ident) => {
        concat!("ldp q30, q31, [{", stringify!($w), "}], #32\n")
    };
}

/// 8 k of the eight pixels and of all quads.
macro_rules! step {
    ($form:ident, $($w:ident $a0:ident $a1:ident $a2:ident $a3:ident $b0:ident $b1:ident $b2:ident $b3:ident,)+) => {
        concat!(
            "ldr d24, [{x0}], #8\n", "ldr d25, [{x2}], #8\n", "ldr d26, [{x4}], #8\n", "ldr d27, [{x6}], #8\n",
            "ld1 {{v24.d}}[1], [{x1}], #8\n", "ld1 {{v25.d}}[1], [{x3}], #8\n",
            "ld1 {{v26.d}}[1], [{x5}], #8\n", "ld1 {{v27.d}}[1], [{x7}], #8\n",
            $(
                load!($form, $w),
                products!($a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3),
            )+
        )
    };
}

/// A function that computes the sums of a tile: for each quad its number, its pointer, and accumulators of four pairs
/// of pixels for each of two pairs of channels.
macro_rules! sums {
    ($name:ident, $form:ident, $quads:literal,
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
                    step!($form, $($w $a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3,)+),
                    step!($form, $($w $a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3,)+),
                    "subs {rounds}, {rounds}, #1",
                    "b.ne 2b",
                    "3:",
                    "tbz {depth}, #3, 4f",
                    step!($form, $($w $a0 $a1 $a2 $a3 $b0 $b1 $b2 $b3,)+),
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

/// The functions for 1 to 3 quads whose weights have a form.
macro_rules! all_sums {
    ($form:ident, $name1:ident, $name2:ident, $name3:ident) => {
        sums!($name1, $form, 1, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07,);
        sums!(
            $name2, $form, 2, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07, 1 w1 a10 a11 a12 a13 a14 a15 a16 a17,
        );
        sums!(
            $name3, $form, 3, 0 w0 a00 a01 a02 a03 a04 a05 a06 a07, 1 w1 a10 a11 a12 a13 a14 a15 a16 a17,
            2 w2 a20 a21 a22 a23 a24 a25 a26 a27,
        );
    };
}

all_sums!(blocks, sums1, sums2, sums3);
all_sums!(zipped, zipped1, zipped2, zipped3);

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
