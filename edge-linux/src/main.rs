//! `tinception`: classifies pictures with int8 networks (`.tin`, through tinception-core) and float ones (`.onnx`,
//! through tract), and compiles the one into the other.
//!
//! ```text
//! picture file -> picture -> preprocess -> engine (core | tract) -> scores -> commands
//! ```
//!
//! Exit codes: 0 where all went well, 1 where a self-test fails or the system has no descriptor or memory left, 2 for bad
//! input, with one line on stderr for each.

mod backend;
#[cfg(feature = "tract")]
mod calibration;
#[cfg(feature = "camera")]
mod camera;
mod cli;
mod commands;
mod destination;
mod engine;
mod files;
mod labels;
mod limits;
mod memory;
#[cfg(feature = "mqtt")]
mod mqtt;
mod output;
mod parallel;
mod picture;
mod plot;
mod preprocess;
mod ranking;
mod resize;
#[cfg(feature = "serve")]
mod serve;
mod shorten;
#[cfg(feature = "camera")]
mod systemd;
mod terminal;
mod threads;
mod tin;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = terminal::Plain(BufWriter::new(io::stdout().lock()));
    let result = cli::Cli::read().and_then(|cli| {
        let code = commands::run(&cli.command, &mut out)?;
        out.flush()?;
        Ok(code)
    });
    match result {
        Ok(code) => code,
        // The reader of a pipe has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::report_error(&error);
            if output::is_shortage(&error) { ExitCode::FAILURE } else { output::BAD_INPUT.into() }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        cause.downcast_ref().is_some_and(pipe)
            || cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind)
                == Some(io::ErrorKind::BrokenPipe)
    })
}
