//! Convolution: patches gathered into scratch, then a matrix product per tile of pixels.
//!
//! A patch is the input under the kernel at one output pixel, its elements in the order of the weights (ky, kx,
//! channel), the input's zero point where the kernel hangs over the edge, zeros up to the next multiple of 4. As many
//! patches as fit into the scratch make a tile; the backend multiplies the tile with all output channels. Where a
//! patch already lies in the input as it is wanted (1x1, stride 1, channels a multiple of 4), nothing is gathered. For
//! backends that can put a patch together from the kernel's rows, whole padded rows are copied instead (`strip.rs`).

use core::ops::Range;

use super::strip::{Strip, patches_are_better};
use super::{ChannelTable, Pixels, PixelsMut, copy, winograd};
use crate::EVERY_OPERATOR;
use crate::arch::scalar::Scalar;
use crate::arch::{self, Backend, Gemm, Rows, copy_rows_portable};
use crate::quant::Output;
use crate::shape::{Shape, Window};

/// A convolution's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a> {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups of channels.
    pub groups: usize,
    /// `[oc/4][k/4][4 oc][4 k]` for each group; depthwise `[ky][kx][channel]`.
    pub weights: &'a [i8],
    /// The weights once more, transformed ([`winograd`]), where the convolution has them.
    pub winograd: Option<&'a [i16]>,
    /// One entry per output channel.
    pub table: ChannelTable<'a>,
    /// What padding positions hold.
    pub input_zero_point: i8,
    /// Zero point and range of the output.
    pub output: Output,
}

/// How a convolution's weights and tables are laid out, from its shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Input channels of one group.
    pub group_inputs: usize,
    /// Output channels of one group.
    pub group_outputs: usize,
    /// Elements of a patch: kernel positions times input channels of one group.
    pub depth: usize,
    /// The depth rounded up to 4.
    pub padded_depth: usize,
    /// Output channels of one group rounded up to 4.
    pub padded_outputs: usize,
    /// Whether the weights are `[ky][kx][channel]`.
    pub depthwise: bool,
    /// Bytes of the weights.
    pub weights: usize,
    /// Entries of each array of the channel table.
    pub table: usize,
}

impl Layout {
    /// The layout, or `None` where the groups do not divide the channels or a size overflows.
    #[must_use]
    pub fn new(window: &Window, groups: usize, input_channels: u32, output_channels: u32) -> Option<Self> {
        let (inputs, outputs) = (input_channels as usize, output_channels as usize);
        if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
            return None;
        }
        let (group_inputs, group_outputs) = (inputs / groups, outputs / groups);
        let depth = usize::try_from(window.area()).ok()?.checked_mul(group_inputs)?;
        let padded_depth = depth.checked_next_multiple_of(4)?;
        let depthwise = groups > 1 && groups == inputs && groups == outputs;
        let padded_outputs = group_outputs.checked_next_multiple_of(4)?;
        let (weights, table) = if depthwise {
            (depth.checked_mul(outputs)?, outputs.checked_next_multiple_of(4)?)
        } else {
            let table = padded_outputs.checked_mul(groups)?;
            (table.checked_mul(padded_depth)?, table)
        };
        Some(Self { group_inputs, group_outputs, depth, padded_depth, padded_outputs, depthwise, weights, table })
    }

    /// Where the weight of `output` channel, `k`-th patch element lies. `output` counts over all groups.
    #[must_use]
    pub const fn weight_index(&self, output: usize, k: usize) -> usize {
        if self.depthwise {
            return k * (self.weights / self.depth) + output;
        }
        let group = output / self.group_outputs;
        let within = output % self.group_outputs;
        let group_start = group * self.padded_outputs * self.padded_depth;
        group_start + (within / 4) * 4 * self.padded_depth + (k / 4) * 16 + (within % 4) * 4 + k % 4
    }

    /// Where the channel table's entry of `output` channel lies. `output` counts over all groups.
    #[must_use]
    pub const fn table_index(&self, output: usize) -> usize {
        if self.depthwise {
            return output;
        }
        (output / self.group_outputs) * self.padded_outputs + output % self.group_outputs
    }
}

