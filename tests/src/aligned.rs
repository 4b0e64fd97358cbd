//! Bytes at a multiple of 16 in memory, as a model needs them.

use std::ops::{Deref, DerefMut};

use tinception_core::format::ALIGNMENT;

/// Bytes that start at a multiple of 16.
#[derive(Debug)]
pub struct Aligned {
    buffer: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// A copy of `bytes` at the alignment of a model.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self::offset(bytes, 0)
    }

    /// A copy of `bytes` that starts `offset` bytes behind a multiple of 16.
    #[must_use]
    pub fn offset(bytes: &[u8], offset: usize) -> Self {
        let mut buffer = vec![0; bytes.len() + ALIGNMENT + offset];
        let start = (buffer.as_ptr() as usize).wrapping_neg() % ALIGNMENT + offset;
        buffer[start..start + bytes.len()].copy_from_slice(bytes);
        Self { buffer, start, length: bytes.len() }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..][..self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..][..self.length]
    }
}
