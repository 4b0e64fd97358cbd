//! `tinception firmware-report`: what a model needs on a microcontroller, before anyone flashes one.
//!
//! Code, stack and instructions are measured, on the demo's image and under QEMU: see `firmware/qemu/check`, `run` and
//! `measure`. Instructions of a step follow from its shape by [`instructions`], whose coefficients are a least squares
//! fit to the layers that `measure` counts; it is within 6 % of each of them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tinception_core::model::{Checksum, Operator, Step};

use crate::output::{Align, grouped, json, table};
use crate::{shorten, tin};

/// Arguments of `firmware-report`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  tinception firmware-report nano.tin --target thumbv7em-none-eabihf")]
pub(crate) struct Args {
    /// Network in int8: a .tin file, or the name of a model on board
    #[arg(value_name = "FILE.tin")]
    file: PathBuf,
    /// Processor, by the name of its Rust target
    #[arg(long, value_enum, default_value_t = Target::Thumbv7em)]
    target: Target,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Processors of microcontrollers.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Cortex-M4 and M7
    #[value(name = "thumbv7em-none-eabihf")]
    Thumbv7em,
    /// Cortex-M33 with the DSP extension
    #[value(name = "thumbv8m.main-none-eabihf")]
    Thumbv8m,
    /// Cortex-M3
    #[value(name = "thumbv7m-none-eabi")]
    Thumbv7m,
    /// Cortex-M0 and M0+
    #[value(name = "thumbv6m-none-eabi")]
    Thumbv6m,
}

/// A board: its processor, and its flash and RAM in KiB.
struct Board {
    name: &'static str,
    target: Target,
    flash: usize,
    ram: usize,
}

/// Boards, and what their chips have in one piece: external flash counts where code runs from it.
const BOARDS: [Board; 8] = [
    Board { name: "nRF52840-DK", target: Target::Thumbv7em, flash: 1024, ram: 256 },
    Board { name: "Arduino Nano 33 BLE", target: Target::Thumbv7em, flash: 1024, ram: 256 },
    Board { name: "Nucleo-F446RE", target: Target::Thumbv7em, flash: 512, ram: 128 },
    Board { name: "Nucleo-H743ZI2", target: Target::Thumbv7em, flash: 2048, ram: 512 },
    Board { name: "Raspberry Pi Pico 2", target: Target::Thumbv8m, flash: 4096, ram: 512 },
    Board { name: "Raspberry Pi Pico", target: Target::Thumbv6m, flash: 2048, ram: 256 },
    Board { name: "micro:bit v1", target: Target::Thumbv6m, flash: 256, ram: 16 },
    Board { name: "Arduino Due", target: Target::Thumbv7m, flash: 512, ram: 64 },
];

/// Bytes of code and constants of the demo's image for a Cortex-M4, without the model: the others' are about the same.
const CODE: usize = 38_044;
/// Bytes of stack that QEMU's programs have used at most on any machine.
const STACK: usize = 7_696;
/// Bytes of a frame and the resize's scratch as the demo has them: 80x80 of RGB565.
const CAMERA: usize = 80 * 80 * 2 + 4096;

/// What is printed.
#[derive(Serialize)]
struct Report {
    file: String,
    code_bytes: usize,
    model_bytes: usize,
    flash_bytes: usize,
    arena_bytes: usize,
    camera_bytes: usize,
    stack_bytes: usize,
    ram_bytes: usize,
    macs: u64,
    /// Of the steps that there is an estimate for.
    instructions: Option<u64>,
    steps: Vec<StepReport>,
    boards: Vec<BoardReport>,
}

#[derive(Serialize)]
struct StepReport {
    name: String,
    operator: &'static str,
    macs: u64,
    instructions: Option<u64>,
}

