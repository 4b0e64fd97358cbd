//! A graph and its quantisation become a program.

use tinception_core::format::step::Link;
use tinception_core::format::tensor::{DataType, Stored};
use tinception_core::kernels::conv::Layout;
use tinception_core::quant::QuantParams;
use tinception_core::shape::{Padding, Shape, Window};

use super::slices::{Slice, branches, in_position, slices};
use super::{COPY, Operator, Place, Program, Step, Tensor, TensorId};
use crate::calibrate::Calibration;
use crate::compile::CompileError;
use crate::graph::{AveragePool, Clamp, Conv, Graph, Node, Op, ValueId};
use crate::quantize::{Source, activation_range, common_shift, requantize, tables};

/// The quantisation of int32 logits lacks a zero point, as does that of u16 probabilities.
const fn centred(scale: f32) -> QuantParams {
    QuantParams { scale, zero_point: 0 }
}

/// Brings a graph into the form that is planned and written.
///
/// `quant` has each value's scale and zero point ([`activations`](crate::quantize::activations)); `means`, where biases
/// shall be corrected, the calibration that knows the channels' means.
///
/// # Errors
/// [`CompileError`] names the node that can't be lowered.
pub fn lower(graph: &Graph, quant: &[QuantParams], means: Option<&Calibration>) -> Result<Program, CompileError> {
    let mut lowering = Lowering::new(graph, quant, means);
    let scores = scores(graph)?;
    for node in &graph.nodes {
        match &node.op {
            Op::Concat if node.output != scores => lowering.concat(node)?,
            Op::Softmax | Op::Sigmoid if node.output == graph.output => {}
            Op::Flatten => lowering.view(node),
            _ if node.output == scores => lowering.scores(node)?,
            _ => lowering.node(node)?,
        }
    }
    lowering.end()
}

/// The value that ranks the classes.
pub(crate) fn scores(graph: &Graph) -> Result<ValueId, CompileError> {
    let unsupported = |node: &Node, problem| {
        Err(CompileError::Unsupported { node: node.name.clone(), operator: node.op.name(), problem })
    };
    let scores = match graph.producer(graph.output) {
        Some(Node { op: Op::Softmax | Op::Sigmoid, inputs, .. }) => inputs[0],
        _ => graph.output,
    };
    let inner = |node: &&Node| is_probabilities(&node.op) && node.output != graph.output;
    if let Some(node) = graph.nodes.iter().find(inner) {
        return unsupported(node, "a softmax or sigmoid can only be the network's end");
    }
    match graph.producer(scores) {
        None => Err(CompileError::Unsupported {
            node: graph[scores].name.clone(),
            operator: "input",
            problem: "the network has no layer",
        }),
        Some(node) if graph.shape(scores).pixels() != 1 => {
            Err(CompileError::ScoresShape { node: node.name.clone(), shape: graph.shape(scores) })
        }
        Some(_) => Ok(scores),
    }
}

/// Whether an operator makes logits the network's probabilities.
const fn is_probabilities(op: &Op) -> bool {
    matches!(op, Op::Softmax | Op::Sigmoid)
}

