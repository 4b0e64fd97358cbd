//! What is no matrix product: copies, max pooling and local response normalisation, one pixel at a time.

use core::arch::aarch64::*;

use crate::arch::{PoolWindow, copy_rows_portable};
use crate::kernels::lrn::{self, Lrn};

/// Fills `to` with rows of `length` elements, which begin `stride` elements apart in `source`.
pub(crate) fn copy_rows(source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
    if length < 16 || !to.len().is_multiple_of(length) {
        return copy_rows_portable(source, stride, length, to);
    }
    let rows = to.len() / length;
    let Some(last) = rows.checked_sub(1) else { return Some(()) };
    if last.checked_mul(stride)?.checked_add(length)? > source.len() {
        return None;
    }
    for row in 0..rows {
        // SAFETY: `source` has the row's `length` elements, at least 16, and so has `to`; this target has NEON.
        unsafe {
            let (from, to) = (source.as_ptr().add(row * stride), to.as_mut_ptr().add(row * length));
            let mut done = 0;
            while done + 64 <= length {
                vst1q_s8_x4(to.add(done), vld1q_s8_x4(from.add(done)));
                done += 64;
            }
            while done + 16 <= length {
                vst1q_s8(to.add(done), vld1q_s8(from.add(done)));
                done += 16;
            }
            if done < length {
                // The last 16 may overlap those before.
                vst1q_s8(to.add(length - 16), vld1q_s8(from.add(length - 16)));
            }
        }
    }
    Some(())
}

/// Largest value of each channel of a window, clamped to `min..=max`.
pub(crate) fn max_pool(window: &PoolWindow<'_>, (min, max): (i8, i8), out: &mut [i8]) -> Option<()> {
    let channels = out.len();
    let last = (window.rows.checked_sub(1)?.checked_mul(window.row_stride)?)
        .checked_add(window.columns.checked_sub(1)?.checked_mul(window.pixel_stride)?)?;
    if last.checked_add(channels)? > window.values.len() {
        return None;
    }
    if channels < 16 {
        return window.max_portable((min, max), out);
    }
    let mut first = 0;
    while first + 64 <= channels {
        // SAFETY: the channels `first..first + 64` of each pixel of the window are in the slice, and `out` has them.
        unsafe { max_of_channels::<4>(window, first, (min, max), out.as_mut_ptr().add(first)) };
        first += 64;
    }
    while first < channels {
        // The last 16 channels may overlap those before.
        let start = first.min(channels - 16);
        // SAFETY: as above, with 16 channels.
        unsafe { max_of_channels::<1>(window, start, (min, max), out.as_mut_ptr().add(start)) };
        first += 16;
    }
    Some(())
}

/// The largest values of `16 * N` channels from `first` on.
///
/// # Safety
/// Each pixel of the window has these channels inside the slice; `out` is valid for writes of `16 * N`.
#[inline(always)]
unsafe fn max_of_channels<const N: usize>(window: &PoolWindow<'_>, first: usize, (min, max): (i8, i8), out: *mut i8) {
    // SAFETY: all reads are of channels of the window's pixels, all writes inside `out`; this target has NEON.
    unsafe {
        let mut largest = [vdupq_n_s8(min); N];
        for row in 0..window.rows {
            let mut pixel = window.values.as_ptr().add(row * window.row_stride + first);
            for _ in 0..window.columns {
                for (index, largest) in largest.iter_mut().enumerate() {
                    *largest = vmaxq_s8(*largest, vld1q_s8(pixel.add(16 * index)));
                }
                pixel = pixel.wrapping_add(window.pixel_stride);
            }
        }
        for (index, largest) in largest.into_iter().enumerate() {
            vst1q_s8(out.add(16 * index), vminq_s8(largest, vdupq_n_s8(max)));
        }
    }
}

/// Channels that are normalised from one buffer of squares.
const CHUNK: usize = 64;
/// The farthest channel from the one it normalises that the buffer of squares reaches.
const REACH: usize = 8;

