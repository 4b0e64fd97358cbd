//! What the backends of x86-64 share: pooling and normalisation with AVX2.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::PoolWindow;
use crate::kernels::lrn::{self, Lrn};

/// Bytes of a register.
const LANES: usize = 32;

/// Largest value of each channel over a window: see [`Backend::max_pool`](super::Backend::max_pool).
#[target_feature(enable = "avx2")]
pub(super) fn max_pool(window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
    let channels = out.len();
    if channels < LANES {
        return window.max_portable(limits, out);
    }
    let last_row = window.rows.checked_sub(1)?.checked_mul(window.row_stride)?;
    let last_pixel = window.columns.checked_sub(1)?.checked_mul(window.pixel_stride)?;
    window.values.get(last_row.checked_add(last_pixel)?..)?.get(..channels)?;
    let (min, max) = (_mm256_set1_epi8(limits.0), _mm256_set1_epi8(limits.1));
    let mut channel = 0;
    loop {
        let mut largest = min;
        for row in 0..window.rows {
            for column in 0..window.columns {
                let at = row * window.row_stride + column * window.pixel_stride + channel;
                // SAFETY: `channels` elements of the last pixel are there, so those of every pixel are, and
                // `channel + LANES <= channels`.
                let values = unsafe { _mm256_loadu_si256(window.values.as_ptr().add(at).cast()) };
                largest = _mm256_max_epi8(largest, values);
            }
        }
        // SAFETY: `channel + LANES <= channels`, which is the length of `out`.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().add(channel).cast(), _mm256_min_epi8(largest, max)) };
        if channel + LANES == channels {
            return Some(());
        }
        // The last step overlaps the one before it, so that it is whole.
        channel = (channel + LANES).min(channels - LANES);
    }
}

/// Channels that the window of a normalisation reaches to each side: 5 channels are AlexNet's and GoogLeNet's.
const REACH: usize = 2;
/// Channels that are normalised at a time.
const BLOCK: usize = 256;

/// Normalises a pixel: see [`Backend::lrn`](super::Backend::lrn).
///
/// A block of channels is copied between zero points, whose squares are 0, so that no window needs to be clipped. Then
/// all indices are computed, all factors read one by one, which is faster than a gather, and all products taken.
#[target_feature(enable = "avx2")]
pub(super) fn lrn(lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
    let ranges = (1..=30).contains(&lrn.shift) && lrn.index_shift <= 31 && (1..=1 << 16).contains(&lrn.table.len());
    let whole = out.len() == original.len() && out.len().is_multiple_of(LANES);
    if lrn.reach() != (REACH, REACH) || !ranges || !whole {
        return lrn::pixel(lrn, original, out);
    }
    let mut values = [lrn.zero_point; REACH + BLOCK + REACH];
    let mut indices = [0_u16; BLOCK];
    let mut factors = [0_u16; BLOCK];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let first = block * BLOCK;
        let (start, end) = (first.saturating_sub(REACH), original.len().min(first + out.len() + REACH));
        let (before, inside) = (start + REACH - first, end - start);
        values.get_mut(..before)?.fill(lrn.zero_point);
        values.get_mut(before..before + inside)?.copy_from_slice(original.get(start..end)?);
        values.get_mut(before + inside..REACH + out.len() + REACH)?.fill(lrn.zero_point);
        let (indices, factors) = (indices.get_mut(..out.len())?, factors.get_mut(..out.len())?);
        table_indices(lrn, &values, indices)?;
        for (factor, index) in factors.iter_mut().zip(indices) {
            // SAFETY: `table_indices` has found all of them within the table.
            *factor = unsafe { *lrn.table.get_unchecked(usize::from(*index)) };
        }
        multiply(lrn, &values, factors, out);
    }
    Some(())
}

