//! Memory at the alignment that a model file needs.

use std::collections::TryReserveError;
use std::ops::{Deref, DerefMut, Range};

use tinception_core::format::ALIGNMENT;

/// Bytes that start at a multiple of 16: a `.tin` file read into memory, or an arena.
///
/// They lie somewhere inside a buffer, since no integer has this alignment everywhere: `u128` has 8 bytes on 32-bit ARM.
#[derive(Debug)]
pub struct Aligned {
    buffer: Vec<u8>,
    place: Range<usize>,
}

impl Aligned {
    /// A copy of `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }

    /// `length` zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        Self::within(vec![0; length + ALIGNMENT - 1], length)
    }

    /// `length` zeros, or an error where there is no memory for them: for lengths that a file decides.
    ///
    /// # Errors
    /// The allocator refuses.
    pub fn try_zeroed(length: usize) -> Result<Self, TryReserveError> {
        Ok(Self::within(try_zeros(length.saturating_add(ALIGNMENT - 1))?, length))
    }

    /// The first `length` bytes of a buffer that are aligned.
    fn within(buffer: Vec<u8>, length: usize) -> Self {
        let start = (buffer.as_ptr() as usize).wrapping_neg() % ALIGNMENT;
        Self { buffer, place: start..start + length }
    }

    /// The bytes for the rest of the program's life.
    #[must_use]
    pub fn leak(self) -> &'static mut [u8] {
        &mut self.buffer.leak()[self.place]
    }
}

/// `length` zeros, or an error where there is no memory for them.
///
/// # Errors
/// The allocator refuses.
pub fn try_zeros<T: Clone + Default>(length: usize) -> Result<Vec<T>, TryReserveError> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(length)?;
    zeros.resize(length, T::default());
    Ok(zeros)
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.place.clone()]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.place.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_and_aligned() {
        for length in [0, 1, 15, 16, 17, 100] {
            let bytes: Vec<u8> = (0..length).collect();
            let aligned = Aligned::new(&bytes);
            assert_eq!(*aligned, *bytes);
            assert_eq!(aligned.as_ptr() as usize % 16, 0);
            assert_eq!(*aligned.leak(), *bytes);
            let zeros = Aligned::try_zeroed(usize::from(length)).expect("there is memory");
            assert_eq!(*zeros, *vec![0; usize::from(length)]);
            assert_eq!(zeros.as_ptr() as usize % 16, 0);
        }
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        assert!(Aligned::try_zeroed(usize::MAX).is_err());
        assert!(Aligned::try_zeroed(isize::MAX as usize).is_err());
        assert!(try_zeros::<i16>(usize::MAX / 2).is_err());
    }
}
