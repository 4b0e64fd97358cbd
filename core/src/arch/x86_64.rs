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
/// A block of channels is copied between zero points, whose squares are 0, so that no window needs to be clipped.
#[target_feature(enable = "avx2")]
pub(super) fn lrn(lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
    let ranges = (1..=30).contains(&lrn.shift) && lrn.index_shift <= 31 && (2..=1 << 16).contains(&lrn.table.len());
    if lrn.reach() != (REACH, REACH) || !ranges || out.len() != original.len() || !out.len().is_multiple_of(LANES) {
        return lrn::pixel(lrn, original, out);
    }
    let mut window = [lrn.zero_point; REACH + BLOCK + REACH];
    let mut largest = _mm256_setzero_si256();
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let first = block * BLOCK;
        let (start, end) = (first.saturating_sub(REACH), original.len().min(first + out.len() + REACH));
        let (before, inside) = (start + REACH - first, end - start);
        window.get_mut(..before)?.fill(lrn.zero_point);
        window.get_mut(before..before + inside)?.copy_from_slice(original.get(start..end)?);
        window.get_mut(before + inside..)?.fill(lrn.zero_point);
        for (at, out) in (0..).step_by(LANES).zip(out.as_chunks_mut::<LANES>().0) {
            let (bytes, indices) = normalise(lrn, window.get(at..)?.first_chunk()?);
            // SAFETY: 32 bytes to write.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes) };
            largest = _mm256_max_epu32(largest, indices);
        }
    }
    let last = _mm256_set1_epi32(lrn.table.len() as i32 - 1);
    let within = _mm256_cmpeq_epi32(_mm256_max_epu32(largest, last), last);
    (_mm256_movemask_epi8(within) == -1).then_some(())
}

/// The 32 channels in the middle of `values`, normalised, and the largest of their table indices in each of 8 columns.
/// An index behind the table's end counts as its last one.
#[inline]
#[target_feature(enable = "avx2")]
fn normalise(lrn: &Lrn<'_>, values: &[i8; REACH + LANES + REACH]) -> (__m256i, __m256i) {
    let zero_point = _mm256_set1_epi16(i16::from(lrn.zero_point));
    let mut words = [zero_point; 2];
    let mut largest = _mm256_setzero_si256();
    for (group, words) in words.iter_mut().enumerate() {
        let mut differences = [_mm256_setzero_si256(); 2 * REACH + 2];
        for (at, difference) in differences.iter_mut().enumerate().take(2 * REACH + 1) {
            // SAFETY: 16 of the 36 values, from `group * 16 + at` on, which is at most 20.
            let values = unsafe { _mm_loadu_si128(values.as_ptr().add(group * 16 + at).cast()) };
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
        let shift = _mm_cvtsi32_si128(lrn.index_shift as i32);
        let (low, high) = (_mm256_srl_epi32(low, shift), _mm256_srl_epi32(high, shift));
        largest = _mm256_max_epu32(largest, _mm256_max_epu32(low, high));
        // The differences as 32 bits, in the same order.
        let middle = differences[REACH];
        let sign = _mm256_cmpgt_epi16(_mm256_setzero_si256(), middle);
        let low = scale(lrn, _mm256_unpacklo_epi16(middle, sign), low);
        let high = scale(lrn, _mm256_unpackhi_epi16(middle, sign), high);
        *words = _mm256_packs_epi32(low, high);
    }
    // Packing works within each half, and so leaves the middle quarters swapped.
    let bytes = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi16(words[0], words[1]));
    let bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8(lrn.output.min));
    (_mm256_min_epi8(bytes, _mm256_set1_epi8(lrn.output.max)), largest)
}

/// Eight differences times their factors in the table, rounded, shifted, the zero point added.
#[inline]
#[target_feature(enable = "avx2")]
fn scale(lrn: &Lrn<'_>, differences: __m256i, indices: __m256i) -> __m256i {
    // Pairs of factors are gathered, so the last pair starts one before the end.
    let last = _mm256_set1_epi32(lrn.table.len() as i32 - 1);
    let indices = _mm256_min_epu32(indices, last);
    let starts = _mm256_min_epu32(indices, _mm256_sub_epi32(last, _mm256_set1_epi32(1)));
    // SAFETY: the table has at least two entries, and `starts` is at most its length less 2.
    let pairs = unsafe { _mm256_i32gather_epi32::<2>(lrn.table.as_ptr().cast(), starts) };
    let which = _mm256_slli_epi32::<4>(_mm256_sub_epi32(indices, starts));
    let factors = _mm256_and_si256(_mm256_srlv_epi32(pairs, which), _mm256_set1_epi32(0xFFFF));
    let rounded = _mm256_add_epi32(_mm256_mullo_epi32(differences, factors), _mm256_set1_epi32(1 << (lrn.shift - 1)));
    let shifted = _mm256_sra_epi32(rounded, _mm_cvtsi32_si128(lrn.shift as i32));
    _mm256_add_epi32(shifted, _mm256_set1_epi32(i32::from(lrn.output.zero_point)))
}
