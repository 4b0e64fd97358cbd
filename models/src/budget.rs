//! What a stranger's file may cost: one budget a file, counted for what is made of its bytes.
//!
//! A few hundred bytes can ask for gigabytes: a tensor filled with one number, a view with a stride of zero, a convolution
//! whose padding makes a huge picture. So every reader draws what it is about to make from the budget of its file before
//! it makes it. The budget is a sum over the file, a fixed allowance and some multiple of the file's own size: what
//! weights really are in the file is paid for.

use std::cell::Cell;
use std::fmt;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of what is made while reading: messages, constants, tensors, weights in the order of the graph.
    Memory,
    /// Elements of all activations of a network. Calibration has them all in memory, as floats.
    Activations,
    /// Multiply-accumulates of one run, and what else is as much work: a pool's window counts as a convolution's.
    Work,
}

/// The allowance, the multiple of the file's size, and the limit whatever the size.
///
/// Memory: half floats double when they are widened, and again as weights in the graph's order; some exporters transpose
/// each weight once more. Activations: VGG-16, 550 MB, has 28 million with its ReLUs, Inception v3, 95 MB, 22 million,
/// MobileNet v2, 14 MB, 13 million, and 68 million at 512 x 512. Work: SqueezeNet has most for its size, 0.8 G
/// multiply-accumulates in 5 MB; a ResNet-18 for pictures of 1024 x 1024 has 38 G in 47 MB.
const fn terms(resource: Resource) -> (u64, u64, u64) {
    match resource {
        Resource::Memory => (64 << 20, 6, 16 << 30),
        Resource::Activations => (16 << 20, 4, 1 << 28),
        Resource::Work => (4 << 30, 1024, 1 << 40),
    }
}

/// The allocator is asked first for so many bytes and more: 1 MiB.
const ASKED: u64 = 1 << 20;

/// What is left for one file.
#[derive(Debug)]
pub(crate) struct Budget {
    file: u64,
    left: [Cell<u64>; 3],
}

impl Budget {
    /// The budget of a file of so many bytes, the files it refers to counted.
    pub(crate) fn for_file(bytes: u64) -> Self {
        let most = |resource| {
            let (allowance, factor, limit) = terms(resource);
            Cell::new(bytes.saturating_mul(factor).saturating_add(allowance).min(limit))
        };
        Self { file: bytes, left: [Resource::Memory, Resource::Activations, Resource::Work].map(most) }
    }

    /// Draws from what is left. Of memory, the allocator is asked as well: what is made next is made without asking.
    ///
    /// # Errors
    /// There isn't as much.
    pub(crate) fn take(&self, resource: Resource, amount: u64) -> Result<(), Exceeded> {
        let left = &self.left[resource as usize];
        let Some(rest) = left.get().checked_sub(amount) else {
            return Err(Exceeded { resource, file: self.file, refused: None });
        };
        if resource == Resource::Memory && amount >= ASKED {
            let bytes = usize::try_from(amount).unwrap_or(usize::MAX);
            let refused = Exceeded { resource, file: self.file, refused: Some(amount) };
            Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| refused)?;
        }
        left.set(rest);
        Ok(())
    }

    /// Draws the bytes of so many elements.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(crate) fn take_elements<T>(&self, count: usize) -> Result<(), Exceeded> {
        self.take(Resource::Memory, (count as u64).saturating_mul(size_of::<T>() as u64))
    }
}

/// A file asks for more than its budget has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// What the file asks too much of.
    pub resource: Resource,
    /// The file's bytes.
    pub file: u64,
    /// The bytes that the system refused; `None` where the file's own limit is reached.
    pub refused: Option<u64>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (allowance, factor, limit) = terms(self.resource);
        let most = self.file.saturating_mul(factor).saturating_add(allowance).min(limit);
        let file = self.file;
        if let Some(bytes) = self.refused {
            return write!(f, "the system has no {} MiB of memory for it: close other programs first", bytes >> 20);
        }
        match self.resource {
            Resource::Memory => write!(
                f,
                "what is made of the file would take more than {} MiB of memory, the limit for {file} bytes: weights \
                 that are spelled out in the file have room, tensors that it only describes do not",
                most >> 20
            ),
            Resource::Activations => write!(
                f,
                "the network's activations would have more than {} million elements, the limit for a file of {file} \
                 bytes: give it smaller pictures, or larger strides in its first layers",
                most / 1_000_000
            ),
            Resource::Work => write!(
                f,
                "the network would take more than {} million multiply-accumulates a picture, the limit for a file of \
                 {file} bytes: give it smaller pictures, or larger strides in its first layers",
                most / 1_000_000
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_limited_not_single_amounts() {
        let budget = Budget::for_file(1000);
        // 64 MiB and six times the file.
        for _ in 0..64 {
            assert_eq!(budget.take(Resource::Memory, 1 << 20), Ok(()));
        }
        assert_eq!(budget.take_elements::<f32>(1500), Ok(()));
        let error = budget.take(Resource::Memory, 1).unwrap_err();
        assert!(error.to_string().contains("64 MiB") && error.to_string().contains("1000 bytes"), "{error}");
        assert_eq!(budget.take(Resource::Activations, 1 << 24), Ok(()));
        assert!(budget.take(Resource::Work, u64::MAX).is_err());
    }

    #[test]
    fn large_networks_have_room() {
        for (megabytes, parameters, activations, macs) in
            [(553_u64, 138_u64, 28_u64, 15_500_u64), (241, 60, 46, 11_600), (95, 24, 22, 5_700), (5, 1, 12, 850)]
        {
            let budget = Budget::for_file(megabytes * 1_000_000);
            assert_eq!(budget.take(Resource::Memory, 2 * 4 * parameters * 1_000_000), Ok(()));
            assert_eq!(budget.take(Resource::Activations, activations * 1_000_000), Ok(()));
            assert_eq!(budget.take(Resource::Work, macs * 1_000_000), Ok(()));
        }
    }
}
