//! `tinception eval`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use serde::Serialize;

use super::classify::check_labels;
use crate::engine::{self, Engine, Network, OpenOptions, Scores};
use crate::labels::{LabelIndex, Labels};
use crate::output::{BAD_INPUT, file_error, json, notice, progress, report_error};
use crate::preprocess::PreprocessArgs;
use crate::{files, parallel};

/// Arguments of `eval`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The folder that a picture lies in names its true class: by the whole label, by its first word (the class id), or by one of \
its names between commas. The name of a picture in DIR itself starts with the class id, as in `n01440764_1.jpg`. A network \
is right if the true class is its most probable one, even if its classes are independent of each other.\n\n\
A picture that cannot be read is reported and not counted; the exit code is then 2.\n\n\
Examples:\n  tinception eval --model googlenet.tin --images test/ --against googlenet.onnx\n  \
tinception eval --model googlenet.onnx --preset caffe-imagenet \\\n    --labels synset_words.txt --images test/ --json")]
pub(crate) struct Args {
    /// Network to evaluate: a .tin file (int8), an .onnx file (float, together with --preset and --labels), or the name of a
    /// model on board
    #[arg(long, short, value_name = "FILE")]
    model: PathBuf,
    /// Folder of labelled pictures
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Float network to compare with. It gets the same pixels as --model, and the share of pictures with the same best class
    /// is printed, too
    #[arg(long, value_name = "MODEL.onnx")]
    against: Option<PathBuf>,
    /// Use only N pictures, evenly spread over all of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Number of pictures classified at the same time; by default as many as there are processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print one JSON document, in which shares run from 0 to 1
    #[arg(long)]
    json: bool,
    /// Engine that runs the network; by default the one for its kind of file
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Text file with the class names, one a line; needed for an .onnx file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// How pictures become the input of an .onnx file
    #[command(flatten, next_help_heading = "Preprocessing of an .onnx file")]
    preprocess: PreprocessArgs,
}

/// A picture and its class.
struct Sample {
    path: PathBuf,
    class: usize,
}

/// Whether a network was right about a picture.
#[derive(Clone, Copy)]
struct Verdict {
    best: usize,
    first: bool,
    among_five: bool,
}

/// The verdicts of both networks on a picture.
struct Outcome {
    model: Verdict,
    against: Option<Verdict>,
}

/// What is printed. Shares are fractions of `images`.
#[derive(Serialize)]
struct Report {
    model: String,
    engine: &'static str,
    images: usize,
    failed: usize,
    /// Files that are not named as pictures.
    passed_over: usize,
    top1: f64,
    top5: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Against>,
}

/// How the other network did.
#[derive(Serialize)]
struct Against {
    model: String,
    top1: f64,
    top5: f64,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let options = OpenOptions { engine: args.engine, preprocess: args.preprocess.clone(), ..OpenOptions::default() };
    let network = engine::open(&args.model, &options)?;
    let labels = Labels::of(&*network, args.labels.as_deref())?;
    if labels.is_empty() {
        return Err(file_error(&args.model, "holds no class names; give them with --labels"));
    }
    let against = match &args.against {
        Some(path) => Some(open_against(path, &*network)?),
        None => None,
    };
    let found = files::find(&args.images)?;
    let (passed_over, note) = (found.passed_over(), found.note());
    let mut samples = samples(&args.images, found.pictures, &labels)?;
    if let Some(limit) = args.limit {
        samples = spread(samples, limit as usize);
    }
    let bar = progress(samples.len(), "evaluating", args.json);
    let results = evaluate(args, &*network, against.as_deref(), &samples, &labels, &bar);
    bar.finish_and_clear();
    let failed = results.iter().filter(|result| result.is_err()).count();
    let mut outcomes = Vec::new();
    for result in results {
        match result {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => report_error(&error),
        }
    }
    if outcomes.is_empty() {
        return Err(file_error(&args.images, "none of its pictures could be classified"));
    }
    let report = Report { passed_over, ..summarise(args, &*network, &outcomes, failed) };
    if let Some(note) = note {
        notice(format_args!("{}: {note}", args.images.display()));
    }
    if args.json {
        json(out, &report)?;
    } else {
        print(out, &report)?;
    }
    Ok(if failed > 0 { BAD_INPUT.into() } else { ExitCode::SUCCESS })
}

