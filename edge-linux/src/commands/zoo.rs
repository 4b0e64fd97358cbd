//! `tinception zoo`: the models on board, and public weights.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tinception_core::model::Checksum;
use tinception_models::artefacts::{self, Artefact, MODELS};

use crate::output::{grouped, json};
use crate::tin;

/// Arguments of `zoo`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Models on board are part of the program. Their names can be given wherever a .tin file can, as in `tinception classify \
photo.jpg --model nano`. Public weights were published by others: `tinception fetch NAME` downloads them from their publisher \
or a mirror and verifies their hash.")]
pub(crate) struct Args {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Everything there is.
#[derive(Serialize)]
struct Zoo {
    on_board: Vec<OnBoard>,
    public: Vec<Public>,
}

/// A model on board, as it is printed.
#[derive(Serialize)]
struct OnBoard {
    name: &'static str,
    about: &'static str,
    default: bool,
    file_bytes: usize,
    ram_bytes: usize,
    top1_percent: &'static str,
    measured_on: &'static str,
    licence: &'static str,
}

/// Public weights, as they are printed.
#[derive(Serialize)]
struct Public {
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

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let zoo = Zoo { on_board: MODELS.iter().map(on_board).collect::<Result<_>>()?, public: public() };
    if args.json {
        json(out, &zoo)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "On board, nothing to fetch:\n")?;
    for row in &zoo.on_board {
        writeln!(out, "{}{}", row.name, if row.default { "  (used if no model is named)" } else { "" })?;
        writeln!(out, "  what           {}", row.about)?;
        let (file, ram) = (grouped(row.file_bytes as u64), grouped(row.ram_bytes as u64));
        writeln!(out, "  size           {file} bytes, {ram} bytes of RAM")?;
        writeln!(out, "  top-1          {} % of {}", row.top1_percent, row.measured_on)?;
        writeln!(out, "  licence        {}", row.licence)?;
    }
    if zoo.public.is_empty() {
        writeln!(out, "\nPublic weights: this tinception was built without the feature `zoo`, which fetches them")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "\nPublic weights, for `tinception fetch NAME`:\n")?;
    for row in &zoo.public {
        writeln!(out, "{}", row.name)?;
        writeln!(out, "  what           {}, {} MB", row.about, row.megabytes)?;
        writeln!(out, "  file           {}, {}", row.file, row.hash)?;
        writeln!(out, "  licence        {}", row.licence)?;
        writeln!(out, "  preprocessing  {}", row.preprocessing)?;
        writeln!(out, "  labels         {}", row.labels)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn on_board(artefact: &Artefact) -> Result<OnBoard> {
    Ok(OnBoard {
        name: artefact.name,
        about: artefact.about,
        default: artefact.name == artefacts::DEFAULT,
        file_bytes: artefact.bytes.len(),
        ram_bytes: tin::load(Path::new(artefact.name), Checksum::Verify)?.arena_size(),
        top1_percent: artefact.top1.0,
        measured_on: artefact.top1.1,
        licence: artefact.licence,
    })
}

/// Without the feature nothing can be fetched, so nothing is listed.
#[cfg(not(feature = "zoo"))]
fn public() -> Vec<Public> {
    Vec::new()
}

#[cfg(feature = "zoo")]
fn public() -> Vec<Public> {
    use tinception_models::zoo::{ENTRIES, Entry};

    fn row(entry: &Entry) -> Public {
        let stated = entry.architecture.map(|architecture| architecture.preprocessing(architecture.size()).to_string());
        Public {
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
    ENTRIES.iter().map(row).collect()
}
