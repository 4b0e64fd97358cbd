//! ARM with DSP instructions on 32-bit registers: Cortex-M4 and M7 (ARMv7E-M), M33 with the DSP option, and ARMv7-A
//! without NEON.
//!
//! SMLAD multiplies two pairs of 16-bit halves and adds both products; SXTB16 widens bytes 0 and 2 of a word, or 1 and 3
//! of the rotated word. A word of weights holds 4 k of one output channel: two SXTB16 make two operands of it. A tile is
//! 4 pixels by 2 channels: 8 accumulators, 2 registers of weights, 2 of pixels, 2 pointers, all fourteen registers. 4 k
//! then take 26 instructions for 32 products: 16 SMLAD, 4 LDM of pixels, 2 LDRD and 4 SXTB16 of weights.
//!
//! The weights are read where they lie. The patches of 4 pixels are first widened onto the stack in the order that SXTB16
//! leaves, interleaved so that LDM reads them one after the other: for each 4 k the bytes 0 and 2 of four pixels, then
//! the bytes 1 and 3. What lies on the stack is bounded: [`DEPTH`] elements of a patch at a time, and sums of
//! [`CHANNELS`] output channels, to which the next part of the patch adds.
#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};
use core::mem::MaybeUninit;

use super::{Backend, Gemm, PoolWindow};
use crate::kernels::ChannelTable;
use crate::quant::{Output, Requantize};

/// The backend for SXTB16 and SMLAD.
#[derive(Clone, Copy, Debug)]
pub struct Dsp(());

/// Pixels of a tile.
const PIXELS: usize = 4;

/// Elements of each patch that are widened at a time.
const DEPTH: usize = 128;

/// Output channels whose sums are kept at a time.
const CHANNELS: usize = 32;

/// A tile's widened patches: for each 4 k the even bytes of every pixel, then the odd ones.
type Widened = [MaybeUninit<[u32; 2 * PIXELS]>; DEPTH / 4];

/// A tile's sums, `[channel][pixel]`.
type Sums = [MaybeUninit<[i32; PIXELS]>; CHANNELS];

/// Shifts that [`store`] can do: the high half of the product is enough from 33 on, and up to 54 the zero point fits
/// next to it.
const SHIFTS: core::ops::RangeInclusive<i32> = 33..=54;

impl Dsp {
    /// The backend, where the target has its instructions.
    #[must_use]
    pub const fn detect() -> Option<Self> {
        Some(Self(()))
    }
}

impl Backend for Dsp {
    fn name(self) -> &'static str {
        "dsp"
    }

    fn reads_runs(self) -> bool {
        true
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        gemm.check(1, out.len())?;
        let (mut widened, mut sums) = ([MaybeUninit::uninit(); DEPTH / 4], [MaybeUninit::uninit(); CHANNELS]);
        for first in (0..gemm.pixels).step_by(PIXELS) {
            let pixels = PIXELS.min(gemm.pixels - first);
            let gemm = Gemm { patches: gemm.patches.get(first * gemm.patch_stride..)?, pixels, ..*gemm };
            tile(&gemm, &mut widened, &mut sums, out.get_mut(first * gemm.output_stride..)?)?;
        }
        Some(())
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        let steps = (patch.len() / 4).min(block.len() / 16);
        // SAFETY: both slices have as many steps, and the instructions are there: `self` exists.
        unsafe { dot4(patch.as_ptr(), block.as_ptr(), steps) }
    }

    fn copy_rows(self, source: &[i8], stride: usize, length: usize, to: &mut [i8]) -> Option<()> {
        let rows = to.len().checked_div(length)?;
        let last = rows.checked_sub(1)?.checked_mul(stride)?;
        if rows * length != to.len() || last.checked_add(length)? > source.len() {
            return super::copy_rows_portable(source, stride, length, to);
        }
        for row in 0..rows {
            // SAFETY: each row has `length` elements on both sides: see the check above.
            unsafe { copy(source.as_ptr().add(row * stride), to.as_mut_ptr().add(row * length), length) }
        }
        Some(())
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        let last = (window.rows.checked_sub(1)?.checked_mul(window.row_stride)?)
            .checked_add(window.columns.checked_sub(1)?.checked_mul(window.pixel_stride)?)?;
        if last.checked_add(out.len())? > window.values.len() {
            return None;
        }
        let (blocks, rest) = out.as_chunks_mut::<16>();
        let (words, rest) = rest.as_chunks_mut::<4>();
        let mut values = window.values;
        for block in blocks {
            // SAFETY: every pixel of the window has 16 more elements from the start of `values` on: see the check above.
            *block = bytemuck::cast(unsafe { largest::<4>(values.as_ptr(), window, limits) });
            values = values.get(16..)?;
        }
        for word in words {
            // SAFETY: as above, with 4 elements.
            *word = bytemuck::cast(unsafe { largest::<1>(values.as_ptr(), window, limits) });
            values = values.get(4..)?;
        }
        PoolWindow { values, ..*window }.max_portable(limits, rest)
    }
}

