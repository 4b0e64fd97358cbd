//! AVX-512 with VNNI: 14 pixels by 32 channels in 28 of the 32 registers, 64 products an instruction.
//!
//! `VPDPBUSD` multiplies unsigned by signed bytes, and the signed ones may come from memory. So the weights are made
//! unsigned, `w + 128` by flipping their sign bit once they are in a register, and the patches stay as they are: they
//! are read where they lie. Each sum is then 128 times the sum of its patch too large. That sum is taken once for a
//! pixel and all its channels, and the accumulators start at the bias minus it.

#![allow(clippy::needless_range_loop, reason = "an index runs over the registers of several arrays at once")]
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::{Backend, Gemm};

/// A processor with AVX-512F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub struct Vnni {
    detected: (),
}

impl Vnni {
    /// The backend, where the processor and the operating system have its instructions.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let present = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") && has!("avx512vnni");
        present.then_some(Self { detected: () })
    }
}

impl Backend for Vnni {
    fn name(self) -> &'static str {
        "vnni"
    }

    fn reads_runs(self) -> bool {
        true
    }

    fn tile_pixels(self) -> usize {
        PIXELS
    }

    fn gemm(self, gemm: &Gemm<'_>, out: &mut [i8]) -> Option<()> {
        let high = gemm.check(1, out.len())?;
        let () = self.detected;
        // SAFETY: the value exists, so `detect` has found the instructions; `check` has found the slices long enough.
        unsafe { product(gemm, high, out) };
        Some(())
    }

    fn dot4(self, patch: &[i8], block: &[i8]) -> [i32; 4] {
        // SAFETY: the value exists, so `detect` has found the instructions.
        unsafe { dot4(patch, block) }
    }
}

/// Pixels of the largest tile.
const PIXELS: usize = 14;
/// Channels of one register.
const LANES: usize = 16;

/// What the tiles of a product share.
#[derive(Clone, Copy)]
struct Job<'a> {
    gemm: &'a Gemm<'a>,
    /// Whether every shift is at least 33.
    high: bool,
    zero_point: __m512i,
}

/// # Safety
/// The processor has the instructions, and `Gemm::check` holds.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn product(gemm: &Gemm<'_>, high: bool, out: &mut [i8]) {
    let job = Job { gemm, high, zero_point: _mm512_set1_epi32(i32::from(gemm.output.zero_point)) };
    let mut pixel = 0;
    while pixel < gemm.pixels {
        let left = gemm.pixels - pixel;
        // SAFETY: `left` patches and output pixels follow, and each call takes at most as many.
        unsafe {
            let patches = gemm.patches.as_ptr().add(pixel * gemm.patch_stride);
            let out = out.as_mut_ptr().add(pixel * gemm.output_stride);
            pixel += match left {
                14.. => pixels::<14, 2>(job, patches, out),
                7.. => pixels::<7, 4>(job, patches, out),
                4.. => pixels::<4, 4>(job, patches, out),
                _ => pixels::<1, 4>(job, patches, out),
            };
        }
    }
}

/// All channels of `P` pixels, `V` registers of channels at a time. Returns `P`.
///
/// # Safety
/// As [`product`], with `P` patches at `patches` and `P` pixels at `out`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn pixels<const P: usize, const V: usize>(job: Job<'_>, patches: *const i8, out: *mut i8) -> usize {
    let mut corrections = [0_i32; P];
    for (pixel, correction) in corrections.iter_mut().enumerate() {
        // SAFETY: the caller has `P` patches.
        *correction = unsafe { correction_of(job.gemm, patches.add(pixel * job.gemm.patch_stride)) };
    }
    let outputs = job.gemm.outputs;
    let mut first = 0;
    // SAFETY: `outputs` is what `check` has held the weights, tables and output against, and no tile goes past it.
    unsafe {
        while outputs - first >= V * LANES {
            tile::<P, V, true>(job, patches, &corrections, first, out);
            first += V * LANES;
        }
        if V > 2 && outputs - first >= 2 * LANES {
            tile::<P, 2, true>(job, patches, &corrections, first, out);
            first += 2 * LANES;
        }
        if outputs - first > LANES {
            tile::<P, 2, false>(job, patches, &corrections, first, out);
        } else if outputs - first == LANES {
            tile::<P, 1, true>(job, patches, &corrections, first, out);
        } else if outputs > first {
            tile::<P, 1, false>(job, patches, &corrections, first, out);
        }
    }
    P
}

