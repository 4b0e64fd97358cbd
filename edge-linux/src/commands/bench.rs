//! `tinception bench`.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use tinception_core::arch::{self, AnyBackend, Backend};
use tinception_core::model::{Checksum, Model, Step};
use tinception_core::selftest::fill_input;
use tinception_core::session::{Observer, Prepared, Values};

use crate::engine::Engine;
use crate::output::{Align, file_error, grouped, json, table};
use crate::threads::{self, Pool};
use crate::{backend, limits, parallel, shorten, tin};

/// Without --runs: at least this many runs, and as many as fit in this time.
const FEWEST_RUNS: usize = 5;
const TIME: Duration = Duration::from_secs(3);
const MOST_RUNS: usize = 10_000;

/// Arguments of `bench`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The network alone is timed, without decoding and resizing pictures: a .tin file on the input of its self-test, an .onnx \
file as a whole on an input of zeros. With --threads N, N threads share the work on one picture; with --sessions N, N \
independent pictures are worked on at the same time. Times are those of single runs; pictures per second are those of all \
sessions together.\n\n\
A .tin file runs on the best backend of this machine, or on the one that the variable TINCEPTION_BACKEND names.\n\n\
Example:\n  tinception bench --model googlenet.tin")]
pub(crate) struct Args {
    /// Network to time: a .tin file (int8), an .onnx file (float), or the name of a model on board
    #[arg(long, short, value_name = "FILE")]
    model: PathBuf,
    /// Number of threads in each session that share the work on a picture (.tin only); by default one for each processor core,
    /// or a single one if there are several sessions
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Number of independent sessions that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    sessions: u16,
    /// Number of runs in each session; by default as many as fit in 3 seconds, but at least 5
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Time all backends that this machine has, one after the other (.tin only)
    #[arg(long)]
    backends: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    model: String,
    engine: &'static str,
    backend: &'static str,
    threads: usize,
    sessions: usize,
    runs: usize,
    macs: Option<u64>,
    median_ms: f64,
    p95_ms: f64,
    macs_per_second: Option<f64>,
    pictures_per_second: f64,
    steps: Vec<StepReport>,
}

/// A step's share.
#[derive(Serialize)]
struct StepReport {
    name: String,
    operator: &'static str,
    macs: u64,
    median_ms: f64,
}