/// Normalises one pixel: `original` has its channels, `out` gets them.
pub(crate) fn lrn(lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
    let (below, above) = lrn.reach();
    let channels = out.len();
    let largest_sum = (lrn.size.max(1) as u64).saturating_mul(255 * 255);
    // The table covers what can occur, so that no index needs a check: true of every verified model.
    let covered = largest_sum <= u64::from(u32::MAX)
        && lrn.index_shift < 32
        && ((largest_sum >> lrn.index_shift) as usize) < lrn.table.len()
        && (1..=30).contains(&lrn.shift);
    if !covered || below > REACH || above > REACH || !channels.is_multiple_of(8) || original.len() != channels {
        return lrn::pixel(lrn, original, out);
    }
    for first in (0..channels).step_by(CHUNK) {
        let count = (channels - first).min(CHUNK);
        // Squares of the channels `first - REACH..first + CHUNK + REACH`, 0 outside the pixel.
        let mut squares = [0_u16; CHUNK + 2 * REACH];
        for (index, squares) in squares.chunks_exact_mut(8).enumerate() {
            let Some(start) = (first + 8 * index).checked_sub(REACH) else { continue };
            let Some(values) = original.get(start..start + 8) else { break };
            // SAFETY: both slices have 8 elements; this target has NEON.
            unsafe {
                let difference = vsubl_s8(vld1_s8(values.as_ptr()), vdup_n_s8(lrn.zero_point));
                vst1q_u16(squares.as_mut_ptr(), vreinterpretq_u16_s16(vmulq_s16(difference, difference)));
            }
        }
        let values = original.get(first..first + count)?;
        let out = out.get_mut(first..first + count)?;
        // Channel `first` has its square at `REACH`.
        let squares = squares.get(REACH - below..REACH + above + count)?;
        let terms = below + above + 1;
        // SAFETY: `values` and `out` have `count` elements, a multiple of 8, and there are `terms - 1` squares more. The
        // table covers every sum.
        unsafe {
            if terms == 5 {
                // The usual number: the loop over them is unrolled.
                normalize(lrn, values, squares.as_ptr(), 5, out);
            } else {
                normalize(lrn, values, squares.as_ptr(), terms, out);
            }
        }
    }
    Some(())
}

/// Normalises channels whose sums have so many terms, 8 at a time.
///
/// # Safety
/// `values` and `out` have the same number of elements, a multiple of 8; there are `terms - 1` squares more. The table
/// has an entry for each sum that the squares can make.
#[inline(always)]
unsafe fn normalize(lrn: &Lrn<'_>, values: &[i8], squares: *const u16, terms: usize, out: &mut [i8]) {
    // SAFETY: as the caller says; this target has NEON.
    unsafe {
        let index_right = vdupq_n_s32(-(lrn.index_shift as i32));
        let right = vdupq_n_s32(-(lrn.shift as i32));
        let input_zero_point = vdup_n_s8(lrn.zero_point);
        let zero_point = vdupq_n_s16(i16::from(lrn.output.zero_point));
        let (min, max) = (vdup_n_s8(lrn.output.min), vdup_n_s8(lrn.output.max));
        let table = lrn.table.as_ptr();
        for first in (0..values.len()).step_by(8) {
            let (mut low, mut high) = (vdupq_n_u32(0), vdupq_n_u32(0));
            for term in 0..terms {
                let squares = vld1q_u16(squares.add(first + term));
                low = vaddw_u16(low, vget_low_u16(squares));
                high = vaddw_high_u16(high, squares);
            }
            let indices = vmovn_high_u32(vmovn_u32(vshlq_u32(low, index_right)), vshlq_u32(high, index_right));
            let mut factors = vdupq_n_u16(0);
            macro_rules! look_up {
                ($($lane:literal)+) => {
                    $(factors =
                        vld1q_lane_u16::<$lane>(table.add(usize::from(vgetq_lane_u16::<$lane>(indices))), factors);)+
                };
            }
            look_up!(0 1 2 3 4 5 6 7);
            let difference = vsubl_s8(vld1_s8(values.as_ptr().add(first)), input_zero_point);
            let low =
                vmulq_s32(vmovl_s16(vget_low_s16(difference)), vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(factors))));
            let high = vmulq_s32(vmovl_high_s16(difference), vreinterpretq_s32_u32(vmovl_high_u16(factors)));
            let both = vqmovn_high_s32(vqmovn_s32(vrshlq_s32(low, right)), vrshlq_s32(high, right));
            let narrow = vqmovn_s16(vqaddq_s16(both, zero_point));
            vst1_s8(out.as_mut_ptr().add(first), vmin_s8(vmax_s8(narrow, min), max));
        }
    }
}
