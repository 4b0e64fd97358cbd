//! Every backend of this machine against the definition of its product, on slices that are exactly as long as needed.

use std::boxed::Box;
use std::vec::Vec;

use super::{Backend, Gemm, PoolWindow, available};
use crate::kernels::ChannelTable;
use crate::kernels::lrn::{self, Lrn};
use crate::quant::{Output, Requantize};

/// Every which case runs: Miri, which knows the portable backend alone, is some thousand times slower.
const STEP: usize = if cfg!(miri) { 17 } else { 1 };

/// SplitMix64 (Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between `low` and `high`, both included.
    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    /// Values of which every fourth is an extreme.
    fn values(&mut self, count: usize, low: i64, high: i64) -> Box<[i64]> {
        let mut value = || match self.next() % 8 {
            0 => low,
            1 => high,
            _ => self.between(low, high),
        };
        (0..count).map(|_| value()).collect()
    }

    fn bytes(&mut self, count: usize, low: i64, high: i64) -> Box<[i8]> {
        self.values(count, low, high).iter().map(|value| *value as i8).collect()
    }

    fn words(&mut self, count: usize, low: i64, high: i64) -> Box<[i32]> {
        self.values(count, low, high).iter().map(|value| *value as i32).collect()
    }
}

/// The shape of a product.
#[derive(Clone, Copy, Debug)]
struct Case {
    pixels: usize,
    outputs: usize,
    runs: usize,
    run: usize,
    /// Elements from one patch to the next, and from one run to the next.
    strides: (usize, usize),
    /// Elements between the output's pixels.
    gap: usize,
    /// Range of the shifts.
    shifts: (i64, i64),
}

fn check_product(backend: impl Backend, case: Case, random: &mut Random) {
    let Case { pixels, outputs, runs, run, strides: (patch_stride, run_stride), gap, shifts } = case;
    let depth = runs * run;
    let padded = outputs.next_multiple_of(4);
    let elements = (pixels - 1) * patch_stride + (runs - 1) * run_stride + run;
    let patches = random.bytes(elements, -128, 127);
    let weights = random.bytes(padded * depth, -127, 127);
    let bias = random.words(padded, -(1 << 26), 1 << 26);
    let multiplier = random.words(padded, 0, (1 << 31) - 1);
    let shift = random.words(padded, shifts.0, shifts.1);
    let weight_sum: Vec<i32> =
        (0..padded).map(|channel| (0..depth).map(|k| i32::from(weights[weight(channel, k, depth)])).sum()).collect();
    let limits = random.bytes(2, -128, 127);
    let output = Output {
        zero_point: random.between(-128, 127) as i8,
        min: limits[0].min(limits[1]),
        max: limits[0].max(limits[1]),
    };

    let mut packed = std::vec![0_i8; backend.packed_size(elements)].into_boxed_slice();
    let start = packed.len() - elements;
    packed[start..].copy_from_slice(&patches);
    backend.pack(&mut packed);
    let scale = backend.packed_size(4) / 4;
    let output_stride = outputs + gap;
    let mut out = std::vec![99_i8; (pixels - 1) * output_stride + outputs].into_boxed_slice();
    let gemm = Gemm {
        patches: &packed,
        patch_stride: patch_stride * scale,
        pixels,
        depth,
        runs,
        run_stride: run_stride * scale,
        weights: &weights,
        table: ChannelTable { bias: &bias, multiplier: &multiplier, shift: &shift, weight_sum: &weight_sum },
        outputs,
        output,
        output_stride,
    };
    backend.gemm(&gemm, &mut out).unwrap_or_else(|| panic!("{} refuses {case:?}", backend.name()));
    for (index, value) in out.iter().enumerate() {
        let (pixel, channel) = (index / output_stride, index % output_stride);
        let expected = if channel < outputs {
            let element = |k: usize| patches[pixel * patch_stride + k / run * run_stride + k % run];
            let product = |k: usize| i32::from(element(k)) * i32::from(weights[weight(channel, k, depth)]);
            let sum = bias[channel] + (0..depth).map(product).sum::<i32>();
            output.clamp(Requantize::new(multiplier[channel], shift[channel] as u32).unwrap().apply(sum))
        } else {
            99
        };
        assert_eq!(*value, expected, "{} pixel {pixel} channel {channel} of {case:?}", backend.name());
    }
}

/// Where the weight of a channel lies in `[oc/4][k/4][4 oc][4 k]`.
fn weight(channel: usize, k: usize, depth: usize) -> usize {
    channel / 4 * 4 * depth + k / 4 * 16 + channel % 4 * 4 + k % 4
}

#[test]
fn products_have_the_bits_of_their_definition() {
    let mut random = Random(1);
    for backend in available() {
        for (pixels, outputs) in
            (1..=30).step_by(STEP).flat_map(|pixels| [(pixels, 1 + pixels * 7 % 70), (pixels, 4 * pixels)])
        {
            for shifts in [(33, 40), (33, 62), (1, 62), (1, 32)] {
                let run = 4 * random.between(1, if cfg!(miri) { 4 } else { 40 }) as usize;
                let patch_stride = run + random.between(0, 5) as usize;
                let case = Case { pixels, outputs, runs: 1, run, strides: (patch_stride, 0), gap: pixels % 4, shifts };
                check_product(backend, case, &mut random);
            }
        }
    }
}

