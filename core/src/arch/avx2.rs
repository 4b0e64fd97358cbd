//! AVX2: 6 pixels by 8 channels in 12 of the 16 registers, 16 products an instruction.
//!
//! `VPMADDUBSW` would take bytes, but it saturates. So patches are packed to 16 bits, weights are widened as they are
//! loaded, and `VPMADDWD` adds pairs of exact products in 32 bits: of a block of 4 channels by 4 deep a register gets
//! two sums for each channel, which are added at the end.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{Backend, Gemm, PoolWindow, x86_64};
use crate::kernels::ChannelTable;
use crate::kernels::lrn::Lrn;
use crate::quant::{Output, Requantize};

/// A processor with AVX2.
#[derive(Clone, Copy, Debug)]
pub struct Avx2 {
    detected: (),
}

impl Avx2 {
    /// The backend, where the processor and the operating system have its instructions.
    #[must_use]
    pub fn detect() -> Option<Self> {
        has!("avx2").then_some(Self { detected: () })
    }
}

impl Backend for Avx2 {
    fn name(self) -> &'static str {
        "avx2"
    }

    fn packed_size(self, depth: usize) -> usize {
        ELEMENT * depth
    }

    fn reads_in_place(self) -> bool {
        false
    }

    fn reads_runs(self) -> bool {
        true
    }

    fn pack(self, slot: &mut [i8]) {
        // SAFETY: the value exists, so `detect` has found the instructions.
        unsafe { widen(slot) };
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        let high = gemm.check(ELEMENT, out.len())?;
        let () = self.detected;
        // SAFETY: the value exists, so `detect` has found the instructions; `check` has found the slices long enough.
        unsafe { product(gemm, high, out) };
        Some(())
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        // SAFETY: the value exists, so `detect` has found the instructions.
        unsafe { dot4(patch, block) }
    }

    fn max_pool(self, window: &PoolWindow<'_>, limits: (i8, i8), out: &mut [i8]) -> Option<()> {
        // SAFETY: the value exists, so `detect` has found AVX2.
        unsafe { x86_64::max_pool(window, limits, out) }
    }

    fn lrn(self, lrn: &Lrn<'_>, original: &[i8], out: &mut [i8]) -> Option<()> {
        // SAFETY: the value exists, so `detect` has found AVX2.
        unsafe { x86_64::lrn(lrn, original, out) }
    }
}

/// Bytes of a packed element.
const ELEMENT: usize = 2;
/// Pixels of the largest tile.
const PIXELS: usize = 6;
/// Channels of a tile: two blocks of four.
const CHANNELS: usize = 8;

/// Widens the second half of `slot`, int8, to the whole of it, int16.
#[target_feature(enable = "avx2")]
fn widen(slot: &mut [i8]) {
    let count = slot.len() / ELEMENT;
    let (to, from) = (slot.as_mut_ptr(), slot.len() - count);
    let mut at = 0;
    // The writes stay behind the reads: byte 2 * at + 32 is at most byte count + at + 16 while at + 16 <= count.
    while at + 16 <= count {
        // SAFETY: 16 elements are left to read behind `from + at`, so 32 bytes to write behind `2 * at`.
        unsafe {
            let values = _mm256_cvtepi8_epi16(_mm_loadu_si128(to.add(from + at).cast()));
            _mm256_storeu_si256(to.add(2 * at).cast(), values);
        }
        at += 16;
    }
    for at in at..count {
        let [low, high] = i16::from(slot[from + at]).to_le_bytes();
        slot[2 * at] = low as i8;
        slot[2 * at + 1] = high as i8;
    }
}

/// # Safety
/// The processor has the instructions, and `Gemm::check` holds.
#[target_feature(enable = "avx2")]
unsafe fn product(gemm: &Gemm<'_>, high: bool, out: &mut [i8]) {
    let mut pixel = 0;
    while pixel < gemm.pixels {
        let left = gemm.pixels - pixel;
        // The last two tiles share what is left.
        let count = if left >= 2 * PIXELS { PIXELS } else { left.div_ceil(left.div_ceil(PIXELS)) };
        // SAFETY: `count` patches and output pixels follow.
        unsafe {
            let patches = gemm.patches.as_ptr().add(pixel * gemm.patch_stride);
            let out = out.as_mut_ptr().add(pixel * gemm.output_stride);
            match count {
                1 => pixels::<1>(gemm, high, patches, out),
                2 => pixels::<2>(gemm, high, patches, out),
                3 => pixels::<3>(gemm, high, patches, out),
                4 => pixels::<4>(gemm, high, patches, out),
                5 => pixels::<5>(gemm, high, patches, out),
                _ => pixels::<PIXELS>(gemm, high, patches, out),
            }
        }
        pixel += count;
    }
}