/// Minus 128 times the sum of a patch.
///
/// # Safety
/// As [`product`], with a patch at `patch`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn correction_of(gemm: &Gemm<'_>, patch: *const i8) -> i32 {
    let factor = _mm512_set1_epi8(-128);
    let length = gemm.depth / gemm.runs;
    let mut sum = _mm512_setzero_si512();
    for run in 0..gemm.runs {
        let mut at = 0;
        while at < length {
            let mask = u64::MAX >> (64 - (length - at).min(64));
            // SAFETY: the mask ends at the run's last element.
            let values = unsafe { _mm512_maskz_loadu_epi8(mask, patch.add(run * gemm.run_stride + at)) };
            sum = _mm512_dpbusd_epi32(sum, factor, values);
            at += 64;
        }
    }
    _mm512_reduce_add_epi32(sum).wrapping_neg()
}

/// `P` pixels by `V * 16` channels from channel `first` on; fewer in the last register unless `FULL`.
///
/// # Safety
/// As [`pixels`], with more than `first + (V - 1) * 16` output channels, at least `first + V * 16` if `FULL`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn tile<const P: usize, const V: usize, const FULL: bool>(
    job: Job<'_>,
    patches: *const i8,
    corrections: &[i32; P],
    first: usize,
    out: *mut i8,
) {
    let gemm = job.gemm;
    let mut sums = [[_mm512_setzero_si512(); V]; P];
    // SAFETY: the caller's.
    unsafe { accumulate::<P, V, FULL>(gemm, patches, first, &mut sums) };
    for v in 0..V {
        let first = first + v * LANES;
        let channels = if FULL { LANES } else { (gemm.outputs - first).min(LANES) };
        // SAFETY: the table has all channels, rounded up to 4, which is where `quads` ends. There are `P` pixels, and
        // `bytes` ends at the last channel.
        unsafe {
            let (quads, bytes) = (first_lanes(channels.next_multiple_of(4)), first_lanes(channels));
            let bias = load_table(gemm.table.bias, first, quads);
            let rule = Rule {
                multiplier: load_table(gemm.table.multiplier, first, quads),
                shift: load_table(gemm.table.shift, first, quads),
            };
            let out = out.add(first);
            if job.high {
                let rule = rule.high();
                for p in 0..P {
                    let sum = _mm512_add_epi32(_mm512_add_epi32(sums[p][v], bias), _mm512_set1_epi32(corrections[p]));
                    store(rule.apply(sum, job.zero_point), gemm, out.add(p * gemm.output_stride), bytes);
                }
            } else {
                for p in 0..P {
                    let sum = _mm512_add_epi32(_mm512_add_epi32(sums[p][v], bias), _mm512_set1_epi32(corrections[p]));
                    store(rule.apply(sum, job.zero_point), gemm, out.add(p * gemm.output_stride), bytes);
                }
            }
        }
    }
}