/// The other network, which gets the first one's pixels.
fn open_against(path: &Path, network: &dyn Network) -> Result<Box<dyn Network>> {
    engine::require_tract(path)?;
    if Engine::for_file(path, None)? != Engine::Tract {
        return Err(file_error(path, "--against needs a float network; give an .onnx file"));
    }
    let other = engine::open_float(path, network.preprocessor().settings)?;
    let (size, other_size) = (network.preprocessor().size, other.preprocessor().size);
    if size != other_size {
        return Err(file_error(
            path,
            format_args!(
                "takes pictures of {} x {} pixels, but --model takes {} x {}; give the network that the .tin file was made from",
                other_size.width, other_size.height, size.width, size.height
            ),
        ));
    }
    Ok(other)
}

/// Pictures of a folder with their classes.
fn samples(folder: &Path, paths: Vec<PathBuf>, labels: &Labels) -> Result<Vec<Sample>> {
    let index = LabelIndex::new(labels);
    paths.into_iter().map(|path| Ok(Sample { class: true_class(folder, &path, &index)?, path })).collect()
}

fn true_class(folder: &Path, path: &Path, index: &LabelIndex) -> Result<usize> {
    let parent = path.parent().filter(|parent| *parent != folder).and_then(Path::file_name);
    if let Some(parent) = parent {
        return index.find(&parent.to_string_lossy()).with_context(|| path.display().to_string());
    }
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let id = name.split_once('_').map_or("", |(id, _)| id);
    index.find_id(id).ok_or_else(|| {
        let names = "pictures are named `<class id>_...` by the first word of a label, or lie in a folder named as one";
        file_error(path, format_args!("its name does not say its class; {names}"))
    })
}

fn spread(samples: Vec<Sample>, limit: usize) -> Vec<Sample> {
    let kept = files::spread(&(0..samples.len()).collect::<Vec<_>>(), limit);
    samples.into_iter().enumerate().filter(|(index, _)| kept.binary_search(index).is_ok()).map(|(_, s)| s).collect()
}

fn evaluate(
    args: &Args,
    network: &dyn Network,
    against: Option<&dyn Network>,
    samples: &[Sample],
    labels: &Labels,
    bar: &ProgressBar,
) -> Vec<Result<Outcome>> {
    let threads = args.threads.map_or_else(parallel::all_cores, usize::from);
    let workers = || (network.worker(), against.map(Network::worker));
    parallel::map(samples, threads, workers, |(worker, other), sample| {
        bar.inc(1);
        let pixels = network.preprocessor().read(&sample.path)?;
        let scores = worker.classify(&pixels)?;
        check_labels(labels, &scores, args.labels.as_deref().unwrap_or(&args.model))?;
        let against = match other {
            Some(other) => Some(judge(&other.classify(&pixels)?, sample.class)),
            None => None,
        };
        Ok(Outcome { model: judge(&scores, sample.class), against })
    })
}

fn judge(scores: &Scores, class: usize) -> Verdict {
    let best = scores.best();
    Verdict { best, first: best == class, among_five: scores.top(5).contains(&class) }
}

fn summarise(args: &Args, network: &dyn Network, outcomes: &[Outcome], failed: usize) -> Report {
    let share = |holds: &dyn Fn(&Outcome) -> bool| {
        outcomes.iter().filter(|outcome| holds(outcome)).count() as f64 / outcomes.len() as f64
    };
    let other = |holds: fn(Verdict) -> bool| share(&|outcome| outcome.against.is_some_and(holds));
    Report {
        model: args.model.display().to_string(),
        engine: network.engine().name(),
        images: outcomes.len(),
        failed,
        passed_over: 0,
        top1: share(&|outcome| outcome.model.first),
        top5: share(&|outcome| outcome.model.among_five),
        agreement: args
            .against
            .is_some()
            .then(|| share(&|outcome| outcome.against.is_some_and(|other| other.best == outcome.model.best))),
        against: args.against.as_ref().map(|path| Against {
            model: path.display().to_string(),
            top1: other(|verdict| verdict.first),
            top5: other(|verdict| verdict.among_five),
        }),
    }
}

fn print(out: &mut dyn Write, report: &Report) -> Result<()> {
    let percent = |share: f64| share * 100.0;
    writeln!(out, "top1       {:6.2} %", percent(report.top1))?;
    writeln!(out, "top5       {:6.2} %", percent(report.top5))?;
    if let Some(agreement) = report.agreement {
        writeln!(out, "agreement  {:6.2} %", percent(agreement))?;
    }
    writeln!(out, "images     {:6}", report.images)?;
    if let Some(against) = &report.against {
        let (top1, top5) = (percent(against.top1), percent(against.top5));
        writeln!(out, "against    {}: top1 {top1:.2} %, top5 {top5:.2} %", against.model)?;
    }
    Ok(())
}
