//! The float engine: tract runs a network as it was trained, for calibration and comparison.
//!
//! Seen from outside all tensors are NHWC with a batch of one, whatever the file holds.

use std::path::Path;
use std::sync::Arc;

use tinception_core::shape::Shape;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{TractErrorContext, bail};
use tract_onnx::tract_core::ops::cnn::{MaxPool, SumPool};

use crate::budget::{Budget, Exceeded, Resource};
use crate::ending::Ending;
use crate::graph::{Affine, Graph, ValueId};
use crate::onnx::{
    ImportError, OnnxFile, check_constants, check_float, check_tensors, graph_output, own_ending, picture_input,
    to_onnx_with_outputs,
};

/// A network ready to run in float. It can be shared between threads.
#[derive(Clone, Debug)]
pub struct FloatEngine {
    runnable: Arc<TypedRunnableModel>,
    input_shape: Shape,
    input_type: DatumType,
    nhwc: bool,
    outputs: Vec<Output>,
    own_ending: Option<Ending>,
}

/// Where a result comes from.
#[derive(Clone, Debug)]
enum Output {
    /// The picture itself, scaled as the network scales it.
    Picture(Affine),
    /// An output of tract's model that is NCHW.
    Nchw(usize, Shape),
    /// An output of tract's model in its own order.
    Plain(usize),
}

/// Why a network cannot run in float.
#[derive(Debug, thiserror::Error)]
pub enum FloatError {
    /// The file is no network for one picture.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// tract refused the network or failed while running it.
    #[error("{name}: tract cannot run it: {reason}")]
    Tract {
        /// The file's or graph's name.
        name: String,
        /// What tract said.
        reason: String,
    },
    /// The picture given has another size than the network's.
    #[error("the network takes {expected} numbers ({shape:?}), not {found}")]
    InputSize {
        /// How many numbers the network takes.
        expected: u64,
        /// As height, width and channels.
        shape: Shape,
        /// How many numbers were given.
        found: usize,
    },
}

impl FloatEngine {
    /// Prepares a graph; [`run`](Self::run) will return these values. Any of the graph's values can be asked for.
    ///
    /// # Errors
    /// [`FloatError::Tract`] where tract refuses the graph.
    pub fn new(graph: &Graph, outputs: &[ValueId]) -> Result<Self, FloatError> {
        let mut ids = Vec::new();
        let mut wanted = Vec::new();
        for &id in outputs {
            wanted.push(match id == graph.input {
                true => Output::Picture(graph.input_affine.clone()),
                false => Output::Nchw(position(&mut ids, id), graph.shape(id)),
            });
        }
        if ids.is_empty() {
            ids.push(graph.output);
        }
        let model = to_onnx_with_outputs(graph, &ids);
        let runnable = compile(&model, &graph.name, None)?;
        Ok(Self {
            runnable,
            input_shape: graph.shape(graph.input),
            input_type: DatumType::F32,
            nhwc: false,
            outputs: wanted,
            own_ending: None,
        })
    }

    /// Prepares an ONNX file as it is: no import, no passes. [`run`](Self::run) returns its one output, in the order
    /// the file has.
    ///
    /// # Errors
    /// [`FloatError::Import`] for a file that is quantised or doesn't take one picture of a fixed size and give one
    /// output, [`FloatError::Tract`] where tract refuses it.
    pub fn from_onnx(path: impl AsRef<Path>) -> Result<Self, FloatError> {
        let opened = OnnxFile::open(path.as_ref())?;
        let (file, graph) = (&opened.name, opened.graph()?);
        check_float(graph, file)?;
        let picture = picture_input(graph, file)?;
        let output = graph_output(graph, file)?;
        check_tensors(graph, file, &opened.budget)?;
        check_constants(&opened)?;
        let (input_shape, nhwc) = (picture.shape, picture.is_nhwc());
        let runnable = compile(&opened.model, file, Some(&opened.budget))?;
        let input_type = runnable.model().input_fact(0).map_err(|error| tract_error(file, &error))?.datum_type;
        let given = runnable.model().output_fact(0).map_err(|error| tract_error(file, &error))?;
        let own_ending = own_ending(graph, output).filter(|_| given.datum_type.is_float());
        Ok(Self { runnable, input_shape, input_type, nhwc, outputs: vec![Output::Plain(0)], own_ending })
    }

