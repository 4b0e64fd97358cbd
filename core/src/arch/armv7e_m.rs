//! ARM with DSP instructions on 32-bit registers: Cortex-M4 and M7 (ARMv7E-M), M33 with the DSP option, and ARMv7-A
//! without NEON.
//!
//! SMLAD multiplies two pairs of 16-bit halves and adds both products; SXTB16 widens bytes 0 and 2 of a word, or 1 and 3
//! of the rotated word. A word of weights holds 4 k of one output channel: two SXTB16 make two operands of it. A tile is
//! 6 pixels by one channel: 6 accumulators, 2 registers of weights, 4 of pixels, 2 pointers, all fourteen registers.
//! 4 k then take 18 instructions for 24 products: 12 SMLAD, 3 LDM of pixels, 1 LDR and 2 SXTB16 of weights.
//!
//! The weights are read where they lie. The patches of 6 pixels are first widened onto the stack in the order that SXTB16
//! leaves, interleaved so that LDM reads them one after the other: for each 4 k the bytes 0 and 2 of six pixels, then
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
const PIXELS: usize = 6;

/// Elements of each patch that are widened at a time.
const DEPTH: usize = 128;

/// Output channels whose sums are kept at a time.
const CHANNELS: usize = 32;

/// Words that 4 k of a tile's patches take once they are widened.
const STEP: usize = 2 * PIXELS;

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

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        gemm.check(1, out.len())?;
        if gemm.runs != 1 {
            return None;
        }
        let mut patches = [MaybeUninit::uninit(); DEPTH / 4 * STEP];
        let mut sums = [[0; PIXELS]; CHANNELS];
        for first in (0..gemm.pixels).step_by(PIXELS) {
            let pixels = PIXELS.min(gemm.pixels - first);
            let gemm = Gemm { patches: gemm.patches.get(first * gemm.patch_stride..)?, pixels, ..*gemm };
            tile(&gemm, &mut patches, &mut sums, out.get_mut(first * gemm.output_stride..)?)?;
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
        let channels = out.len() / 4 * 4;
        let (words, rest) = out.split_at_mut_checked(channels)?;
        for (at, word) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            // SAFETY: every pixel of the window has 4 elements from channel `4 * at` on: see the check above.
            *word = unsafe { largest(window.values.as_ptr().add(4 * at), window, limits) };
        }
        PoolWindow { values: window.values.get(channels..)?, ..*window }.max_portable(limits, rest)
    }
}

/// All output channels of up to 6 pixels. The caller has checked `gemm`.
fn tile(
    gemm: &Gemm<'_>,
    patches: &mut [MaybeUninit<u32>; DEPTH / 4 * STEP],
    sums: &mut [[i32; PIXELS]; CHANNELS],
    out: &mut [i8],
) -> Option<()> {
    for first in (0..gemm.outputs).step_by(CHANNELS) {
        let outputs = CHANNELS.min(gemm.outputs - first);
        let channels = outputs.next_multiple_of(4);
        let table = gemm.table.slice(first, channels)?;
        let weights = gemm.weights.get(first * gemm.depth..)?.get(..channels * gemm.depth)?;
        let sums = sums.get_mut(..channels)?;
        for (sums, bias) in sums.iter_mut().zip(table.bias) {
            *sums = [*bias; PIXELS];
        }
        for start in (0..gemm.depth).step_by(DEPTH) {
            let depth = DEPTH.min(gemm.depth - start);
            // A patch of one part stays as it is for the channels that follow.
            if first == 0 || gemm.depth > DEPTH {
                widen(gemm, start, depth, patches)?;
            }
            // SAFETY: the patches are widened to `depth`, a multiple of 4 of at least 4; `weights` has `channels / 4`
            // blocks of `gemm.depth` k, of which `start..start + depth` are inside; there are as many sums.
            unsafe {
                accumulate(
                    patches.as_ptr().cast(),
                    weights.as_ptr().add(4 * start),
                    sums.as_mut_ptr().cast(),
                    depth / 4,
                    channels,
                    4 * gemm.depth - 16,
                );
            }
        }
        store_tile(sums, &table, gemm, outputs, out.get_mut(first..)?)?;
    }
    Some(())
}

