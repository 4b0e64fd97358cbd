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

/// Most channels that a normalisation's window may reach to each side here.
const REACH: usize = 8;
/// Channels whose squares take part in [`LANES`] sums.
const SQUARES: usize = LANES + 2 * REACH;

/// Normalises a pixel: see [`Backend::lrn`](super::Backend::lrn).
///
/// 32 channels at a time: the squares fit 16 bits, the sums are added up from shifted loads, and the table is read one
/// by one, which is faster than a gather.
#[target_feature(enable = "avx2")]
pub(super) fn lrn(lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
    let (below, above) = lrn.reach();
    if below > REACH || above > REACH || !(1..=30).contains(&lrn.shift) || lrn.index_shift > 31 {
        return lrn::pixel(lrn, original, out);
    }
    let mut values = [lrn.zero_point; SQUARES];
    for (chunk, out) in out.chunks_mut(LANES).enumerate() {
        let first = chunk * LANES;
        // What lies outside of the pixel is the zero point: its square is 0.
        let (start, end) = (first.saturating_sub(REACH), original.len().min(first + LANES + REACH));
        let inside = original.get(start..end)?;
        if let Ok(all) = inside.try_into() {
            values = all;
        } else {
            values = [lrn.zero_point; SQUARES];
            values.get_mut(start + REACH - first..)?.get_mut(..inside.len())?.copy_from_slice(inside);
        }
        let indices = indices(lrn, &values, (below, above));
        let mut factors = [0_i32; LANES];
        for (factor, index) in factors.iter_mut().zip(indices).take(out.len()) {
            *factor = i32::from(*lrn.table.get(index as usize)?);
        }
        let normalised = scale(lrn, &values, &factors);
        if let Some(out) = out.first_chunk_mut() {
            *out = normalised;
        } else {
            out.copy_from_slice(normalised.get(..out.len())?);
        }
    }
    Some(())
}

/// The table's index for each of the 32 channels in the middle of `values`.
#[inline]
#[target_feature(enable = "avx2")]
fn indices(lrn: &Lrn<'_>, values: &[i8; SQUARES], (below, above): (usize, usize)) -> [u32; LANES] {
    let zero_point = _mm256_set1_epi16(i16::from(lrn.zero_point));
    let mut squares = [0_u16; SQUARES];
    for (squares, values) in squares.as_chunks_mut::<16>().0.iter_mut().zip(values.as_chunks::<16>().0) {
        // SAFETY: 16 bytes to read, 16 words to write.
        unsafe {
            let values = _mm256_cvtepi8_epi16(_mm_loadu_si128(values.as_ptr().cast()));
            let difference = _mm256_sub_epi16(values, zero_point);
            _mm256_storeu_si256(squares.as_mut_ptr().cast(), _mm256_mullo_epi16(difference, difference));
        }
    }
    let shift = _mm_cvtsi32_si128(lrn.index_shift as i32);
    let mut indices = [0_u32; LANES];
    for (group, indices) in indices.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let mut sum = _mm256_setzero_si256();
        for at in REACH + group * 8 - below..=REACH + group * 8 + above {
            // SAFETY: `at` is at most 2 * REACH + 24 and there are 8 squares from there on.
            let squares = unsafe { _mm_loadu_si128(squares.as_ptr().add(at).cast()) };
            sum = _mm256_add_epi32(sum, _mm256_cvtepu16_epi32(squares));
        }
        // SAFETY: 8 indices to write.
        unsafe { _mm256_storeu_si256(indices.as_mut_ptr().cast(), _mm256_srl_epi32(sum, shift)) };
    }
    indices
}

/// The 32 channels in the middle of `values` times their factors, rounded, shifted and clamped.
#[inline]
#[target_feature(enable = "avx2")]
fn scale(lrn: &Lrn<'_>, values: &[i8; SQUARES], factors: &[i32; LANES]) -> [i8; LANES] {
    let zero_point = _mm256_set1_epi32(i32::from(lrn.zero_point));
    let round = _mm256_set1_epi32(1 << (lrn.shift - 1));
    let shift = _mm_cvtsi32_si128(lrn.shift as i32);
    let output_zero_point = _mm256_set1_epi32(i32::from(lrn.output.zero_point));
    let mut products = [zero_point; 4];
    for (group, product) in products.iter_mut().enumerate() {
        // SAFETY: 8 bytes from the middle of `values`, and 8 factors.
        let (values, factors) = unsafe {
            (
                _mm_loadl_epi64(values.as_ptr().add(REACH + group * 8).cast()),
                _mm256_loadu_si256(factors.as_ptr().add(group * 8).cast()),
            )
        };
        let difference = _mm256_sub_epi32(_mm256_cvtepi8_epi32(values), zero_point);
        let rounded = _mm256_add_epi32(_mm256_mullo_epi32(difference, factors), round);
        *product = _mm256_add_epi32(_mm256_sra_epi32(rounded, shift), output_zero_point);
    }
    // Packing works within each half: words 0-3, 8-11, 4-7, 12-15, so fours of bytes 0, 2, 4, 6, 1, 3, 5, 7.
    let low = _mm256_packs_epi32(products[0], products[1]);
    let high = _mm256_packs_epi32(products[2], products[3]);
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    let bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8(lrn.output.min));
    let bytes = _mm256_min_epi8(bytes, _mm256_set1_epi8(lrn.output.max));
    let mut normalised = [0; LANES];
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_storeu_si256(normalised.as_mut_ptr().cast(), bytes) };
    normalised
}