/// Sums of `P` patches with `V * 16` channels, each 128 times its patch's sum too large.
///
/// A function of its own, so that the sums stay in registers to its end.
///
/// # Safety
/// As [`tile`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn accumulate<const P: usize, const V: usize, const FULL: bool>(
    gemm: &Gemm<'_>,
    patches: *const i8,
    first: usize,
    result: &mut [[__m512i; V]; P],
) {
    let quad_stride = 4 * gemm.depth;
    let last_quad = (gemm.outputs - first).div_ceil(4) - 1;
    // Where each block of four channels starts; those that are not there repeat the last one.
    let mut starts = [[0; 4]; V];
    for (quad, start) in starts.as_flattened_mut().iter_mut().enumerate() {
        *start = if FULL { quad } else { quad.min(last_quad) } * quad_stride;
    }
    let mut sums = [[_mm512_setzero_si512(); V]; P];
    let flip = _mm512_set1_epi8(-128);
    let run_quads = gemm.depth / gemm.runs / 4;
    // SAFETY: the weights have all blocks of `gemm.outputs` channels, each `quad_stride` bytes.
    let mut weights = unsafe { gemm.weights.as_ptr().add(first * gemm.depth) };
    for run in 0..gemm.runs {
        // SAFETY: every patch has `runs` runs.
        let mut patch = unsafe { patches.add(run * gemm.run_stride) };
        for _ in 0..run_quads {
            let mut block = [flip; V];
            for v in 0..V {
                // SAFETY: each start is that of a block that is there.
                block[v] = unsafe { _mm512_xor_si512(load_block(weights, starts[v]), flip) };
            }
            for p in 0..P {
                // SAFETY: there are `P` patches, and the run has four more elements.
                let four = unsafe { patch.add(p * gemm.patch_stride).cast::<i32>().read_unaligned() };
                let four = _mm512_set1_epi32(four);
                for v in 0..V {
                    sums[p][v] = _mm512_dpbusd_epi32(sums[p][v], block[v], four);
                }
            }
            // SAFETY: at most one past the end of the run and of the first block.
            unsafe {
                patch = patch.add(4);
                weights = weights.add(16);
            }
        }
    }
    *result = sums;
}

/// Clamps the bytes that `lanes` asks for and stores them at `out`.
///
/// # Safety
/// The processor has the instructions, and `out` takes the bytes that are asked for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn store(bytes: __m128i, gemm: &Gemm<'_>, out: *mut i8, lanes: u16) {
    let bytes = _mm_max_epi8(bytes, _mm_set1_epi8(gemm.output.min));
    let bytes = _mm_min_epi8(bytes, _mm_set1_epi8(gemm.output.max));
    // SAFETY: the caller's.
    unsafe {
        if lanes == u16::MAX {
            _mm_storeu_si128(out.cast(), bytes);
        } else {
            _mm_mask_storeu_epi8(out, lanes, bytes);
        }
    }
}

/// A mask of the first `count` of 16 lanes, `1 <= count <= 16`.
const fn first_lanes(count: usize) -> u16 {
    u16::MAX >> (LANES - count)
}

/// The entries of a channel table from `first` on that `lanes` asks for.
///
/// # Safety
/// The processor has the instructions, and `values` all entries that are asked for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn load_table(values: &[i32], first: usize, lanes: u16) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_maskz_loadu_epi32(lanes, values.as_ptr().add(first)) }
}

/// The four 16-byte blocks at `starts` bytes behind `weights`.
///
/// # Safety
/// The processor has the instructions, and the blocks are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn load_block(weights: *const i8, starts: [usize; 4]) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let first = _mm512_castsi128_si512(_mm_loadu_si128(weights.add(starts[0]).cast()));
        let second = _mm512_inserti32x4::<1>(first, _mm_loadu_si128(weights.add(starts[1]).cast()));
        let third = _mm512_inserti32x4::<2>(second, _mm_loadu_si128(weights.add(starts[2]).cast()));
        _mm512_inserti32x4::<3>(third, _mm_loadu_si128(weights.add(starts[3]).cast()))
    }
}

/// Multipliers and shifts of 16 channels.
#[derive(Clone, Copy)]
struct Rule {
    multiplier: __m512i,
    shift: __m512i,
}

