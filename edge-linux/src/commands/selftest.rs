//! `tinception selftest`.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tinception_core::arch::{self, AnyBackend, Backend};
use tinception_core::model::{Checksum, Model};
use tinception_core::selftest::fill_input;
use tinception_core::session::Hashes;

use crate::output::{MISMATCH, file_error, json};
use crate::{backend, limits, tin};

/// Arguments of `selftest`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The network runs on the file's test input, on every backend that this machine has, and the CRC-32 of each step's output is \
compared with the one in the file. The exit code is 1 if any step differs.\n\n\
Example:\n  tinception selftest googlenet.tin")]
pub(crate) struct Args {
    /// Network in int8: a .tin file, or the name of a model on board
    #[arg(value_name = "FILE.tin")]
    file: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Load a file even if its checksum is wrong
    #[arg(long)]
    skip_checksum: bool,
}

/// How a backend did.
#[derive(Serialize)]
struct Report {
    backend: &'static str,
    steps: usize,
    equal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<Difference>,
}

/// A step whose output is not the one that the file's maker got.
#[derive(Serialize)]
struct Difference {
    index: usize,
    name: String,
    expected: String,
    found: String,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let checksum = if args.skip_checksum { Checksum::Skip } else { Checksum::Verify };
    let model = tin::load(&args.file, checksum)?;
    let Some(seed) = model.self_test_seed().filter(|_| model.self_test_hashes().next().is_some()) else {
        return Err(file_error(&args.file, "holds no self-test; compile the network again"));
    };
    let reports = arch::available().map(|backend| {
        limits::check(&args.file, &model, backend, 1)?;
        test(&model, seed, backend)
    });
    let reports = reports.collect::<Result<Vec<_>>>()?;
    if args.json {
        json(out, &reports)?;
    } else {
        for report in &reports {
            print(out, report)?;
        }
    }
    Ok(if reports.iter().all(|report| report.equal) { ExitCode::SUCCESS } else { MISMATCH.into() })
}

fn test(model: &Model<'static>, seed: u32, backend: AnyBackend) -> Result<Report> {
    let mut session = backend::session(model, &backend::prepare(model, backend)?, None)?;
    if let Some(input) = model.input() {
        fill_input(seed, input.shape, session.input_mut());
    }
    let (mut all_expected, mut difference) = (model.self_test_hashes(), None);
    session.run_observed(&mut Hashes::new(|index, step, found| {
        let expected = all_expected.next();
        if expected != Some(found) && difference.is_none() {
            let expected = expected.map_or_else(|| "none".into(), |hash| format!("{hash:08x}"));
            difference =
                Some(Difference { index, name: step.name().to_owned(), expected, found: format!("{found:08x}") });
        }
        ControlFlow::Continue(())
    }))?;
    let steps = model.step_count();
    Ok(Report { backend: backend.name(), steps, equal: difference.is_none(), first_difference: difference })
}

fn print(out: &mut dyn Write, report: &Report) -> Result<()> {
    let Report { backend, steps, .. } = report;
    match &report.first_difference {
        None => writeln!(out, "{backend}: {steps} steps, all equal")?,
        Some(Difference { index, name, expected, found }) => {
            writeln!(out, "{backend}: step {index} ({name}) differs first: expected {expected}, found {found}")?;
        }
    }
    Ok(())
}
