//! Float against int8, layer by layer.
//!
//! Both engines get the same pixels. The int8 network runs end to end, so a layer's error is what has accumulated up to
//! it. A step is compared with the graph's value that the node of its name makes, and the copy of a branch into a
//! concatenation with that branch. Parts of a step that the compiler split have no value of their own and are passed over.

use std::ops::ControlFlow;

use tinception_core::error::{ImageError, RunError};
use tinception_core::format::tensor::DataType;
use tinception_core::image::quantize_pixels;
use tinception_core::model::Model;
use tinception_core::session::{Session, Values, Whole};
use tinception_core::shape::Shape;

use crate::aligned::Aligned;
use crate::equalise::as_compiled;
use crate::float::{FloatEngine, FloatError};
use crate::graph::{Graph, Node, ValueId};
use crate::names::step_name;
use crate::preprocess::Preprocessing;
use crate::program::{COPY, scores};

/// How far a layer's int8 output is from the float one.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerComparison {
    /// Index of the step in the file.
    pub step: usize,
    /// The layer's name.
    pub name: String,
    /// What the step computes.
    pub operator: &'static str,
    /// Signal to quantisation noise ratio in dB, over all elements and pictures:
    /// `10 log10(sum x^2 / sum (x - x_int8)^2)`. Infinite where both are equal.
    pub sqnr_db: f64,
    /// Share of the int8 values that lie at the end of their range and so may be cut off, 0 to 1. An end that stands for
    /// zero, as that of a ReLU, doesn't count.
    pub saturated: f64,
}

/// How far the scores are from the float network's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoresComparison {
    /// How many pictures were compared.
    pub pictures: usize,
    /// Those with the same best class. Of a single score, those on the same side of zero.
    pub agreeing: usize,
    /// Signal to quantisation noise ratio in dB of what ranks the classes, before any softmax; see
    /// [`LayerComparison::sqnr_db`].
    pub sqnr_db: f64,
}

impl ScoresComparison {
    /// Share of the pictures with the same best class, 0 to 1.
    #[must_use]
    pub fn agreement(&self) -> f64 {
        self.agreeing as f64 / self.pictures.max(1) as f64
    }
}

