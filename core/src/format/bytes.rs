//! Little-endian fields at fixed places of a record.
//! Inlined everywhere: a field is then one load, and its place is known to be inside the record.

use core::ops::Range;

/// Where a field lies in its record.
pub(super) type Field = Range<usize>;

#[inline(always)]
pub(super) const fn u16_at<const N: usize>(record: &[u8; N], field: Field) -> u16 {
    u16::from_le_bytes([record[field.start], record[field.start + 1]])
}

#[inline(always)]
pub(super) const fn u32_at<const N: usize>(record: &[u8; N], field: Field) -> u32 {
    let at = field.start;
    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
}

#[inline(always)]
pub(super) const fn i32_at<const N: usize>(record: &[u8; N], field: Field) -> i32 {
    u32_at(record, field) as i32
}

#[inline(always)]
pub(super) const fn f32_at<const N: usize>(record: &[u8; N], field: Field) -> f32 {
    f32::from_bits(u32_at(record, field))
}

#[cfg(feature = "alloc")]
pub(super) fn put<const N: usize>(record: &mut [u8; N], field: Field, value: &[u8]) {
    record[field].copy_from_slice(value);
}
