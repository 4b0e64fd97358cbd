//! 3x3 convolutions by exact integer Winograd, from weights that a file holds transformed
//! ([`kernels::winograd`](crate::kernels::winograd) has the arithmetic and the layout).
//!
//! Four tiles of 2x2 outputs at a time are transformed into the scratch, `[16 positions][C/2][4 tiles]` words of two
//! channels. A pair of output channels is then 16 matrix products of 4 tiles by 2 channels, one for each position, whose
//! operands are read one after the other: SMLAD has 8 accumulators, as in the direct kernel, and nothing is widened.

use core::mem::MaybeUninit;

use super::winograd_sums::products;
use super::winograd_transforms::{transform_back, transform_tile};
use super::{PIXELS, Tile};
use crate::arch::{Gemm, Rows};
use crate::kernels::Pixels;
use crate::kernels::conv::{Conv, Layout};
use crate::kernels::winograd::{self, POSITIONS, TILES};
use crate::quant::{COMMON_SHIFTS, Requantize};

/// Output channels that are stored together.
const CHANNELS: usize = 16;

/// Sums of two output channels, `[position][channel][tile]`.
type Products = [[[i32; TILES]; 2]; POSITIONS];

/// Sums of one of a tile's four outputs, `[channel][tile]`.
type Sums = [MaybeUninit<[i32; TILES]>; CHANNELS];

const _: () = assert!(TILES == PIXELS, "four tiles are stored as four pixels");

/// Four neighbouring tiles, or those at the end of one row and the beginning of the next.
struct Block {
    /// Row and column of each tile's first output, counted from the first row to compute.
    corners: [(u32, u32); TILES],
}

impl Block {
    /// The block at tile `start` of `tiles`, `across` in a row. The last one may overlap the one before; of fewer than
    /// four tiles, the last is repeated.
    fn new(start: usize, tiles: usize, across: usize) -> Option<Self> {
        let start = start.min(tiles.saturating_sub(TILES));
        let mut corners = [(0, 0); TILES];
        for (index, corner) in corners.iter_mut().enumerate() {
            let tile = (start + index).min(tiles.checked_sub(1)?);
            *corner = (tile.checked_div(across)? as u32 * 2, tile.checked_rem(across)? as u32 * 2);
        }
        Some(Self { corners })
    }

    /// Whether the tiles follow each other in one row, all of them inside an output of `count` rows.
    fn is_plain(&self, count: u32, width: u32) -> bool {
        let [(y, x), .., (last_y, last_x)] = self.corners;
        y == last_y && last_x == x + 2 * (TILES as u32 - 1) && y + 1 < count && last_x + 1 < width
    }

    /// Requantises and stores `outputs` channels of each tile's output at row `dy`, column `dx`, if it lies inside an
    /// output of `count` rows of `width`. `gemm` says how, and `out` begins at the first pixel.
    fn store(
        &self,
        (dy, dx): (u32, u32),
        (count, width): (u32, u32),
        sums: &Sums,
        gemm: &Gemm<'_>,
        outputs: usize,
        out: &mut [i8],
    ) -> Option<()> {
        let place = |(y, x): (u32, u32)| {
            let inside = y + dy < count && x + dx < width;
            inside.then(|| ((y + dy) as usize * width as usize + (x + dx) as usize) * gemm.output_stride)
        };
        if self.is_plain(count, width) {
            let out = out.get_mut(place(self.corners[0])?..)?;
            let gemm = Gemm { output_stride: 2 * gemm.output_stride, ..*gemm };
            return store_tiles(sums, &gemm, outputs, out);
        }
        let mut whole = [0; TILES * CHANNELS];
        store_tiles(sums, &Gemm { output_stride: CHANNELS, ..*gemm }, outputs, &mut whole)?;
        for (values, corner) in whole.chunks_exact(CHANNELS).zip(self.corners) {
            if let Some(place) = place(corner) {
                out.get_mut(place..)?.get_mut(..outputs)?.copy_from_slice(values.get(..outputs)?);
            }
        }
        Some(())
    }
}

/// Requantises and stores `outputs` channels of four tiles, as the direct kernel stores those of four pixels. `out` has a
/// place for each of them.
fn store_tiles(sums: &Sums, gemm: &Gemm<'_>, outputs: usize, out: &mut [i8]) -> Option<()> {
    let by_assembly = gemm.table.shift.iter().all(|shift| COMMON_SHIFTS.contains(shift));
    Tile { gemm, patches: &[], pixels: PIXELS, by_assembly }.store(sums, (0, outputs), out)
}

