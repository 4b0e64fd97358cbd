//! The commands, a file each.

pub(crate) mod bench;
#[cfg(feature = "camera")]
pub(crate) mod camera;
#[cfg(feature = "camera")]
pub(crate) mod camera_config;
#[cfg(feature = "mqtt")]
pub(crate) mod camera_mqtt;
#[cfg(feature = "serve")]
pub(crate) mod camera_page;
#[cfg(feature = "camera")]
pub(crate) mod cameras;
pub(crate) mod classify;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod fetch;
pub(crate) mod firmware_report;
pub(crate) mod import;
pub(crate) mod inspect;
#[cfg(feature = "manual")]
pub(crate) mod manual;
pub(crate) mod quantize;
pub(crate) mod selftest;
pub(crate) mod zoo;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Command;

/// Runs a command. What it prints goes to `out`.
pub(crate) fn run(command: &Command, out: &mut dyn Write) -> Result<ExitCode> {
    match command {
        Command::Demo(args) => demo::run(args, out),
        Command::Import(args) => import::run(args, out),
        Command::Quantize(args) => quantize::run(args, out),
        Command::Classify(args) => classify::run(args, out),
        #[cfg(feature = "camera")]
        Command::Camera(args) => camera::run(args, out),
        #[cfg(feature = "camera")]
        Command::Cameras(args) => cameras::run(args, out),
        Command::Eval(args) => eval::run(args, out),
        Command::Compare(args) => compare::run(args, out),
        Command::Inspect(args) => inspect::run(args, out),
        Command::Selftest(args) => selftest::run(args, out),
        Command::Bench(args) => bench::run(args, out),
        #[cfg(feature = "manual")]
        Command::Manual(args) => manual::run(args),
        Command::Zoo(args) => zoo::run(args, out),
        Command::Fetch(args) => fetch::run(args, out),
        Command::FirmwareReport(args) => firmware_report::run(args, out),
    }
}

/// Refuses: this program cannot fetch anything.
#[cfg(not(feature = "zoo"))]
fn require_zoo() -> Result<()> {
    anyhow::bail!(
        "this tinception was built without the list of public weights; build it with `cargo build -p tinception \
         --features zoo`"
    )
}