/// All output channels of up to 4 pixels. The caller has checked `gemm`.
fn tile(gemm: &Gemm<'_>, widened: &mut Widened, sums: &mut Sums, out: &mut [i8]) -> Option<()> {
    for first in (0..gemm.outputs).step_by(CHANNELS) {
        let outputs = CHANNELS.min(gemm.outputs - first);
        let channels = outputs.next_multiple_of(4);
        let table = gemm.table.slice(first, channels)?;
        let weights = gemm.weights.get(first * gemm.depth..)?.get(..channels * gemm.depth)?;
        for start in (0..gemm.depth).step_by(DEPTH) {
            let depth = DEPTH.min(gemm.depth - start);
            // A patch of one part stays as it is for the channels that follow.
            if first == 0 || gemm.depth > DEPTH {
                widen(gemm, start, depth, widened)?;
            }
            let products = Products {
                patches: widened.as_ptr().cast(),
                steps: depth / 4,
                weights: weights.get(4 * start..)?.as_ptr(),
                next_quad: 4 * gemm.depth,
                sums: sums.as_mut_ptr().cast(),
                pairs: channels / 2,
                bias: table.bias.as_ptr(),
            };
            let sum = if start == 0 { sum_first } else { sum_more };
            // SAFETY: the patches are widened to `depth`, a multiple of 4 of at least 4; `weights` has `channels / 4`
            // blocks of `gemm.depth` k, of which `start..start + depth` are inside; there are as many biases and sums,
            // and the first part has written all of them.
            unsafe { sum(&products) };
        }
        store_tile(sums, &table, gemm, outputs, out.get_mut(first..)?)?;
    }
    Some(())
}

/// Widens `depth` elements from `start` on of the tile's patches. Pixels that the tile lacks are its first pixel again.
fn widen(gemm: &Gemm<'_>, start: usize, depth: usize, widened: &mut Widened) -> Option<()> {
    let run = gemm.depth / gemm.runs;
    let mut to: *mut u32 = widened.as_mut_ptr().cast();
    let mut left = depth;
    let (mut first, mut within) = ((start / run) * gemm.run_stride, start % run);
    while left > 0 {
        let length = left.min(run - within);
        let patch = |pixel: usize| {
            let pixel = if pixel < gemm.pixels { pixel * gemm.patch_stride } else { 0 };
            Some(gemm.patches.get(pixel + first + within..)?.get(..length)?.as_ptr())
        };
        let patches = [patch(0)?, patch(1)?, patch(2)?, patch(3)?];
        // SAFETY: each patch has `length` elements from there on, a multiple of 4 of at least 4, and there is room for
        // `depth` elements of each, at most DEPTH.
        unsafe {
            widen_two(patches[0], patches[1], to, length / 4);
            widen_two(patches[2], patches[3], to.add(2), length / 4);
            to = to.add(2 * length);
        }
        (left, first, within) = (left - length, first + gemm.run_stride, 0);
    }
    Some(())
}

