//! Runs one convolution some times, to be counted from outside. Arguments: LAYER RUNS; without them, the layers' names
//! and products.
#![cfg_attr(target_os = "none", no_std, no_main)]

use tinception_core::arch::detect;
use tinception_core::kernels::conv::{self, Conv, Layout};
#[cfg(feature = "winograd")]
use tinception_core::kernels::winograd;
use tinception_core::kernels::{ChannelTable, Pixels, PixelsMut};
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_qemu::line::Line;
use tinception_qemu::machine::{Arguments, Memory, Outcome};
use tinception_qemu::program;
use tinception_qemu::random::Random;

/// Kernel, side of the picture, input and output channels. Stride 1, as much padding as keeps the size.
type Layer = (u32, u32, u32, u32);

const DIRECT: [Layer; 6] =
    [(1, 16, 64, 64), (3, 16, 32, 32), (3, 32, 3, 16), (5, 8, 16, 32), (1, 8, 128, 64), (3, 8, 96, 128)];

/// Those that run from transformed weights, which take memory that not every machine has.
#[cfg(feature = "winograd")]
const WINOGRAD: [Layer; 2] = [(3, 16, 32, 32), (3, 8, 96, 128)];
#[cfg(not(feature = "winograd"))]
const WINOGRAD: [Layer; 0] = [];

/// Patches that the compiler gives a convolution scratch for, and the least scratch in bytes: what nano's file states.
const PATCHES: usize = 16;
const LEAST_SCRATCH: usize = 4032;

static INPUT: Memory<16_384> = Memory::filled(0);
static WEIGHTS: Memory<110_592> = Memory::filled(0);
static OUTPUT: Memory<16_384> = Memory::filled(0);
static SCRATCH: Memory<16_384> = Memory::filled(0);

#[cfg(feature = "winograd")]
static TRANSFORMED: Memory<196_608, i16> = Memory::filled(0);

program!(run);

fn run() -> Outcome {
    let arguments = Arguments::get();
    let Some(index) = arguments.nth(0).and_then(|index| index.parse::<usize>().ok()) else {
        let ways = DIRECT.iter().map(|layer| (*layer, "")).chain(WINOGRAD.iter().map(|layer| (*layer, "-winograd")));
        for ((kernel, side, inputs, outputs), way) in ways {
            let macs = kernel * kernel * side * side * inputs * outputs;
            let mut name = Line::new();
            name.number(kernel as i32).text("x").number(kernel as i32).text(way).text(" ");
            let shape = name.number(side as i32).text("x").number(side as i32).text("x").number(inputs as i32);
            shape.text("->").number(outputs as i32).text(" ").number(macs as i32).print();
        }
        return Ok(());
    };
    let runs = arguments.nth(1).and_then(|runs| runs.parse::<u32>().ok()).ok_or("no number of runs")?;
    let layer = DIRECT.iter().chain(&WINOGRAD).nth(index).ok_or("no such layer")?;
    layer_runs(*layer, index >= DIRECT.len(), runs).ok_or("the layer cannot run")
}

/// The weights, transformed.
#[cfg(feature = "winograd")]
fn transformed(layout: &Layout, weights: &[i8]) -> Option<&'static [i16]> {
    let transformed = TRANSFORMED.take()?.get_mut(..winograd::size(layout))?;
    winograd::prepare(layout, weights, transformed)?;
    Some(transformed)
}

#[cfg(not(feature = "winograd"))]
fn transformed(_: &Layout, _: &[i8]) -> Option<&'static [i16]> {
    None
}

fn layer_runs((kernel, side, inputs, outputs): Layer, by_winograd: bool, runs: u32) -> Option<()> {
    let mut random = Random::new(0x9E37_79B9);
    let input = INPUT.take()?.get_mut(..(side * side * inputs) as usize)?;
    random.fill(input, -128, 127);
    let weights = WEIGHTS.take()?;
    random.fill(weights, -127, 127);
    let mut table = [[0; 128]; 3];
    let [bias, multiplier, shift] = &mut table;
    bias.fill_with(|| random.between(-100_000, 100_000));
    multiplier.fill_with(|| random.between(1 << 30, i32::MAX));
    shift.fill_with(|| random.between(38, 42));

    let pad = kernel / 2;
    let padding = Padding { top: pad, left: pad, bottom: pad, right: pad };
    let window = Window { kernel_height: kernel, kernel_width: kernel, stride_height: 1, stride_width: 1, padding };
    let layout = Layout::new(&window, 1, inputs, outputs)?;
    let weights = weights.get(..layout.weights)?;
    let conv = Conv {
        window,
        groups: 1,
        weights,
        winograd: if by_winograd { Some(transformed(&layout, weights)?) } else { None },
        table: ChannelTable { bias, multiplier, shift, weight_sum: &[0; 128] },
        input_zero_point: -3,
        output: Output { zero_point: -7, min: -128, max: 127 },
    };
    let needed = (PATCHES * layout.padded_depth).max(LEAST_SCRATCH);
    let scratch = SCRATCH.take()?.get_mut(..needed)?;
    let out = OUTPUT.take()?;
    for _ in 0..runs {
        let from = Pixels::new(input, Shape::new(side, side, inputs), inputs as usize)?;
        let mut to = PixelsMut::new(out, Shape::new(side, side, outputs), outputs as usize)?;
        conv::run(detect(), &conv, from, &mut to, scratch)?;
    }
    Some(())
}