/// Widens `depth` elements from `start` on of the tile's patches. Pixels that the tile lacks are its first pixel again.
fn widen(
    gemm: &Gemm<'_>,
    start: usize,
    depth: usize,
    patches: &mut [MaybeUninit<u32>; DEPTH / 4 * STEP],
) -> Option<()> {
    for pixel in 0..PIXELS {
        let at = if pixel < gemm.pixels { pixel } else { 0 };
        let patch = gemm.patches.get(at * gemm.patch_stride + start..)?.get(..depth)?;
        let mut to = patches.as_mut_ptr().wrapping_add(pixel);
        for four in patch.as_chunks::<4>().0 {
            let word = u32::from_le_bytes(four.map(|value| value as u8));
            let (even, odd): (u32, u32);
            // SAFETY: register arithmetic only.
            unsafe {
                asm!(
                    "sxtb16 {even}, {word}", "sxtb16 {odd}, {word}, ror #8",
                    word = in(reg) word, even = out(reg) even, odd = lateout(reg) odd,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            // SAFETY: there are at most DEPTH / 4 steps, each of STEP words.
            unsafe {
                to.write(MaybeUninit::new(even));
                to.add(PIXELS).write(MaybeUninit::new(odd));
            }
            to = to.wrapping_add(STEP);
        }
    }
    Some(())
}

/// Requantises and stores `outputs` channels of the tile's pixels.
fn store_tile(
    sums: &[[i32; PIXELS]],
    table: &ChannelTable<'_>,
    gemm: &Gemm<'_>,
    outputs: usize,
    out: &mut [i8],
) -> Option<()> {
    let Output { zero_point, min, max } = gemm.output;
    if gemm.pixels == PIXELS && table.shift.iter().all(|shift| SHIFTS.contains(shift)) {
        let rule = Store {
            multiplier: table.multiplier.as_ptr(),
            shift: table.shift.as_ptr(),
            zero_point: 2 * i32::from(zero_point) + 1,
            stride: gemm.output_stride,
            out: out.as_mut_ptr(),
            min: i32::from(min),
            max: i32::from(max),
        };
        let sums = sums.get(..outputs)?.as_ptr_range();
        let store = if (min, max) == (i8::MIN, i8::MAX) { store } else { store_clamped };
        // SAFETY: there are `outputs` sums, multipliers and shifts, and as many elements behind the start of each of the
        // six pixels in `out`: `Gemm::check`. All shifts are what it takes.
        unsafe { store(&rule, sums.start.cast(), sums.end.cast()) };
        return Some(());
    }
    let rules = table.multiplier.iter().zip(table.shift);
    for (channel, (sums, (multiplier, shift))) in sums.get(..outputs)?.iter().zip(rules).enumerate() {
        let rule = Requantize::new(*multiplier, *shift as u32)?;
        for (pixel, sum) in sums.iter().take(gemm.pixels).enumerate() {
            *out.get_mut(pixel * gemm.output_stride + channel)? = gemm.output.clamp(rule.apply(*sum));
        }
    }
    Some(())
}

/// One step of [`accumulate`], 4 k of 6 pixels: 18 instructions of 4 bytes.
macro_rules! step {
    () => {
        "
        ldr r2, [r1], #16
        sxtb16 r3, r2
        sxtb16 r2, r2, ror #8
        ldm r0!, {{r10, r11, r12, lr}}
        smlad r4, r10, r3, r4
        smlad r5, r11, r3, r5
        smlad r6, r12, r3, r6
        smlad r7, lr, r3, r7
        ldm r0!, {{r10, r11, r12, lr}}
        smlad r8, r10, r3, r8
        smlad r9, r11, r3, r9
        smlad r4, r12, r2, r4
        smlad r5, lr, r2, r5
        ldm r0!, {{r10, r11, r12, lr}}
        smlad r6, r10, r2, r6
        smlad r7, r11, r2, r7
        smlad r8, r12, r2, r8
        smlad r9, lr, r2, r9
        "
    };
}

/// Adds the products of `steps` times 4 k to the sums of 6 pixels, `[channel][pixel]`.
///
/// `next_quad` is the way in bytes from the end of one block of 4 channels' first 4 k to the same of the next block.
///
/// # Safety
/// `patches` has `12 * steps` words, `steps` is at least 1, `channels` a positive multiple of 4; there are `6 * channels`
/// sums; each of the `channels / 4` blocks of weights has `16 * steps` bytes.
#[unsafe(naked)]
unsafe extern "C" fn accumulate(
    patches: *const u32,
    weights: *const i8,
    sums: *mut i32,
    steps: usize,
    channels: usize,
    next_quad: usize,
) {
    // The stack: patches, weights, sums, way into the loop, end of the patches; above the saved registers, channels and
    // next_quad. Four steps are unrolled; the first round enters where it has as many left as it needs.
    naked_asm!(
        "
        push {{r4, r5, r6, r7, r8, r9, r10, r11, lr}}
        sub sp, sp, #20
        str r0, [sp]
        str r1, [sp, #4]
        str r2, [sp, #8]
        add r4, r3, r3, lsl #1
        add r4, r0, r4, lsl #4
        str r4, [sp, #16]
        sub r3, r3, #1
        and r3, r3, #3
        rsb r3, r3, #3
        mov r4, #72
        mul r3, r3, r4
        adr r4, 3f
        add r3, r3, r4
        str r3, [sp, #12]
        2:
        ldr r2, [sp, #8]
        ldr r3, [sp, #12]
        ldm r2, {{r4, r5, r6, r7, r8, r9}}
        ldr r0, [sp]
        ldr r1, [sp, #4]
        mov pc, r3
        .p2align 2
        3:
        ",
        step!(),
        step!(),
        step!(),
        step!(),
        "
        ldr r2, [sp, #16]
        cmp r0, r2
        bne 3b
        ldr r2, [sp, #8]
        ldr r1, [sp, #4]
        stm r2!, {{r4, r5, r6, r7, r8, r9}}
        ldr r3, [sp, #56]
        str r2, [sp, #8]
        subs r3, r3, #1
        str r3, [sp, #56]
        beq 5f
        add r1, r1, #4
        tst r3, #3
        bne 4f
        ldr r2, [sp, #60]
        add r1, r1, r2
        4:
        str r1, [sp, #4]
        b 2b
        5:
        add sp, sp, #20
        pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
        "
    )
}

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
    min: i32,
    max: i32,
}

/// A register limited to r3 below and r12 above.
macro_rules! clamp {
    ($register:literal) => {
        concat!(
            "cmp ",
            $register,
            ", r3\nit lt\nmovlt ",
            $register,
            ", r3\ncmp ",
            $register,
            ", r12\nit gt\nmovgt ",
            $register,
            ", r12\n",
        )
    };
}

/// A function that requantises the sums of 6 pixels and stores them, with what has to be done to each value after it is
/// saturated to 8 bits.
macro_rules! store {
    ($name:ident $(, $clamp:expr)*) => {
        /// Requantises `[channel][pixel]` sums of 6 pixels and stores them:
        /// `(hi32(sum * multiplier) + ((2 * zero_point + 1) << (shift - 33))) >> (shift - 32)`, then clamped.
        ///
        /// # Safety
        /// `start..end` is at least one channel's sums; `rule` has as many multipliers and shifts, the shifts 33 to 54;
        /// as many elements can be written from `out` on, and `stride`, twice `stride` and so on behind it.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(rule: &Store, start: *const i32, end: *const i32) {
            // r0 rule, r1 sums; on the stack their end and the output.
            naked_asm!(
                "
                push {{r0, r2, r4, r5, r6, r7, r8, r9, r10, r11, lr}}
                sub sp, sp, #8
                str r2, [sp]
                ldr r3, [r0, #16]
                str r3, [sp, #4]
                ldr r11, [r0, #12]
                ldr r10, [r0, #8]
                ldr r2, [r0, #4]
                ldr r0, [r0]
                2:
                ldr r12, [r2], #4
                ldr r3, [r0], #4
                sub r12, r12, #33
                ldm r1!, {{r4, r5, r6, r7, r8, r9}}
                lsl lr, r10, r12
                add r12, r12, #1
                smmla r4, r4, r3, lr
                smmla r5, r5, r3, lr
                smmla r6, r6, r3, lr
                smmla r7, r7, r3, lr
                smmla r8, r8, r3, lr
                smmla r9, r9, r3, lr
                asr r4, r4, r12
                asr r5, r5, r12
                asr r6, r6, r12
                asr r7, r7, r12
                asr r8, r8, r12
                asr r9, r9, r12
                ssat r4, #8, r4
                ssat r5, #8, r5
                ssat r6, #8, r6
                ssat r7, #8, r7
                ssat r8, #8, r8
                ssat r9, #8, r9
                ",
                $($clamp,)*
                "
                ldr r3, [sp, #4]
                add lr, r3, r11
                add lr, lr, r11, lsl #1
                strb r5, [r3, r11]
                strb r6, [r3, r11, lsl #1]
                strb r8, [lr, r11]
                strb r9, [lr, r11, lsl #1]
                strb r7, [lr]
                strb r4, [r3], #1
                str r3, [sp, #4]
                ldr r3, [sp]
                cmp r1, r3
                bne 2b
                add sp, sp, #16
                pop {{r4, r5, r6, r7, r8, r9, r10, r11, pc}}
                "
            )
        }
    };
}

store!(store);
store!(
    store_clamped,
    "ldr r12, [sp, #8]\nldr r3, [r12, #20]\nldr r12, [r12, #24]",
    clamp!("r4"),
    clamp!("r5"),
    clamp!("r6"),
    clamp!("r7"),
    clamp!("r8"),
    clamp!("r9")
);

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
unsafe fn copy(mut from: *const i8, mut to: *mut i8, mut length: usize) {
    // SAFETY: no more than `length` elements are read and written.
    unsafe {
        while length >= 16 {
            to.cast::<[u32; 4]>().write_unaligned(from.cast::<[u32; 4]>().read_unaligned());
            (from, to, length) = (from.add(16), to.add(16), length - 16);
        }
        while length >= 4 {
            to.cast::<u32>().write_unaligned(from.cast::<u32>().read_unaligned());
            (from, to, length) = (from.add(4), to.add(4), length - 4);
        }
        while length > 0 {
            to.write(from.read());
            (from, to, length) = (from.add(1), to.add(1), length - 1);
        }
    }
}

/// Largest values of 4 channels over a window, byte by byte: SSUB8 sets a flag for each byte that is not less, SEL
/// chooses by them.
///
/// # Safety
/// From `values` on, every pixel of the window has 4 elements.
unsafe fn largest(values: *const i8, window: &PoolWindow<'_>, (min, max): (i8, i8)) -> [i8; 4] {
    let mut best = u32::from_ne_bytes([min as u8; 4]);
    let mut row = values;
    for _ in 0..window.rows {
        let mut pixel = row;
        for _ in 0..window.columns {
            // SAFETY: the pixel is one of the window's.
            let word = unsafe { pixel.cast::<u32>().read_unaligned() };
            best = bytewise(word, best, word, best);
            pixel = pixel.wrapping_add(window.pixel_stride);
        }
        row = row.wrapping_add(window.row_stride);
    }
    let max = u32::from_ne_bytes([max as u8; 4]);
    bytewise(best, max, max, best).to_ne_bytes().map(|value| value as i8)
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