    /// Height, width and channels of the picture.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input_shape
    }

    /// What the output of an ONNX file has gone through last; `None` where the file gives whole numbers instead of scores, as
    /// behind an ArgMax, and for a graph.
    #[must_use]
    pub const fn own_ending(&self) -> Option<Ending> {
        self.own_ending
    }

    /// How many numbers the first output has, where that is known.
    #[must_use]
    pub fn output_len(&self) -> Option<usize> {
        let shape = self.runnable.model().output_fact(0).ok()?.shape.as_concrete()?;
        Some(shape.iter().product())
    }

    /// Runs one picture, given in NHWC before anything the network itself does to it, and returns the requested
    /// values in NHWC order.
    ///
    /// # Errors
    /// [`FloatError::InputSize`], [`FloatError::Tract`].
    pub fn run(&self, input: &[f32]) -> Result<Vec<Vec<f32>>, FloatError> {
        let shape = self.input_shape;
        if input.len() as u64 != shape.elements() {
            return Err(FloatError::InputSize { expected: shape.elements(), shape, found: input.len() });
        }
        let results = guarded(|| self.run_tract(input)).map_err(|error| tract_error("the network", &error))?;
        let get = |index: usize| -> TractResult<&[f32]> {
            results.get(index).context("an output is missing")?.try_as_plain_ram()?.as_slice::<f32>()
        };
        let outputs = self.outputs.iter().map(|output| match output {
            Output::Picture(affine) => Ok(apply(affine, input)),
            Output::Nchw(index, shape) => get(*index).map(|values| to_nhwc(values, *shape)),
            Output::Plain(index) => get(*index).map(<[f32]>::to_vec),
        });
        outputs.collect::<TractResult<_>>().map_err(|error| tract_error("the network", &error))
    }

    fn run_tract(&self, input: &[f32]) -> TractResult<Vec<Tensor>> {
        let Shape { height, width, channels } = self.input_shape;
        let [height, width, channels] = [height, width, channels].map(|size| size as usize);
        let tensor = match self.nhwc {
            true => Tensor::from_shape(&[1, height, width, channels], input)?,
            false => Tensor::from_shape(&[1, channels, height, width], &to_nchw(input, self.input_shape))?,
        };
        let tensor = tensor.cast_to_dt(self.input_type)?.into_owned();
        let results = self.runnable.run(tvec!(tensor.into_tvalue()))?;
        results.into_iter().map(|value| Ok(value.cast_to::<f32>()?.into_owned())).collect()
    }
}

/// The position of `id` in `ids`, appended where it is new: tract wants each output once.
fn position(ids: &mut Vec<ValueId>, id: ValueId) -> usize {
    ids.iter().position(|&known| known == id).unwrap_or_else(|| {
        ids.push(id);
        ids.len() - 1
    })
}

fn tract_error(name: &str, error: &TractError) -> FloatError {
    FloatError::Tract { name: name.to_owned(), reason: format!("{error:#}") }
}

/// tract's optimised plan, its picture input fixed to a batch of one. A stranger's network comes with its budget.
fn compile(model: &ModelProto, name: &str, budget: Option<&Budget>) -> Result<Arc<TypedRunnableModel>, FloatError> {
    let mut exceeded = None;
    let plan = || -> TractResult<Arc<TypedRunnableModel>> {
        let parsed =
            tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true).parse(model, None)?;
        if let Some(missing) = parsed.unresolved_inputs.first() {
            bail!("nothing makes the tensor '{missing}'");
        }
        let mut model = parsed.model;
        let mut fact = model.input_fact(0)?.clone();
        fact.shape.set_dim(0, 1.to_dim());
        model.set_input_fact(0, fact)?;
        let typed = model.into_typed()?;
        if let Some(budget) = budget {
            exceeded = charge(&typed, budget)?;
            if let Some(exceeded) = &exceeded {
                bail!("{exceeded}");
            }
        }
        typed.into_optimized()?.into_runnable()
    };
    let planned = guarded(plan);
    match exceeded {
        Some(exceeded) => Err(ImportError::Budget { place: name.to_owned(), what: String::new(), exceeded }.into()),
        None => planned.map_err(|error| tract_error(name, &error)),
    }
}

/// Draws a run of the network from the budget of its file: its largest tensor, since tract drops what nothing reads any
/// more, and the work. `Some` where there isn't as much.
fn charge(model: &TypedModel, budget: &Budget) -> TractResult<Option<Exceeded>> {
    let volume = |fact: &TypedFact| match fact.shape.as_concrete() {
        Some(sizes) if fact.konst.is_none() => {
            sizes.iter().fold(1_u64, |volume, &size| volume.saturating_mul(size as u64))
        }
        _ => 0,
    };
    let (mut largest, mut work) = (0_u64, 0_u64);
    for node in model.nodes() {
        let output = node.outputs.iter().map(|output| volume(&output.fact)).max().unwrap_or(0);
        largest = largest.max(output);
        let window = match (node.op_as::<MaxPool>(), node.op_as::<SumPool>()) {
            (Some(pool), _) => &pool.pool_spec.kernel_shape[..],
            (_, Some(pool)) => &pool.pool_spec.kernel_shape[..],
            _ => &[],
        };
        work = work.saturating_add(window.iter().fold(output, |work, &size| work.saturating_mul(size as u64)));
        for (cost, amount) in node.op.cost(&model.node_input_facts(node.id)?)? {
            if cost.is_compute() {
                work = work.saturating_add(amount.to_i64().map_or(0, i64::unsigned_abs));
            }
        }
    }
    let taken = budget.take(Resource::Activations, largest).and_then(|()| budget.take(Resource::Work, work));
    Ok(taken.err())
}

/// tract panics on some files that are wrong in ways nobody thought of; here that is an error like the others.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> TractResult<T> {
    // Nothing that `work` leaves half done is used afterwards: it owns what it changes.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        bail!("it panicked: {text}")
    })
}

fn apply(affine: &Affine, input: &[f32]) -> Vec<f32> {
    let pixels = input.chunks_exact(affine.scale.len().max(1));
    pixels
        .flat_map(|pixel| {
            pixel.iter().zip(&affine.scale).zip(&affine.shift).map(|((x, scale), shift)| scale * x + shift)
        })
        .collect()
}

/// NHWC to NCHW.
fn to_nchw(values: &[f32], shape: Shape) -> Vec<f32> {
    transposed(values, shape.pixels() as usize, shape.channels as usize)
}

/// NCHW to NHWC.
fn to_nhwc(values: &[f32], shape: Shape) -> Vec<f32> {
    transposed(values, shape.channels as usize, shape.pixels() as usize)
}

/// A matrix of `rows` x `columns` with its axes swapped.
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}
