//! Every backend's matrix product against the portable one, on shapes around the tiles' sizes and on extreme values.
// Under Miri there is the portable backend alone, and nothing to compare it with.
#![cfg(not(miri))]

use tinception_core::arch::scalar::Scalar;
use tinception_core::arch::{Backend, Gemm, available};
use tinception_core::kernels::ChannelTable;
use tinception_core::quant::Output;

/// A small generator (xorshift, Marsaglia 2003), so that failures repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn activations(&mut self, count: usize, extreme: bool) -> Vec<i8> {
        (0..count).map(|_| if extreme { [-128, 127][self.next() as usize % 2] } else { self.next() as i8 }).collect()
    }

    fn weights(&mut self, count: usize, extreme: bool) -> Vec<i8> {
        let range = |random: &mut Self| random.between(-127, 127) as i8;
        (0..count).map(|_| if extreme { [-127, 127][self.next() as usize % 2] } else { range(self) }).collect()
    }
}

struct Case {
    pixels: usize,
    depth: usize,
    outputs: usize,
    shifts: (i64, i64),
    extreme: bool,
}

/// Runs the case on every backend: the patches as they lie, the output with gaps that must stay as they are.
fn check(random: &mut Random, case: &Case) {
    let &Case { pixels, depth, outputs, shifts, extreme } = case;
    let padded = outputs.next_multiple_of(4);
    let weights = random.weights(padded * depth, extreme);
    let limit = i64::from(i32::MAX) - 16384 * depth as i64;
    let bias_limit = if extreme { limit } else { 100_000 };
    let bias: Vec<i32> = (0..padded).map(|_| random.between(-bias_limit, bias_limit) as i32).collect();
    let shift: Vec<i32> = (0..padded).map(|_| random.between(shifts.0, shifts.1) as i32).collect();
    let multiplier: Vec<i32> = (0..padded)
        .map(|_| if extreme { i32::MAX - random.between(0, 1) as i32 } else { random.between(0, (1 << 31) - 1) as i32 })
        .collect();
    let weight_sum = vec![0; padded];
    let table = ChannelTable { bias: &bias, multiplier: &multiplier, shift: &shift, weight_sum: &weight_sum };
    let (low, high) = (random.between(-128, 127), random.between(-128, 127));
    let output = Output {
        zero_point: random.between(-128, 127) as i8,
        min: if random.next().is_multiple_of(2) { -128 } else { low.min(high) as i8 },
        max: if random.next().is_multiple_of(2) { 127 } else { low.max(high) as i8 },
    };
    let output_stride = outputs + random.between(0, 5) as usize;
    let out_size = (pixels - 1) * output_stride + outputs;
    let run = |backend: &dyn Fn(&Gemm<'_>, &mut [i8]) -> Option<()>, patches: &[i8], patch_stride: usize| {
        let gemm = Gemm {
            patches,
            patch_stride,
            pixels,
            depth,
            runs: 1,
            run_stride: 0,
            weights: &weights,
            table,
            outputs,
            output,
            output_stride,
        };
        let mut out = vec![55; out_size];
        backend(&gemm, &mut out).expect("the case is consistent");
        out
    };
    // An odd gap between the patches misaligns them.
    let stride = depth + random.between(0, 3) as usize;
    let patches = random.activations((pixels - 1) * stride + depth, extreme);
    let expected = run(&|gemm, out| Scalar.gemm(gemm, out), &patches, stride);
    for backend in available() {
        let packed = backend.packed_size(depth);
        let computed = if backend.reads_in_place() {
            run(&|gemm, out| backend.gemm(gemm, out), &patches, stride)
        } else {
            let mut slots = vec![0; packed * pixels];
            for (slot, patch) in slots.chunks_exact_mut(packed).zip(patches.chunks(stride)) {
                slot[packed - depth..].copy_from_slice(&patch[..depth]);
                backend.pack(slot);
            }
            run(&|gemm, out| backend.gemm(gemm, out), &slots, packed)
        };
        let name = backend.name();
        assert_eq!(computed, expected, "{name}: {pixels} pixels, depth {depth}, {outputs} outputs, shifts {shifts:?}");
        let patch = &patches[..depth];
        let block = &weights[..4 * depth];
        assert_eq!(backend.dot4(patch, block), Scalar.dot4(patch, block), "{name}: dot4 of depth {depth}");
    }
}

#[test]
fn every_remainder_gives_the_portable_bits() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for pixels in 1..=9 {
        for depth in [4, 8, 12, 16, 20, 28, 32, 64, 148] {
            let outputs = random.between(1, 60) as usize;
            check(&mut random, &Case { pixels, depth, outputs, shifts: (33, 45), extreme: false });
        }
    }
    for outputs in 1..=80 {
        let pixels = random.between(1, 12) as usize;
        check(&mut random, &Case { pixels, depth: 36, outputs, shifts: (36, 41), extreme: false });
    }
}

#[test]
fn every_shift_gives_the_portable_bits() {
    let mut random = Random(0xD1B5_4A32_D192_ED03);
    for shift in 1..=62 {
        for extreme in [false, true] {
            check(&mut random, &Case { pixels: 5, depth: 24, outputs: 27, shifts: (shift, shift), extreme });
            check(&mut random, &Case { pixels: 3, depth: 40, outputs: 30, shifts: (1, 62), extreme });
        }
    }
}

#[test]
fn extreme_values_do_not_overflow() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for depth in [4, 60, 1024, 4096] {
        for shifts in [(31, 33), (40, 44), (60, 62)] {
            check(&mut random, &Case { pixels: 9, depth, outputs: 28, shifts, extreme: true });
        }
    }
}

#[test]
fn too_short_slices_are_refused() {
    let patches = [1; 32];
    let weights = [1; 64];
    let entries = [40; 4];
    let table = ChannelTable { bias: &entries, multiplier: &entries, shift: &entries, weight_sum: &entries };
    let output = Output { zero_point: 0, min: -128, max: 127 };
    let gemm = Gemm {
        patches: &patches,
        patch_stride: 16,
        pixels: 2,
        depth: 16,
        runs: 1,
        run_stride: 0,
        weights: &weights,
        table,
        outputs: 4,
        output,
        output_stride: 4,
    };
    for backend in available().filter(|backend| backend.reads_in_place()) {
        assert_eq!(backend.gemm(&gemm, &mut [0; 8]), Some(()), "{}", backend.name());
        assert_eq!(backend.gemm(&gemm, &mut [0; 7]), None, "{}", backend.name());
        assert_eq!(backend.gemm(&Gemm { patches: &patches[1..], ..gemm }, &mut [0; 8]), None, "{}", backend.name());
    }
}
