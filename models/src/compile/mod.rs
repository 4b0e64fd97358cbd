//! The compiler's front door: a float graph and its calibration become a `.tin` file.

mod error;
mod labels;
mod report;

pub use error::{CompileError, LabelProblem};
pub use labels::{Label, Labels};
pub use report::{Report, StepReport};
use tinception_core::format::PROVENANCE_LIMIT;
use tinception_core::model::Model;
use tinception_core::quant::{QuantParams, is_scale};

use crate::aligned::Aligned;
use crate::calibrate::{Calibration, Method};
use crate::emit::{emit, self_test};
use crate::ending::OwnOutput;
use crate::fuse::{Fusions, fuse};
use crate::graph::Graph;
use crate::names::escaped;
use crate::plan::plan;
use crate::preprocess::Preprocessing;
use crate::program::lower;
use crate::quantize::activations;
use crate::winograd;

/// What can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How the ranges of activations are chosen.
    pub method: Method,
    /// Whether biases make up for the mean error of their layer's rounded weights
    /// (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2).
    pub bias_correction: bool,
    /// Which steps may run together.
    pub fusions: Fusions,
    /// Whether 3x3 convolutions that gain from it get their weights once more, transformed for exact Winograd.
    pub winograd: bool,
    /// What is done to a picture. Without it, a file takes int8 input only.
    pub preprocessing: Option<Preprocessing>,
    /// What the classes are called. A network of one score has two classes, and takes one name, two or none.
    pub labels: Option<Labels>,
    /// Where the network comes from: `source`, `source-sha256`, `licence` and whatever else should be kept. Lines on the
    /// tool and the calibration are added.
    pub provenance: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            method: Method::default(),
            bias_correction: true,
            fusions: Fusions::default(),
            winograd: false,
            preprocessing: None,
            labels: None,
            provenance: Vec::new(),
        }
    }
}

/// A compiled network.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// Bytes of the .tin file.
    pub bytes: Vec<u8>,
    /// What it needs.
    pub report: Report,
}

/// Compiles a graph that has gone through [`passes`](crate::passes) with a calibration of that same graph. The same
/// graph, calibration and options give the same bytes.
///
/// # Errors
/// [`CompileError`] names the node and the way out.
pub fn compile(graph: &Graph, calibration: &Calibration, options: &Options) -> Result<Compiled, CompileError> {
    let input = graph.shape(graph.input);
    if let Some(preprocessing) = &options.preprocessing
        && preprocessing.channels() as u32 != input.channels
    {
        let name = graph[graph.input].name.clone();
        let given = preprocessing.channels();
        return Err(CompileError::InputChannels { given, input: name, taken: input.channels });
    }
    if let Some(preprocessing) = &options.preprocessing {
        let channels = preprocessing.mean.into_iter().zip(preprocessing.scale).take(preprocessing.channels());
        for (mean, scale) in channels {
            if !mean.is_finite() || !is_scale(scale) {
                return Err(CompileError::Preprocessing { mean, scale });
            }
        }
    }
    let classes = graph.shape(graph.output).channels as usize;
    let labels = class_names(graph, options);
    if let Some(labels) = &labels {
        labels.check(classes)?;
    }
    let quant = scales(graph, calibration, options)?;
    let mut program = lower(graph, &quant, options.bias_correction.then_some(calibration))?;
    fuse(&mut program, options.fusions);
    if options.winograd {
        winograd::choose(&mut program);
    }
    let plan = plan(&mut program);
    let mut writer = emit(&program, &plan, labels.as_ref().and_then(Labels::ids))?;
    if let Some(preprocessing) = &options.preprocessing {
        let table = preprocessing.pixel_table(&graph.input_affine, quant[graph.input.0]);
        let table = writer.add_data(bytemuck::cast_slice(&table), 4);
        writer.preprocess = Some(preprocessing.to_record(table));
    }
    if let Some(labels) = &labels {
        writer.labels = labels.names();
    }
    writer.provenance = provenance(graph, calibration, options);
    let draft = Aligned::new(&writer.finish());
    let model = Model::new(&draft).map_err(CompileError::Refused)?;
    let hashes = self_test(&model).map_err(|_| CompileError::Refused(tinception_core::error::FormatError::Arena))?;
    writer.self_test = Some(hashes);
    let bytes = writer.finish();
    let report = Report::new(&program, &plan, &writer, bytes.len());
    Ok(Compiled { bytes, report })
}

/// Scale and zero point of every value.
pub(crate) fn scales(
    graph: &Graph,
    calibration: &Calibration,
    options: &Options,
) -> Result<Vec<QuantParams>, CompileError> {
    let input_range = options.preprocessing.as_ref().map(|preprocessing| input_range(preprocessing, graph));
    activations(graph, calibration, options.method, input_range)
        .map_err(|value| CompileError::NotCalibrated { value: graph[value].name.clone() })
}

/// The values that black and white become, over all channels.
fn input_range(preprocessing: &Preprocessing, graph: &Graph) -> (f32, f32) {
    let affine = preprocessing.composed(&graph.input_affine);
    let ends = affine.scale.iter().zip(&affine.shift).flat_map(|(scale, shift)| [*shift, scale * 255.0 + shift]);
    ends.fold((0.0, 0.0), |(least, largest), end| (end.min(least), end.max(largest)))
}

/// The classes' names; those of a network of one score are never missing.
fn class_names(graph: &Graph, options: &Options) -> Option<Labels> {
    if !graph.own_output.is_some_and(|own| own.one_score) {
        return options.labels.clone();
    }
    let Labels { file, classes } = options.labels.clone().unwrap_or_default();
    Some(Labels { file, classes: Labels::of_one_score(classes) })
}

/// `key: value` lines; line ends within a value become spaces, other control characters escapes.
fn provenance(graph: &Graph, calibration: &Calibration, options: &Options) -> String {
    let correction = if options.bias_correction { "biases corrected" } else { "biases as they were" };
    let summary = format!("{} pictures, {}, {correction}", calibration.samples(), options.method.name());
    let own =
        [("tool".to_owned(), format!("tinception {}", env!("CARGO_PKG_VERSION"))), ("calibration".to_owned(), summary)];
    let one_line = |text: &str| escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let output = graph.own_output.and_then(OwnOutput::told);
    let output = output.map(|told| (OwnOutput::KEY.to_owned(), told.to_owned()));
    let lines = options.provenance.iter().chain(&output).chain(&own);
    let lines = lines.map(|(key, value)| format!("{}: {}", one_line(key), one_line(value)));
    lines.map(|line| format!("{}\n", &line[..line.floor_char_boundary(PROVENANCE_LIMIT)])).collect()
}