/// Times of one session in seconds: of whole runs, and of each step in all runs.
#[derive(Default)]
struct Times {
    runs: Vec<f64>,
    steps: Vec<Vec<f64>>,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let report = match Engine::for_file(&args.model, None)? {
        Engine::Core if args.backends => return bench_backends(args, out),
        Engine::Core => bench_core(args, &tin::load(&args.model, Checksum::Verify)?, backend::chosen()?)?,
        Engine::Tract if args.backends => {
            return Err(file_error(&args.model, "only .tin files run on backends; leave --backends out"));
        }
        Engine::Tract => bench_tract(args)?,
    };
    if args.json {
        json(out, &report)?;
    } else {
        print(out, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Times every backend, best first.
fn bench_backends(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let model = tin::load(&args.model, Checksum::Verify)?;
    let reports = arch::available().map(|backend| bench_core(args, &model, backend)).collect::<Result<Vec<_>>>()?;
    if args.json {
        json(out, &reports)?;
        return Ok(ExitCode::SUCCESS);
    }
    let slowest = reports.iter().map(|report| report.median_ms).fold(0.0, f64::max);
    let row = |report: &Report| {
        let times = [report.median_ms, report.p95_ms].map(|time| format!("{time:.3}"));
        let [median, p95] = times;
        let factor = slowest / report.median_ms.max(f64::MIN_POSITIVE);
        [report.backend.to_owned(), report.runs.to_string(), median, p95, format!("{factor:.1}")]
    };
    let rows: Vec<_> = reports.iter().map(row).collect();
    let columns = [("backend", Align::Left), ("runs", Align::Right), ("median ms", Align::Right)];
    table(out, [columns[0], columns[1], columns[2], ("p95 ms", Align::Right), ("times faster", Align::Right)], &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Threads of each session.
fn threads(args: &Args) -> Result<usize> {
    if args.threads.is_none() && args.sessions > 1 { Ok(1) } else { threads::for_file(&args.model, None, args.threads) }
}

fn bench_core(args: &Args, model: &Model<'static>, backend: AnyBackend) -> Result<Report> {
    let steps = model.steps().map(|step| StepReport {
        name: step.name().to_owned(),
        operator: step.operator_name(),
        macs: step.macs(),
        median_ms: 0.0,
    });
    let mut steps: Vec<_> = steps.collect();
    let macs = steps.iter().map(|step| step.macs).fold(0, u64::saturating_add);
    let threads = threads(args)?;
    limits::check(&args.model, model, backend, threads)?;
    let prepared = backend::prepare(model, backend)?;
    let (times, per_second) = repeat(args, || time_session(args, model, &prepared, threads))?;
    for (index, step) in steps.iter_mut().enumerate() {
        let all: Vec<f64> = times.iter().filter_map(|times| times.steps.get(index)).flatten().copied().collect();
        step.median_ms = percentile(all, 50) * 1e3;
    }
    Ok(summarise(args, (Engine::Core, backend.name(), threads), Some(macs), &times, per_second, steps))
}

#[cfg(feature = "tract")]
fn bench_tract(args: &Args) -> Result<Report> {
    threads(args)?;
    let engine = tinception_models::float::FloatEngine::from_onnx(&args.model)?;
    let macs = tinception_models::onnx::import(&args.model).ok().map(|graph| graph.macs());
    let input = vec![0.0; engine.input_shape().elements() as usize];
    let (times, per_second) = repeat(args, || {
        let mut times = Times::default();
        engine.run(&input)?;
        let start = Instant::now();
        while !is_enough(args, times.runs.len(), start) {
            let run = Instant::now();
            engine.run(&input)?;
            times.runs.push(run.elapsed().as_secs_f64());
        }
        Ok(times)
    })?;
    Ok(summarise(args, (Engine::Tract, "tract", 1), macs, &times, per_second, Vec::new()))
}

#[cfg(not(feature = "tract"))]
fn bench_tract(args: &Args) -> Result<Report> {
    crate::engine::require_tract(&args.model)?;
    anyhow::bail!("tract is missing")
}

/// Runs all sessions at the same time: their times, and how many pictures a second they did together.
fn repeat(args: &Args, session: impl Fn() -> Result<Times> + Sync) -> Result<(Vec<Times>, f64)> {
    let sessions: Vec<()> = vec![(); args.sessions.into()];
    let times = parallel::map(&sessions, sessions.len(), || (), |(), ()| session());
    let times = times.into_iter().collect::<Result<Vec<_>>>()?;
    let rate = |times: &Times| times.runs.len() as f64 / times.runs.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let per_second = times.iter().map(rate).sum();
    Ok((times, per_second))
}

fn is_enough(args: &Args, runs: usize, start: Instant) -> bool {
    match args.runs {
        Some(wanted) => runs >= wanted as usize,
        None => runs >= MOST_RUNS || (runs >= FEWEST_RUNS && start.elapsed() >= TIME),
    }
}

fn time_session(
    args: &Args,
    model: &Model<'static>,
    prepared: &Prepared<'static, 'static>,
    threads: usize,
) -> Result<Times> {
    let pool = Pool::of_this_thread(threads)?;
    let mut session = backend::session(model, prepared, pool)?;
    let mut input = vec![0; session.input_mut().len()];
    if let Some(tensor) = model.input() {
        fill_input(model.self_test_seed().unwrap_or(1), tensor.shape, &mut input);
    }
    // A first run fills the caches.
    session.input_mut().copy_from_slice(&input);
    threads::run(&mut session, pool, &mut ())?;
    let mut profile = Profile { last: Instant::now(), steps: vec![Vec::new(); model.step_count()] };
    let mut runs = Vec::new();
    let start = Instant::now();
    while !is_enough(args, runs.len(), start) {
        session.input_mut().copy_from_slice(&input);
        let run = Instant::now();
        threads::run(&mut session, pool, &mut profile)?;
        runs.push(run.elapsed().as_secs_f64());
    }
    Ok(Times { runs, steps: profile.steps })
}

/// Keeps the time of each step.
struct Profile {
    last: Instant,
    steps: Vec<Vec<f64>>,
}

impl Observer for Profile {
    fn before(&mut self, _: usize, _: &Step<'_>) {
        self.last = Instant::now();
    }

    fn after(&mut self, index: usize, _: &Step<'_>, _: Values<'_>) -> ControlFlow<()> {
        if let Some(times) = self.steps.get_mut(index) {
            times.push(self.last.elapsed().as_secs_f64());
        }
        // Steps that run together are told of one after the other: the first has the time of all.
        self.last = Instant::now();
        ControlFlow::Continue(())
    }
}

fn summarise(
    args: &Args,
    (engine, backend, threads): (Engine, &'static str, usize),
    macs: Option<u64>,
    times: &[Times],
    pictures_per_second: f64,
    steps: Vec<StepReport>,
) -> Report {
    let all: Vec<f64> = times.iter().flat_map(|times| &times.runs).copied().collect();
    let median = percentile(all.clone(), 50);
    Report {
        model: args.model.display().to_string(),
        engine: engine.name(),
        backend,
        threads,
        sessions: args.sessions.into(),
        runs: all.len(),
        macs,
        median_ms: median * 1e3,
        p95_ms: percentile(all, 95) * 1e3,
        macs_per_second: macs.map(|macs| macs as f64 / median.max(f64::MIN_POSITIVE)),
        pictures_per_second,
        steps,
    }
}

/// The smallest value that `percent` of all values don't exceed (nearest rank); 0 of none.
fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

fn print(out: &mut dyn Write, report: &Report) -> Result<()> {
    let names = shorten::names(report.steps.iter().map(|step| step.name.as_str()));
    let rows: Vec<_> = report
        .steps
        .iter()
        .zip(names)
        .map(|(step, name)| {
            let rate = step.macs as f64 / (step.median_ms / 1e3).max(f64::MIN_POSITIVE) / 1e9;
            let rate = if step.macs > 0 { format!("{rate:.2}") } else { String::new() };
            [name, step.operator.into(), grouped(step.macs), format!("{:.3}", step.median_ms), rate]
        })
        .collect();
    if !rows.is_empty() {
        let columns = [("step", Align::Left), ("operator", Align::Left)];
        let numbers = [("MACs", Align::Right), ("median ms", Align::Right), ("GMAC/s", Align::Right)];
        table(out, [columns[0], columns[1], numbers[0], numbers[1], numbers[2]], &rows)?;
    }
    writeln!(out, "{} on {} ({}), {} runs", report.model, report.engine, report.backend, report.runs)?;
    writeln!(out, "median    {:9.3} ms", report.median_ms)?;
    writeln!(out, "p95       {:9.3} ms", report.p95_ms)?;
    if let (Some(macs), Some(rate)) = (report.macs, report.macs_per_second) {
        writeln!(out, "MACs      {} ({:.2} G a second)", grouped(macs), rate / 1e9)?;
    }
    let (sessions, threads) = (report.sessions, report.threads);
    writeln!(
        out,
        "pictures  {:9.1} a second, {sessions} session(s) of {threads} thread(s)",
        report.pictures_per_second
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(percentile(values.clone(), 50), 10.0);
        assert_eq!(percentile(values.clone(), 95), 19.0);
        assert_eq!(percentile(values, 100), 20.0);
        assert_eq!(percentile(vec![7.0], 50), 7.0);
        assert_eq!(percentile(Vec::new(), 50), 0.0);
    }
}