#[test]
fn patches_of_several_runs_overlap() {
    let mut random = Random(2);
    for backend in available().filter(|backend| backend.reads_runs()) {
        for pixels in [1, 2, 5, 13, 29] {
            for outputs in [1, 3, 12, 16, 17, 31, 33, 48] {
                let runs = random.between(2, 7) as usize;
                let run = 4 * random.between(1, 20) as usize;
                let patch_stride = random.between(1, run as i64) as usize;
                let run_stride = pixels * patch_stride + random.between(0, run as i64) as usize;
                let strides = (patch_stride, run_stride);
                check_product(
                    backend,
                    Case { pixels, outputs, runs, run, strides, gap: 3, shifts: (33, 45) },
                    &mut random,
                );
            }
        }
    }
}

#[test]
fn single_patches_have_exact_sums() {
    let mut random = Random(3);
    for backend in available() {
        for depth in (4..300).step_by(4 * STEP) {
            let patch = random.bytes(depth, -128, 127);
            let block = random.bytes(4 * depth, -127, 127);
            let expected = [0, 1, 2, 3].map(|channel| {
                let product = |k: usize| i32::from(patch[k]) * i32::from(block[weight(channel, k, depth)]);
                (0..depth).map(product).sum::<i32>()
            });
            assert_eq!(backend.dot4(&patch, &block), expected, "{} depth {depth}", backend.name());
        }
    }
}

#[test]
fn pools_take_the_largest_of_each_channel() {
    let mut random = Random(4);
    for backend in available() {
        for channels in (1..150).step_by(STEP) {
            let (rows, columns) = (random.between(1, 4) as usize, random.between(1, 4) as usize);
            let pixel_stride = channels + random.between(0, 3) as usize;
            let row_stride = columns * pixel_stride + random.between(0, 9) as usize;
            let length = (rows - 1) * row_stride + (columns - 1) * pixel_stride + channels;
            let values = random.bytes(length, -128, 127);
            let limits = (random.between(-128, 0) as i8, random.between(0, 127) as i8);
            let mut out = std::vec![99_i8; channels].into_boxed_slice();
            let window = PoolWindow { values: &values, pixel_stride, row_stride, rows, columns };
            backend.max_pool(&window, limits, &mut out).unwrap();
            for (channel, out) in out.iter().enumerate() {
                let pixels = (0..rows * columns).map(|at| at / columns * row_stride + at % columns * pixel_stride);
                let largest = pixels.map(|at| values[at + channel]).max().unwrap();
                assert_eq!(*out, largest.clamp(limits.0, limits.1), "{} channels {channels}", backend.name());
            }
            let short = PoolWindow { values: &values[..length - 1], ..window };
            assert_eq!(backend.max_pool(&short, limits, &mut out), None, "{}", backend.name());
        }
    }
}

#[test]
fn normalisations_have_the_portable_bits() {
    let mut random = Random(5);
    for backend in available() {
        for channels in (1..70).chain([96, 192, 256, 260, 288, 320, 513, 544, 1024]).step_by(STEP) {
            for size in [1, 2, 5, 5, 8] {
                let original = random.bytes(channels, -128, 127);
                let zero_point = random.between(-128, 127) as i8;
                let index_shift = random.between(8, 14) as u32;
                // Some tables are a little too short for the largest sums.
                let entries = ((size * 255 * 255) >> index_shift) + 1 - random.between(0, 1) as usize;
                let table: Vec<u16> = (0..entries.max(1)).map(|_| random.between(0, 65535) as u16).collect();
                let output = Output { zero_point: random.between(-128, 127) as i8, min: -100, max: 120 };
                let shift = random.between(1, 30) as u32;
                let parameters = Lrn { size, table: &table, index_shift, shift, zero_point, output };
                let mut out = std::vec![99_i8; channels].into_boxed_slice();
                let mut expected = out.clone();
                let computed = backend.lrn(&parameters, &original, &mut out);
                assert_eq!(computed, lrn::pixel(&parameters, &original, &mut expected), "{}", backend.name());
                if computed.is_some() {
                    assert_eq!(out, expected, "{} channels {channels} size {size}", backend.name());
                }
            }
        }
    }
}

#[test]
fn short_slices_and_wrong_rules_are_refused() {
    let (patches, weights, mut out) = ([1; 16], [1; 64], [0; 8]);
    let (bias, multiplier, shift) = ([0; 4], [1 << 30; 4], [40; 4]);
    let table = ChannelTable { bias: &bias, multiplier: &multiplier, shift: &shift, weight_sum: &bias };
    for backend in available().filter(|backend| backend.reads_in_place()) {
        let good = Gemm {
            patches: &patches,
            patch_stride: 8,
            pixels: 2,
            depth: 8,
            runs: 1,
            run_stride: 0,
            weights: &weights,
            table,
            outputs: 4,
            output: Output { zero_point: 0, min: -128, max: 127 },
            output_stride: 4,
        };
        let mut run = |gemm: Gemm<'_>| backend.gemm(&gemm, &mut out);
        assert_eq!(run(good), Some(()));
        assert_eq!(run(Gemm { patches: &patches[..15], ..good }), None);
        assert_eq!(run(Gemm { weights: &weights[..31], ..good }), None);
        assert_eq!(run(Gemm { pixels: 3, ..good }), None);
        assert_eq!(run(Gemm { output_stride: 5, ..good }), None);
        assert_eq!(run(Gemm { outputs: 5, ..good }), None);
        assert_eq!(run(Gemm { table: ChannelTable { shift: &[63; 4], ..table }, ..good }), None);
        assert_eq!(run(Gemm { table: ChannelTable { multiplier: &[-1; 4], ..table }, ..good }), None);
    }
}
