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

/// Classifies pictures with convolutional networks. A network in int8 (.tin) gives the same bits on every processor; it is
/// compiled from a network in float (.onnx), which runs, too, for comparison.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "See what it does, with nothing fetched:\n  \
        tinception demo\n  \
        tinception classify photo.jpg\n\n\
        Compile a network, then classify a photo with it:\n  \
        tinception quantize googlenet.onnx --calibration photos/ \\\n      \
        --labels synset_words.txt --preset caffe-imagenet -o googlenet.tin\n  \
        tinception classify photo.jpg --model googlenet.tin\n\n\
        Exit codes: 0 for success; 1 if a self-test fails, or if the system runs out of memory or file descriptors; 2 \
        for bad input, with one line on standard error for each error."
)]
pub(crate) struct Cli {
    /// What the program is to do.
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

/// What the program can be told to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Classify the photos on board with the models on board
    Demo(demo::Args),
    /// Build a float network (.onnx) from a file of weights: PyTorch, safetensors, Caffe
    Import(import::Args),
    /// Compile a float network (.onnx) into an int8 one (.tin)
    Quantize(quantize::Args),
    /// Classify pictures
    Classify(classify::Args),
    /// Classify what a camera sees, frame by frame
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
    /// Measure how long a network takes, as a whole and step by step
    Bench(bench::Args),
    /// Estimate what a .tin file needs on a microcontroller: flash, RAM, instructions, and the boards that it fits
    FirmwareReport(firmware_report::Args),
    /// List the models on board and public weights
    Zoo(zoo::Args),
    /// Fetch public weights and verify them
    Fetch(fetch::Args),
    /// Write manual pages and completions
    #[cfg(feature = "manual")]
    #[command(hide = true)]
    Manual(manual::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// The text behind the options of each command, with the command's name.
    fn texts() -> Vec<(String, String)> {
        let program = Cli::command();
        let commands = program.get_subcommands().chain([&program]);
        let text =
            |command: &clap::Command| Some((command.get_name().to_owned(), command.get_after_help()?.to_string()));
        commands.filter_map(text).collect()
    }

    #[test]
    fn sentences_are_broken_by_the_terminal_alone() {
        let texts = texts();
        assert!(texts.len() >= 10, "{texts:?}");
        for (command, text) in texts {
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2) {
                let is_text = |line: &str| !line.is_empty() && !line.starts_with(' ');
                assert!(!is_text(pair[0]) || !is_text(pair[1]), "{command}: {pair:?}");
            }
        }
    }

    #[test]
    fn commands_and_lists_fit_in_eighty_columns() {
        for (command, text) in texts() {
            for line in text.lines().filter(|line| line.starts_with(' ')) {
                assert!(line.chars().count() <= 80, "{command}: {line}");
            }
        }
    }
}