/// All channels of `P` pixels, two blocks of four at a time.
///
/// # Safety
/// As [`product`], with `P` patches at `patches` and `P` pixels at `out`.
#[target_feature(enable = "avx2")]
unsafe fn pixels<const P: usize>(gemm: &Gemm<'_>, high: bool, patches: *const i8, out: *mut i8) {
    let mut first = 0;
    while first < gemm.outputs {
        let channels = (gemm.outputs - first).min(CHANNELS);
        let mut sums = [[_mm256_setzero_si256(); 2]; P];
        // SAFETY: `check` has held the weights against the channels rounded up to 4. A second block is there where there
        // are more than 4 channels left, and the output has `channels` of them in each of `P` pixels.
        unsafe {
            if channels > 4 {
                accumulate::<P, 2>(gemm, patches, first, &mut sums);
            } else {
                accumulate::<P, 1>(gemm, patches, first, &mut sums);
            }
            finish(gemm, high, &sums, (first, channels), out.add(first));
        }
        first += CHANNELS;
    }
}

/// Sums of `P` patches with `Q` blocks of four channels, two for each channel.
///
/// A function of its own, so that the sums stay in registers to its end.
///
/// # Safety
/// As [`pixels`], with `Q` blocks of weights from channel `first` on.
#[inline(never)]
#[target_feature(enable = "avx2")]
unsafe fn accumulate<const P: usize, const Q: usize>(
    gemm: &Gemm<'_>,
    patches: *const i8,
    first: usize,
    result: &mut [[__m256i; 2]; P],
) {
    let mut sums = [[_mm256_setzero_si256(); Q]; P];
    let run_quads = gemm.depth / gemm.runs / 4;
    // SAFETY: the weights have all blocks, each `4 * gemm.depth` bytes.
    let mut weights = unsafe { gemm.weights.as_ptr().add(first * gemm.depth) };
    for run in 0..gemm.runs {
        // SAFETY: every patch has `runs` runs.
        let mut patch = unsafe { patches.add(run * gemm.run_stride) };
        for _ in 0..run_quads {
            let mut block = [_mm256_setzero_si256(); Q];
            for (q, block) in block.iter_mut().enumerate() {
                // SAFETY: there are `Q` blocks, and 16 more bytes in each.
                *block = unsafe { widened(weights.add(q * 4 * gemm.depth)) };
            }
            for (p, sums) in sums.iter_mut().enumerate() {
                // SAFETY: there are `P` patches, and the run has four more elements of 16 bits.
                let four = unsafe { patch.add(p * gemm.patch_stride).cast::<i64>().read_unaligned() };
                let four = _mm256_set1_epi64x(four);
                for (sum, block) in sums.iter_mut().zip(&block) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*block, four));
                }
            }
            // SAFETY: at most one past the end of the run and of the first block.
            unsafe {
                patch = patch.add(4 * ELEMENT);
                weights = weights.add(16);
            }
        }
    }
    for (result, sums) in result.iter_mut().zip(&sums) {
        for (result, sum) in result.iter_mut().zip(sums) {
            *result = *sum;
        }
    }
}

/// 16 bytes widened to 16 bits.
///
/// # Safety
/// The processor has the instructions, and the bytes are there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn widened(bytes: *const i8) -> __m256i {
    // SAFETY: the caller's.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(bytes.cast()) })
}

/// Requantises and stores up to 8 channels of each pixel.
///
/// # Safety
/// As [`product`]; `out` takes `channels` elements in as many pixels as `sums` has.
#[target_feature(enable = "avx2")]
unsafe fn finish(gemm: &Gemm<'_>, high: bool, sums: &[[__m256i; 2]], (first, channels): (usize, usize), out: *mut i8) {
    let Some(table) = gemm.table.slice(first, channels.next_multiple_of(4)) else { return };
    let (bias, rule) = (load(table.bias), HighRule::new(&table));
    for (pixel, sums) in sums.iter().enumerate() {
        // Pairs are added within each half: channels 0, 1, 4, 5 and 2, 3, 6, 7.
        let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(sums[0], sums[1]));
        let sums = _mm256_add_epi32(sums, bias);
        let bytes = if high { rule.apply(sums, gemm.output) } else { any_shift(sums, &table, gemm.output) };
        // SAFETY: the output has as many pixels, and `channels` elements in each.
        unsafe {
            let out = out.add(pixel * gemm.output_stride);
            if channels == CHANNELS {
                out.cast::<[i8; CHANNELS]>().write_unaligned(bytes);
            } else {
                for (channel, byte) in bytes.into_iter().take(channels).enumerate() {
                    *out.add(channel) = byte;
                }
            }
        }
    }
}

