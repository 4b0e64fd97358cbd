//! `tinception classify`.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use tinception_core::model::Checksum;
use tinception_models::artefacts;

use crate::destination;
use crate::engine::{self, Classes, Engine, Network, OpenOptions, Scores, StepHash, Worker};
use crate::files;
use crate::labels::Labels;
use crate::output::{BAD_INPUT, file_error, json, notice, report_error};
use crate::picture::{Budget, encode_png};
use crate::preprocess::{PreprocessArgs, Preprocessor};
use crate::ranking::{self, Class};
use crate::terminal::{Plain, plain};
use crate::{shorten, threads};

/// Arguments of `classify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
JPEG, PNG, BMP and WebP files are read. A folder stands for all pictures in it and in the folders below it, and - for one \
picture on standard input. Photos are turned upright by their EXIF orientation, alpha channels are dropped, and 16 bits a \
channel become 8.\n\n\
A picture that cannot be read is reported, and the others are classified all the same; the exit code is then 2.\n\n\
Without --model, the default model on board is used; `tinception zoo` lists the models on board.\n\n\
Examples:\n  tinception classify photo.jpg\n  tinception classify photos/ --model googlenet.tin\n  \
curl -s http://camera/snapshot.jpg | tinception classify -\n  \
tinception classify *.jpg --model googlenet.onnx --preset caffe-imagenet \\\n    --labels synset_words.txt --json")]
pub(crate) struct Args {
    /// Pictures, folders of pictures, or - for standard input
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Network to use: a .tin file (int8), an .onnx file (float, together with --preset), or the name of a model on board
    #[arg(long, short, value_name = "FILE", default_value = artefacts::DEFAULT)]
    model: PathBuf,
    /// Engine that runs the network; by default the one for its kind of file
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// How many classes to show, best first
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
    /// Number of threads that share the work on a picture (.tin only); by default one for each processor core. The result
    /// has the same bits with any number of threads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON document: a list with an object for each picture
    #[arg(long)]
    json: bool,
    /// Also print the CRC-32 of each step's output (.tin only)
    #[arg(long)]
    hash_steps: bool,
    /// Load a .tin file even if its checksum is wrong, to test the checks that follow
    #[arg(long)]
    skip_checksum: bool,
    /// Text file with the class names for an .onnx file, one a line
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Write what the network gets of a single picture: the pixels as a picture if FILE ends in .png, otherwise the input
    /// tensor in NHWC order, as int8 for a .tin file or little-endian float32 for an .onnx file
    #[arg(long, value_name = "FILE")]
    dump_input: Option<PathBuf>,
    /// How pictures become the input of an .onnx file
    #[command(flatten, next_help_heading = "Preprocessing of an .onnx file")]
    preprocess: PreprocessArgs,
}

/// What is printed about a picture.
#[derive(Serialize)]
struct Classified<'a> {
    file: String,
    engine: &'static str,
    model: &'a str,
    /// How the classes go together.
    classes: Classes,
    top: Vec<Class>,
    time_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<Step>>,
}

/// A step and its hash.
#[derive(Serialize)]
struct Step {
    index: usize,
    name: String,
    crc32: String,
}

/// A picture in the JSON document.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry<'a> {
    Classified(Classified<'a>),
    Failed { file: String, error: String },
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    if let Some(path) = &args.dump_input {
        let others = args.labels.iter().chain([&args.model]);
        destination::check(path, args.images.iter().chain(others).map(PathBuf::as_path))?;
    }
    let mut stderr = Plain(io::stderr());
    let out = destination::text_beside(args.dump_input.as_deref(), out, &mut stderr);
    let network = open(args)?;
    if args.hash_steps && network.engine() != Engine::Core {
        return Err(file_error(
            &args.model,
            "--hash-steps works with .tin files only; leave it out, or give a .tin file",
        ));
    }
    let pictures = pictures(&args.images)?;
    if args.dump_input.is_some() && pictures.len() > 1 {
        bail!("--dump-input writes the input of one picture; give one picture");
    }
    let labels = Labels::of(&*network, args.labels.as_deref())?;
    let mut worker = network.worker();
    let mut failed = false;
    let model = args.model.display().to_string();
    let mut entries = Vec::new();
    for picture in &pictures {
        let file = picture.name().display().to_string();
        match classify(args, &*network, &mut *worker, &labels, picture) {
            Ok((scores, time_ms, steps)) => {
                let engine = network.engine().name();
                let steps = args.hash_steps.then_some(steps);
                let top = ranking::best(&scores, &labels, args.top);
                let (classes, steps) = (scores.classes, steps.map(numbered));
                let classified = Classified { file, engine, model: &model, classes, top, time_ms, steps };
                if !args.json {
                    print(out, &classified)?;
                }
                entries.push(Entry::Classified(classified));
            }
            Err(error) => {
                failed = true;
                // What came before this picture comes before its error.
                out.flush()?;
                report_error(&error);
                entries.push(Entry::Failed { file, error: format!("{error:#}") });
            }
        }
    }
    if args.json {
        json(out, &entries)?;
    }
    Ok(if failed { BAD_INPUT.into() } else { ExitCode::SUCCESS })
}

