//! 3x3 convolutions by exact integer Winograd, F(2x2, 3x3): 16 products for 4 outputs where the direct way takes 36.
//!
//! The arithmetic and its ranges: [`kernels::winograd`](crate::kernels::winograd).
//!
//! Four tiles of 2x2 outputs at a time are transformed to `[16 positions][C/8][4 tiles][8 C]`. The weights lie in the
//! order in which they are used, `[groups of quads][16 positions][C/8][quads][8 C][4 oc]`. The sums of a group of at
//! most 6 quads take 24 accumulators; SMLAL by element multiplies 4 channels' weights with one input.

use core::arch::aarch64::*;
use core::arch::asm;

use super::{Bounds, HIGH_HALF_SHIFT, requantize, requantize_wide};
use crate::arch::Rows;
use crate::kernels::Pixels;
use crate::kernels::conv::{Conv, Layout};
use crate::kernels::winograd::{CHANNEL_LIMIT, POSITIONS, TILES, transform};
use crate::quant::Requantize;
use crate::shape::Window;

/// The most quads of output channels at a time.
const QUADS: usize = 6;
/// The least quads of output channels at a time: there is a function for each number from here to [`QUADS`].
const LEAST_QUADS: usize = 4;

/// The convolution's input channels and quads of output channels, if it can go this way.
fn sizes(window: &Window, layout: &Layout) -> Option<(usize, usize)> {
    let Window { kernel_height: 3, kernel_width: 3, stride_height: 1, stride_width: 1, .. } = window else {
        return None;
    };
    let (channels, quads) = (layout.group_inputs, layout.padded_outputs / 4);
    let one_group = layout.table == layout.padded_outputs && !layout.depthwise;
    let fits = channels.is_multiple_of(8) && (8..=CHANNEL_LIMIT).contains(&channels);
    let groups = quads.div_ceil(QUADS);
    (one_group && fits && quads > 0 && quads / groups >= LEAST_QUADS).then_some((channels, quads))
}

/// The groups of quads: first quad and number of each.
fn groups(quads: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = quads.div_ceil(QUADS);
    let mut first = 0;
    (0..count).map(move |index| {
        let size = (quads - first).div_ceil(count - index);
        first += size;
        (first - size, size)
    })
}

/// Elements of the transformed weights, 0 where the convolution goes the direct way.
pub(crate) fn prepared_size(window: &Window, layout: &Layout) -> usize {
    sizes(window, layout).map_or(0, |(channels, quads)| POSITIONS * channels * quads * 4)
}

/// Elements of the workspace: transformed tiles and a pixel of padding.
pub(crate) fn workspace_size(window: &Window, layout: &Layout) -> usize {
    sizes(window, layout).map_or(0, |(channels, _)| POSITIONS * TILES * channels + channels / 2)
}

/// Transforms the weights.
pub(crate) fn prepare(window: &Window, layout: &Layout, weights: &[i8], prepared: &mut [i16]) -> Option<()> {
    let (channels, quads) = sizes(window, layout)?;
    let prepared = prepared.get_mut(..prepared_size(window, layout))?;
    for (first, count) in groups(quads) {
        let group = prepared.get_mut(first * 4 * POSITIONS * channels..)?;
        for output in first * 4..(first + count) * 4 {
            for channel in 0..channels {
                let mut kernel = [[0; 3]; 3];
                for (index, weight) in kernel.as_flattened_mut().iter_mut().enumerate() {
                    let k = index * channels + channel;
                    let block = output / 4 * 4 * layout.padded_depth + k / 4 * 16;
                    *weight = i16::from(*weights.get(block + output % 4 * 4 + k % 4)?);
                }
                let within = output - first * 4;
                for (position, value) in transform(&kernel).into_iter().enumerate() {
                    let eighth = (position * channels / 8 + channel / 8) * count + within / 4;
                    *group.get_mut(eighth * 32 + channel % 8 * 4 + within % 4)? = value;
                }
            }
        }
    }
    Some(())
}

