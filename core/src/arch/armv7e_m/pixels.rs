//! Copies and pools, word by word.

use core::arch::asm;

use crate::arch::{PoolWindow, copy_rows_portable};

/// As [`Backend::copy_rows`](crate::arch::Backend::copy_rows).
pub(super) fn copy_rows(source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
    let rows = to.len().checked_div(length)?;
    let last = rows.checked_sub(1)?.checked_mul(stride)?;
    if rows * length != to.len() || last.checked_add(length)? > source.len() {
        return copy_rows_portable(source, stride, length, to);
    }
    for row in 0..rows {
        // SAFETY: each row has `length` elements on both sides: see the check above.
        unsafe { copy(source.as_ptr().add(row * stride), to.as_mut_ptr().add(row * length), length) }
    }
    Some(())
}

/// As [`Backend::max_pool`](crate::arch::Backend::max_pool).
pub(super) fn max_pool(window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
    let last = (window.rows.checked_sub(1)?.checked_mul(window.row_stride)?)
        .checked_add(window.columns.checked_sub(1)?.checked_mul(window.pixel_stride)?)?;
    if last.checked_add(out.len())? > window.values.len() {
        return None;
    }
    let (blocks, rest) = out.as_chunks_mut::<16>();
    let (words, rest) = rest.as_chunks_mut::<4>();
    let mut values = window.values;
    for block in blocks {
        // SAFETY: every pixel of the window has 16 more elements from the start of `values` on: see the check above.
        *block = bytemuck::cast(unsafe { largest::<4>(values.as_ptr(), window, limits) });
        values = values.get(16..)?;
    }
    for word in words {
        // SAFETY: as above, with 4 elements.
        *word = bytemuck::cast(unsafe { largest::<1>(values.as_ptr(), window, limits) });
        values = values.get(4..)?;
    }
    PoolWindow { values, ..*window }.max_portable(limits, rest)
}

/// Copies `length` elements by words: both sides may lie anywhere.
///
/// # Safety
/// Both sides have as many elements and do not overlap.
#[inline(always)]
unsafe fn copy(from: *const i8, to: *mut i8, length: usize) {
    if length < 4 {
        // SAFETY: as the caller says.
        unsafe { from.copy_to_nonoverlapping(to, length) };
        return;
    }
    // The words one after the other, then the last 4 elements, some of them for the second time. In assembly, since the
    // compiler would call a function for it.
    let rest = length % 4;
    // SAFETY: no more than `length` elements are read and written.
    unsafe {
        asm!(
            "2:",
            "ldr {t}, [{from}], #4",
            "subs {words}, {words}, #1",
            "str {t}, [{to}], #4",
            "bne 2b",
            "ldr {t}, [{from}, {back}]",
            "str {t}, [{to}, {back}]",
            from = inout(reg) from => _, to = inout(reg) to => _, words = inout(reg) length / 4 => _, t = out(reg) _,
            back = in(reg) rest.wrapping_sub(4),
            options(nostack),
        );
    }
}

/// Largest values of `4 * WORDS` channels over a window, byte by byte: SSUB8 sets a flag for each byte that is not less,
/// SEL chooses by them.
///
/// # Safety
/// From `values` on, every pixel of the window has `4 * WORDS` elements.
unsafe fn largest<const WORDS: usize>(
    values: *const i8,
    window: &PoolWindow<'_>,
    (min, max): (i8, i8),
) -> [[u8; 4]; WORDS] {
    let mut best = [u32::from_ne_bytes([min as u8; 4]); WORDS];
    let mut row = values;
    for _ in 0..window.rows {
        let mut pixel = row;
        for _ in 0..window.columns {
            for (word, best) in best.iter_mut().enumerate() {
                // SAFETY: the pixel is one of the window's.
                let word = unsafe { pixel.cast::<u32>().add(word).read_unaligned() };
                *best = bytewise(word, *best, word, *best);
            }
            pixel = pixel.wrapping_add(window.pixel_stride);
        }
        row = row.wrapping_add(window.row_stride);
    }
    let max = u32::from_ne_bytes([max as u8; 4]);
    best.map(|best| bytewise(best, max, max, best).to_ne_bytes())
}

/// For each byte: `chosen` where `a >= b`, else `other`.
#[inline(always)]
fn bytewise(a: u32, b: u32, chosen: u32, other: u32) -> u32 {
    let result;
    // SAFETY: register arithmetic only; SSUB8's flags (APSR.GE) are read by SEL at once.
    unsafe {
        asm!(
            "ssub8 {result}, {a}, {b}", "sel {result}, {chosen}, {other}",
            a = in(reg) a, b = in(reg) b, chosen = in(reg) chosen, other = in(reg) other, result = out(reg) result,
            options(pure, nomem, nostack),
        );
    }
    result
}