/// Runs the convolution for some output rows from `weights`; `None` where a slice is too short or `weights` do not lie at
/// a multiple of 4, and where transformed weights do not apply.
pub(super) fn run(
    conv: &Conv<'_>,
    weights: &[i16],
    input: Pixels<'_>,
    rows: Rows<'_>,
    scratch: &mut [i8],
) -> Option<()> {
    let shape = input.shape();
    let layout = Layout::new(&conv.window, conv.groups, shape.channels, rows.shape.channels)?;
    let weights: &[u32] = bytemuck::try_cast_slice(weights).ok()?;
    let (height, width) = conv.window.output(shape.height, shape.width)?;
    let Rows { first, count, out, stride, .. } = rows;
    let inside = first.checked_add(count)? <= height && (rows.shape.height, rows.shape.width) == (height, width);
    let channels = layout.group_inputs;
    // Words of two channels, for one position.
    let step = channels / 2;
    let enough = weights.len() >= POSITIONS.checked_mul(step)?.checked_mul(layout.padded_outputs)?;
    if !winograd::applies(&conv.window, &layout) || !enough || count == 0 || !inside {
        return None;
    }
    let last_pixel = (count as usize).checked_mul(width as usize)?.checked_sub(1)?;
    if last_pixel.checked_mul(stride)?.checked_add(layout.group_outputs)? > out.len() {
        return None;
    }
    let gemm = conv.gemm(&layout, 0, stride)?;
    for (multiplier, shift) in gemm.table.multiplier.iter().zip(gemm.table.shift) {
        Requantize::new(*multiplier, *shift as u32)?;
    }
    let (_, words, _) = bytemuck::pod_align_to_mut::<i8, u32>(scratch);
    let (transformed, padding) = words.split_at_mut_checked(POSITIONS * step * TILES)?;
    let padding: &mut [i8] = bytemuck::cast_slice_mut(padding);
    let padding = padding.get_mut(..channels)?;
    padding.fill(conv.input_zero_point);

    let across = width.div_ceil(2) as usize;
    let tiles = across.checked_mul(count.div_ceil(2) as usize)?;
    let mut pair_products = MaybeUninit::<Products>::uninit();
    let mut sums: [Sums; 4] = [[MaybeUninit::uninit(); CHANNELS]; 4];
    for start in (0..tiles).step_by(TILES) {
        let block = Block::new(start, tiles, across)?;
        for (tile, (y, x)) in block.corners.into_iter().enumerate() {
            let pixels = tile_pixels(conv, input, padding, (first + y, x))?;
            let to = transformed.as_mut_ptr().wrapping_add(tile);
            // SAFETY: every pixel has `channels` elements, a multiple of 8; `transformed` has `step` words for each
            // position and tile.
            unsafe { transform_tile(pixels.as_ptr(), channels / 4, to, 4 * TILES * step) };
        }
        for channel in (0..layout.group_outputs).step_by(CHANNELS) {
            let outputs = CHANNELS.min(layout.group_outputs - channel);
            let table = gemm.table.slice(channel, outputs.next_multiple_of(4))?;
            let pairs = weights.get(channel * POSITIONS * step..)?.chunks_exact(2 * POSITIONS * step);
            for (pair, (weights, bias)) in pairs.zip(table.bias.as_chunks::<2>().0).enumerate() {
                let sums: *mut i32 = sums.as_mut_ptr().cast();
                // SAFETY: `transformed` has 4 words, `weights` 2 for each position and pair of input channels, of which
                // there are 4 in each eighth. The products have room for 8 words of each position, the sums for this
                // pair: the table's part has at most CHANNELS entries.
                unsafe {
                    let products_of_pair: *mut i32 = pair_products.as_mut_ptr().cast();
                    products(transformed.as_ptr(), weights.as_ptr(), channels / 8, products_of_pair);
                    transform_back(products_of_pair, bias.as_ptr(), sums.add(2 * pair * TILES));
                }
            }
            let gemm = Gemm { table, pixels: TILES, ..gemm };
            for (pixel, sums) in (0..).zip(&sums) {
                block.store((pixel / 2, pixel % 2), (count, width), sums, &gemm, outputs, out.get_mut(channel..)?)?;
            }
        }
    }
    Some(())
}

/// The 4x4 input pixels under a tile whose outputs begin at row `y`, column `x`; `padding` where there is none.
fn tile_pixels(
    conv: &Conv<'_>,
    input: Pixels<'_>,
    padding: &[i8],
    (y, x): (u32, u32),
) -> Option<[*const i8; POSITIONS]> {
    let shape = input.shape();
    let mut pixels = [padding.as_ptr(); POSITIONS];
    for (row, pixels) in (0..).zip(pixels.as_chunks_mut::<4>().0) {
        let in_y = (y + row).wrapping_sub(conv.window.padding.top);
        if in_y >= shape.height {
            continue;
        }
        for (column, pixel) in (0..).zip(pixels) {
            let in_x = (x + column).wrapping_sub(conv.window.padding.left);
            if in_x < shape.width {
                let index = in_y as usize * shape.width as usize + in_x as usize;
                *pixel = input.from_pixel(index)?.get(..shape.channels as usize)?.as_ptr();
            }
        }
    }
    Some(pixels)
}
