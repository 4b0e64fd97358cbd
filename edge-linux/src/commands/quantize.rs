//! `tinception quantize`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;

use crate::preprocess::PreprocessArgs;

/// Arguments of `quantize`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The float network runs on the calibration pictures to find the range of every layer. Give a hundred or more pictures that \
look like those that the network will see. One in five of them is held out of a first calibration, to judge it; the file \
that is written is calibrated on all of them. Whatever looks wrong with the pictures or with the result gives a warning.\n\n\
The same files and options always give the same bytes. The network must be in float: one that is already quantised is \
refused.\n\n\
Example:\n  tinception quantize googlenet.onnx --calibration photos/ \\\n    \
--labels synset_words.txt --preset caffe-imagenet -o googlenet.tin")]
pub(crate) struct Args {
    /// Network in float
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Folder of pictures to calibrate on
    #[arg(long, value_name = "DIR")]
    calibration: PathBuf,
    /// Text file with the class names, one a line and as many as the network has classes; one or two names for a network with a
    /// single score. A WordNet id in front of a name (`n07920052 espresso`) is stored separately
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// File to write
    #[arg(long, short, value_name = "OUT.tin")]
    output: PathBuf,
    /// How the range of a layer is chosen from the values seen
    #[arg(long, value_enum, default_value_t)]
    method: Method,
    /// Do not correct the biases for the mean error of the rounded weights
    #[arg(long)]
    no_bias_correction: bool,
    /// Kinds of steps that are not to run together, separated by commas; without KINDS, none run together
    #[arg(
        long,
        value_enum,
        value_name = "KINDS",
        num_args = 0..,
        require_equals = true,
        value_delimiter = ',',
        default_missing_value = "rows,projection,shared,split"
    )]
    no_fuse: Vec<Fusion>,
    /// Write the weights of 3x3 convolutions a second time, transformed for exact Winograd. A Cortex-M4 or M7 whose firmware
    /// has the kernel needs about half the instructions with them, and gets the same bits; the transformed weights take 3.6
    /// times as much flash as the others. Other processors do not use them
    #[arg(long)]
    winograd: bool,
    /// Licence of the weights, which is written into the file
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// How pictures become the network's input
    #[command(flatten, next_help_heading = "Preprocessing")]
    preprocess: PreprocessArgs,
}

/// Ways to choose a layer's range.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Method {
    /// From the smallest to the largest value seen
    MinMax,
    /// Without the outermost values
    Percentile,
    /// The range with the least mean squared error
    #[default]
    Mse,
}

/// Ways in which steps run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fusion {
    /// A convolution and the max pool behind it, some rows at a time
    Rows,
    /// A pool and the 1x1 convolution behind it
    Projection,
    /// 1x1 convolutions over one input
    Shared,
    /// A max pool behind a concatenation, branch by branch
    Split,
}

/// Runs the command.
#[cfg(feature = "tract")]
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    compile::run(args, out)
}

/// Says that this program lacks what the command needs.
#[cfg(not(feature = "tract"))]
pub(crate) fn run(args: &Args, _: &mut dyn Write) -> Result<ExitCode> {
    crate::engine::require_tract(&args.model)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "tract")]
mod compile {
    use std::io;
    use std::path::Path;

    use anyhow::Context;
    use serde::Serialize;
    use tinception_core::model::Model;
    use tinception_core::shape::Shape;
    use tinception_models::aligned::Aligned;
    use tinception_models::calibrate::Method as Range;
    use tinception_models::compare::{Comparison, LayerComparison, ScoresComparison};
    use tinception_models::compile::{Compiled, Label, Labels as ClassNames, Options, Report, StepReport, compile};
    use tinception_models::equalise;
    use tinception_models::fuse::Fusions;
    use tinception_models::graph::Graph;
    use tinception_models::names::step_name;
    use tinception_models::onnx::{Metadata, data_files};

    use super::*;
    use crate::calibration::{CalibrationSet, Verdict, calibrate, lost_layer};
    use crate::destination;
    use crate::engine::{self, Classes};
    use crate::files;
    use crate::labels::Labels;
    use crate::output::{Align, file_error, grouped, json, progress, sha256, table, warning};
    use crate::preprocess::Preprocessor;
    use crate::shorten;
    use crate::terminal::Plain;