/// A [`Rule`] whose shifts are at least 33: the high half of the product is rounded and shifted.
#[derive(Clone, Copy)]
struct HighRule {
    /// The multipliers of the channels with even and odd numbers, each in the low half of 64 bits.
    multipliers: [__m512i; 2],
    /// The shift less 32.
    shift: __m512i,
    /// Half of what is shifted out.
    round: __m512i,
}

impl Rule {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn high(self) -> HighRule {
        let shift = _mm512_sub_epi32(self.shift, _mm512_set1_epi32(32));
        let one = _mm512_set1_epi32(1);
        HighRule {
            multipliers: [self.multiplier, _mm512_srli_epi64::<32>(self.multiplier)],
            shift,
            round: _mm512_sllv_epi32(one, _mm512_sub_epi32(shift, one)),
        }
    }

    /// Requantised, zero point added, saturated to int8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn apply(self, sum: __m512i, zero_point: __m512i) -> __m128i {
        let low = _mm512_maskz_mov_epi32(0x5555, self.shift);
        let even = requantize(sum, self.multiplier, low, zero_point);
        let odd = requantize(
            _mm512_srli_epi64::<32>(sum),
            _mm512_srli_epi64::<32>(self.multiplier),
            _mm512_srli_epi64::<32>(self.shift),
            zero_point,
        );
        _mm512_cvtepi32_epi8(_mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd)))
    }
}

impl HighRule {
    /// Requantised, zero point added, saturated to int8.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn apply(self, sum: __m512i, zero_point: __m512i) -> __m128i {
        let even = _mm512_mul_epi32(sum, self.multipliers[0]);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(sum), self.multipliers[1]);
        let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
        let value = _mm512_srav_epi32(_mm512_add_epi32(high, self.round), self.shift);
        _mm512_cvtsepi32_epi8(_mm512_add_epi32(value, zero_point))
    }
}

/// Eight values in the low halves of 64 bits, their shifts as 64 bits: requantised, zero point added, clamped to int8.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn requantize(value: __m512i, multiplier: __m512i, shift: __m512i, zero_point: __m512i) -> __m512i {
    let one = _mm512_set1_epi64(1);
    let round = _mm512_sllv_epi64(one, _mm512_sub_epi64(shift, one));
    let value = _mm512_srav_epi64(_mm512_add_epi64(_mm512_mul_epi32(value, multiplier), round), shift);
    let value = _mm512_add_epi64(value, _mm512_srai_epi64::<32>(zero_point));
    _mm512_min_epi64(_mm512_max_epi64(value, _mm512_set1_epi64(-128)), _mm512_set1_epi64(127))
}

/// Sums of a patch with a block of four channels: four steps of k at a time, one in each 128-bit lane.
///
/// # Safety
/// The processor has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn dot4(patch: &[i8], block: &[i8]) -> [i32; 4] {
    let flip = _mm512_set1_epi8(-128);
    let spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    let (mut sums, mut corrections) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (values, weights) in patch.chunks(16).zip(block.chunks(64)) {
        let quads = (values.len() / 4).min(weights.len() / 16);
        let mask = (1_u32 << (quads * 4)) - 1;
        // SAFETY: the masks end at the last whole quad of both chunks.
        let (values, weights) = unsafe {
            (
                _mm_maskz_loadu_epi8(mask as u16, values.as_ptr()),
                _mm512_maskz_loadu_epi32(mask as u16, weights.as_ptr().cast()),
            )
        };
        let values = _mm512_permutevar_ps(_mm512_castsi512_ps(_mm512_broadcast_i32x4(values)), spread);
        let values = _mm512_castps_si512(values);
        sums = _mm512_dpbusd_epi32(sums, _mm512_xor_si512(weights, flip), values);
        corrections = _mm512_dpbusd_epi32(corrections, flip, values);
    }
    let sums = _mm512_sub_epi32(sums, corrections);
    let half = _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
    let quarter = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    let mut result = [0; 4];
    // SAFETY: the array has 16 bytes.
    unsafe { _mm_storeu_si128(result.as_mut_ptr().cast(), quarter) };
    result
}