/// Whether each output pixel sees just the input pixel at its place: 1x1, stride 1, no padding.
#[must_use]
pub fn is_pointwise(window: &Window) -> bool {
    *window == Window::square(1, 1)
}

/// Whether patches can be read where they lie, so that nothing is gathered.
#[must_use]
pub fn reads_in_place(window: &Window, layout: &Layout) -> bool {
    is_pointwise(window) && layout.depth == layout.padded_depth
}

/// The least scratch a convolution runs with, in bytes: one patch, or none.
#[must_use]
pub fn minimum_scratch(window: &Window, layout: &Layout) -> usize {
    if layout.depthwise || reads_in_place(window, layout) { 0 } else { layout.padded_depth }
}

/// Runs a convolution with an int8 output.
pub fn run<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    input: Pixels<'_>,
    output: &mut PixelsMut<'_>,
    scratch: &mut [i8],
) -> Option<()> {
    let (shape, stride) = (output.shape(), output.stride());
    run_pixels(backend, conv, input, shape, 0..shape.pixels() as usize, output.from_pixel_mut(0)?, stride, scratch)
}

/// Runs a convolution for the output pixels `range` alone, counted in row-major order over an output of `shape`. `out`
/// begins at the first of them, and they are `stride` elements apart.
#[allow(clippy::too_many_arguments, reason = "the parts of a tensor that is not all there")]
pub fn run_pixels<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    input: Pixels<'_>,
    shape: Shape,
    range: Range<usize>,
    out: &mut [i8],
    stride: usize,
    scratch: &mut [i8],
) -> Option<()> {
    let layout = Layout::new(&conv.window, conv.groups, input.shape().channels, shape.channels)?;
    if EVERY_OPERATOR && layout.depthwise {
        return super::depthwise::run_pixels(conv, &layout, input, shape, range, out, stride);
    }
    if let Some(weights) = transformed_weights(backend, conv, &layout, scratch.len())
        && let Some(rows) = whole_rows(&range, shape)
    {
        let rows = Rows { shape, first: rows.start, count: rows.end - rows.start, out, stride };
        return backend.conv_winograd(conv, weights, input, rows, scratch);
    }
    let strip = by_rows(backend, conv, &layout, shape, &range, scratch.len());
    if strip.is_none() && too_little_scratch(backend, &layout, scratch) {
        return run_pixels(Scalar, conv, input, shape, range, out, stride, scratch);
    }
    let groups = if EVERY_OPERATOR { conv.groups } else { 1 };
    for group in 0..groups {
        let gemm = conv.gemm(&layout, group, stride)?;
        let out = out.get_mut(group * layout.group_outputs..)?;
        if backend.reads_in_place() && reads_in_place(&conv.window, &layout) {
            let patches = input.from_pixel(range.start)?.get(group * layout.group_inputs..)?;
            backend.gemm(&Gemm { patches, patch_stride: input.stride(), pixels: range.len(), ..gemm }, out)?;
            continue;
        }
        if let Some(strip) = &strip {
            strip.run(backend, (group, gemm), input, out, scratch)?;
            continue;
        }
        if BY_ROWS_ALONE {
            return None;
        }
        let mut fill = |pixel: usize, patch: &mut [i8]| {
            let (y, x) = (pixel as u32 / shape.width.max(1), pixel as u32 % shape.width.max(1));
            gather(backend, conv, &layout, input, (y, x), group, patch)
        };
        by_tiles(backend, &layout, range.clone(), scratch, &mut fill, &mut [Some(Product { gemm, out })])?;
    }
    Some(())
}

/// Whether convolutions run from rows or in place alone, so that the code that gathers single patches is left out: the
/// backend of microcontrollers with DSP instructions puts patches together from rows, if the scratch holds enough of them.
const BY_ROWS_ALONE: bool = !EVERY_OPERATOR && cfg!(arm_dsp_only);

