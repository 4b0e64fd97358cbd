//! `tinception demo`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use tinception_core::arch::Backend;
use tinception_core::model::Checksum;
use tinception_models::artefacts::{Artefact, MODELS, PHOTOS, Photo};

use crate::engine::{CoreNetwork, Network, Worker};
use crate::labels::Labels;
use crate::output::{grouped, json};
use crate::picture::Budget;
use crate::ranking::{self, Class};
use crate::{backend, threads};

/// Arguments of `demo`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Needs no file and no network connection: the models and the photos are part of the program. `tinception zoo` lists the\n\
models. Then try a picture of your own: tinception classify photo.jpg")]
pub(crate) struct Args {
    /// How many classes to show, best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Threads that share the work on a picture; by default as many as there are processor cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON document: a list with an object for each model
    #[arg(long)]
    json: bool,
}

/// What a model says about the photos.
#[derive(Serialize)]
struct Shown {
    model: &'static str,
    about: &'static str,
    file_bytes: usize,
    ram_bytes: usize,
    backend: &'static str,
    photos: Vec<Seen>,
}

/// What is seen on a photo.
#[derive(Serialize)]
struct Seen {
    photo: &'static str,
    source: &'static str,
    time_ms: f64,
    top: Vec<Class>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let mut all = Vec::new();
    for artefact in MODELS {
        let shown = show(args, artefact)?;
        if !args.json {
            print(out, &shown)?;
        }
        all.push(shown);
    }
    if args.json {
        json(out, &all)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(args: &Args, artefact: &'static Artefact) -> Result<Shown> {
    let threads = args.threads.map_or_else(threads::physical_cores, usize::from);
    let network = CoreNetwork::open(Path::new(artefact.name), Checksum::Verify, threads)?;
    let labels = Labels::new(network.labels());
    let mut worker = network.worker();
    let photos = PHOTOS.iter().map(|photo| see(args, &network, &mut *worker, &labels, photo)).collect::<Result<_>>()?;
    Ok(Shown {
        model: artefact.name,
        about: artefact.about,
        file_bytes: artefact.bytes.len(),
        ram_bytes: network.model().arena_size(),
        backend: backend::chosen()?.name(),
        photos,
    })
}

fn see(
    args: &Args,
    network: &CoreNetwork,
    worker: &mut dyn Worker,
    labels: &Labels,
    photo: &'static Photo,
) -> Result<Seen> {
    let pixels = network.preprocessor().parse(photo.bytes, Path::new(photo.name), &Budget::FILE)?;
    // Once before the clock runs: the first picture makes the session and wakes the threads.
    worker.classify(&pixels)?;
    let start = Instant::now();
    let scores = worker.classify(&pixels)?;
    let time_ms = start.elapsed().as_secs_f64() * 1e3;
    Ok(Seen { photo: photo.name, source: photo.source, time_ms, top: ranking::best(&scores, labels, args.top) })
}

fn print(out: &mut dyn Write, shown: &Shown) -> Result<()> {
    writeln!(out, "{}: {}", shown.model, shown.about)?;
    let (file, ram) = (grouped(shown.file_bytes as u64), grouped(shown.ram_bytes as u64));
    writeln!(out, "{file} bytes in the file, {ram} bytes of RAM, runs on {}\n", shown.backend)?;
    for seen in &shown.photos {
        writeln!(out, "{}  ({:.2} ms; {})", seen.photo, seen.time_ms, seen.source)?;
        ranking::print(out, &seen.top)?;
        writeln!(out)?;
    }
    Ok(())
}