/// What is classified.
enum Input {
    /// A picture file.
    File(PathBuf),
    /// Standard input, which is one picture up to its end.
    Stdin,
    /// A folder without pictures, and what is wrong with it.
    Folder(PathBuf, String),
}

impl Input {
    fn name(&self) -> &Path {
        match self {
            Self::File(path) | Self::Folder(path, _) => path,
            Self::Stdin => Path::new("standard input"),
        }
    }

    fn pixels(&self, preprocessor: &Preprocessor) -> Result<Vec<u8>> {
        match self {
            Self::File(path) => preprocessor.read(path),
            Self::Folder(_, error) => Err(anyhow!("{error}")),
            Self::Stdin => {
                let budget = Budget::FILE;
                let mut bytes = Vec::new();
                let input = io::stdin().lock().take(budget.bytes).read_to_end(&mut bytes);
                input.context("standard input: cannot be read")?;
                preprocessor.parse(&bytes, self.name(), &budget)
            }
        }
    }
}

/// The pictures that the command line names, those of folders in their place. Files of folders that are passed over are
/// counted on standard error.
fn pictures(named: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in named {
        if path.as_os_str() == "-" {
            if inputs.iter().any(|input| matches!(input, Input::Stdin)) {
                bail!("-: standard input holds one picture; give - only once");
            }
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            match files::find(path) {
                Ok(found) => {
                    if let Some(note) = found.note() {
                        notice(format_args!("{}: {note}", path.display()));
                    }
                    inputs.extend(found.pictures.into_iter().map(Input::File));
                }
                Err(error) => inputs.push(Input::Folder(path.clone(), format!("{error:#}"))),
            }
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

fn open(args: &Args) -> Result<Box<dyn Network>> {
    let checksum = if args.skip_checksum { Checksum::Skip } else { Checksum::Verify };
    let threads = threads::for_file(&args.model, args.engine, args.threads)?;
    engine::open(
        &args.model,
        &OpenOptions { engine: args.engine, preprocess: args.preprocess.clone(), checksum, threads },
    )
}

/// One picture: its scores, the network's time in milliseconds, its step hashes if they are wanted.
fn classify(
    args: &Args,
    network: &dyn Network,
    worker: &mut dyn Worker,
    labels: &Labels,
    picture: &Input,
) -> Result<(Scores, f64, Vec<StepHash>)> {
    let pixels = picture.pixels(network.preprocessor())?;
    if let Some(dump) = &args.dump_input {
        destination::write(dump, &dumped(network, dump, &pixels)?)?;
    }
    let start = Instant::now();
    let (scores, hashes) =
        if args.hash_steps { worker.classify_hashed(&pixels)? } else { (worker.classify(&pixels)?, Vec::new()) };
    let time_ms = start.elapsed().as_secs_f64() * 1e3;
    check_labels(labels, &scores, args.labels.as_deref().unwrap_or(&args.model))?;
    Ok((scores, time_ms, hashes))
}

/// Fails where there are labels, but not as many as classes.
pub(crate) fn check_labels(labels: &Labels, scores: &Scores, file: &Path) -> Result<()> {
    let (found, needed) = (labels.len(), scores.probabilities.len());
    if labels.is_empty() || found == needed {
        return Ok(());
    }
    Err(file_error(
        file,
        format_args!("has {found} labels, but the network has {needed} classes; give one line for each class"),
    ))
}

/// What `--dump-input` writes.
fn dumped(network: &dyn Network, dump: &Path, pixels: &[u8]) -> Result<Vec<u8>> {
    if !dump.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(OsStr::new("png"))) {
        return network.input_bytes(pixels);
    }
    encode_png(network.preprocessor().size, pixels)
}

fn numbered(hashes: Vec<StepHash>) -> Vec<Step> {
    let steps = hashes.into_iter().enumerate();
    steps.map(|(index, step)| Step { index, name: step.name, crc32: format!("{:08x}", step.crc32) }).collect()
}

fn print(out: &mut dyn Write, classified: &Classified<'_>) -> Result<()> {
    let kind = match classified.classes {
        Classes::Exclusive => "",
        Classes::Independent => ", each class by itself",
    };
    let file = plain(&classified.file);
    writeln!(out, "{file}  ({:.1} ms, {}{kind})", classified.time_ms, classified.engine)?;
    ranking::print(out, &classified.top)?;
    let steps = classified.steps.iter().flatten();
    let names = shorten::names(steps.clone().map(|step| step.name.as_str()));
    for (step, name) in steps.zip(names) {
        writeln!(out, "  {:>4}  {}  {name}", step.index, step.crc32)?;
    }
    Ok(())
}
