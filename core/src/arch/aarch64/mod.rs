//! What the AArch64 backends share: the loops around their tiles, requantisation and stores.
//!
//! The output channels are cut into groups of a few quads, so that a group's weights stay in the first-level cache
//! while all pixels pass by. A backend computes the sums of a tile, so many pixels by one group; here they are
//! requantised, clamped and stored while they are still in registers.
//!
//! `SQDMULH` gives `t = (acc * m) >> 31`, exact since it saturates only where both factors are -2^31. From shift 32 on
//! the bits below `t` can't carry into the result, so `(acc * m + 2^(s-1)) >> s = (t + 2^(s-32)) >> (s-31)`, which is
//! one `SRSHL`. Smaller shifts take a product of 64 bits.
#![allow(unsafe_code)]

pub(super) mod pixels;
pub(super) mod winograd;

use core::arch::aarch64::*;

use super::Gemm;
use crate::quant::Output;

/// The smallest shift that `SQDMULH` and `SRSHL` get right.
const HIGH_HALF_SHIFT: i32 = 32;

/// A backend's tiles of `P` pixels.
pub(super) trait Kernel<const P: usize>: Copy {
    /// The most quads of output channels that a tile takes.
    const QUADS: usize;

    /// Computes all pixels of a group of `quads` quads, `1..=QUADS`: calls [`Group::run`] with the function that
    /// computes the sums of a tile of that size.
    fn group(self, quads: usize, group: &Group<'_>);
}

/// Some quads of the output channels, and all pixels. What its pointers reach has been checked in [`gemm`].
pub(super) struct Group<'a> {
    gemm: &'a Gemm<'a>,
    /// First output channel of the group.
    first: usize,
    /// Output of the first pixel at the group's first channel.
    out: *mut i8,
    /// Whether all shifts allow the short way.
    high_half: bool,
}

/// Computes `gemm` with the kernel's tiles.
#[inline(always)]
pub(super) fn gemm<K: Kernel<P>, const P: usize>(kernel: K, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
    if gemm.pixels == 0 {
        return Some(());
    }
    gemm.check(1, out.len())?;
    if gemm.runs != 1 {
        return None;
    }
    let quads = gemm.outputs.div_ceil(4);
    let groups = quads.div_ceil(K::QUADS);
    let mut quad = 0;
    for index in 0..groups {
        let count = (quads - quad).div_ceil(groups - index);
        let first = quad * 4;
        let shifts = gemm.table.shift.get(first..first + count * 4)?;
        let high_half = shifts.iter().all(|shift| *shift >= HIGH_HALF_SHIFT);
        let out = out.get_mut(first..)?.as_mut_ptr();
        kernel.group(count, &Group { gemm, first, out, high_half });
        quad += count;
    }
    Some(())
}

impl Group<'_> {
    /// Runs over all pixels in tiles of `P`. `sums` gets `P` patches, `Q` quads of weights, the depth and `Q` quads of
    /// biases: each patch has `depth` elements, a multiple of 4; quads of weights follow each other, `4 * depth` bytes
    /// each, and so do biases, 4 each.
    ///
    /// The last tile begins early enough to be whole; of fewer pixels than a tile has, the last fills it.
    #[inline(always)]
    pub(super) fn run<const P: usize, const Q: usize>(
        &self,
        sums: impl Fn([*const i8; P], *const i8, usize, *const i32) -> [[int32x4_t; Q]; P],
    ) {
        let gemm = self.gemm;
        let channels = (gemm.outputs - self.first).min(4 * Q);
        let bounds = Bounds::new(gemm.output);
        // SAFETY: `gemm` found the weights and the table long enough for all quads, and this group's are among them.
        let (weights, bias, multiplier, shift) = unsafe {
            (
                gemm.weights.as_ptr().add(self.first * gemm.depth),
                gemm.table.bias.as_ptr().add(self.first),
                gemm.table.multiplier.as_ptr().add(self.first),
                gemm.table.shift.as_ptr().add(self.first),
            )
        };
        let last = gemm.pixels - 1;
        let patch_offsets: [usize; P] = core::array::from_fn(|index| index.min(last) * gemm.patch_stride);
        let out_offsets: [usize; P] = core::array::from_fn(|index| index.min(last) * gemm.output_stride);
        for first in (0..gemm.pixels).step_by(P) {
            let first = first.min(gemm.pixels.saturating_sub(P));
            // SAFETY: `gemm` found all pixels' patches inside the slice.
            let patches = unsafe {
                let patch = gemm.patches.as_ptr().add(first * gemm.patch_stride);
                patch_offsets.map(|offset| patch.add(offset))
            };
            let mut values = sums(patches, weights, gemm.depth, bias);
            // SAFETY: multiplier and shift have the group's `4 * Q` entries.
            unsafe {
                if self.high_half {
                    requantize(&mut values, multiplier, shift);
                } else {
                    values = requantize_wide(values, multiplier, shift);
                }
            }
            for (values, offset) in values.into_iter().zip(out_offsets) {
                // SAFETY: `gemm` found all pixels' channels inside the output.
                unsafe { bounds.store(values, self.out.add(first * gemm.output_stride + offset), channels) };
            }
        }
    }
}