/// Why a comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The file doesn't say how pictures become its input.
    #[error("the file has no preprocessing: compile it with one")]
    NoPreprocessing,
    /// File and float network have different inputs.
    #[error("the file takes {file} numbers and the float network {float}: they are not the same network")]
    Input {
        /// Elements of the file's input.
        file: u64,
        /// Elements of the float network's.
        float: u64,
    },
    /// No step has the name of a node.
    #[error("no layer of the file has the name and shape of one of the float network: they are not the same network")]
    Strangers,
    /// There was no picture.
    #[error("no pictures to compare on")]
    Empty,
    /// The float engine failed.
    #[error(transparent)]
    Float(#[from] FloatError),
    /// The int8 session failed.
    #[error("the int8 network could not run: {0}")]
    Run(#[from] RunError),
    /// The pixels are not what the network takes.
    #[error("the picture's pixels could not be quantised: {0}")]
    Image(#[from] ImageError),
}

/// Takes pictures one by one.
#[derive(Debug)]
pub struct Comparison<'m> {
    model: Model<'m>,
    engine: FloatEngine,
    preprocessing: Preprocessing,
    layers: Vec<Layer>,
    scores: Scores,
    arena: Aligned,
    pictures: usize,
}

/// What is summed up of the scores.
#[derive(Debug, Default)]
struct Scores {
    agreeing: usize,
    signal: f64,
    noise: f64,
}

/// What is summed up of a step.
#[derive(Debug)]
struct Layer {
    step: usize,
    name: String,
    operator: &'static str,
    signal: f64,
    noise: f64,
    saturated: u64,
    elements: u64,
}

impl<'m> Comparison<'m> {
    /// Prepares a graph and the file compiled from it. Where the file says that channels were
    /// [equalised](crate::equalise), the graph's are, too.
    ///
    /// # Errors
    /// [`CompareError`] where they don't belong together.
    pub fn new(graph: &Graph, model: &Model<'m>) -> Result<Self, CompareError> {
        let record = model.preprocess().ok_or(CompareError::NoPreprocessing)?;
        let graph = &as_compiled(graph, model.provenance());
        let file = model.input().map_or(0, |input| input.shape.elements());
        let float = graph.shape(graph.input).elements();
        if file != float {
            return Err(CompareError::Input { file, float });
        }
        let (mut layers, mut ids): (Vec<Layer>, Vec<ValueId>) = (Vec::new(), Vec::new());
        for (index, step) in model.steps().enumerate() {
            if let Some(value) = made_value(graph, step.name(), step.output.shape) {
                ids.push(value);
                let (name, operator) = (step.name().to_owned(), step.operator_name());
                layers.push(Layer { step: index, name, operator, signal: 0.0, noise: 0.0, saturated: 0, elements: 0 });
            }
        }
        if layers.is_empty() {
            return Err(CompareError::Strangers);
        }
        ids.push(scores(graph).map_err(|_| CompareError::Strangers)?);
        let engine = FloatEngine::new(graph, &ids)?;
        let preprocessing = Preprocessing::from_record(record);
        let arena = Aligned::zeroed(model.arena_size());
        Ok(Self { model: *model, engine, preprocessing, layers, scores: Scores::default(), arena, pictures: 0 })
    }

    /// Runs one picture: resampled pixels of the network's size, RGB or luma.
    ///
    /// # Errors
    /// [`CompareError`] for pixels of another size.
    pub fn add(&mut self, pixels: &[u8]) -> Result<(), CompareError> {
        let mut float = self.engine.run(&self.preprocessing.to_float(pixels))?;
        let float_scores = float.pop().unwrap_or_default();
        let mut input = pixels.to_vec();
        let table = self.model.pixel_table().ok_or(CompareError::NoPreprocessing)?;
        let input = quantize_pixels(&mut input, self.preprocessing.order, table)?;
        let mut session = Session::new(&self.model, &mut self.arena)?;
        session.input_mut().copy_from_slice(input);
        let mut layers = self.layers.iter_mut().zip(float).peekable();
        session.run_observed(&mut Whole::new(|index, _, output| {
            if let Some((layer, float)) = layers.next_if(|(layer, _)| layer.step == index) {
                layer.add(&float, &output);
            }
            ControlFlow::Continue(())
        }))?;
        if let Some(logits) = session.logits() {
            self.scores.add(&float_scores, &logits);
        }
        self.pictures += 1;
        Ok(())
    }

    /// What the pictures so far showed of the scores.
    #[must_use]
    pub fn scores(&self) -> ScoresComparison {
        let Scores { agreeing, signal, noise } = self.scores;
        ScoresComparison { pictures: self.pictures, agreeing, sqnr_db: decibels(signal, noise) }
    }

    /// What the pictures showed, in the order of the steps.
    ///
    /// # Errors
    /// [`CompareError::Empty`] where there was no picture.
    pub fn finish(self) -> Result<Vec<LayerComparison>, CompareError> {
        if self.pictures == 0 {
            return Err(CompareError::Empty);
        }
        let compared = self.layers.into_iter().map(|layer| LayerComparison {
            step: layer.step,
            name: layer.name,
            operator: layer.operator,
            sqnr_db: decibels(layer.signal, layer.noise),
            saturated: layer.saturated as f64 / layer.elements as f64,
        });
        Ok(compared.collect())
    }
}

/// Compares on pictures as [`Comparison::add`] takes them; `progress` hears after each how many are done.
///
/// # Errors
/// [`CompareError`].
pub fn compare(
    graph: &Graph,
    model: &Model<'_>,
    pictures: impl IntoIterator<Item = Vec<u8>>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<LayerComparison>, CompareError> {
    let mut comparison = Comparison::new(graph, model)?;
    for (index, pixels) in pictures.into_iter().enumerate() {
        comparison.add(&pixels)?;
        progress(index + 1);
    }
    comparison.finish()
}

/// The graph's value that a step of this name and output shape makes or copies.
fn made_value(graph: &Graph, name: &str, shape: Shape) -> Option<ValueId> {
    let of_node = |end: &str| {
        let same =
            |node: &&Node| step_name(&format!("{}{end}", node.name)) == name && graph.shape(node.output) == shape;
        graph.nodes.iter().find(same).map(|node| node.output)
    };
    of_node("").or_else(|| of_node(COPY)).or_else(|| {
        let copied = step_name(&format!("{}{COPY}", graph[graph.input].name));
        (copied == name && graph.shape(graph.input) == shape).then_some(graph.input)
    })
}

fn decibels(signal: f64, noise: f64) -> f64 {
    if noise == 0.0 { f64::INFINITY } else { 10.0 * (signal / noise).log10() }
}

impl Scores {
    fn add(&mut self, float: &[f32], logits: &Values<'_>) {
        let scale = f64::from(logits.tensor().quant.scale);
        let int8: Vec<f64> = logits.iter().map(|q| scale * f64::from(q)).collect();
        let float: Vec<f64> = float.iter().copied().map(f64::from).collect();
        for (x, y) in float.iter().zip(&int8) {
            self.signal += x * x;
            self.noise += (x - y) * (x - y);
        }
        self.agreeing += usize::from(answer(&float) == answer(&int8));
    }
}

/// The class with the largest score, the first of equal ones; of a single score, whether it is above zero.
fn answer(scores: &[f64]) -> usize {
    if let [score] = scores {
        return usize::from(*score > 0.0);
    }
    let best = scores.iter().enumerate().rev().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(class, _)| class)
}

impl Layer {
    fn add(&mut self, float: &[f32], output: &Values<'_>) {
        let (quant, is_int8) = (output.tensor().quant, output.tensor().data_type == DataType::Int8);
        let (scale, zero_point) = (f64::from(quant.scale), i32::from(quant.zero_point));
        for (x, q) in float.iter().zip(output.iter()) {
            let x = f64::from(*x);
            let error = x - scale * f64::from(q - zero_point);
            self.signal += x * x;
            self.noise += error * error;
            self.saturated += u64::from(is_int8 && quant.is_saturated(q));
        }
        self.elements += float.len() as u64;
    }
}