    /// So many of the layers that lose most are listed.
    const WORST: usize = 5;

    /// What is printed.
    #[derive(Serialize)]
    struct Summary {
        file: String,
        activation_bytes: usize,
        scratch_bytes: usize,
        file_bytes: usize,
        weight_bytes: usize,
        winograd_bytes: usize,
        lower_bound_bytes: usize,
        macs: u64,
        calibration_images: usize,
        /// How the classes go together.
        classes: Classes,
        verdict: Verdict,
        /// Layers whose channels were equalised.
        equalised: Vec<String>,
        warnings: Vec<String>,
        steps: Vec<StepSummary>,
    }

    #[derive(Serialize)]
    struct StepSummary {
        name: String,
        operator: &'static str,
        input: [u32; 3],
        output: [u32; 3],
        macs: u64,
        weight_bytes: usize,
        winograd_bytes: usize,
        scale: f32,
        zero_point: i8,
        sqnr_db: Option<f64>,
    }

    pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
        files::check(&args.model)?;
        let mut set = CalibrationSet::find(&args.calibration)?;
        let parts = data_files(&args.model)?;
        let others = args.labels.iter().chain([&args.model]).chain(&parts);
        destination::check(&args.output, set.files().iter().chain(others).map(PathBuf::as_path))?;
        let mut stderr = Plain(io::stderr());
        let out = destination::text_beside(Some(&args.output), out, &mut stderr);
        let settings = args.preprocess.resolve(&args.model)?;
        let metadata = Metadata::read(&args.model)?;
        let labels = match &args.labels {
            Some(path) => Some(Labels::read(path)?),
            None => Some(Labels::new(metadata.labels.iter().map(|line| Label::parse(line)).collect()))
                .filter(|labels| !labels.is_empty()),
        };
        let labels_file = args.labels.as_ref().unwrap_or(&args.model);
        let graph = engine::graph(&args.model)?;
        if let Some(labels) = &labels {
            check_classes(labels, labels_file, &graph)?;
        }
        let preprocessor = Preprocessor::new(settings, graph.shape(graph.input), &args.model)?;
        let names = labels
            .map(|labels| ClassNames { file: labels_file.display().to_string(), classes: labels.classes().to_vec() });
        let mut options = Options {
            method: match args.method {
                Method::MinMax => Range::MinMax,
                Method::Percentile => Range::Percentile,
                Method::Mse => Range::MeanSquaredError,
            },
            bias_correction: !args.no_bias_correction,
            fusions: fusions(&args.no_fuse),
            winograd: args.winograd,
            preprocessing: Some(settings),
            labels: names,
            provenance: provenance(args, &metadata)?,
        };
        let calibrated = calibrate(&args.model, &graph, &preprocessor, &mut set, &options, args.json)?;
        let factors = calibrated.factors.iter().map(|factors| (equalise::PROVENANCE.to_owned(), factors.to_string()));
        options.provenance.extend(factors);
        let in_file = || args.model.display().to_string();
        let Compiled { bytes, report } = compile(&calibrated.graph, &calibrated.all, &options).with_context(in_file)?;
        let judged = match &calibrated.others {
            Some(others) => compile(&calibrated.graph, others, &options).with_context(in_file)?.bytes,
            None => bytes.clone(),
        };
        let (compared, scores) = compare(args, &graph, &judged, &preprocessor, &calibrated.judges)?;
        if args.winograd && !args.json {
            announce(out, &report)?;
        }
        destination::write(&args.output, &bytes)?;
        let verdict = Verdict::new(&scores, calibrated.others.is_some());
        let mut warnings = set.warnings(graph.shape(graph.output).channels as usize);
        warnings.iter().chain(&lost_layer(&compared, shorten::name)).chain(&verdict.warning()).for_each(warning);
        warnings.extend(lost_layer(&compared, str::to_owned).into_iter().chain(verdict.warning()));
        let summary = Summary {
            calibration_images: set.read(),
            equalised: calibrated.factors.into_iter().map(|factors| factors.node).collect(),
            warnings,
            ..summarise(args, &report, &compared, verdict)
        };
        if args.json {
            json(out, &summary)?;
        } else {
            print(out, &summary, args)?;
            if let Some(line) = told_of_classes(&graph, &options, summary.classes) {
                writeln!(out, "classes       {line}")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn together(report: &Report) -> Classes {
        let independent = report.steps.iter().any(|step| step.operator == "sigmoid");
        if independent { Classes::Independent } else { Classes::Exclusive }
    }

    /// What is to be said of the classes, where they are not simply as many as scores of which the largest wins.
    fn told_of_classes(graph: &Graph, options: &Options, classes: Classes) -> Option<String> {
        if graph.own_output.is_some_and(|own| own.one_score) {
            let given = options.labels.as_ref().map(|labels| labels.classes.clone()).unwrap_or_default();
            let hint = if given.is_empty() { " (--labels names them, one a line)" } else { "" };
            let [small, large] = ClassNames::of_one_score(given).try_into().ok()?;
            let (small, large) = (small.name, large.name);
            return Some(format!("two, told apart by the sigmoid of the network's one score: {small}, {large}{hint}"));
        }
        (classes == Classes::Independent)
            .then(|| "independent of each other (sigmoid): several may be true at once".into())
    }

    /// Says what transformed weights take before it is taken.
    fn announce(out: &mut dyn Write, report: &Report) -> Result<()> {
        let chosen = report.steps.iter().filter(|step| step.winograd_bytes > 0);
        let weights: usize = chosen.clone().map(|step| step.weight_bytes).sum();
        writeln!(
            out,
            "winograd: {} of {} layers get transformed weights, {} bytes beside their {} bytes of weights\n",
            chosen.count(),
            report.steps.len(),
            grouped(report.winograd() as u64),
            grouped(weights as u64)
        )?;
        Ok(())
    }

    fn fusions(without: &[Fusion]) -> Fusions {
        let allowed = |fusion| !without.contains(&fusion);
        Fusions {
            rows: allowed(Fusion::Rows),
            projection: allowed(Fusion::Projection),
            shared: allowed(Fusion::Shared),
            split: allowed(Fusion::Split),
        }
    }

    /// The compiler checks this too, but only after calibration.
    fn check_classes(labels: &Labels, path: &Path, graph: &Graph) -> Result<()> {
        let (found, classes) = (labels.len(), graph.shape(graph.output).channels as usize);
        let one_score = graph.own_output.is_some_and(|own| own.one_score);
        if found == classes || (one_score && found == 1) {
            return Ok(());
        }
        Err(file_error(
            path,
            format_args!("has {found} labels, but the network has {classes} classes; give one line for each class"),
        ))
    }

    /// Where the network comes from. Of the source only the file's name is kept: where it lies is nobody's business.
    fn provenance(args: &Args, metadata: &Metadata) -> Result<Vec<(String, String)>> {
        let hash = sha256(&args.model)?;
        let name = args.model.file_name().unwrap_or(args.model.as_os_str()).to_string_lossy().into_owned();
        let licence = args.licence.as_deref().or(metadata.get("licence")).unwrap_or("not stated").to_owned();
        let preset = args.preprocess.name().to_owned();
        let lines = [("source", name), ("source-sha256", hash), ("licence", licence), ("preset", preset)];
        // `import` says in the file from which weights it made it.
        let imported = ["architecture", "weights", "weights-sha256"];
        let imported = imported.iter().filter_map(|key| Some((*key, metadata.get(key)?.to_owned())));
        Ok(lines.into_iter().chain(imported).map(|(key, value)| (key.to_owned(), value)).collect())
    }

    fn compare(
        args: &Args,
        graph: &Graph,
        bytes: &[u8],
        preprocessor: &Preprocessor,
        pictures: &[PathBuf],
    ) -> Result<(Vec<LayerComparison>, ScoresComparison)> {
        let in_file = || args.model.display().to_string();
        let bytes = Aligned::new(bytes);
        let model = Model::new(&bytes).with_context(in_file)?;
        let mut comparison = Comparison::new(graph, &model).with_context(in_file)?;
        let bar = progress(pictures.len(), "comparing", args.json);
        for picture in pictures {
            comparison.add(&preprocessor.read(picture)?).with_context(in_file)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let scores = comparison.scores();
        Ok((comparison.finish().with_context(in_file)?, scores))
    }

    fn summarise(args: &Args, report: &Report, compared: &[LayerComparison], verdict: Verdict) -> Summary {
        let sizes = |shape: Shape| [shape.height, shape.width, shape.channels];
        // By their names: the file that was judged may have other copies than the one that is written.
        let measured = |name: &str| compared.iter().find(|layer| layer.name == step_name(name));
        let step = |step: &StepReport| StepSummary {
            name: step.name.clone(),
            operator: step.operator,
            input: sizes(step.input),
            output: sizes(step.output),
            macs: step.macs,
            weight_bytes: step.weight_bytes,
            winograd_bytes: step.winograd_bytes,
            scale: step.scale,
            zero_point: step.zero_point,
            sqnr_db: measured(&step.name).map(|layer| layer.sqnr_db),
        };
        Summary {
            file: args.output.display().to_string(),
            activation_bytes: report.activations,
            scratch_bytes: report.scratch,
            file_bytes: report.flash,
            weight_bytes: report.weights,
            winograd_bytes: report.winograd(),
            lower_bound_bytes: report.lower_bound,
            macs: report.macs(),
            calibration_images: 0,
            classes: together(report),
            verdict,
            equalised: Vec::new(),
            warnings: Vec::new(),
            steps: report.steps.iter().map(step).collect(),
        }
    }

    fn print(out: &mut dyn Write, summary: &Summary, args: &Args) -> Result<()> {
        let shape = |[height, width, channels]: [u32; 3]| format!("{height}x{width}x{channels}");
        let bytes = |count: usize| grouped(count as u64);
        let names = shorten::names(summary.steps.iter().map(|step| step.name.as_str()));
        let named = || summary.steps.iter().zip(&names);
        let rows: Vec<_> = named()
            .map(|(step, name)| {
                [
                    name.clone(),
                    step.operator.into(),
                    shape(step.input),
                    shape(step.output),
                    grouped(step.macs),
                    bytes(step.weight_bytes),
                    step.sqnr_db.map_or_else(String::new, |db| format!("{db:.1}")),
                ]
            })
            .collect();
        let (left, right) = (|title| (title, Align::Left), |title| (title, Align::Right));
        let names = [left("layer"), left("operator"), right("input"), right("output")];
        let [layer, operator, input, output] = names;
        table(out, [layer, operator, input, output, right("MACs"), right("weights"), right("SQNR dB")], &rows)?;
        let mut worst: Vec<_> = named().filter_map(|(step, name)| Some((name, step.sqnr_db?))).collect();
        worst.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let worst = worst.iter().take(WORST).map(|(name, db)| format!("{name} ({db:.1} dB)"));
        writeln!(out, "\nMACs          {}", grouped(summary.macs))?;
        writeln!(
            out,
            "RAM           {} bytes: {} of activations (no plan could need less than {}), {} of scratch",
            bytes(summary.activation_bytes + summary.scratch_bytes),
            bytes(summary.activation_bytes),
            bytes(summary.lower_bound_bytes),
            bytes(summary.scratch_bytes)
        )?;
        writeln!(
            out,
            "flash         {} bytes, {} of them weights",
            bytes(summary.file_bytes),
            bytes(summary.weight_bytes)
        )?;
        writeln!(out, "worst layers  {}", worst.collect::<Vec<_>>().join(", "))?;
        if !summary.equalised.is_empty() {
            writeln!(
                out,
                "equalised     channels of {}",
                shorten::names(summary.equalised.iter().map(String::as_str)).join(", ")
            )?;
        }
        writeln!(out, "calibrated    on {} pictures", summary.calibration_images)?;
        writeln!(out, "judged        {}", summary.verdict.line(summary.calibration_images))?;
        writeln!(out, "wrote         {}", args.output.display())?;
        Ok(())
    }
}
