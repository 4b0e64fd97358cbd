//! The command line.

use anyhow::Result;
#[cfg(feature = "camera")]
use clap::CommandFactory as _;
use clap::{Parser, Subcommand};

#[cfg(feature = "manual")]
use crate::commands::manual;
use crate::commands::{
    bench, classify, compare, demo, eval, fetch, firmware_report, import, inspect, quantize, selftest, zoo,
};
#[cfg(feature = "camera")]
use crate::commands::{camera, camera_config, cameras};
use crate::terminal::{is_obeyed, plain};

/// Classifies pictures with convolutional networks: int8 (.tin) with the same bits on every processor, float (.onnx)
/// for comparison, and compiles the one into the other.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "See what it does, with nothing fetched:\n  \
        tinception demo\n  \
        tinception classify photo.jpg\n\n\
        Compile a network, then classify a photo with it:\n  \
        tinception quantize googlenet.onnx --calibration photos/ --labels synset_words.txt \\\n      \
        --preset caffe-imagenet -o googlenet.tin\n  \
        tinception classify photo.jpg --model googlenet.tin\n\n\
        Exit codes: 0 success, 1 a self-test that fails or no memory or descriptor left, 2 bad input (one line on stderr \
        for each)."
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line, with the options of the file that it names. Ends the program where it is wrong or asks for
    /// help.
    ///
    /// # Errors
    ///
    /// A file that is wrong.
    pub(crate) fn read() -> Result<Self> {
        #[cfg(feature = "camera")]
        if let Some(expanded) = camera_config::expand(&Self::command(), &std::env::args_os().collect::<Vec<_>>())? {
            return match Self::try_parse_from(&expanded.line) {
                Ok(cli) => Ok(cli),
                // The command line alone is right.
                Err(error) if Self::try_parse().is_ok() => Err(expanded.blame(&error)),
                Err(error) => end(&error),
            };
        }
        Ok(Self::try_parse().unwrap_or_else(|error| end(&error)))
    }
}

/// Ends the program with what clap says: help, or what is wrong with the command line. Arguments can be names that a
/// stranger chose, as `*.jpg` gives them.
fn end(error: &clap::Error) -> ! {
    let text = error.to_string();
    if text.lines().any(|line| line.contains(is_obeyed)) {
        let lines: Vec<_> = text.lines().map(plain).collect();
        eprintln!("{}", lines.join("\n"));
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the models on board see on the photos on board
    Demo(demo::Args),
    /// Build a float network (.onnx) from a file of weights: PyTorch, safetensors, Caffe
    Import(import::Args),
    /// Compile a float network (.onnx) into an int8 one (.tin)
    Quantize(quantize::Args),
    /// Say what is on pictures
    Classify(classify::Args),
    /// Say what a camera sees, frame by frame
    #[cfg(feature = "camera")]
    Camera(Box<camera::Args>),
    /// List cameras, their formats and sizes
    #[cfg(feature = "camera")]
    Cameras(cameras::Args),
    /// Measure a network's accuracy on labelled pictures
    Eval(eval::Args),
    /// Compare the int8 network with the float one, layer by layer
    Compare(compare::Args),
    /// Show what a .tin file holds: steps, shapes, quantisation, memory map, provenance
    Inspect(inspect::Args),
    /// Run a .tin file's self-test on this machine
    Selftest(selftest::Args),
    /// Time a network, whole and per step
    Bench(bench::Args),
    /// Say what a .tin file needs on a microcontroller: flash, RAM, instructions, and which boards it fits
    FirmwareReport(firmware_report::Args),
    /// List the models on board and public weights
    Zoo(zoo::Args),
    /// Fetch public weights, verified
    Fetch(fetch::Args),
    /// Write manual pages and completions
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Manual(manual::Args),
}