/// Whether this build runs a convolution with an int8 output, with so much scratch.
pub(crate) fn is_run(conv: &Conv<'_>, layout: &Layout, output: Shape, scratch: usize) -> bool {
    let all = 0..output.pixels() as usize;
    !BY_ROWS_ALONE
        || reads_in_place(&conv.window, layout)
        || Strip::new(arch::detect(), conv, layout, output, &all, scratch).is_some()
}

/// The rows that the output pixels `range` are computed from, unless whole patches are better or have to do.
fn by_rows<'a, B: Backend>(
    backend: B,
    conv: &'a Conv<'a>,
    layout: &'a Layout,
    output: Shape,
    range: &Range<usize>,
    scratch: usize,
) -> Option<Strip<'a>> {
    if !BY_ROWS_ALONE && patches_are_better(backend, conv, layout, output.width, scratch) {
        return None;
    }
    Strip::new(backend, conv, layout, output, range, scratch)
}

/// The transformed weights that a convolution with an int8 output runs from, if it has any, the backend reads them and
/// the scratch is large enough.
fn transformed_weights<'a, B: Backend>(
    backend: B,
    conv: &Conv<'a>,
    layout: &Layout,
    scratch: usize,
) -> Option<&'a [i16]> {
    let weights = conv.winograd?;
    let applies = backend.reads_winograd() && winograd::applies(&conv.window, layout);
    (applies && winograd::scratch(layout) <= scratch).then_some(weights)
}

/// The rows that a range of pixels is, if it is whole rows.
fn whole_rows(range: &Range<usize>, shape: Shape) -> Option<Range<u32>> {
    let width = shape.width as usize;
    let whole = range.start.checked_rem(width)? == 0 && range.end.checked_rem(width)? == 0;
    whole.then(|| (range.start / width) as u32..(range.end / width) as u32)
}

/// Runs a convolution with an int8 output for some rows alone, from weights that the backend has prepared
/// ([`Backend::prepare`]) if there are any.
pub fn run_rows<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    prepared: Option<&[i16]>,
    input: Pixels<'_>,
    rows: Rows<'_>,
    (scratch, workspace): (&mut [i8], &mut [i16]),
) -> Option<()> {
    if let Some(prepared) = prepared {
        return backend.conv_prepared(conv, prepared, input, rows, workspace);
    }
    let width = rows.shape.width as usize;
    let range = rows.first as usize * width..rows.first.checked_add(rows.count)? as usize * width;
    run_pixels(backend, conv, input, rows.shape, range, rows.out, rows.stride, scratch)
}

/// As [`run_pixels`], from weights that the backend has prepared if there are any. The pixels are then whole rows, but for
/// a 1x1 kernel at stride 1.
#[allow(clippy::too_many_arguments, reason = "the parts of a tensor that is not all there")]
pub(crate) fn run_range<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    prepared: Option<&[i16]>,
    input: Pixels<'_>,
    shape: Shape,
    range: Range<usize>,
    (out, stride): (&mut [i8], usize),
    (scratch, workspace): (&mut [i8], &mut [i16]),
) -> Option<()> {
    let Some(prepared) = prepared else {
        return run_pixels(backend, conv, input, shape, range, out, stride, scratch);
    };
    if is_pointwise(&conv.window) {
        // Any range is a picture of one row.
        let row = |channels| Shape::new(1, range.len() as u32, channels);
        let input = Pixels::new(input.from_pixel(range.start)?, row(input.shape().channels), input.stride())?;
        let rows = Rows { shape: row(shape.channels), first: 0, count: 1, out, stride };
        return backend.conv_prepared(conv, prepared, input, rows, workspace);
    }
    let width = shape.width as usize;
    let first = range.start.checked_div(width)? as u32;
    let rows = Rows { shape, first, count: range.len().checked_div(width)? as u32, out, stride };
    backend.conv_prepared(conv, prepared, input, rows, workspace)
}

