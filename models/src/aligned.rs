//! Memory at the alignment that a model file needs.

use std::ops::{Deref, DerefMut};

/// Bytes that start at a multiple of 16: a `.tin` file read into memory, or an arena.
#[derive(Clone, Debug)]
pub struct Aligned {
    blocks: Vec<u128>,
    length: usize,
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
        Self { blocks: vec![0; length.div_ceil(size_of::<u128>())], length }
    }

    /// The bytes for the rest of the program's life.
    #[must_use]
    pub fn leak(self) -> &'static mut [u8] {
        let length = self.length;
        &mut bytemuck::cast_slice_mut(self.blocks.leak())[..length]
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.length]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.length]
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
        }
    }
}
