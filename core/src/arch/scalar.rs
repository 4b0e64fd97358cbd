//! Portable loops: any processor, no intrinsics.
//!
//! Four pixels by four output channels at a time, so that each weight is loaded once for four multiplications and the
//! sixteen accumulators stay in registers where there are enough.

use super::{Backend, Gemm};
use crate::kernels::ChannelTable;
use crate::quant::{Output, Requantize};

/// The portable backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scalar;

/// Pixels of the inner tile.
const PIXELS: usize = 4;

impl Backend for Scalar {
    fn name(self) -> &'static str {
        "scalar"
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        gemm.check(1, out.len())?;
        if gemm.runs != 1 {
            return None;
        }
        let mut pixel = 0;
        while pixel < gemm.pixels {
            let patches = gemm.patches.get(pixel * gemm.patch_stride..)?;
            let out = out.get_mut(pixel * gemm.output_stride..)?;
            if gemm.pixels - pixel >= PIXELS {
                tile::<PIXELS>(gemm, patches, out)?;
                pixel += PIXELS;
            } else {
                tile::<1>(gemm, patches, out)?;
                pixel += 1;
            }
        }
        Some(())
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        let [sums] = dot([patch], block);
        sums
    }
}

fn tile<const P: usize>(gemm: &Gemm<'_>, patches: &[i8], out: &mut [i8]) -> Option<()> {
    let mut rows = [&patches[..0]; P];
    for (index, row) in rows.iter_mut().enumerate() {
        *row = patches.get(index * gemm.patch_stride..)?.get(..gemm.depth)?;
    }
    let blocks = gemm.weights.chunks_exact((4 * gemm.depth).max(1));
    for (first, block) in (0..gemm.outputs).step_by(4).zip(blocks) {
        let sums = dot(rows, block);
        let table = gemm.table.slice(first, 4)?;
        let channels = (gemm.outputs - first).min(4);
        for (pixel, sums) in sums.iter().enumerate() {
            let out = out.get_mut(pixel * gemm.output_stride + first..)?.get_mut(..channels)?;
            store(sums, &table, gemm.output, out)?;
        }
    }
    Some(())
}

fn dot<const P: usize>(patches: [&[i8]; P], block: &[i8]) -> [[i32; 4]; P] {
    let mut sums = [[0_i32; 4]; P];
    let patches = patches.map(|patch| patch.as_chunks::<4>().0);
    for (k, weights) in block.as_chunks::<16>().0.iter().enumerate() {
        for (sums, patch) in sums.iter_mut().zip(&patches) {
            let Some(patch) = patch.get(k) else { continue };
            for (channel, sum) in sums.iter_mut().enumerate() {
                let products = [0, 1, 2, 3].map(|at| i32::from(patch[at]) * i32::from(weights[channel * 4 + at]));
                *sum += products.iter().sum::<i32>();
            }
        }
    }
    sums
}

fn store(sums: &[i32; 4], table: &ChannelTable<'_>, output: Output, out: &mut [i8]) -> Option<()> {
    let channels = sums.iter().zip(table.bias).zip(table.multiplier.iter().zip(table.shift));
    for (((sum, bias), (multiplier, shift)), out) in channels.zip(out) {
        let rule = Requantize::new(*multiplier, *shift as u32)?;
        *out = output.clamp(rule.apply(sum.wrapping_add(*bias)));
    }
    Some(())
}