/// Ranges of pixels run as fast as all of them where they begin and end at multiples of this: whole tiles, or the whole
/// rows that are gathered or transformed together.
pub(crate) fn pixels_together<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    layout: &Layout,
    shape: Shape,
    prepared: bool,
    scratch: usize,
) -> usize {
    let (width, tile) = (shape.width as usize, backend.tile_pixels());
    if is_pointwise(&conv.window) {
        return tile;
    }
    if prepared {
        return width * backend.prepared_rows(&conv.window, layout);
    }
    if transformed_weights(backend, conv, layout, scratch).is_some() {
        return width * 2;
    }
    let all = 0..shape.pixels() as usize;
    if by_rows(backend, conv, layout, shape, &all, scratch).is_some() { width } else { tile }
}

/// Runs 1x1 convolutions with the same input on the same patches, for the output pixels `range` alone: `products` are
/// those of all and begin at the first of these pixels, `conv` and `layout` are the first one's. Entries that are `None`
/// are passed over.
pub(crate) fn run_shared<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    layout: &Layout,
    input: Pixels<'_>,
    range: Range<usize>,
    scratch: &mut [i8],
    products: &mut [Option<Product<'_>>],
) -> Option<()> {
    if too_little_scratch(backend, layout, scratch) {
        return run_shared(Scalar, conv, layout, input, range, scratch, products);
    }
    if backend.reads_in_place() && reads_in_place(&conv.window, layout) {
        let (patches, patch_stride, pixels) = (input.from_pixel(range.start)?, input.stride(), range.len());
        for Product { gemm, out } in products.iter_mut().flatten() {
            backend.gemm(&Gemm { patches, patch_stride, pixels, ..*gemm }, out)?;
        }
        return Some(());
    }
    let width = input.shape().width;
    let mut fill = |pixel: usize, patch: &mut [i8]| {
        let y = (pixel as u32).checked_div(width)?;
        gather(backend, conv, layout, input, (y, pixel as u32 - y * width), 0, patch)
    };
    by_tiles(backend, layout, range, scratch, &mut fill, products)
}

/// Whether scratch holds no packed patch of a backend that packs. The portable one takes patches as they are.
fn too_little_scratch<B: Backend>(backend: B, layout: &Layout, scratch: &[i8]) -> bool {
    !backend.reads_in_place() && backend.packed_size(layout.padded_depth) > scratch.len()
}

/// A matrix product that waits for its patches, and where its first pixel goes.
pub(crate) struct Product<'a> {
    pub gemm: Gemm<'a>,
    pub out: &'a mut [i8],
}

/// Fills the patch of a pixel.
#[cfg(target_os = "none")]
type Fill<'f> = &'f mut dyn FnMut(usize, &mut [i8]) -> Option<()>;