/// Widens `steps` times 4 elements of two neighbouring pixels, the first of which goes to `to`.
///
/// # Safety
/// Both patches have as many elements, `to` has 8 words for each step, `steps` is at least 1.
#[inline(always)]
unsafe fn widen_two(a: *const i8, b: *const i8, to: *mut u32, steps: usize) {
    // SAFETY: the caller says that all of it is there.
    unsafe {
        asm!(
            "2:",
            "ldr {y}, [{a}], #4",
            "ldr {z}, [{b}], #4",
            "subs {steps}, {steps}, #1",
            "sxtb16 r2, {y}",
            "sxtb16 r3, {z}",
            "strd r2, r3, [{to}], #16",
            "sxtb16 r2, {y}, ror #8",
            "sxtb16 r3, {z}, ror #8",
            "strd r2, r3, [{to}], #16",
            "bne 2b",
            a = inout(reg) a => _, b = inout(reg) b => _, to = inout(reg) to => _, steps = inout(reg) steps => _,
            y = out(reg) _, z = out(reg) _, out("r2") _, out("r3") _,
            options(nostack),
        );
    }
}

/// Requantises and stores `outputs` channels of the tile's pixels. Their sums have been written.
fn store_tile(sums: &Sums, table: &ChannelTable<'_>, gemm: &Gemm<'_>, outputs: usize, out: &mut [i8]) -> Option<()> {
    let Output { zero_point, min, max } = gemm.output;
    if !table.shift.iter().all(|shift| SHIFTS.contains(shift)) {
        return store_portable(sums, table, gemm, outputs, out);
    }
    let store = if (min, max) == (i8::MIN, i8::MAX) { store } else { store_clamped };
    let rule = |to: *mut i8, stride: usize| Store {
        multiplier: table.multiplier.as_ptr(),
        shift: table.shift.as_ptr(),
        zero_point: 2 * i32::from(zero_point) + 1,
        stride,
        out: to,
        end: to.wrapping_add(outputs),
        min: i32::from(min),
        max: i32::from(max),
    };
    if gemm.pixels == PIXELS {
        let rule = rule(out.as_mut_ptr(), gemm.output_stride);
        // SAFETY: there are `outputs` sums, multipliers and shifts, all shifts are what it takes, and `out` has as many
        // elements of each of the four pixels: `Gemm::check`.
        unsafe { store(&rule, sums.as_ptr().cast()) };
        return Some(());
    }
    // Not every value of this tile has a place in the output.
    let mut whole = [0; PIXELS * CHANNELS];
    let rule = rule(whole.as_mut_ptr(), CHANNELS);
    // SAFETY: as above; `whole` is made for four pixels of up to `CHANNELS`.
    unsafe { store(&rule, sums.as_ptr().cast()) };
    for (out, whole) in out.chunks_mut(gemm.output_stride).zip(whole.chunks(CHANNELS)).take(gemm.pixels) {
        out.get_mut(..outputs)?.copy_from_slice(whole.get(..outputs)?);
    }
    Some(())
}

/// As [`store_tile`], for shifts of all sizes.
fn store_portable(
    sums: &Sums,
    table: &ChannelTable<'_>,
    gemm: &Gemm<'_>,
    outputs: usize,
    out: &mut [i8],
) -> Option<()> {
    let rules = table.multiplier.iter().zip(table.shift);
    for (channel, (sums, (multiplier, shift))) in sums.iter().take(outputs).zip(rules).enumerate() {
        let rule = Requantize::new(*multiplier, *shift as u32)?;
        // SAFETY: the sums of `outputs` channels have been written: the caller says so.
        let sums = unsafe { sums.assume_init() };
        for (pixel, sum) in sums.iter().take(gemm.pixels).enumerate() {
            *out.get_mut(pixel * gemm.output_stride + channel)? = gemm.output.clamp(rule.apply(*sum));
        }
    }
    Some(())
}