#[derive(Serialize)]
struct BoardReport {
    name: &'static str,
    flash_bytes: usize,
    ram_bytes: usize,
    fits: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let model = tin::load(&args.file, Checksum::Verify)?;
    let has_dsp = matches!(args.target, Target::Thumbv7em | Target::Thumbv8m);
    let step = |step: Step<'_>| StepReport {
        name: step.name().to_owned(),
        operator: step.operator_name(),
        macs: step.macs(),
        instructions: instructions(&step).filter(|_| has_dsp),
    };
    let steps: Vec<StepReport> = model.steps().map(step).collect();
    let (flash, ram) = (CODE + model.file_size(), model.arena_size() + CAMERA + STACK);
    let boards = BOARDS.iter().filter(|board| board.target == args.target).map(|board| BoardReport {
        name: board.name,
        flash_bytes: board.flash << 10,
        ram_bytes: board.ram << 10,
        fits: flash <= board.flash << 10 && ram <= board.ram << 10,
    });
    let report = Report {
        file: args.file.display().to_string(),
        code_bytes: CODE,
        model_bytes: model.file_size(),
        flash_bytes: flash,
        arena_bytes: model.arena_size(),
        camera_bytes: CAMERA,
        stack_bytes: STACK,
        ram_bytes: ram,
        macs: steps.iter().map(|step| step.macs).fold(0, u64::saturating_add),
        instructions: has_dsp.then(|| steps.iter().filter_map(|step| step.instructions).sum()),
        boards: boards.collect(),
        steps,
    };
    if args.json {
        json(out, &report)?
    } else {
        print(out, &report)?
    }
    Ok(ExitCode::SUCCESS)
}

/// Instructions of a step with SXTB16 and SMLAD; `None` for operators that have not been measured.
fn instructions(step: &Step<'_>) -> Option<u64> {
    let output = step.output.shape;
    let (pixels, elements) = (output.pixels() as f64, output.elements() as f64);
    let estimate = match (&step.operator, step.layout()) {
        (Operator::Conv(_), Some(layout)) if layout.depthwise => return None,
        (Operator::Conv(conv), Some(layout)) => {
            // Rows of a kernel are padded to 4 elements each; a patch longer than 128 is widened for each 32 channels.
            let row = conv.window.kernel_width as usize * layout.group_inputs;
            let rows = if conv.window.area() == 1 { 1 } else { conv.window.kernel_height as usize };
            let depth = (rows * row.next_multiple_of(4)) as f64;
            let groups = conv.groups as f64;
            let widened = if depth > 128.0 { layout.padded_outputs.div_ceil(32) as f64 } else { 1.0 };
            let products = depth * layout.padded_outputs as f64 * groups;
            pixels * (0.839 * products + 3.36 * depth * widened * groups + 76.9) + 9.68 * elements
        }
        (Operator::MaxPool(pool), _) => 5.3 * (pool.window.area() - 1) as f64 * elements,
        (Operator::AveragePool(pool), _) => 14.4 * pool.window.window.area() as f64 * elements,
        (Operator::Lrn(_), _) => 50.0 * elements,
        (Operator::Softmax(_) | Operator::Sigmoid(_), _) => 1263.0 * elements,
        _ => return None,
    };
    Some(estimate as u64)
}

fn print(out: &mut dyn Write, report: &Report) -> Result<()> {
    let bytes = |count: usize| grouped(count as u64);
    let Report { file, flash_bytes, code_bytes, model_bytes, ram_bytes, .. } = report;
    writeln!(out, "{file}")?;
    writeln!(
        out,
        "flash         {}: {} of code, {} of model",
        bytes(*flash_bytes),
        bytes(*code_bytes),
        bytes(*model_bytes)
    )?;
    writeln!(
        out,
        "RAM           {}: {} of arena, {} for a frame and for resizing it, {} of stack",
        bytes(*ram_bytes),
        bytes(report.arena_bytes),
        bytes(report.camera_bytes),
        bytes(report.stack_bytes)
    )?;
    writeln!(out, "MACs          {}", grouped(report.macs))?;
    match report.instructions {
        Some(count) => writeln!(out, "instructions  about {}", grouped(count))?,
        None => writeln!(out, "instructions  not measured on this processor")?,
    }
    writeln!(out, "\nSteps")?;
    let count = |count: Option<u64>| count.map_or_else(|| "not measured".into(), grouped);
    let names = shorten::names(report.steps.iter().map(|step| step.name.as_str()));
    let row = |(step, name): (&StepReport, String)| {
        [name, step.operator.into(), grouped(step.macs), count(step.instructions)]
    };
    let rows: Vec<_> = report.steps.iter().zip(names).map(row).collect();
    let (left, right) = (|title| (title, Align::Left), |title| (title, Align::Right));
    table(out, [left("name"), left("operator"), right("MACs"), right("instructions")], &rows)?;
    writeln!(out, "\nBoards")?;
    let row = |board: &BoardReport| {
        let fits = if board.fits { "fits" } else { "too small" };
        [board.name.into(), bytes(board.flash_bytes), bytes(board.ram_bytes), fits.into()]
    };
    let rows: Vec<_> = report.boards.iter().map(row).collect();
    table(out, [left("board"), right("flash"), right("RAM"), left("")], &rows)
}
