//! The inner loops, one file per instruction set, and the ladder that picks one.
//!
//! A backend works on tiles: a matrix product of gathered patches with blocks of weights, requantised and stored. What
//! the tile looks like inside is the backend's own affair. Every backend gives the same bits as
//! [`kernels::reference`](crate::kernels::reference).

/// Whether the processor has a feature of x86-64: asked at run time with `std`, else what the build is for.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(feature = "std")]
        let present = std::arch::is_x86_feature_detected!($feature);
        #[cfg(not(feature = "std"))]
        let present = cfg!(target_feature = $feature);
        present
    }};
}

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
pub mod vnni;

use crate::kernels::ChannelTable;
use crate::quant::{Output, Requantize};

/// A matrix product with an int8 output: `pixels` patches times all output channels of a group.
#[derive(Clone, Copy, Debug)]
pub struct Gemm<'a> {
    /// Packed patches: the first starts here, each next one `patch_stride` later.
    pub patches: &'a [i8],
    /// Bytes from one patch to the next.
    pub patch_stride: usize,
    /// Number of patches.
    pub pixels: usize,
    /// Elements of a patch before it is packed, a multiple of 4.
    pub depth: usize,
    /// Runs of `depth / runs` consecutive elements that make a patch, each a multiple of 4: 1, or, for a backend that
    /// [`reads_runs`](Backend::reads_runs), the rows of the kernel.
    pub runs: usize,
    /// Bytes from one run of a patch to the next.
    pub run_stride: usize,
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

impl Gemm<'_> {
    /// What a backend that reads through pointers has to know first: all slices are as long as the other fields say,
    /// with patches packed to `element_size` bytes an element and `out_length` elements to write to; there is at least
    /// one pixel and one channel; no number overflows. `None` otherwise, or where a multiplier or a shift is out of
    /// range. Tells whether every shift is at least 33, so that the high half of a product is enough.
    #[must_use]
    pub fn check(&self, element_size: usize, out_length: usize) -> Option<bool> {
        if self.runs == 0 || !self.depth.is_multiple_of(self.runs) || self.pixels == 0 || self.outputs == 0 {
            return None;
        }
        let run = self.depth.checked_mul(element_size)? / self.runs;
        if run == 0 || !(self.depth / self.runs).is_multiple_of(4) {
            return None;
        }
        let last_run = (self.runs - 1).checked_mul(self.run_stride)?;
        let last_patch = (self.pixels - 1).checked_mul(self.patch_stride)?;
        let read = last_patch.checked_add(last_run)?.checked_add(run)?;
        let written = (self.pixels - 1).checked_mul(self.output_stride)?.checked_add(self.outputs)?;
        let channels = self.outputs.checked_next_multiple_of(4)?;
        let weights = channels.checked_mul(self.depth)?;
        let table = self.table.slice(0, channels)?;
        let rules = || table.multiplier.iter().zip(table.shift);
        let valid = rules().all(|(multiplier, shift)| Requantize::new(*multiplier, *shift as u32).is_some());
        let fits = read <= self.patches.len() && written <= out_length && weights <= self.weights.len();
        (valid && fits).then(|| table.shift.iter().all(|shift| *shift >= 33))
    }
}

/// An instruction set's inner loops. A value of a type that implements this exists only where its instructions do.
pub trait Backend: Copy {
    /// Name, as reports and the command line spell it.
    fn name(self) -> &'static str;

    /// Bytes that a patch of `depth` elements takes once it is packed; at least `depth`.
    fn packed_size(self, depth: usize) -> usize {
        depth
    }

    /// Whether a packed patch is the patch itself, so that patches can be read where they lie in the input.
    fn reads_in_place(self) -> bool {
        true
    }

    /// Whether a patch may consist of several runs. Packing then works on any number of elements, each on its own.
    fn reads_runs(self) -> bool {
        false
    }

    /// Packs a patch in place. `slot` has [`packed_size`](Self::packed_size) bytes; the patch lies at its end.
    fn pack(self, slot: &mut [i8]) {
        let _ = slot;
    }

    /// The number of patches that makes the best use of registers: tiles are multiples of it where scratch allows.
    fn tile_pixels(self) -> usize;

    /// Computes `gemm` into `out`: the first pixel's channels start at its first element, and each next pixel's
    /// `output_stride` later. `None` where a slice is too short for what `gemm` says.
    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()>;

    /// Sums of one patch, not packed, with one block of four output channels, `[k/4][4 oc][4 k]`, without bias.
    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4];
}

/// One of this machine's backends. It dispatches per tile, not per element.
#[derive(Clone, Copy, Debug)]
pub enum AnyBackend {
    /// Portable loops.
    Scalar(scalar::Scalar),
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Vnni(vnni::Vnni),
}

/// Calls a method of the backend inside.
macro_rules! dispatch {
    ($any:expr, $backend:ident => $call:expr) => {
        match $any {
            Self::Scalar($backend) => $call,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2($backend) => $call,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni($backend) => $call,
        }
    };
}

impl Backend for AnyBackend {
    fn name(self) -> &'static str {
        dispatch!(self, backend => backend.name())
    }

    fn packed_size(self, depth: usize) -> usize {
        dispatch!(self, backend => backend.packed_size(depth))
    }

    fn reads_in_place(self) -> bool {
        dispatch!(self, backend => backend.reads_in_place())
    }

    fn reads_runs(self) -> bool {
        dispatch!(self, backend => backend.reads_runs())
    }

    fn pack(self, slot: &mut [i8]) {
        dispatch!(self, backend => backend.pack(slot));
    }

    fn tile_pixels(self) -> usize {
        dispatch!(self, backend => backend.tile_pixels())
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        dispatch!(self, backend => backend.gemm(gemm, out))
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        dispatch!(self, backend => backend.dot4(patch, block))
    }
}

/// The backends of this machine, best first. The portable one is always there.
pub fn available() -> impl Iterator<Item = AnyBackend> {
    let ladder = [
        #[cfg(target_arch = "x86_64")]
        vnni::Vnni::detect().map(AnyBackend::Vnni),
        #[cfg(target_arch = "x86_64")]
        avx2::Avx2::detect().map(AnyBackend::Avx2),
        Some(AnyBackend::Scalar(scalar::Scalar)),
    ];
    ladder.into_iter().flatten()
}

/// The best backend of this machine.
#[must_use]
pub fn detect() -> AnyBackend {
    available().next().unwrap_or(AnyBackend::Scalar(scalar::Scalar))
}

/// The backend of this machine with that [`name`](Backend::name).
#[must_use]
pub fn by_name(name: &str) -> Option<AnyBackend> {
    available().find(|backend| backend.name() == name)
}
