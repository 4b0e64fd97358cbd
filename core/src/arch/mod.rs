//! The inner loops, one file per instruction set, and the ladder that picks one.
//!
//! A backend works on tiles: a matrix product of gathered patches with blocks of weights, requantised and stored. What
//! the tile looks like inside is the backend's own affair. Every backend gives the same bits as
//! [`kernels::reference`](crate::kernels::reference).

pub mod scalar;

use crate::kernels::ChannelTable;
use crate::quant::Output;

/// A matrix product with an int8 output: `pixels` patches times all output channels of a group.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// The first patch starts here, each next one `patch_stride` later.
    pub patches: &'a [i8],
    /// Elements from one patch to the next.
    pub patch_stride: usize,
    /// Number of patches.
    pub pixels: usize,
    /// Elements of a patch, a multiple of 4.
    pub depth: usize,
    /// `[oc/4][depth/4][4 oc][4 k]`.
    pub weights: &'a [i8],
    /// Bias, multiplier, shift and weight sum per channel, padded to a multiple of 4.
    pub table: ChannelTable<'a>,
    /// Output channels.
    pub outputs: usize,
    /// Zero point and range of the output.
    pub output: Output,
    /// Elements from one output pixel to the next.
    pub output_stride: usize,
}

/// An instruction set's inner loops. A value of a type that implements this exists only where its instructions do.
pub trait Backend: Copy {
    /// Name, as reports and the command line spell it.
    fn name(self) -> &'static str;

    /// Computes `gemm` into `out`: the first pixel's channels start at its first element, and each next pixel's
    /// `output_stride` later. `None` where a slice is too short for what `gemm` says.
    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()>;

    /// Sums of one patch with one block of four output channels, `[k/4][4 oc][4 k]`, without bias.
    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4];
}

/// One of this machine's backends. It dispatches per tile, not per element.
#[derive(Clone, Copy, Debug)]
pub enum AnyBackend {
    /// Portable loops.
    Scalar(scalar::Scalar),
}

impl Backend for AnyBackend {
    fn name(self) -> &'static str {
        match self {
            Self::Scalar(backend) => backend.name(),
        }
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        match self {
            Self::Scalar(backend) => backend.gemm(gemm, out),
        }
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        match self {
            Self::Scalar(backend) => backend.dot4(patch, block),
        }
    }
}

/// The backends of this machine, best first. The portable one is always there.
pub fn available() -> impl Iterator<Item = AnyBackend> {
    [AnyBackend::Scalar(scalar::Scalar)].into_iter()
}

/// The best backend of this machine.
#[must_use]
pub fn detect() -> AnyBackend {
    available().next().unwrap_or(AnyBackend::Scalar(scalar::Scalar))
}
