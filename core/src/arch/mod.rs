//! The inner loops, one file per instruction set, and the ladder that picks one.
//!
//! A backend works on tiles: a matrix product of gathered patches with blocks of weights, requantised and stored. What
//! the tile looks like inside is the backend's own affair. Every backend gives the same bits as
//! [`kernels::reference`](crate::kernels::reference).

/// Whether the processor has features of x86-64: asked at run time with `std`, else what the build is for.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let present = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let present = cfg!(all($(target_feature = $feature),+));
        present
    }};
}

#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod aarch64;
#[cfg(arm_dsp)]
pub mod armv7e_m;
#[cfg(target_arch = "x86_64")]
pub mod avx2;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod dotprod;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod i8mm;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub mod neon;
pub mod scalar;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
pub mod vnni;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use crate::kernels::conv::{Conv, Layout};
use crate::kernels::lrn::{self, Lrn};
use crate::kernels::{ChannelTable, Pixels, copy};
use crate::quant::Output;
use crate::shape::{Shape, Window};

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
    /// Weights in blocks: `[oc/4][depth/4][4 oc][4 k]`.
    pub weights: &'a [i8],
    /// Bias, multiplier, shift and weight sum per channel, padded to a multiple of 4.
    pub table: ChannelTable<'a>,
    /// Number of output channels.
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
        // Without an early end, so that the loop can be vectorised: it runs once for every tile.
        let (mut invalid, mut below_33) = (false, false);
        for (multiplier, shift) in table.multiplier.iter().zip(table.shift) {
            invalid |= (*multiplier < 0) | (*shift < 1) | (*shift > 62);
            below_33 |= *shift < 33;
        }
        let fits = read <= self.patches.len() && written <= out_length && weights <= self.weights.len();
        (fits && !invalid).then_some(!below_33)
    }
}

/// Some rows of an output, to be written.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Shape of the whole output.
    pub shape: Shape,
    /// The first row.
    pub first: u32,
    /// How many there are, at least 1.
    pub count: u32,
    /// From the first row's first element on.
    pub out: &'a mut [i8],
    /// Elements from one pixel to the next.
    pub stride: usize,
}

/// The pixels of a pool's window, clipped to the input.
#[derive(Clone, Copy, Debug)]
pub struct PoolWindow<'a> {
    /// From the window's first pixel on.
    pub values: &'a [i8],
    /// Elements from one pixel to the next.
    pub pixel_stride: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Rows, at least 1.
    pub rows: usize,
    /// Pixels in each row, at least 1.
    pub columns: usize,
}

impl PoolWindow<'_> {
    /// Largest value of each of `out`'s channels, clamped to `min..=max`.
    fn max_portable(&self, (min, max): (i8, i8), out: &mut [i8]) -> Option<()> {
        out.fill(min);
        for row in 0..self.rows {
            for column in 0..self.columns {
                let pixel = self.values.get(row * self.row_stride + column * self.pixel_stride..)?.get(..out.len())?;
                for (out, value) in out.iter_mut().zip(pixel) {
                    *out = (*out).max(*value);
                }
            }
        }
        for out in out {
            *out = (*out).min(max);
        }
        Some(())
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

    /// Elements that a convolution's weights take once [`prepare`](Self::prepare) has made of them what the backend likes
    /// best, 0 where that is how they lie in the file.
    fn prepared_size(self, window: &Window, layout: &Layout) -> usize {
        let _ = (window, layout);
        0
    }

    /// Elements of workspace that a prepared convolution runs with.
    fn workspace_size(self, window: &Window, layout: &Layout) -> usize {
        let _ = (window, layout);
        0
    }

    /// Output rows that a prepared convolution computes together: ranges of rows had better begin at multiples of it.
    fn prepared_rows(self, window: &Window, layout: &Layout) -> usize {
        let _ = (window, layout);
        1
    }

    /// Prepares the weights of a convolution whose [`prepared_size`](Self::prepared_size) is not 0.
    fn prepare(self, window: &Window, layout: &Layout, weights: &[i8], prepared: &mut [i16]) -> Option<()> {
        let _ = (window, layout, weights, prepared);
        None
    }

    /// Runs a convolution with prepared weights.
    fn conv_prepared(
        self,
        conv: &Conv<'_>,
        prepared: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        workspace: &mut [i16],
    ) -> Option<()> {
        let _ = (conv, prepared, input, rows, workspace);
        None
    }

    /// Whether the backend has a kernel for the transformed weights of [`kernels::winograd`](crate::kernels::winograd).
    fn reads_winograd(self) -> bool {
        false
    }

    /// Runs a convolution to which transformed weights apply, from these, with
    /// [`winograd::scratch`](crate::kernels::winograd::scratch) bytes of scratch.
    fn conv_winograd(
        self,
        conv: &Conv<'_>,
        weights: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        scratch: &mut [i8],
    ) -> Option<()> {
        let _ = (conv, weights, input, rows, scratch);
        None
    }

    /// Fills `to` with rows of `length` elements, the first of them at the start of `source`, each next one `stride`
    /// later there.
    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        copy_rows_portable(source, stride, length, to)
    }

    /// Largest value of each of `out`'s channels over a window, clamped to the range of `limits`, lower end first.
    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        window.max_portable(limits, out)
    }

    /// Normalises a pixel: `original` has its channels, `out` gets as many.
    fn lrn(self, lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
        lrn::pixel(lrn, original, out)
    }
}