struct Lowering<'a> {
    graph: &'a Graph,
    means: Option<&'a Calibration>,
    slices: Vec<Option<Slice>>,
    /// The first tensors of the program are the graph's values, in their order.
    program: Program,
    /// The node that makes the probabilities.
    probabilities: Option<&'a Node>,
}

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, quant: &[QuantParams], means: Option<&'a Calibration>) -> Self {
        let slices = slices(graph);
        let tensors = graph.values.iter().zip(quant).zip(&slices).map(|((value, quant), slice)| Tensor {
            name: value.name.clone(),
            shape: value.shape,
            data_type: DataType::Int8,
            quant: *quant,
            place: match slice {
                Some(slice) => Place::Slice { of: slice.of.0, first_channel: slice.first_channel },
                None => Place::Own,
            },
            stored: Stored::Whole,
        });
        let program = Program {
            tensors: tensors.collect(),
            steps: Vec::new(),
            input: graph.input.0,
            logits: graph.output.0,
            probabilities: None,
        };
        let probabilities = graph.producer(graph.output).filter(|node| is_probabilities(&node.op));
        Self { graph, means, slices, program, probabilities }
    }

    fn tensor(&self, id: TensorId) -> &Tensor {
        &self.program.tensors[id]
    }

    fn add_tensor(&mut self, name: &str, shape: Shape, quant: QuantParams, place: Place) -> TensorId {
        let name = name.to_owned();
        self.program.tensors.push(Tensor {
            name,
            shape,
            data_type: DataType::Int8,
            quant,
            place,
            stored: Stored::Whole,
        });
        self.program.tensors.len() - 1
    }

    fn add_step(&mut self, name: &str, operator: Operator, input: TensorId, output: TensorId, range: (i8, i8)) {
        let name = name.to_owned();
        self.program.steps.push(Step { name, operator, input, second_input: None, output, range, link: Link::None });
    }

    /// Copies what can't write into the concatenation itself.
    fn concat(&mut self, node: &Node) -> Result<(), CompileError> {
        for (branch, first_channel) in branches(self.graph, node) {
            if in_position(&self.slices, node.output, (branch, first_channel)) {
                continue;
            }
            let name = self.graph.producer(branch).map_or(&self.graph[branch].name, |producer| &producer.name);
            let name = format!("{name}{COPY}");
            let quant = self.tensor(node.output.0).quant;
            let ratio = f64::from(self.tensor(branch.0).quant.scale) / f64::from(quant.scale);
            let rule = requantize(ratio).ok_or(CompileError::Ratio { node: node.name.clone() })?;
            let place = Place::Slice { of: node.output.0, first_channel };
            let output = self.add_tensor(&name, self.graph.shape(branch), quant, place);
            self.add_step(&name, Operator::Rescale(rule), branch.0, output, (i8::MIN, i8::MAX));
        }
        Ok(())
    }

    fn view(&mut self, node: &Node) {
        self.program.tensors[node.output.0].place = Place::View { of: node.inputs[0].0 };
    }

    fn node(&mut self, node: &Node) -> Result<(), CompileError> {
        let (input, output) = (node.inputs[0].0, node.output.0);
        let quant = |id: TensorId| self.tensor(id).quant;
        let ratio = f64::from(quant(input).scale) / f64::from(quant(output).scale);
        let too_far = || CompileError::Ratio { node: node.name.clone() };
        let shape = |id: TensorId| self.tensor(id).shape;
        let (operator, clamp) = match &node.op {
            Op::Conv(conv) => {
                let source = self.conv_source(node, conv);
                return self.convolution(node, source, input, conv.clamp);
            }
            Op::Dense(dense) => {
                let (input, window) = self.dense_input(node, input);
                let source = self.source(node, input, window, 1, (&dense.weights, &dense.bias));
                return self.convolution(node, source, input, dense.clamp);
            }
            Op::MaxPool(window) => (Operator::MaxPool(*window), Clamp::NONE),
            Op::AveragePool(pool) => {
                (average(pool, shape(input), shape(output), ratio).ok_or_else(too_far)?, pool.clamp)
            }
            Op::Lrn(lrn) => {
                let table = tables::lrn(lrn, shape(input).channels, quant(input), quant(output));
                let table = table.ok_or_else(|| CompileError::LrnTable { node: node.name.clone() })?;
                (Operator::Lrn { size: lrn.size, table }, Clamp::NONE)
            }
            Op::Add(clamp) => {
                let second = f64::from(quant(node.inputs[1].0).scale) / f64::from(quant(output).scale);
                let (multipliers, shift) = common_shift([ratio, second]).ok_or_else(too_far)?;
                (Operator::Add { multipliers, shift }, *clamp)
            }
            Op::Clamp(clamp) => (Operator::Rescale(requantize(ratio).ok_or_else(too_far)?), *clamp),
            Op::Concat | Op::Flatten | Op::Softmax | Op::Sigmoid => return Ok(()),
            Op::BatchNorm(_) | Op::Pad(_) | Op::LogSoftmax | Op::Identity => {
                return Err(CompileError::Unsupported {
                    node: node.name.clone(),
                    operator: node.op.name(),
                    problem: "run the passes before compiling",
                });
            }
        };
        let range = activation_range(clamp, quant(output));
        self.add_step(&node.name, operator, input, output, range);
        if let Some(step) = self.program.steps.last_mut() {
            step.second_input = node.inputs.get(1).map(|second| second.0);
        }
        Ok(())
    }

    fn conv_source<'b>(&self, node: &Node, conv: &'b Conv) -> Source<'b>
    where
        'a: 'b,
    {
        self.source(node, node.inputs[0].0, conv.window, conv.groups, (&conv.weights, &conv.bias))
    }

    fn source<'b>(
        &self,
        node: &Node,
        input: TensorId,
        window: Window,
        groups: usize,
        (weights, bias): (&'b [f32], &'b [f32]),
    ) -> Source<'b>
    where
        'a: 'b,
    {
        let channels = (self.tensor(input).shape.channels, self.tensor(node.output.0).shape.channels);
        let statistics = self.means.and_then(|calibration| calibration.get(node.inputs[0]));
        let input_mean = statistics.map(|statistics| statistics.channel_mean.as_slice());
        Source { window, groups, channels, weights, bias, input: self.tensor(input).quant, input_mean }
    }

    /// What a dense layer reads, and with which window. A picture that is dense in memory is read as one pixel: then
    /// nothing is gathered.
    fn dense_input(&mut self, node: &Node, input: TensorId) -> (TensorId, Window) {
        let Tensor { shape, quant, place, .. } = *self.tensor(input);
        let elements = shape.elements();
        if shape.pixels() == 1 || place != Place::Own || !elements.is_multiple_of(4) {
            return (input, Window::global(shape.height, shape.width));
        }
        let name = format!("{}/flat", node.name);
        let one_pixel = Shape::new(1, 1, u32::try_from(elements).unwrap_or(u32::MAX));
        (self.add_tensor(&name, one_pixel, quant, Place::View { of: input }), Window::square(1, 1))
    }

    fn convolution(
        &mut self,
        node: &Node,
        source: Source<'_>,
        input: TensorId,
        clamp: Clamp,
    ) -> Result<(), CompileError> {
        let quant = self.tensor(node.output.0).quant;
        let conv = source.quantize(f64::from(quant.scale));
        let conv = conv.map_err(|problem| CompileError::Weights { node: node.name.clone(), problem })?;
        let range = activation_range(clamp, quant);
        self.add_step(&node.name, Operator::Conv(conv), input, node.output.0, range);
        Ok(())
    }

    /// The node that makes the scores: int32 where its kernel can, so that int8 makes no classes equal. Where it can't,
    /// an average over one pixel widens them.
    fn scores(&mut self, node: &Node) -> Result<(), CompileError> {
        let readers = self.graph.consumers(node.output).filter(|reader| !is_probabilities(&reader.op)).count();
        let output = node.output.0;
        let widened = readers == 0 && self.wide_scores(node)?;
        if widened {
            self.program.logits = output;
            return Ok(());
        }
        match node.op {
            Op::Concat => self.concat(node)?,
            _ => self.node(node)?,
        }
        let Tensor { shape, quant, .. } = *self.tensor(output);
        let name = format!("{}/logits", node.name);
        let logits = self.add_tensor(&name, shape, centred(quant.scale), Place::Own);
        self.program.tensors[logits].data_type = DataType::Int32;
        let one = AveragePool { window: Window::square(1, 1), counted: Padding::NONE, clamp: Clamp::NONE };
        let operator = average(&one, shape, shape, 1.0).ok_or(CompileError::Ratio { node: node.name.clone() })?;
        self.add_step(&name, operator, output, logits, (i8::MIN, i8::MAX));
        self.program.logits = logits;
        Ok(())
    }

    /// Adds the step that makes int32 scores, or `false` where the operator has no such kernel.
    fn wide_scores(&mut self, node: &Node) -> Result<bool, CompileError> {
        let output = node.output.0;
        let input = node.inputs[0].0;
        let failed = |problem| CompileError::Weights { node: node.name.clone(), problem };
        let (input, operator, scale) = match &node.op {
            Op::Conv(Conv { clamp: Clamp::NONE, .. }) | Op::Dense(crate::graph::Dense { clamp: Clamp::NONE, .. }) => {
                let (input, source) = match &node.op {
                    Op::Dense(dense) => {
                        let (input, window) = self.dense_input(node, input);
                        (input, self.source(node, input, window, 1, (&dense.weights, &dense.bias)))
                    }
                    Op::Conv(conv) => (input, self.conv_source(node, conv)),
                    _ => return Ok(false),
                };
                let (inputs, outputs) = source.channels;
                if Layout::new(&source.window, source.groups, inputs, outputs).is_some_and(|layout| layout.depthwise) {
                    return Ok(false);
                }
                // One scale for all classes, so that they can be compared; the largest, so that no ratio exceeds 1.
                let scale = source.scales().map_err(failed)?.into_iter().fold(0.0, f64::max) as f32;
                (input, Operator::Conv(source.quantize(f64::from(scale)).map_err(failed)?), scale)
            }
            Op::AveragePool(pool @ AveragePool { clamp: Clamp::NONE, .. }) => {
                let Tensor { shape, quant, .. } = *self.tensor(input);
                // The sum itself is the logit, if only one divisor occurs; and one pixel has one divisor.
                let window = tinception_core::kernels::AverageWindow { window: pool.window, counted: pool.counted };
                let divisor = f64::from(window.divisor(0, 0, shape.height, shape.width));
                let operator = average(pool, shape, self.tensor(output).shape, divisor);
                let operator = operator.ok_or(CompileError::Ratio { node: node.name.clone() })?;
                (input, operator, (f64::from(quant.scale) / divisor) as f32)
            }
            _ => return Ok(false),
        };
        let tensor = &mut self.program.tensors[output];
        (tensor.data_type, tensor.quant) = (DataType::Int32, centred(scale));
        self.add_step(&node.name, operator, input, output, (i8::MIN, i8::MAX));
        Ok(true)
    }

    /// The softmax or sigmoid.
    fn end(mut self) -> Result<Program, CompileError> {
        if let Some(node) = self.probabilities {
            let (output, logits) = (node.output, self.program.logits);
            let tensor = &mut self.program.tensors[output.0];
            (tensor.data_type, tensor.quant) = (DataType::UInt16, centred(1.0 / 65535.0));
            let rule = requantize(f64::from(self.tensor(logits).quant.scale) * 256.0);
            let rule = rule.ok_or(CompileError::Ratio { node: node.name.clone() })?;
            let operator = if node.op == Op::Sigmoid { Operator::Sigmoid(rule) } else { Operator::Softmax(rule) };
            self.add_step(&node.name, operator, logits, output.0, (i8::MIN, i8::MAX));
            self.program.probabilities = Some(output.0);
        }
        Ok(self.program)
    }
}

fn average(pool: &AveragePool, input: Shape, output: Shape, ratio: f64) -> Option<Operator> {
    let divisors = tables::divisors(pool, input, output, ratio)?;
    Some(Operator::AveragePool { window: pool.window, counted: pool.counted, divisors })
}