/// Fills as many patches as fit into `scratch` with `fill(pixel, patch)`, runs all `products` on them, and goes on
/// until the range is done. All products have the same depth.
pub(crate) fn by_tiles<B: Backend>(
    backend: B,
    layout: &Layout,
    range: Range<usize>,
    scratch: &mut [i8],
    fill: &mut impl FnMut(usize, &mut [i8]) -> Option<()>,
    products: &mut [Option<Product<'_>>],
) -> Option<()> {
    // One function for all that fill patches, where code is dearer than a call.
    #[cfg(target_os = "none")]
    let fill: Fill<'_> = fill;
    tiles(backend, layout, range, scratch, fill, products)
}

/// As [`by_tiles`], for a function that may be behind a pointer.
fn tiles<B: Backend>(
    backend: B,
    layout: &Layout,
    range: Range<usize>,
    scratch: &mut [i8],
    fill: &mut (impl FnMut(usize, &mut [i8]) -> Option<()> + ?Sized),
    products: &mut [Option<Product<'_>>],
) -> Option<()> {
    if too_little_scratch(backend, layout, scratch) {
        return tiles(Scalar, layout, range, scratch, fill, products);
    }
    let depth = layout.padded_depth;
    let packed = backend.packed_size(depth);
    let tile = match scratch.len().checked_div(packed)? {
        0 => return None,
        fitting if fitting > backend.tile_pixels() => fitting - fitting % backend.tile_pixels().max(1),
        fitting => fitting,
    };
    let mut first = range.start;
    while first < range.end {
        let pixels = tile.min(range.end - first);
        let mut slots = scratch.chunks_exact_mut(packed);
        for pixel in first..first + pixels {
            let slot = slots.next()?;
            fill(pixel, slot.get_mut(packed - depth..)?)?;
            backend.pack(slot);
        }
        for Product { gemm, out } in products.iter_mut().flatten() {
            let out = out.get_mut((first - range.start) * gemm.output_stride..)?;
            backend.gemm(&Gemm { patches: scratch, patch_stride: packed, pixels, ..*gemm }, out)?;
        }
        first += pixels;
    }
    Some(())
}

impl<'a> Conv<'a> {
    /// The matrix product of one group, its patches still missing.
    pub(crate) fn gemm(&self, layout: &Layout, group: usize, output_stride: usize) -> Option<Gemm<'a>> {
        Some(Gemm {
            runs: 1,
            run_stride: 0,
            patches: &[],
            patch_stride: 0,
            pixels: 0,
            depth: layout.padded_depth,
            weights: group_weights(self, layout, group)?,
            table: self.table.slice(group * layout.padded_outputs, layout.padded_outputs)?,
            outputs: layout.group_outputs,
            output: self.output,
            output_stride,
        })
    }
}

/// The weights of one group.
pub(super) fn group_weights<'a>(conv: &Conv<'a>, layout: &Layout, group: usize) -> Option<&'a [i8]> {
    let size = layout.padded_outputs * layout.padded_depth;
    conv.weights.get(group * size..)?.get(..size)
}

/// Gathers the patch of one output pixel and group: `padded_depth` elements.
pub(super) fn gather<B: Backend>(
    backend: B,
    conv: &Conv<'_>,
    layout: &Layout,
    input: Pixels<'_>,
    (y, x): (u32, u32),
    group: usize,
    patch: &mut [i8],
) -> Option<()> {
    let shape = input.shape();
    let channels = layout.group_inputs.max(1);
    let first_channel = group * channels;
    let rows = conv.window.rows(y, shape.height);
    let columns = conv.window.columns(x, shape.width);
    let row_size = conv.window.kernel_width as usize * channels;
    let (patch, padding) = patch.split_at_mut_checked(layout.depth)?;
    for zero in padding {
        *zero = 0;
    }
    // What lies above and below the input is padding.
    let (above, rest) = patch.split_at_mut_checked(rows.skipped as usize * row_size)?;
    let (inside, below) = rest.split_at_mut_checked(rows.length as usize * row_size)?;
    for edge in [above, below] {
        if !edge.is_empty() {
            edge.fill(conv.input_zero_point);
        }
    }
    if columns.length == 0 {
        inside.fill(conv.input_zero_point);
        return Some(());
    }
    let first_pixel = rows.start as usize * shape.width as usize + columns.start as usize;
    let mut source = input.from_pixel(first_pixel)?.get(first_channel..)?;
    let source_row = shape.width as usize * input.stride();
    if columns.length == conv.window.kernel_width && channels == input.stride() {
        return backend.copy_rows(source, source_row, row_size, inside);
    }
    for row in inside.chunks_exact_mut(row_size.max(1)) {
        let (before, rest) = row.split_at_mut_checked(columns.skipped as usize * channels)?;
        let (middle, after) = rest.split_at_mut_checked(columns.length as usize * channels)?;
        before.fill(conv.input_zero_point);
        after.fill(conv.input_zero_point);
        if channels == input.stride() {
            let length = middle.len();
            copy(middle, source.get(..length)?)?;
        } else {
            copy_rows_portable(source, input.stride(), channels, middle)?;
        }
        // Behind the last row there is nothing more to read.
        source = source.get(source_row..).unwrap_or_default();
    }
    Some(())
}
