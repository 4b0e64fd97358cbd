//! Exact integer Winograd, F(2x2, 3x3): which convolutions can go this way, and their transformed weights.
//!
//! `Y = A' [(G g G') . (B' d B)] A` (Lavin and Gray 2016, section 4.1; Winograd 1980) with `.` element by element. `B`
//! and `A` hold 0, 1 and -1; `G` also halves, so that the weights here are `(2G) g (2G)'`, and the result is exactly four
//! times the convolution: a shift gives it back, and with it the same bits as the direct way.
//!
//! Ranges: a transformed input is a sum of four int8, in -512..=511; a transformed weight at most 9 * 127 = 1143 in
//! magnitude. Sums may wrap on the way, since only their value modulo 2^32 counts, but four times the convolution must
//! fit: `4 * 9 * 128 * 127 * C < 2^31` for `C` input channels.
//!
//! A file may hold the transformed weights of a convolution beside the weights themselves, as
//! `[oc/2][16 positions][C/4][2 halves][2 oc][2]` int16: a half holds channels 0 and 2 of four, or 1 and 3, which is the
//! order in which SXTB16 widens the input's words.

use super::conv::Layout;
use crate::shape::Window;

/// Positions of a transformed tile: 4 rows of 4.
pub const POSITIONS: usize = 16;

/// The most input channels for which four times the convolution fits an i32.
pub const CHANNEL_LIMIT: usize = i32::MAX as usize / (4 * 9 * 128 * 127);

/// Tiles of 2x2 outputs that a kernel transforms together.
pub const TILES: usize = 4;

/// `(2G) g (2G)'` of one 3x3 kernel, by rows.
#[must_use]
pub fn transform(kernel: &[[i16; 3]; 3]) -> [i16; POSITIONS] {
    let line = |[a, b, c]: [i16; 3]| [2 * a, a + b + c, a - b + c, 2 * c];
    let [top, middle, bottom] = *kernel;
    let [[a, b, c], [d, e, f], [g, h, i]] = [top, middle, bottom];
    let columns = [line([a, d, g]), line([b, e, h]), line([c, f, i])];
    let mut out = [0; POSITIONS];
    let [left, centre, right] = columns;
    let rows = left.into_iter().zip(centre).zip(right);
    for (out, ((left, centre), right)) in out.as_chunks_mut::<4>().0.iter_mut().zip(rows) {
        *out = line([left, centre, right]);
    }
    out
}

/// Whether a file may hold transformed weights for a convolution: 3x3 at stride 1, one group, input channels a multiple
/// of 8 and few enough that four transformed tiles lie in the scratch.
#[must_use]
pub fn applies(window: &Window, layout: &Layout) -> bool {
    let Window { kernel_height: 3, kernel_width: 3, stride_height: 1, stride_width: 1, .. } = window else {
        return false;
    };
    let one_group = layout.table == layout.padded_outputs && !layout.depthwise;
    let channels = layout.group_inputs;
    let fits = channels <= CHANNEL_LIMIT && scratch(layout) <= crate::format::SCRATCH_LIMIT as usize;
    one_group && channels > 0 && channels.is_multiple_of(8) && fits
}

/// Elements of the transformed weights.
#[must_use]
pub const fn size(layout: &Layout) -> usize {
    POSITIONS.saturating_mul(layout.group_inputs).saturating_mul(layout.padded_outputs)
}

/// Bytes of scratch that a kernel runs with: four transformed tiles, a pixel of padding, and what aligning takes.
#[must_use]
pub const fn scratch(layout: &Layout) -> usize {
    (POSITIONS * TILES * size_of::<i16>() + 1).saturating_mul(layout.group_inputs).saturating_add(4)
}

/// Where the transformed weight of an output channel, a position and an input channel lies.
const fn index(layout: &Layout, output: usize, position: usize, channel: usize) -> usize {
    let quads = layout.group_inputs / 4;
    let half = ((output / 2 * POSITIONS + position) * quads + channel / 4) * 2 + channel % 2;
    half * 4 + output % 2 * 2 + channel % 4 / 2
}

/// Calls `visit` with each transformed weight and where it lies, until it returns `false` or a slice ends; tells whether
/// it got to the end. The convolution is one to which this [`applies`].
fn for_each(layout: &Layout, weights: &[i8], mut visit: impl FnMut(usize, i16) -> bool) -> bool {
    for output in 0..layout.padded_outputs {
        for channel in 0..layout.group_inputs {
            let mut kernel = [[0; 3]; 3];
            for (at, weight) in kernel.as_flattened_mut().iter_mut().enumerate() {
                let k = at * layout.group_inputs + channel;
                let block = output / 4 * 4 * layout.padded_depth + k / 4 * 16;
                let Some(value) = weights.get(block + output % 4 * 4 + k % 4) else { return false };
                *weight = i16::from(*value);
            }
            for (position, value) in transform(&kernel).into_iter().enumerate() {
                if !visit(index(layout, output, position, channel), value) {
                    return false;
                }
            }
        }
    }
    true
}

/// Writes the transformed weights of a convolution to which this [`applies`]; `None` where a slice is too short.
pub fn prepare(layout: &Layout, weights: &[i8], transformed: &mut [i16]) -> Option<()> {
    let write = |at: usize, value| transformed.get_mut(at).map(|place| *place = value).is_some();
    for_each(layout, weights, write).then_some(())
}

/// Whether `transformed` is what [`prepare`] writes.
#[must_use]
pub fn agrees(layout: &Layout, weights: &[i8], transformed: &[i16]) -> bool {
    transformed.len() == size(layout) && for_each(layout, weights, |at, value| transformed.get(at) == Some(&value))
}