/// What [`sum_first`] and [`sum_more`] read.
#[repr(C)]
struct Products {
    /// [`Widened`] patches, `8 * steps` words.
    patches: *const u32,
    steps: usize,
    /// Blocks of 4 channels by 4 k, those of the next 4 channels `next_quad` bytes later.
    weights: *const i8,
    next_quad: usize,
    /// `[channel][pixel]`.
    sums: *mut i32,
    /// Pairs of channels, an even number.
    pairs: usize,
    /// One entry per channel.
    bias: *const i32,
}

/// 4 k of 4 pixels and 2 channels: 26 instructions of 4 bytes.
macro_rules! step {
    () => {
        "
        ldrd r2, r3, [r1]
        sxtb16 r2, r2
        sxtb16 r3, r3
        ldm r0!, {{r12, lr}}
        smlad r4, r12, r2, r4
        smlad r8, r12, r3, r8
        smlad r5, lr, r2, r5
        smlad r9, lr, r3, r9
        ldm r0!, {{r12, lr}}
        smlad r6, r12, r2, r6
        smlad r10, r12, r3, r10
        smlad r7, lr, r2, r7
        smlad r11, lr, r3, r11
        ldrd r2, r3, [r1], #16
        sxtb16 r2, r2, ror #8
        sxtb16 r3, r3, ror #8
        ldm r0!, {{r12, lr}}
        smlad r4, r12, r2, r4
        smlad r8, r12, r3, r8
        smlad r5, lr, r2, r5
        smlad r9, lr, r3, r9
        ldm r0!, {{r12, lr}}
        smlad r6, r12, r2, r6
        smlad r10, r12, r3, r10
        smlad r7, lr, r2, r7
        smlad r11, lr, r3, r11
        "
    };
}