/// The table's index for each channel, or `None` where one lies behind the table's end. As many channels as `indices`
/// has room for, a multiple of 16, from `values[REACH]` on.
#[target_feature(enable = "avx2")]
fn table_indices(lrn: &Lrn<'_>, values: &[i8; REACH + BLOCK + REACH], indices: &mut [u16]) -> Option<()> {
    let zero_point = _mm256_set1_epi16(i16::from(lrn.zero_point));
    let shift = _mm_cvtsi32_si128(lrn.index_shift as i32);
    let mut largest = _mm256_setzero_si256();
    for (from, indices) in values.as_chunks::<16>().0.iter().zip(indices.as_chunks_mut::<16>().0) {
        let mut differences = [_mm256_setzero_si256(); 2 * REACH + 2];
        for (at, difference) in differences.iter_mut().enumerate().take(2 * REACH + 1) {
            // SAFETY: `indices` has at most `BLOCK` elements, so 16 and `2 * REACH` values follow `from`.
            let values = unsafe { _mm_loadu_si128(from.as_ptr().add(at).cast()) };
            *difference = _mm256_sub_epi16(_mm256_cvtepi8_epi16(values), zero_point);
        }
        // Sums of squares of channels 0-3 and 8-11, and of 4-7 and 12-15.
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for at in 0..=REACH {
            let (even, odd) = (differences[2 * at], differences[2 * at + 1]);
            let (a, b) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(a, a));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(b, b));
        }
        let (low, high) = (_mm256_srl_epi32(low, shift), _mm256_srl_epi32(high, shift));
        largest = _mm256_max_epu32(largest, _mm256_max_epu32(low, high));
        // Packing works within each half, and so restores the channels' order.
        let packed = _mm256_packus_epi32(low, high);
        // SAFETY: 16 indices to write.
        unsafe { _mm256_storeu_si256(indices.as_mut_ptr().cast(), packed) };
    }
    let last = _mm256_set1_epi32(lrn.table.len() as i32 - 1);
    let within = _mm256_cmpeq_epi32(_mm256_max_epu32(largest, last), last);
    (_mm256_movemask_epi8(within) == -1).then_some(())
}

/// Each channel times its factor, rounded, shifted and clamped. `out` has a multiple of 32 channels, and the first is
/// `values[REACH]`.
#[target_feature(enable = "avx2")]
fn multiply(lrn: &Lrn<'_>, values: &[i8; REACH + BLOCK + REACH], factors: &[u16], out: &mut [i8]) {
    let zero = _mm256_setzero_si256();
    let zero_point = _mm256_set1_epi16(i16::from(lrn.zero_point));
    let round = _mm256_set1_epi32(1 << (lrn.shift - 1));
    let shift = _mm_cvtsi32_si128(lrn.shift as i32);
    let output_zero_point = _mm256_set1_epi32(i32::from(lrn.output.zero_point));
    let (min, max) = (_mm256_set1_epi8(lrn.output.min), _mm256_set1_epi8(lrn.output.max));
    let channels = values[REACH..].as_chunks::<LANES>().0.iter().zip(factors.as_chunks::<LANES>().0);
    for ((values, factors), out) in channels.zip(out.as_chunks_mut::<LANES>().0) {
        let mut words = [zero; 2];
        for (group, words) in words.iter_mut().enumerate() {
            // SAFETY: 32 values and 32 factors, of which these are the first or the last 16.
            let (values, factors) = unsafe {
                (
                    _mm_loadu_si128(values.as_ptr().add(group * 16).cast()),
                    _mm256_loadu_si256(factors.as_ptr().add(group * 16).cast()),
                )
            };
            let difference = _mm256_sub_epi16(_mm256_cvtepi8_epi16(values), zero_point);
            let sign = _mm256_cmpgt_epi16(zero, difference);
            let mut products = [
                _mm256_mullo_epi32(_mm256_unpacklo_epi16(difference, sign), _mm256_unpacklo_epi16(factors, zero)),
                _mm256_mullo_epi32(_mm256_unpackhi_epi16(difference, sign), _mm256_unpackhi_epi16(factors, zero)),
            ];
            for product in &mut products {
                let shifted = _mm256_sra_epi32(_mm256_add_epi32(*product, round), shift);
                *product = _mm256_add_epi32(shifted, output_zero_point);
            }
            *words = _mm256_packs_epi32(products[0], products[1]);
        }
        // Packing works within each half, and so leaves the middle quarters swapped.
        let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(words[0], words[1]));
        let bytes = _mm256_min_epi8(_mm256_max_epi8(bytes, min), max);
        // SAFETY: 32 bytes to write.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes) };
    }
}
