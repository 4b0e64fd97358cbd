//! `tinception inspect`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tinception_core::format::tensor::{DataType, Tensor};
use tinception_core::model::{Checksum, Group, Kind, Model, Step};
use tinception_models::compile::Label;
use tinception_models::preprocess::Preprocessing;

use crate::destination;
use crate::engine::Classes;
use crate::memory::{Buffer, buffers};
use crate::output::{Align, grouped, json, table};
use crate::plot::{self, Span};
use crate::terminal::Plain;
use crate::{shorten, tin};

/// Arguments of `inspect`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  tinception inspect googlenet.tin\n  \
tinception inspect googlenet.tin --plot arena.svg")]
pub(crate) struct Args {
    /// Network in int8: a .tin file, or the name of a model on board
    #[arg(value_name = "FILE.tin")]
    file: PathBuf,
    /// Draw the arena over time: a box for each buffer, with the steps from left to right and the bytes upwards
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Load a file even if its checksum is wrong
    #[arg(long)]
    skip_checksum: bool,
}

/// What a class is called.
#[derive(Serialize)]
struct ClassLabel {
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    file: String,
    version: String,
    file_bytes: usize,
    activation_bytes: usize,
    scratch_bytes: usize,
    arena_bytes: usize,
    macs: u64,
    /// Operations of a run, pools and padding among them.
    operations: u64,
    /// What the classes are called, in their order.
    labels: Vec<ClassLabel>,
    input: Option<TensorReport>,
    logits: Option<TensorReport>,
    probabilities: Option<TensorReport>,
    /// How the classes go together.
    classes: Classes,
    preprocessing: Vec<(&'static str, String)>,
    self_test_seed: Option<u32>,
    provenance: Vec<(String, String)>,
    steps: Vec<StepReport>,
    tensors: Vec<TensorReport>,
    memory: Vec<BufferReport>,
}

#[derive(Serialize)]
struct StepReport {
    index: usize,
    name: String,
    operator: &'static str,
    /// The steps it runs together with.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<GroupReport>,
    input: TensorReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    second_input: Option<TensorReport>,
    output: TensorReport,
    macs: u64,
    /// Bytes of weights and channel tables.
    parameter_bytes: usize,
}

/// Steps that run together.
#[derive(Clone, Serialize)]
struct GroupReport {
    kind: &'static str,
    first: usize,
    last: usize,
}

/// A tensor; the shape is height, width, channels.
#[derive(Clone, Serialize)]
struct TensorReport {
    shape: [u32; 3],
    data_type: &'static str,
    scale: f32,
    zero_point: i8,
    offset: u32,
    pixel_stride: u32,
    /// Rows that have memory.
    stored_rows: u32,
}

#[derive(Serialize)]
struct BufferReport {
    name: String,
    start: u64,
    end: u64,
    first_step: usize,
    last_step: usize,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    if let Some(path) = &args.plot {
        destination::check(path, [args.file.as_path()])?;
    }
    let mut stderr = Plain(io::stderr());
    let out = destination::text_beside(args.plot.as_deref(), out, &mut stderr);
    let checksum = if args.skip_checksum { Checksum::Skip } else { Checksum::Verify };
    let model = tin::load(&args.file, checksum)?;
    let buffers = buffers(&model);
    if let Some(path) = &args.plot {
        destination::write(path, plot(&model, &buffers).as_bytes())?;
    }
    let report = report(args, &model, &buffers);
    if args.json {
        json(out, &report)?;
    } else {
        print(out, &report)?;
        if let Some(path) = &args.plot {
            writeln!(out, "\nwrote {}", path.display())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn report(args: &Args, model: &Model<'_>, buffers: &[Buffer]) -> Report {
    let (major, minor) = model.version();
    let steps: Vec<StepReport> = model.groups().flat_map(|(first, group)| group_report(model, first, group)).collect();
    let provenance = model.provenance().lines().map(|line| {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    });
    let preprocessing = model.preprocess().map(|record| Preprocessing::from_record(record).fields());
    Report {
        file: args.file.display().to_string(),
        version: format!("{major}.{minor}"),
        file_bytes: model.file_size(),
        activation_bytes: model.activation_size(),
        scratch_bytes: model.scratch_size(),
        arena_bytes: model.arena_size(),
        macs: steps.iter().map(|step| step.macs).fold(0, u64::saturating_add),
        operations: model.cost(),
        labels: model.labels().map(Label::from).map(|Label { id, name: label }| ClassLabel { label, id }).collect(),
        input: model.input().as_ref().map(tensor_report),
        logits: model.logits().as_ref().map(tensor_report),
        probabilities: model.probabilities().as_ref().map(tensor_report),
        classes: if model.has_independent_classes() { Classes::Independent } else { Classes::Exclusive },
        preprocessing: preprocessing.into_iter().flatten().collect(),
        self_test_seed: model.self_test_seed(),
        provenance: provenance.collect(),
        steps,
        tensors: (0..).map_while(|index| model.tensor(index)).map(|tensor| tensor_report(&tensor)).collect(),
        memory: buffers
            .iter()
            .map(|buffer| BufferReport {
                name: buffer.name.clone(),
                start: buffer.start,
                end: buffer.end,
                first_step: buffer.first,
                last_step: buffer.last,
            })
            .collect(),
    }
}

fn group_report(model: &Model<'_>, first: usize, group: Group) -> impl Iterator<Item = StepReport> {
    let last = first + group.length - 1;
    let report = (group.kind != Kind::Single).then_some(GroupReport { kind: group.kind.name(), first, last });
    (first..=last).filter_map(move |index| Some(step_report(index, &model.step(index)?, report.clone())))
}

fn step_report(index: usize, step: &Step<'_>, group: Option<GroupReport>) -> StepReport {
    let layout = step.layout();
    StepReport {
        index,
        name: step.name().to_owned(),
        operator: step.operator_name(),
        group,
        input: tensor_report(&step.input),
        second_input: step.second_input.as_ref().map(tensor_report),
        output: tensor_report(&step.output),
        macs: step.macs(),
        // The channel table has four i32 for each entry.
        parameter_bytes: layout.map_or(0, |layout| layout.weights + 16 * layout.table),
    }
}

fn tensor_report(tensor: &Tensor) -> TensorReport {
    let data_type = match tensor.data_type {
        DataType::Int8 => "int8",
        DataType::Int32 => "int32",
        DataType::UInt16 => "uint16",
    };
    TensorReport {
        shape: [tensor.shape.height, tensor.shape.width, tensor.shape.channels],
        data_type,
        scale: tensor.quant.scale,
        zero_point: tensor.quant.zero_point,
        offset: tensor.offset,
        pixel_stride: tensor.pixel_stride,
        stored_rows: tensor.stored_rows(),
    }
}

fn plot(model: &Model<'_>, buffers: &[Buffer]) -> String {
    let names: Vec<&str> = model.steps().map(|step| step.name()).collect();
    let mut spans: Vec<Span> = buffers
        .iter()
        .map(|buffer| Span {
            name: buffer.name.clone(),
            steps: (buffer.first, buffer.last + 1),
            bytes: (buffer.start, buffer.end),
        })
        .collect();
    let (activations, arena) = (model.activation_size() as u64, model.arena_size() as u64);
    if arena > activations {
        spans.push(Span { name: "scratch".into(), steps: (0, names.len()), bytes: (activations, arena) });
    }
    let (activation_bytes, scratch) = (grouped(activations), grouped(arena - activations));
    let title = format!("Arena: {activation_bytes} bytes of activations, {scratch} of scratch");
    plot::spans(&title, &names, arena, &spans)
}

fn shape([height, width, channels]: [u32; 3]) -> String {
    format!("{height}x{width}x{channels}")
}

fn describe(tensor: Option<&TensorReport>) -> String {
    tensor.map_or_else(
        || "none".into(),
        |tensor| {
            let TensorReport { data_type, scale, zero_point, .. } = tensor;
            format!("{} {data_type}, scale {scale:.6e}, zero point {zero_point}", shape(tensor.shape))
        },
    )
}

fn print(out: &mut dyn Write, report: &Report) -> Result<()> {
    let bytes = |count: usize| grouped(count as u64);
    writeln!(out, "{}: format {}, {} bytes", report.file, report.version, bytes(report.file_bytes))?;
    writeln!(out, "input          {}", describe(report.input.as_ref()))?;
    writeln!(out, "logits         {}", describe(report.logits.as_ref()))?;
    writeln!(out, "probabilities  {}", describe(report.probabilities.as_ref()))?;
    let classes = match report.classes {
        Classes::Exclusive => "exclusive: one class of all is true",
        Classes::Independent => "independent: each class is true or not by itself",
    };
    writeln!(out, "classes        {classes}")?;
    let ids = report.labels.iter().filter(|label| label.id.is_some()).count();
    let with_ids = if ids > 0 { format!(", {ids} of them with ids") } else { String::new() };
    writeln!(out, "labels         {}{with_ids}", report.labels.len())?;
    writeln!(out, "MACs           {}", grouped(report.macs))?;
    writeln!(out, "operations     {}, pools and padding among them", grouped(report.operations))?;
    writeln!(
        out,
        "arena          {} bytes: {} of activations, {} of scratch",
        bytes(report.arena_bytes),
        bytes(report.activation_bytes),
        bytes(report.scratch_bytes)
    )?;
    let seed = report.self_test_seed.map_or_else(|| "none".into(), |seed| format!("seed {seed}"));
    writeln!(out, "self-test      {seed}")?;
    print_pairs(out, "Preprocessing", &report.preprocessing)?;
    print_pairs(out, "Provenance", &report.provenance)?;
    writeln!(out, "\nSteps")?;
    let names = shorten::names(report.steps.iter().map(|step| step.name.as_str()));
    let rows: Vec<_> = report.steps.iter().zip(names).map(|(step, name)| step_row(step, name)).collect();
    let columns = [("#", Align::Right), ("name", Align::Left), ("operator", Align::Left), ("input", Align::Right)];
    let outputs = [("output", Align::Right), ("scale", Align::Right), ("zero", Align::Right)];
    let costs = [("MACs", Align::Right), ("parameters", Align::Right)];
    let [a, b, c, d] = columns;
    let together = ("together", Align::Left);
    table(out, [a, b, c, d, outputs[0], outputs[1], outputs[2], costs[0], costs[1], together], &rows)?;
    writeln!(out, "\nMemory map")?;
    let names = shorten::names(report.memory.iter().map(|buffer| buffer.name.as_str()));
    let rows: Vec<_> = report
        .memory
        .iter()
        .zip(names)
        .map(|(buffer, name)| {
            let BufferReport { start, end, first_step, last_step, .. } = buffer;
            [name, grouped(*start), grouped(*end), grouped(end - start), format!("{first_step} to {last_step}")]
        })
        .collect();
    let right = |title| (title, Align::Right);
    table(out, [("written by", Align::Left), right("from"), right("to"), right("bytes"), right("steps")], &rows)
}

fn print_pairs(out: &mut dyn Write, title: &str, pairs: &[(impl AsRef<str>, String)]) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    for (key, value) in pairs {
        writeln!(out, "  {}: {value}", key.as_ref())?;
    }
    Ok(())
}

fn step_row(step: &StepReport, name: String) -> [String; 10] {
    let TensorReport { shape: output, scale, zero_point, .. } = &step.output;
    let number = |count: u64| if count > 0 { grouped(count) } else { String::new() };
    [
        step.index.to_string(),
        name,
        step.operator.into(),
        shape(step.input.shape),
        shape(*output),
        format!("{scale:.4e}"),
        zero_point.to_string(),
        number(step.macs),
        number(step.parameter_bytes as u64),
        step.group.as_ref().map_or_else(String::new, |group| {
            let GroupReport { kind, first, last } = group;
            format!("{kind}, {first} to {last}")
        }),
    ]
}
