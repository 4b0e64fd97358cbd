//! `tinception fetch`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

/// Arguments of `fetch`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
If a download is interrupted, run the command again: it continues where it stopped. The file gets its name only once its \
SHA-256 is known to be the published one.\n\n\
Example:\n  tinception fetch googlenet-caffe\n  \
tinception import bvlc_googlenet.caffemodel --arch googlenet-caffe \\\n    -o googlenet.onnx")]
pub(crate) struct Args {
    /// Name of the weights, as `tinception zoo` lists them
    #[arg(value_name = "NAME")]
    name: String,
    /// Folder to put the file into
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Address to take the file from instead of the published ones; its hash must be the published one all the same
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[cfg(feature = "zoo")]
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    download::run(args, out)
}

/// Says that this program lacks what the command needs.
#[cfg(not(feature = "zoo"))]
pub(crate) fn run(_: &Args, _: &mut dyn Write) -> Result<ExitCode> {
    super::require_zoo()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "zoo")]
mod download {
    use anyhow::bail;
    use indicatif::{ProgressBar, ProgressStyle};
    use serde::Serialize;
    use tinception_models::zoo::{self, Download, ENTRIES, Entry, Progress};

    use super::*;
    use crate::output::{file_error, json, shows_progress};

    /// What is printed.
    #[derive(Serialize)]
    struct Report {
        name: &'static str,
        file: String,
        was_there: bool,
        hash: String,
        licence: &'static str,
    }

    pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
        let Some(entry) = zoo::find(&args.name) else {
            let names: Vec<_> = ENTRIES.iter().map(|entry| entry.name).collect();
            bail!("{}: there are no weights of this name; the known names are {}", args.name, names.join(", "));
        };
        if !args.folder.is_dir() {
            return Err(file_error(&args.folder, "there is no such folder; make it first"));
        }
        let urls: Vec<&str> = match &args.from {
            Some(url) => vec![url],
            None => entry.download.urls.to_vec(),
        };
        let bar = bar(args.json);
        let show = |progress: Progress| {
            if let Some(total) = progress.total {
                bar.set_length(total);
            }
            bar.set_position(progress.done);
        };
        let fetched = zoo::fetch(Download { urls: &urls, ..entry.download }, &args.folder, show);
        bar.finish_and_clear();
        let fetched = fetched?;
        let report = Report {
            name: entry.name,
            file: fetched.path.display().to_string(),
            was_there: fetched.was_there,
            hash: entry.download.digest.to_string(),
            licence: entry.licence,
        };
        if args.json {
            json(out, &report)?
        } else {
            print(out, &report, entry)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn bar(quiet: bool) -> ProgressBar {
        if quiet || !shows_progress() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
        ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    }

    fn print(out: &mut dyn Write, report: &Report, entry: &Entry) -> Result<()> {
        let how = if report.was_there { "was there" } else { "fetched" };
        writeln!(out, "{how:<9} {}, {}", report.file, report.hash)?;
        writeln!(out, "licence   {}", report.licence)?;
        writeln!(out, "labels    {}", entry.labels)?;
        let file = &report.file;
        match (entry.architecture, entry.preset) {
            (Some(architecture), _) => {
                let name = architecture.name();
                writeln!(out, "next      tinception import {file} --arch {name} -o {name}.onnx")?;
            }
            (None, preset) => {
                let preset = preset.map(|preset| format!(" --preset {preset}")).unwrap_or_default();
                writeln!(
                    out,
                    "next      tinception quantize {file}{preset} --calibration PICTURES -o {}.tin",
                    entry.name
                )?;
            }
        }
        Ok(())
    }
}