/// As [`Backend::copy_rows`], on any machine.
pub(crate) fn copy_rows_portable(mut source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
    for row in to.chunks_mut(length.max(1)) {
        let length = row.len();
        copy(row, source.get(..length)?)?;
        // Behind the last row there is nothing more to read.
        source = source.get(stride..).unwrap_or_default();
    }
    Some(())
}

/// One of this machine's backends. It dispatches per tile, not per element.
#[derive(Clone, Copy, Debug)]
pub enum AnyBackend {
    /// Portable loops.
    #[cfg(not(arm_dsp_only))]
    Scalar(scalar::Scalar),
    /// SXTB16 and SMLAD.
    #[cfg(arm_dsp)]
    Dsp(armv7e_m::Dsp),
    /// NEON without dot products.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Neon(neon::Neon),
    /// NEON with SDOT.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    Dotprod(dotprod::Dotprod),
    /// NEON with SMMLA.
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    I8mm(i8mm::I8mm),
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
            #[cfg(not(arm_dsp_only))]
            Self::Scalar($backend) => $call,
            #[cfg(arm_dsp)]
            Self::Dsp($backend) => $call,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Self::Neon($backend) => $call,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Self::Dotprod($backend) => $call,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
            Self::I8mm($backend) => $call,
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

    fn prepared_size(self, window: &Window, layout: &Layout) -> usize {
        dispatch!(self, backend => backend.prepared_size(window, layout))
    }

    fn workspace_size(self, window: &Window, layout: &Layout) -> usize {
        dispatch!(self, backend => backend.workspace_size(window, layout))
    }

    fn prepared_rows(self, window: &Window, layout: &Layout) -> usize {
        dispatch!(self, backend => backend.prepared_rows(window, layout))
    }

    fn prepare(self, window: &Window, layout: &Layout, weights: &[i8], prepared: &mut [i16]) -> Option<()> {
        dispatch!(self, backend => backend.prepare(window, layout, weights, prepared))
    }

    fn conv_prepared(
        self,
        conv: &Conv<'_>,
        prepared: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        workspace: &mut [i16],
    ) -> Option<()> {
        dispatch!(self, backend => backend.conv_prepared(conv, prepared, input, rows, workspace))
    }

    fn reads_winograd(self) -> bool {
        dispatch!(self, backend => backend.reads_winograd())
    }

    fn conv_winograd(
        self,
        conv: &Conv<'_>,
        weights: &[i16],
        input: Pixels<'_>,
        rows: Rows<'_>,
        scratch: &mut [i8],
    ) -> Option<()> {
        dispatch!(self, backend => backend.conv_winograd(conv, weights, input, rows, scratch))
    }

    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        dispatch!(self, backend => backend.copy_rows(source, stride, length, to))
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        dispatch!(self, backend => backend.max_pool(window, limits, out))
    }

    fn lrn(self, lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
        dispatch!(self, backend => backend.lrn(lrn, original, out))
    }
}

/// The backends of this machine, best first. The portable one is among them, but on microcontrollers that always have
/// better instructions.
pub fn available() -> impl Iterator<Item = AnyBackend> {
    let ladder = [
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        i8mm::I8mm::detect().map(AnyBackend::I8mm),
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        dotprod::Dotprod::detect().map(AnyBackend::Dotprod),
        #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
        neon::Neon::detect().map(AnyBackend::Neon),
        #[cfg(target_arch = "x86_64")]
        vnni::Vnni::detect().map(AnyBackend::Vnni),
        #[cfg(target_arch = "x86_64")]
        avx2::Avx2::detect().map(AnyBackend::Avx2),
        #[cfg(arm_dsp)]
        Some(AnyBackend::Dsp(armv7e_m::Dsp::ALWAYS)),
        #[cfg(not(arm_dsp_only))]
        Some(AnyBackend::Scalar(scalar::Scalar)),
    ];
    ladder.into_iter().flatten()
}

/// The best backend of this machine.
#[must_use]
pub fn detect() -> AnyBackend {
    #[cfg(not(arm_dsp_only))]
    let backend = available().next().unwrap_or(AnyBackend::Scalar(scalar::Scalar));
    #[cfg(arm_dsp_only)]
    let backend = AnyBackend::Dsp(armv7e_m::Dsp::ALWAYS);
    backend
}

/// The backend of this machine with that [`name`](Backend::name).
#[must_use]
pub fn by_name(name: &str) -> Option<AnyBackend> {
    available().find(|backend| backend.name() == name)
}