/// Runs the convolution for some output rows.
pub(crate) fn run(
    conv: &Conv<'_>,
    prepared: &[i16],
    input: Pixels<'_>,
    rows: Rows<'_>,
    workspace: &mut [i16],
) -> Option<()> {
    let shape = input.shape();
    let layout = Layout::new(&conv.window, conv.groups, shape.channels, rows.shape.channels)?;
    let (channels, quads) = sizes(&conv.window, &layout)?;
    let (height, width) = conv.window.output(shape.height, shape.width)?;
    let Rows { first, count, out, stride, .. } = rows;
    if first.checked_add(count)? > height || count == 0 || (rows.shape.height, rows.shape.width) != (height, width) {
        return None;
    }
    let pixels = (count as usize).checked_mul(width as usize)?;
    let out_end = (pixels - 1).checked_mul(stride)?.checked_add(layout.group_outputs)?;
    let table = conv.table.slice(0, quads * 4)?;
    if out_end > out.len() || prepared.len() < prepared_size(&conv.window, &layout) {
        return None;
    }
    for (multiplier, shift) in table.multiplier.iter().zip(table.shift).take(layout.group_outputs) {
        Requantize::new(*multiplier, *shift as u32)?;
    }
    let (transformed, padding) = workspace.split_at_mut_checked(POSITIONS * TILES * channels)?;
    let padding: &mut [i8] = bytemuck::cast_slice_mut(padding.get_mut(..channels / 2)?);
    padding.fill(conv.input_zero_point);

    let across = width.div_ceil(2) as usize;
    let tiles = across * count.div_ceil(2) as usize;
    let bounds = Bounds::new(conv.output);
    let mut sums: Sums = [0; POSITIONS * QUADS * TILES * 4];
    for start in (0..tiles).step_by(TILES) {
        // The last four tiles may overlap those before; of fewer than four, the last is repeated.
        let start = start.min(tiles.saturating_sub(TILES));
        let corners: [(u32, u32); TILES] = core::array::from_fn(|index| {
            let tile = (start + index).min(tiles - 1);
            ((tile / across) as u32 * 2, (tile % across) as u32 * 2)
        });
        for (tile, (y, x)) in corners.into_iter().enumerate() {
            let pixels = tile_pixels(conv, input, padding, (first + y, x))?;
            // SAFETY: every pixel has `channels` elements, a multiple of 8; the workspace has as many for each position
            // and tile.
            unsafe { transform_tile(pixels, channels, transformed.as_mut_ptr().add(8 * tile)) };
        }
        for (quad, size) in groups(quads) {
            let channel = quad * 4;
            let group = Group {
                transformed,
                weights: prepared.get(channel * POSITIONS * channels..)?.get(..size * 4 * POSITIONS * channels)?,
                bias: table.bias.get(channel..channel + size * 4)?,
                multiplier: table.multiplier.get(channel..channel + size * 4)?,
                shift: table.shift.get(channel..channel + size * 4)?,
                bounds,
                high_half: table.shift.get(channel..channel + size * 4)?.iter().all(|shift| *shift >= HIGH_HALF_SHIFT),
                channels: (layout.group_outputs - channel).min(size * 4),
            };
            let mut place = |tile: usize, dy: u32, dx: u32| {
                let (y, x) = corners[tile];
                let inside = y + dy < count && x + dx < width;
                let pixel = (y + dy) as usize * width as usize + (x + dx) as usize;
                inside.then(|| {
                    // SAFETY: the pixel is one of `pixels`, all of whose channels lie inside `out`.
                    unsafe { out.as_mut_ptr().add(pixel * stride + channel) }
                })
            };
            match size {
                // SAFETY: the transformed tiles and the weights have as many elements as there are positions, channels
                // and quads; the sums have room for the largest group.
                4 => group.run::<4>(|x, w, steps, sums| unsafe { products4(x, w, steps, sums) }, &mut sums, &mut place),
                // SAFETY: as above.
                5 => group.run::<5>(|x, w, steps, sums| unsafe { products5(x, w, steps, sums) }, &mut sums, &mut place),
                // SAFETY: as above.
                _ => group.run::<6>(|x, w, steps, sums| unsafe { products6(x, w, steps, sums) }, &mut sums, &mut place),
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
    for (row, pixels) in (0..).zip(pixels.chunks_exact_mut(4)) {
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

/// `B' d B` of one tile, 8 channels at a time: `out` begins at the tile's first 8 channels of the first position.
///
/// # Safety
/// Each pixel has `channels` elements, a multiple of 8. `out` has `[16][channels/8][4][8]` elements, but for those of the
/// tiles in front.
unsafe fn transform_tile(pixels: [*const i8; POSITIONS], channels: usize, out: *mut i16) {
    for first in (0..channels).step_by(8) {
        // SAFETY: as the caller says; this target has NEON.
        unsafe {
            let mut rows = [[vdupq_n_s16(0); 4]; 4];
            for (row, pixels) in rows.iter_mut().zip(pixels.as_chunks::<4>().0) {
                let [a, b, c, d] = pixels.map(|pixel| vld1_s8(pixel.add(first)));
                *row = [vsubl_s8(a, c), vaddl_s8(b, c), vsubl_s8(c, b), vsubl_s8(b, d)];
            }
            let mut out = out.add(TILES * first);
            let [a, b, c, d] = rows;
            for row in 0..4 {
                for column in 0..4 {
                    let value = match row {
                        0 => vsubq_s16(a[column], c[column]),
                        1 => vaddq_s16(b[column], c[column]),
                        2 => vsubq_s16(c[column], b[column]),
                        _ => vsubq_s16(b[column], d[column]),
                    };
                    vst1q_s16(out, value);
                    out = out.wrapping_add(TILES * channels);
                }
            }
        }
    }
}

/// The sums of four tiles and one group, `[16][quads][4 tiles][4 oc]`.
type Sums = [i32; POSITIONS * QUADS * TILES * 4];

/// A group of quads, and what four tiles need.
struct Group<'a> {
    /// `[16][C/8][4 tiles][8 C]`.
    transformed: &'a [i16],
    /// `[16][C/8][quads][8 C][4 oc]`.
    weights: &'a [i16],
    /// 4 for each quad, as multiplier and shift.
    bias: &'a [i32],
    multiplier: &'a [i32],
    shift: &'a [i32],
    bounds: Bounds,
    /// Whether all shifts allow the short way.
    high_half: bool,
    /// Channels to store: at most 4 for each quad.
    channels: usize,
}

impl Group<'_> {
    /// Multiplies, transforms back, requantises, and stores each output where `place(tile, row, column)` says.
    #[inline(always)]
    fn run<const Q: usize>(
        &self,
        products: impl Fn(*const i16, *const i16, usize, *mut i32),
        sums: &mut Sums,
        place: &mut impl FnMut(usize, u32, u32) -> Option<*mut i8>,
    ) {
        products(
            self.transformed.as_ptr(),
            self.weights.as_ptr(),
            self.transformed.len() / (POSITIONS * TILES * 8),
            sums.as_mut_ptr(),
        );
        let (bias, multiplier, shift) = (self.bias.as_ptr(), self.multiplier.as_ptr(), self.shift.as_ptr());
        for tile in 0..TILES {
            // SAFETY: the sums have 16 positions of `Q` quads of 4 tiles, the table 4 entries for each quad; where there
            // is a place, it is valid for as many channels as are stored. This target has NEON.
            unsafe {
                let mut outputs = [[vdupq_n_s32(0); Q]; 4];
                for quad in 0..Q {
                    let sums = sums.as_ptr().add((quad * TILES + tile) * 4);
                    let four = transform_back(|position| vld1q_s32(sums.add(position * Q * TILES * 4)));
                    let bias = vld1q_s32(bias.add(4 * quad));
                    for (pixel, four) in outputs.iter_mut().zip(four) {
                        pixel[quad] = vsraq_n_s32::<2>(bias, four);
                    }
                }
                if self.high_half {
                    requantize(&mut outputs, multiplier, shift);
                } else {
                    outputs = requantize_wide(outputs, multiplier, shift);
                }
                for (index, values) in (0..).zip(outputs) {
                    if let Some(out) = place(tile, index / 2, index % 2) {
                        self.bounds.store(values, out, self.channels);
                    }
                }
            }
        }
    }
}

/// `A' m A`: four times the convolution at the tile's outputs, by rows.
///
/// # Safety
/// This target has NEON.
#[inline(always)]
unsafe fn transform_back(sums: impl Fn(usize) -> int32x4_t) -> [int32x4_t; 4] {
    // SAFETY: only registers are touched.
    unsafe {
        let line = |[a, b, c, d]: [int32x4_t; 4]| [vaddq_s32(vaddq_s32(a, b), c), vsubq_s32(vsubq_s32(b, c), d)];
        let column = |x: usize| line([sums(x), sums(4 + x), sums(8 + x), sums(12 + x)]);
        let ([a, e], [b, f], [c, g], [d, h]) = (column(0), column(1), column(2), column(3));
        let ([upper_left, upper_right], [lower_left, lower_right]) = (line([a, b, c, d]), line([e, f, g, h]));
        [upper_left, upper_right, lower_left, lower_right]
    }
}

/// Multiplications of one quad's 8 channels with the four tiles.
macro_rules! quad {
    ($a0:literal $a1:literal $a2:literal $a3:literal) => {
        concat!(
            "ld1 {{v4.8h-v7.8h}}, [{w}], #64\n",
            quad!("v4", 0, 1, $a0 $a1 $a2 $a3),
            quad!("v5", 2, 3, $a0 $a1 $a2 $a3),
            quad!("v6", 4, 5, $a0 $a1 $a2 $a3),
            quad!("v7", 6, 7, $a0 $a1 $a2 $a3),
        )
    };
    ($weights:literal, $low:literal, $high:literal, $a0:literal $a1:literal $a2:literal $a3:literal) => {
        concat!(
            "smlal ", $a0, ".4s, ", $weights, ".4h, v0.h[", $low, "]\n",
            "smlal ", $a1, ".4s, ", $weights, ".4h, v1.h[", $low, "]\n",
            "smlal ", $a2, ".4s, ", $weights, ".4h, v2.h[", $low, "]\n",
            "smlal ", $a3, ".4s, ", $weights, ".4h, v3.h[", $low, "]\n",
            "smlal2 ", $a0, ".4s, ", $weights, ".8h, v0.h[", $high, "]\n",
            "smlal2 ", $a1, ".4s, ", $weights, ".8h, v1.h[", $high, "]\n",
            "smlal2 ", $a2, ".4s, ", $weights, ".8h, v2.h[", $high, "]\n",
            "smlal2 ", $a3, ".4s, ", $weights, ".8h, v3.h[", $high, "]\n",
        )
    };
}

/// A function that computes the sums of a group, with four accumulators for each quad.
macro_rules! products {
    ($name:ident, $($a0:literal $a1:literal $a2:literal $a3:literal,)+) => {
        /// Sums over the channels for each position, quad and tile.
        ///
        /// # Safety
        /// `x` has `[16][steps][4 tiles][8]` elements, `w` `[16][steps][quads][8][4]`, with at least one step; `sums` has
        /// room for `[16][quads][4 tiles][4]`.
        #[inline(always)]
        unsafe fn $name(x: *const i16, w: *const i16, steps: usize, sums: *mut i32) {
            // SAFETY: `x`, `w` and `sums` are passed through once, from their first element to the last that the caller
            // says there is.
            unsafe {
                asm!(
                    "2:",
                    $(concat!(
                        "movi ", $a0, ".4s, #0\n", "movi ", $a1, ".4s, #0\n",
                        "movi ", $a2, ".4s, #0\n", "movi ", $a3, ".4s, #0\n",
                    ),)+
                    "mov {left}, {steps}",
                    "3:",
                    "ld1 {{v0.8h-v3.8h}}, [{x}], #64",
                    $(quad!($a0 $a1 $a2 $a3),)+
                    "subs {left}, {left}, #1",
                    "b.ne 3b",
                    $(concat!("st1 {{", $a0, ".4s-", $a3, ".4s}}, [{sums}], #64\n"),)+
                    "subs {positions}, {positions}, #1",
                    "b.ne 2b",
                    x = inout(reg) x => _,
                    w = inout(reg) w => _,
                    sums = inout(reg) sums => _,
                    steps = in(reg) steps,
                    left = out(reg) _,
                    positions = inout(reg) POSITIONS => _,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _,
                    out("v4") _, out("v5") _, out("v6") _, out("v7") _,
                    out("v8") _, out("v9") _, out("v10") _, out("v11") _,
                    out("v12") _, out("v13") _, out("v14") _, out("v15") _,
                    out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                    out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                    out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                    out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                    options(nostack),
                );
            }
        }
    };
}

products!(
    products4, "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v16" "v17" "v18" "v19", "v20" "v21" "v22" "v23",
);
products!(
    products5, "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v16" "v17" "v18" "v19", "v20" "v21" "v22" "v23",
    "v24" "v25" "v26" "v27",
);
products!(
    products6, "v8" "v9" "v10" "v11", "v12" "v13" "v14" "v15", "v16" "v17" "v18" "v19", "v20" "v21" "v22" "v23",
    "v24" "v25" "v26" "v27", "v28" "v29" "v30" "v31",
);