/// Up to 8 values, zeros behind them.
#[inline]
#[target_feature(enable = "avx2")]
fn load(values: &[i32]) -> __m256i {
    let mut all = [0; CHANNELS];
    for (to, from) in all.iter_mut().zip(values) {
        *to = *from;
    }
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_loadu_si256(all.as_ptr().cast()) }
}

/// Requantises by the high halves of the products: for shifts from 33 on.
#[derive(Clone, Copy)]
struct HighRule {
    /// The multipliers of the channels with even and odd numbers, each in the low half of 64 bits.
    multipliers: [__m256i; 2],
    /// The shift less 32.
    shift: __m256i,
    /// Half of what is shifted out.
    round: __m256i,
}

impl HighRule {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(table: &ChannelTable<'_>) -> Self {
        let multiplier = load(table.multiplier);
        let shift = _mm256_sub_epi32(load(table.shift), _mm256_set1_epi32(32));
        let one = _mm256_set1_epi32(1);
        Self {
            multipliers: [multiplier, _mm256_srli_epi64::<32>(multiplier)],
            shift,
            round: _mm256_sllv_epi32(one, _mm256_sub_epi32(shift, one)),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply(self, sums: __m256i, output: Output) -> [i8; CHANNELS] {
        let even = _mm256_mul_epi32(sums, self.multipliers[0]);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(sums), self.multipliers[1]);
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        let value = _mm256_srav_epi32(_mm256_add_epi32(high, self.round), self.shift);
        let value = _mm256_add_epi32(value, _mm256_set1_epi32(i32::from(output.zero_point)));
        let words = _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256::<1>(value));
        let bytes = _mm_max_epi8(_mm_packs_epi16(words, words), _mm_set1_epi8(output.min));
        let bytes = _mm_min_epi8(bytes, _mm_set1_epi8(output.max));
        _mm_cvtsi128_si64(bytes).to_le_bytes().map(|byte| byte as i8)
    }
}

/// Requantises one by one: AVX2 has no arithmetic shift of 64 bits.
#[target_feature(enable = "avx2")]
fn any_shift(sums: __m256i, table: &ChannelTable<'_>, output: Output) -> [i8; CHANNELS] {
    let mut values = [0; CHANNELS];
    // SAFETY: the array has 32 bytes.
    unsafe { _mm256_storeu_si256(values.as_mut_ptr().cast(), sums) };
    let mut bytes = [0; CHANNELS];
    for ((byte, value), (multiplier, shift)) in
        bytes.iter_mut().zip(values).zip(table.multiplier.iter().zip(table.shift))
    {
        let rule = Requantize::new(*multiplier, *shift as u32).unwrap_or(Requantize::IDENTITY);
        *byte = output.clamp(rule.apply(value));
    }
    bytes
}

/// Sums of a patch with a block of four channels.
#[target_feature(enable = "avx2")]
fn dot4(patch: &[i8], block: &[i8]) -> [i32; 4] {
    let mut sums = [_mm256_setzero_si256(); 4];
    let (patches, patch_rest) = patch.as_chunks::<16>();
    let (blocks, block_rest) = block.as_chunks::<64>();
    for (patch, block) in patches.iter().zip(blocks) {
        // SAFETY: 16 bytes of the patch, four times 16 of the block.
        let (values, weights) = unsafe {
            let block = block.as_ptr();
            let weights = [widened(block), widened(block.add(16)), widened(block.add(32)), widened(block.add(48))];
            (widened(patch.as_ptr()), weights)
        };
        let spread = [
            _mm256_permute4x64_epi64::<0b00_00_00_00>(values),
            _mm256_permute4x64_epi64::<0b01_01_01_01>(values),
            _mm256_permute4x64_epi64::<0b10_10_10_10>(values),
            _mm256_permute4x64_epi64::<0b11_11_11_11>(values),
        ];
        for at in 0..4 {
            sums[at] = _mm256_add_epi32(sums[at], _mm256_madd_epi16(spread[at], weights[at]));
        }
    }
    for (patch, block) in patch_rest.as_chunks::<4>().0.iter().zip(block_rest.as_chunks::<16>().0) {
        let values = _mm_cvtepi8_epi16(_mm_cvtsi32_si128(i32::from_le_bytes(patch.map(|value| value as u8))));
        // SAFETY: 16 bytes of the block.
        let weights = unsafe { widened(block.as_ptr()) };
        sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(_mm256_broadcastq_epi64(values), weights));
    }
    let sums = _mm256_add_epi32(_mm256_add_epi32(sums[0], sums[1]), _mm256_add_epi32(sums[2], sums[3]));
    let pairs = _mm_hadd_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
    let mut result = [0; 4];
    // SAFETY: the array has 16 bytes.
    unsafe { _mm_storeu_si128(result.as_mut_ptr().cast(), pairs) };
    result
}
