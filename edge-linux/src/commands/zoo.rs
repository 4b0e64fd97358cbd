//! `tinception zoo`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

/// Arguments of `zoo`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
These files are others' work; `tinception fetch NAME` brings one from its publisher or a mirror and checks its hash.")]
pub(crate) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
#[cfg(feature = "zoo")]
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    list::run(args, out)
}

/// Says that this program lacks what the command needs.
#[cfg(not(feature = "zoo"))]
pub(crate) fn run(_: &Args, _: &mut dyn Write) -> Result<ExitCode> {
    super::require_zoo()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "zoo")]
mod list {
    use serde::Serialize;
    use tinception_models::zoo::{ENTRIES, Entry};

    use super::*;
    use crate::output::json;

    /// An entry as it is printed.
    #[derive(Serialize)]
    struct Row {
        name: &'static str,
        about: &'static str,
        file: &'static str,
        megabytes: u32,
        hash: String,
        licence: &'static str,
        urls: &'static [&'static str],
        architecture: Option<&'static str>,
        preprocessing: String,
        labels: &'static str,
    }

    pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
        let rows: Vec<Row> = ENTRIES.iter().map(row).collect();
        if args.json {
            json(out, &rows)?;
            return Ok(ExitCode::SUCCESS);
        }
        for row in rows {
            writeln!(out, "{}", row.name)?;
            writeln!(out, "  what           {}, {} MB", row.about, row.megabytes)?;
            writeln!(out, "  file           {}, {}", row.file, row.hash)?;
            writeln!(out, "  licence        {}", row.licence)?;
            writeln!(out, "  preprocessing  {}", row.preprocessing)?;
            writeln!(out, "  labels         {}", row.labels)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn row(entry: &Entry) -> Row {
        let stated = entry.architecture.map(|architecture| architecture.preprocessing(architecture.size()).to_string());
        Row {
            name: entry.name,
            about: entry.about,
            file: entry.download.file,
            megabytes: entry.megabytes,
            hash: entry.download.digest.to_string(),
            licence: entry.licence,
            urls: entry.download.urls,
            architecture: entry.architecture.map(|architecture| architecture.name()),
            preprocessing: stated.or(entry.preset.map(|preset| format!("--preset {preset}"))).unwrap_or_default(),
            labels: entry.labels,
        }
    }
}