/// A function that sums the products of [`Products`], from what its second argument loads into r4 to r11.
macro_rules! sum {
    ($(#[$doc:meta])* $name:ident, $load:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// There is as much of everything as the fields say, `steps` at least 1 and `pairs` at least 2.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(products: &Products) {
            // The stack: patches, their end, the way into the loop, weights, bytes from a quad's second pair to the next
            // quad, sums, pairs left, biases. Four steps are unrolled; the first round enters where as many are left as
            // it needs.
            naked_asm!(
                "
                push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
                sub sp, sp, #36
                ldm r0, {{r1, r2, r3, r4, r5, r6, r7}}
                str r1, [sp]
                add r1, r1, r2, lsl #5
                str r1, [sp, #4]
                sub r2, r2, #1
                and r2, r2, #3
                rsb r2, r2, #3
                mov r1, #104
                mul r2, r2, r1
                adr r1, 3f
                add r1, r1, r2
                str r1, [sp, #8]
                str r3, [sp, #12]
                sub r4, r4, #8
                str r4, [sp, #16]
                str r5, [sp, #20]
                str r6, [sp, #24]
                str r7, [sp, #28]
                2:
                ",
                $load,
                "
                ldr r3, [sp, #8]
                ldr r0, [sp]
                ldr r1, [sp, #12]
                mov pc, r3
                .p2align 2
                3:
                ",
                step!(),
                step!(),
                step!(),
                step!(),
                "
                ldr r2, [sp, #4]
                cmp r0, r2
                bne 3b
                ldr r2, [sp, #20]
                ldr r3, [sp, #24]
                stm r2!, {{r4, r5, r6, r7, r8, r9, r10, r11}}
                str r2, [sp, #20]
                subs r3, r3, #1
                beq 5f
                str r3, [sp, #24]
                ldr r1, [sp, #12]
                tst r3, #1
                ite eq
                ldreq r2, [sp, #16]
                movne r2, #8
                add r1, r1, r2
                str r1, [sp, #12]
                b 2b
                5:
                add sp, sp, #36
                pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
                "
            )
        }
    };
}

sum!(
    /// Writes the sums of the first part of a patch: bias and products.
    sum_first,
    "
    ldr r0, [sp, #28]
    ldm r0!, {{r4, r8}}
    str r0, [sp, #28]
    mov r5, r4
    mov r6, r4
    mov r7, r4
    mov r9, r8
    mov r10, r8
    mov r11, r8
    "
);
sum!(
    /// Adds the products of a further part to the sums.
    sum_more,
    "
    ldr r0, [sp, #20]
    ldm r0, {{r4, r5, r6, r7, r8, r9, r10, r11}}
    "
);

/// What [`store`] reads.
#[repr(C)]
struct Store {
    multiplier: *const i32,
    shift: *const i32,
    /// `2 * zero point + 1`: shifted left by `shift - 33` it is the zero point and the rounding half.
    zero_point: i32,
    /// Elements from one pixel to the next.
    stride: usize,
    out: *mut i8,
    /// Behind the first pixel's last channel.
    end: *mut i8,
    min: i32,
    max: i32,
}

/// A register limited to r0 below and lr above.
macro_rules! clamp {
    ($register:literal) => {
        concat!(
            "cmp ",
            $register,
            ", r0\nit lt\nmovlt ",
            $register,
            ", r0\ncmp ",
            $register,
            ", lr\nit gt\nmovgt ",
            $register,
            ", lr\n",
        )
    };
}

/// A function that requantises the sums of 4 pixels and stores them, with what has to be done to the values after they
/// are saturated to 8 bits.
macro_rules! store {
    ($name:ident $(, $clamp:expr)*) => {
        /// Requantises `[channel][pixel]` sums of 4 pixels and stores them:
        /// `(hi32(sum * multiplier) + ((2 * zero_point + 1) << (shift - 33))) >> (shift - 32)`, then clamped.
        ///
        /// # Safety
        /// `rule` has a multiplier and a shift, 33 to 54, for each channel, at least one, and `sums` as many times 4;
        /// `out..end` can be written, and the same `stride`, twice `stride` and three times `stride` behind it.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(rule: &Store, sums: *const i32) {
            // r0, lr scratch; r1 sums, r2 shifts, r3 multipliers, r8 zero point, r9 and r10 one and three strides, r11
            // output; the stack has its end and the limits.
            naked_asm!(
                "
                push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
                sub sp, sp, #12
                ldm r0!, {{r2, r3, r8, r9, r11, r12}}
                str r12, [sp]
                ldm r0, {{r4, r5}}
                str r4, [sp, #4]
                str r5, [sp, #8]
                mov r0, r2
                mov r2, r3
                mov r3, r0
                add r10, r9, r9, lsl #1
                2:
                ldr r12, [r2], #4
                ldr r0, [r3], #4
                sub r12, r12, #33
                ldm r1!, {{r4, r5, r6, r7}}
                lsl lr, r8, r12
                add r12, r12, #1
                smmla r4, r4, r0, lr
                smmla r5, r5, r0, lr
                smmla r6, r6, r0, lr
                smmla r7, r7, r0, lr
                asr r4, r4, r12
                asr r5, r5, r12
                asr r6, r6, r12
                asr r7, r7, r12
                ssat r4, #8, r4
                ssat r5, #8, r5
                ssat r6, #8, r6
                ssat r7, #8, r7
                ",
                $($clamp,)*
                "
                ldr r0, [sp]
                strb r5, [r11, r9]
                strb r6, [r11, r9, lsl #1]
                strb r7, [r11, r10]
                strb r4, [r11], #1
                cmp r11, r0
                bne 2b
                add sp, sp, #12
                pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
                "
            )
        }
    };
}

store!(store);
store!(store_clamped, "ldr r0, [sp, #4]\nldr lr, [sp, #8]\n", clamp!("r4"), clamp!("r5"), clamp!("r6"), clamp!("r7"));

/// Sums of one patch with one block of 4 channels, without bias.
///
/// # Safety
/// The patch has `4 * steps` elements, the block `16 * steps`.
unsafe fn dot4(patch: *const i8, block: *const i8, steps: usize) -> [i32; 4] {
    let [mut a, mut b, mut c, mut d] = [0_i32; 4];
    let (mut patch, mut block) = (patch, block);
    for _ in 0..steps {
        // SAFETY: the caller says that another 4 elements and 16 weights are there.
        unsafe {
            asm!(
                "ldr {w}, [{patch}], #4",
                "sxtb16 {even}, {w}",
                "sxtb16 {odd}, {w}, ror #8",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {a}, {t}, {even}, {a}",
                "smlad {a}, {w}, {odd}, {a}",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {b}, {t}, {even}, {b}",
                "smlad {b}, {w}, {odd}, {b}",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {c}, {t}, {even}, {c}",
                "smlad {c}, {w}, {odd}, {c}",
                "ldr {w}, [{block}], #4",
                "sxtb16 {t}, {w}",
                "sxtb16 {w}, {w}, ror #8",
                "smlad {d}, {t}, {even}, {d}",
                "smlad {d}, {w}, {odd}, {d}",
                patch = inout(reg) patch, block = inout(reg) block,
                a = inout(reg) a, b = inout(reg) b, c = inout(reg) c, d = inout(reg) d,
                w = out(reg) _, t = out(reg) _, even = out(reg) _, odd = out(reg) _,
                options(readonly, nostack, preserves_flags),
            );
        }
    }
    [a, b, c, d]
}

/// Copies `length` elements by words: both sides may lie anywhere.
///
/// # Safety
/// Both sides have as many elements and do not overlap.
#[inline(always)]
unsafe fn copy(from: *const i8, to: *mut i8, length: usize) {
    if length < 4 {
        // SAFETY: as the caller says.
        unsafe { from.copy_to_nonoverlapping(to, length) };
        return;
    }
    // The words one after the other, then the last 4 elements, some of them for the second time. In assembly, since the
    // compiler would call a function for it.
    let rest = length % 4;
    // SAFETY: no more than `length` elements are read and written.
    unsafe {
        asm!(
            "2:",
            "ldr {t}, [{from}], #4",
            "subs {words}, {words}, #1",
            "str {t}, [{to}], #4",
            "bne 2b",
            "ldr {t}, [{from}, {back}]",
            "str {t}, [{to}, {back}]",
            from = inout(reg) from => _, to = inout(reg) to => _, words = inout(reg) length / 4 => _, t = out(reg) _,
            back = in(reg) rest.wrapping_sub(4),
            options(nostack),
        );
    }
}

/// Largest values of `4 * WORDS` channels over a window, byte by byte: SSUB8 sets a flag for each byte that is not less,
/// SEL chooses by them.
///
/// # Safety
/// From `values` on, every pixel of the window has `4 * WORDS` elements.
unsafe fn largest<const WORDS: usize>(
    values: *const i8,
    window: &PoolWindow<'_>,
    (min, max): (i8, i8),
) -> [[u8; 4]; WORDS] {
    let mut best = [u32::from_ne_bytes([min as u8; 4]); WORDS];
    let mut row = values;
    for _ in 0..window.rows {
        let mut pixel = row;
        for _ in 0..window.columns {
            for (word, best) in best.iter_mut().enumerate() {
                // SAFETY: the pixel is one of the window's.
                let word = unsafe { pixel.cast::<u32>().add(word).read_unaligned() };
                *best = bytewise(word, *best, word, *best);
            }
            pixel = pixel.wrapping_add(window.pixel_stride);
        }
        row = row.wrapping_add(window.row_stride);
    }
    let max = u32::from_ne_bytes([max as u8; 4]);
    best.map(|best| bytewise(best, max, max, best).to_ne_bytes())
}

/// For each byte: `chosen` where `a >= b`, else `other`.
#[inline(always)]
fn bytewise(a: u32, b: u32, chosen: u32, other: u32) -> u32 {
    let result;
    // SAFETY: register arithmetic only; SSUB8's flags (APSR.GE) are read by SEL at once.
    unsafe {
        asm!(
            "ssub8 {result}, {a}, {b}", "sel {result}, {chosen}, {other}",
            a = in(reg) a, b = in(reg) b, chosen = in(reg) chosen, other = in(reg) other, result = out(reg) result,
            options(pure, nomem, nostack),
        );
    }
    result
}
