//! `tinception demo`.

mod text;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use tinception_core::arch::Backend;
use tinception_core::model::Checksum;
use tinception_models::artefacts::{self, Artefact, MODELS, PHOTOS, Photo};

use crate::engine::{CoreNetwork, Network};
use crate::labels::Labels;
use crate::output::json;
use crate::picture::Budget;
use crate::ranking::{self, Class};
use crate::terminal::graphics::Graphics;
use crate::{backend, threads};

/// Arguments of `demo`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The models and the photos are part of the program, so no file and no network connection is needed. `tinception zoo` \
describes the models.\n\n\
A terminal shows the photos themselves: kitty, Ghostty, iTerm2, WezTerm, mintty, Warp and Rio in full, others with \
colours as blocks. None are shown if the output is no terminal, or if the variable NO_COLOR is set.")]
pub(crate) struct Args {
    /// Model on board that looks at the photos; --json lists what every model says if none is named
    #[arg(long, short, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(MODELS.iter().map(|model| model.name)))]
    model: Option<String>,
    /// How many classes to show, best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Number of threads that share the work on a picture; by default one for each processor core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Show no pictures
    #[arg(long)]
    no_pictures: bool,
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
    if args.json {
        let asked = |model: &&Artefact| args.model.as_ref().is_none_or(|name| model.name == name);
        let shown = MODELS.iter().filter(asked).map(|model| {
            let network = open(args, model)?;
            let mut shown = describe(model, &network)?;
            look(args, &network, |_, seen| {
                shown.photos.push(seen);
                Ok(())
            })?;
            Ok(shown)
        });
        json(out, &shown.collect::<Result<Vec<_>>>()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.model.as_deref().unwrap_or(artefacts::DEFAULT);
    if let Some(model) = artefacts::find(name) {
        let network = open(args, model)?;
        let graphics = if args.no_pictures { None } else { Graphics::of_stdout() };
        let mut page = text::Page::new(out, graphics);
        page.head(&describe(model, &network)?)?;
        look(args, &network, |photo, seen| page.photo(photo, &seen))?;
    }
    text::next_commands(name, out)?;
    Ok(ExitCode::SUCCESS)
}

fn open(args: &Args, model: &Artefact) -> Result<CoreNetwork> {
    let threads = args.threads.map_or_else(threads::physical_cores, usize::from);
    CoreNetwork::open(Path::new(model.name), Checksum::Verify, threads)
}

/// The model, no photo seen yet.
fn describe(model: &Artefact, network: &CoreNetwork) -> Result<Shown> {
    Ok(Shown {
        model: model.name,
        about: model.about,
        file_bytes: model.bytes.len(),
        ram_bytes: network.model().arena_size(),
        backend: backend::chosen()?.name(),
        photos: Vec::new(),
    })
}

/// Classifies each photo, and tells what is seen on it before it goes on to the next one.
fn look(args: &Args, network: &CoreNetwork, mut tell: impl FnMut(&'static Photo, Seen) -> Result<()>) -> Result<()> {
    let labels = Labels::new(network.labels());
    let mut worker = network.worker();
    let mut is_warm = false;
    for photo in PHOTOS {
        let pixels = network.preprocessor().parse(photo.bytes, Path::new(photo.name), &Budget::FILE)?;
        // The first picture makes the session and wakes the threads, which is no part of the time that it takes.
        if !std::mem::replace(&mut is_warm, true) {
            worker.classify(&pixels)?;
        }
        let start = Instant::now();
        let scores = worker.classify(&pixels)?;
        let time_ms = start.elapsed().as_secs_f64() * 1e3;
        let top = ranking::best(&scores, &labels, args.top);
        tell(photo, Seen { photo: photo.name, source: photo.source, time_ms, top })?;
    }
    Ok(())
}
