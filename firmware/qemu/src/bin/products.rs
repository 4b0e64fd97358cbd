//! The best backend of the machine against the portable one: matrix products, sums and pools of many shapes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use tinception_core::arch::scalar::Scalar;
use tinception_core::arch::{AnyBackend, Backend, Gemm, PoolWindow, detect};
use tinception_core::kernels::ChannelTable;
use tinception_core::quant::Output;
use tinception_qemu::line::Line;
use tinception_qemu::machine::Outcome;
use tinception_qemu::program;
use tinception_qemu::random::Random;

const PIXELS: usize = 14;
const DEPTH: usize = 300;
const OUTPUTS: usize = 40;

/// All operands.
struct Operands {
    patches: [i8; PIXELS * (DEPTH + 4)],
    packed: [i8; 2 * PIXELS * (DEPTH + 4)],
    weights: [i8; OUTPUTS * DEPTH],
    tables: [[i32; OUTPUTS]; 3],
    out: [[i8; PIXELS * (OUTPUTS + 4)]; 2],
}

program!(run);

fn run() -> Outcome {
    let mut random = Random::new(0x2545_F491);
    let mut operands = Operands {
        patches: [0; PIXELS * (DEPTH + 4)],
        packed: [0; 2 * PIXELS * (DEPTH + 4)],
        weights: [0; OUTPUTS * DEPTH],
        tables: [[0; OUTPUTS]; 3],
        out: [[0; PIXELS * (OUTPUTS + 4)]; 2],
    };
    let backend = detect();
    for case in 0..400 {
        let shifts = [(33, 40), (30, 56), (1, 62), (50, 54)][case & 3];
        let limits = if case & 4 == 0 { (-128, 127) } else { (random.between(-128, 0), random.between(0, 127)) };
        if !product(backend, &mut operands, &mut random, shifts, limits).ok_or("a product is refused")? {
            Line::new().text("case ").number(case as i32).text(" differs").print();
            return Err("a product has other bits");
        }
    }
    Line::new().text("400 products have the portable bits").print();
    for _ in 0..200 {
        let depth = 4 * random.between(1, DEPTH as i32 / 4) as usize;
        random.fill(&mut operands.patches, -128, 127);
        random.fill(&mut operands.weights, -127, 127);
        let (patch, block) = (&operands.patches[..depth], &operands.weights[..4 * depth]);
        if backend.dot4(patch, block) != Scalar.dot4(patch, block) {
            return Err("a sum has other bits");
        }
    }
    Line::new().text("200 sums have the portable bits").print();
    for _ in 0..200 {
        random.fill(&mut operands.patches, -128, 127);
        let channels = random.between(1, 40) as usize;
        let (rows, columns) = (random.between(1, 4) as usize, random.between(1, 4) as usize);
        let window =
            PoolWindow { values: &operands.patches, pixel_stride: channels + 3, row_stride: 250, rows, columns };
        let limits = (random.between(-128, 0) as i8, random.between(0, 127) as i8);
        let [computed, expected] = &mut operands.out;
        let both = backend.max_pool(&window, limits, &mut computed[..channels]).and(Scalar.max_pool(
            &window,
            limits,
            &mut expected[..channels],
        ));
        if both.is_none() || computed[..channels] != expected[..channels] {
            return Err("a pool has other bits");
        }
    }
    Line::new().text("200 pools have the portable bits").print();
    Ok(())
}

/// Whether a random product has the portable bits; `None` where it is refused.
fn product(
    backend: AnyBackend,
    operands: &mut Operands,
    random: &mut Random,
    shifts: (i32, i32),
    (min, max): (i32, i32),
) -> Option<bool> {
    let pixels = random.between(1, PIXELS as i32) as usize;
    let depth = 4 * random.between(1, DEPTH as i32 / 4) as usize;
    let outputs = random.between(1, OUTPUTS as i32) as usize;
    let patch_stride = depth + random.between(0, 3) as usize;
    let output_stride = outputs + random.between(0, 3) as usize;
    random.fill(&mut operands.patches, -128, 127);
    random.fill(&mut operands.weights, -127, 127);
    let [bias, multiplier, shift] = &mut operands.tables;
    bias.fill_with(|| random.between(-(1 << 26), 1 << 26));
    multiplier.fill_with(|| random.between(0, i32::MAX));
    shift.fill_with(|| random.between(shifts.0, shifts.1));
    let zero_point = random.between(-128, 127) as i8;
    let mut gemm = Gemm {
        patches: &operands.patches,
        patch_stride,
        pixels,
        depth,
        runs: 1,
        run_stride: 0,
        weights: &operands.weights,
        table: ChannelTable { bias, multiplier, shift, weight_sum: &[0; OUTPUTS] },
        outputs,
        output: Output { zero_point, min: min as i8, max: max as i8 },
        output_stride,
    };
    let [computed, expected] = &mut operands.out;
    computed.fill(77);
    expected.fill(77);
    Scalar.gemm(&gemm, expected)?;
    if !backend.reads_in_place() {
        let packed = backend.packed_size(depth);
        for (slot, patch) in operands.packed.chunks_exact_mut(packed).zip(operands.patches.chunks(patch_stride)) {
            slot.get_mut(packed - depth..)?.copy_from_slice(patch.get(..depth)?);
            backend.pack(slot);
        }
        gemm = Gemm { patches: &operands.packed, patch_stride: packed, ..gemm };
    }
    backend.gemm(&gemm, computed)?;
    Some(computed == expected)
}