/// Requantises a tile whose shifts are at least [`HIGH_HALF_SHIFT`], before the zero point.
///
/// # Safety
/// `multiplier` and `shift` have `4 * Q` entries.
#[inline(always)]
pub(super) unsafe fn requantize<const P: usize, const Q: usize>(
    values: &mut [[int32x4_t; Q]; P],
    multiplier: *const i32,
    shift: *const i32,
) {
    for quad in 0..Q {
        // SAFETY: the pointers have `4 * Q` entries, as the caller says; this target has NEON.
        unsafe {
            let multiplier = vld1q_s32(multiplier.add(4 * quad));
            let right = vsubq_s32(vdupq_n_s32(31), vld1q_s32(shift.add(4 * quad)));
            for pixel in values.iter_mut() {
                pixel[quad] = vrshlq_s32(vqdmulhq_s32(pixel[quad], multiplier), right);
            }
        }
    }
}

/// Requantises a tile with any shifts, before the zero point, saturated to 32 bits.
///
/// # Safety
/// `multiplier` and `shift` have `4 * Q` entries.
#[cold]
#[inline(never)]
pub(super) unsafe fn requantize_wide<const P: usize, const Q: usize>(
    mut values: [[int32x4_t; Q]; P],
    multiplier: *const i32,
    shift: *const i32,
) -> [[int32x4_t; Q]; P] {
    for pixel in &mut values {
        for (quad, values) in pixel.iter_mut().enumerate() {
            // SAFETY: the pointers have `4 * Q` entries, as the caller says; this target has NEON.
            *values = unsafe { wide(*values, vld1q_s32(multiplier.add(4 * quad)), vld1q_s32(shift.add(4 * quad))) };
        }
    }
    values
}

/// Requantises four values with products of 64 bits.
///
/// # Safety
/// This target has NEON.
#[inline(always)]
unsafe fn wide(value: int32x4_t, multiplier: int32x4_t, shift: int32x4_t) -> int32x4_t {
    // SAFETY: only registers are touched.
    unsafe {
        let right = vnegq_s32(shift);
        let low = vmull_s32(vget_low_s32(value), vget_low_s32(multiplier));
        let high = vmull_high_s32(value, multiplier);
        let low = vqmovn_s64(vrshlq_s64(low, vmovl_s32(vget_low_s32(right))));
        vqmovn_high_s64(low, vrshlq_s64(high, vmovl_high_s32(right)))
    }
}

/// An [`Output`] in vectors.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    zero_point: int16x8_t,
    min: int8x16_t,
    max: int8x16_t,
}

impl Bounds {
    #[inline(always)]
    pub(super) fn new(output: Output) -> Self {
        // SAFETY: this target has NEON, and only registers are touched.
        unsafe {
            Self {
                zero_point: vdupq_n_s16(i16::from(output.zero_point)),
                min: vdupq_n_s8(output.min),
                max: vdupq_n_s8(output.max),
            }
        }
    }

    /// Adds the zero point to the quads from `first` on, up to four of them, and clamps. Saturating on the way doesn't
    /// change the result: what is beyond 16 bits is beyond 8 bits with any zero point.
    #[inline(always)]
    fn narrow<const Q: usize>(&self, values: &[int32x4_t; Q], first: usize) -> int8x16_t {
        // SAFETY: this target has NEON, and only registers are touched.
        unsafe {
            let half = |quad: usize| {
                let low = vqmovn_s32(values[quad]);
                let both = if quad + 1 < Q { vqmovn_high_s32(low, values[quad + 1]) } else { vcombine_s16(low, low) };
                vqaddq_s16(both, self.zero_point)
            };
            let low = vqmovn_s16(half(first));
            let both = if first + 2 < Q { vqmovn_high_s16(low, half(first + 2)) } else { vcombine_s8(low, low) };
            vminq_s8(vmaxq_s8(both, self.min), self.max)
        }
    }

    /// Adds the zero point, clamps, and stores the first `channels` of `4 * Q` values.
    ///
    /// # Safety
    /// `out` is valid for writes of `channels`, `channels <= 4 * Q` and `Q <= 8`.
    #[inline(always)]
    pub(super) unsafe fn store<const Q: usize>(&self, values: [int32x4_t; Q], out: *mut i8, channels: usize) {
        if channels < 4 * Q {
            // SAFETY: as the caller says.
            return unsafe { self.store_some(values, out, channels) };
        }
        for first in (0..Q).step_by(4) {
            let bytes = self.narrow(&values, first);
            // SAFETY: these are the channels `4 * first..4 * Q`, all of which `out` has.
            unsafe {
                let out = out.add(4 * first);
                match Q - first {
                    1 => vst1q_lane_s32::<0>(out.cast(), vreinterpretq_s32_s8(bytes)),
                    2 => vst1_s8(out, vget_low_s8(bytes)),
                    3 => {
                        vst1_s8(out, vget_low_s8(bytes));
                        vst1q_lane_s32::<2>(out.add(8).cast(), vreinterpretq_s32_s8(bytes));
                    }
                    _ => vst1q_s8(out, bytes),
                }
            }
        }
    }

    /// As [`store`](Self::store), where there are fewer channels than values.
    ///
    /// # Safety
    /// `out` is valid for writes of `channels`, `channels <= 4 * Q` and `Q <= 8`.
    #[cold]
    #[inline(never)]
    unsafe fn store_some<const Q: usize>(&self, values: [int32x4_t; Q], out: *mut i8, channels: usize) {
        let mut buffer = [[0; 16]; 2];
        for (index, buffer) in buffer.iter_mut().enumerate().take(Q.div_ceil(4)) {
            // SAFETY: this part of the buffer has 16 bytes.
            unsafe { vst1q_s8(buffer.as_mut_ptr(), self.narrow(&values, 4 * index)) };
        }
        // SAFETY: `out` has `channels` elements, at most 32; the buffer is apart from it.
        unsafe { core::ptr::copy_nonoverlapping(buffer.as_flattened().as_ptr(), out, channels) };
    }
}
