//! The importer's state: what each ONNX name stands for, and the walk over the nodes.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use tinception_core::shape::{Shape, Window};
use tract_onnx::pb::GraphProto;

use super::error::ImportError;
use super::file::OnnxFile;
use super::interface::{check_float, graph_output, needed_names, picture_input};
use super::layout::{Layout, Tensor};
use super::node::NodeView;
use super::tensor::Constant;
use super::{MOST_NODES, MOST_WEIGHTED, constants, convolution, dense, elementwise, pooling, shapes, tensor};
use crate::budget::{Budget, Exceeded, Resource};
use crate::graph::{Affine, Graph, Node, Op, ValueId};

/// What a name in the file stands for.
#[derive(Clone)]
pub(super) enum Entry {
    /// Known while importing.
    Constant(Rc<Constant>),
    /// Held by a graph value.
    Tensor(Tensor),
    /// The picture in front of its first layer.
    Picture(PictureView),
}

/// The picture, channels picked and scaled, before the first layer reads it. It becomes the graph's input and
/// `input_affine` when that happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PictureView {
    /// Which of the picture's channels these are.
    pub(super) channels: Vec<usize>,
    /// One factor and summand for each of `channels`.
    pub(super) affine: Affine,
    /// NCHW or NHWC.
    pub(super) layout: Layout,
    /// Whether a `Gather` of one channel took the channel axis away.
    pub(super) without_channel_axis: bool,
}

/// The import of one file.
pub(super) struct Importer<'a> {
    pub(super) file: &'a str,
    /// Version of ONNX's operator set; the meaning of some operators depends on it.
    pub(super) opset: i64,
    /// What the file may still cost.
    pub(super) budget: &'a Budget,
    pub(super) graph: Graph,
    entries: HashMap<&'a str, Entry>,
    /// How many layers have weights.
    weighted: usize,
    /// The picture's affine map as its first reader saw it.
    input_affine: Option<Affine>,
}

pub(super) fn import_model(opened: &OnnxFile) -> Result<Graph, ImportError> {
    let OnnxFile { name: file, model, budget } = opened;
    let proto = opened.graph()?;
    check_float(proto, file)?;
    let picture = picture_input(proto, file)?;
    let output = graph_output(proto, file)?;
    let Shape { height, width, channels } = picture.shape;
    let charged = budget.take(Resource::Activations, picture.shape.elements());
    // Twice: in the graph and in the first view of it.
    charged.and_then(|()| charge_view(budget, 2 * channels as usize)).map_err(|exceeded| ImportError::Budget {
        place: file.clone(),
        what: format!("input '{}' of {height} x {width} pixels and {channels} channels", picture.name),
        exceeded,
    })?;
    let opset = model.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));

    let mut graph = Graph {
        // Exporters call every graph "main_graph" or the like.
        name: Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
        values: Vec::new(),
        nodes: Vec::new(),
        input: ValueId(0),
        output: ValueId(0),
        input_affine: Affine::identity(picture.shape.channels as usize),
        own_output: None,
    };
    graph.input = graph.add_value(picture.name, picture.shape);

    let view = PictureView {
        channels: (0..picture.shape.channels as usize).collect(),
        affine: graph.input_affine.clone(),
        layout: picture.layout,
        without_channel_axis: false,
    };
    let mut entries = HashMap::from([(picture.name, Entry::Picture(view))]);
    for initializer in &proto.initializer {
        let constant = tensor::read(file, &initializer.name, initializer, budget)?;
        entries.insert(&initializer.name, Entry::Constant(Rc::new(constant)));
    }

    // Files without a version are from before there was one.
    let opset = opset.map_or(1, |set| set.version);
    let mut importer = Importer { file, opset, budget, graph, entries, weighted: 0, input_affine: None };
    let needed = needed_names(proto, output);
    for node in &proto.node {
        let view = NodeView::new(file, node);
        if node.output.iter().any(|name| needed.contains(name.as_str())) {
            importer.node(view, &needed)?;
        }
    }
    importer.finish(output, proto)
}

/// Draws what is kept of so many channels of the picture.
fn charge_view(budget: &Budget, channels: usize) -> Result<(), Exceeded> {
    budget.take_elements::<(usize, f32, f32)>(channels)
}

impl<'a> Importer<'a> {
    fn node(&mut self, node: NodeView<'a>, needed: &HashSet<&str>) -> Result<(), ImportError> {
        if !node.is_standard() {
            return Err(node.unknown_operator());
        }
        let entry = match constants::fold(self, node)? {
            Some(constant) => Entry::Constant(constant),
            None => self.operator(node)?,
        };
        if let Entry::Picture(view) = &entry {
            charge_view(self.budget, view.channels.len()).map_err(|exceeded| {
                node.exceeds(format!("it makes {} channels of the picture", view.channels.len()), exceeded)
            })?;
        }
        for (index, name) in node.outputs().iter().enumerate() {
            if index > 0 && needed.contains(name.as_str()) {
                return Err(node.unsupported(
                    format!("its output number {} ('{name}') is used", index + 1),
                    "only the first output of an operator is known: export the network in evaluation mode",
                ));
            }
        }
        let Some(name) = node.outputs().first() else {
            return Ok(());
        };
        if self.entries.insert(name, entry).is_some() {
            return Err(node.mismatch(format!("'{name}' is made twice")));
        }
        Ok(())
    }

    fn operator(&mut self, node: NodeView<'a>) -> Result<Entry, ImportError> {
        match node.operator() {
            "Conv" => convolution::conv(self, node),
            "Pad" => convolution::pad(self, node),
            "BatchNormalization" => convolution::batch_normalization(self, node),
            "MaxPool" => pooling::max_pool(self, node),
            "AveragePool" => pooling::average_pool(self, node),
            "GlobalAveragePool" | "GlobalMaxPool" => pooling::global_pool(self, node),
            "ReduceMean" => pooling::reduce_mean(self, node),
            "LRN" => pooling::lrn(self, node),
            "Relu" | "Clip" => elementwise::clamp(self, node),
            "Add" | "Sub" | "Mul" | "Div" => elementwise::arithmetic(self, node),
            "Sum" => elementwise::sum(self, node),
            "Identity" | "Dropout" | "Cast" => elementwise::unchanged(self, node),
            "Gemm" => dense::gemm(self, node),
            "MatMul" => dense::matmul(self, node),
            "Softmax" | "LogSoftmax" => dense::softmax(self, node),
            "Sigmoid" => elementwise::sigmoid(self, node),
            "ArgMax" | "ArgMin" => Err(node.unsupported(
                "it gives a class's number, and the scores are lost",
                "let the network end in the scores in front of it: classes are ranked afterwards",
            )),
            "HardSigmoid" => Err(node.unsupported(
                "no hard sigmoid is known",
                "at the network's end put a Sigmoid in its place; inside the network replace the layer",
            )),
            "Concat" => shapes::concat(self, node),
            "Flatten" => shapes::flatten(self, node),
            "Reshape" => shapes::reshape(self, node),
            "Squeeze" => shapes::squeeze(self, node),
            "Unsqueeze" => shapes::unsqueeze(self, node),
            "Transpose" => shapes::transpose(self, node),
            "Gather" => shapes::gather(self, node),
            "Slice" => shapes::slice(self, node),
            _ => Err(node.unknown_operator()),
        }
    }

    fn finish(mut self, output: &str, proto: &GraphProto) -> Result<Graph, ImportError> {
        let bad = |what: String| ImportError::Output { file: self.file.to_owned(), what };
        let last = proto.node.iter().rev().find(|node| node.output.iter().any(|name| name == output));
        let tensor = match (self.entries.get(output), last) {
            (Some(Entry::Tensor(tensor)), _) => tensor.clone(),
            (Some(Entry::Picture(_)), Some(node)) => self.tensor_named(NodeView::new(self.file, node), output)?,
            _ => return Err(bad(format!("the graph's output '{output}' does not depend on the picture"))),
        };
        if let Layout::FlatNchw(_) = tensor.layout {
            return Err(bad(format!("the graph's output '{output}' is a flattened picture, not scores")));
        }
        self.graph.output = tensor.value;
        self.graph.input_affine = self.input_affine.unwrap_or(self.graph.input_affine);
        Ok(self.graph)
    }

    /// What an input stands for; `None` for one that is left out.
    pub(super) fn entry(&self, node: NodeView<'_>, index: usize) -> Result<Option<&Entry>, ImportError> {
        let Some(name) = node.input(index) else {
            return Ok(None);
        };
        self.entries.get(name).map(Some).ok_or_else(|| node.missing_input(name))
    }

    /// An input that must be there.
    pub(super) fn required(&self, node: NodeView<'_>, index: usize) -> Result<&Entry, ImportError> {
        self.entry(node, index)?.ok_or_else(|| node.missing_input(format!("number {}", index + 1)))
    }

    /// A constant input; `None` for one that is left out.
    pub(super) fn constant(&self, node: NodeView<'_>, index: usize) -> Result<Option<Rc<Constant>>, ImportError> {
        match self.entry(node, index)? {
            None => Ok(None),
            Some(Entry::Constant(constant)) => Ok(Some(constant.clone())),
            Some(_) => Err(node.unsupported(
                format!("its input '{}' is computed from the picture", node.input(index).unwrap_or_default()),
                "it must be a constant: export the network with its weights as constants",
            )),
        }
    }

    /// A float constant that must be there.
    pub(super) fn floats(&self, node: NodeView<'_>, index: usize) -> Result<Rc<Constant>, ImportError> {
        let constant = self
            .constant(node, index)?
            .ok_or_else(|| node.missing_input(format!("number {}, a constant", index + 1)))?;
        match constant.as_floats() {
            Some(values) if values.iter().all(|value| value.is_finite()) => Ok(constant),
            Some(_) => Err(node.mismatch(format!("its input number {} holds infinities or NaN", index + 1))),
            None => Err(node.mismatch(format!("its input number {} holds integers instead of floats", index + 1))),
        }
    }

    /// Whole numbers given as an attribute in old operator sets and as an input in newer ones.
    pub(super) fn ints(
        &self,
        node: NodeView<'_>,
        attribute: &str,
        index: usize,
    ) -> Result<Option<Vec<i64>>, ImportError> {
        if let Some(ints) = node.ints(attribute)? {
            return Ok(Some(ints.to_vec()));
        }
        match self.constant(node, index)? {
            None => Ok(None),
            Some(constant) => match constant.as_ints() {
                Some(ints) => Ok(Some(ints.to_vec())),
                None => Err(node.mismatch(format!("its input number {} holds floats instead of integers", index + 1))),
            },
        }
    }

    /// An input that a graph value holds. The picture becomes the graph's input here.
    pub(super) fn tensor(&mut self, node: NodeView<'_>, index: usize) -> Result<Tensor, ImportError> {
        let name = node.input(index).ok_or_else(|| node.missing_input(format!("number {}", index + 1)))?;
        self.tensor_named(node, name)
    }

    fn tensor_named(&mut self, node: NodeView<'_>, name: &str) -> Result<Tensor, ImportError> {
        let view = match self.entries.get(name) {
            None => return Err(node.missing_input(name)),
            Some(Entry::Tensor(tensor)) => return Ok(tensor.clone()),
            Some(Entry::Constant(_)) => {
                return Err(node.unsupported(
                    format!("its input '{name}' is a constant"),
                    "a tensor computed from the picture belongs there: simplify the model (onnxsim) and export again",
                ));
            }
            Some(Entry::Picture(view)) => view.clone(),
        };
        let shape = self.graph.shape(self.graph.input);
        if view.without_channel_axis || !view.channels.iter().copied().eq(0..shape.channels as usize) {
            return Err(node.unsupported(
                format!("it reads channels {:?} of the picture", view.channels),
                "a layer must read all channels in order: take the reordering out of the network and give the colour \
                 order in the preprocessing",
            ));
        }
        match &self.input_affine {
            Some(affine) if *affine != view.affine => {
                return Err(node.unsupported(
                    "it reads the picture with another scale than a layer before it",
                    "scale the picture once, in front of the first layer",
                ));
            }
            _ => self.input_affine = Some(view.affine),
        }
        Ok(match view.layout {
            Layout::Nhwc => Tensor::nhwc(self.graph.input, shape),
            _ => Tensor::nchw(self.graph.input, shape),
        })
    }

    /// A picture in NCHW, as convolutions and pools read it.
    pub(super) fn nchw(&mut self, node: NodeView<'_>, index: usize) -> Result<(ValueId, Shape), ImportError> {
        let tensor = self.tensor(node, index)?;
        if tensor.layout == Layout::Nchw {
            return Ok((tensor.value, self.graph.shape(tensor.value)));
        }
        Err(node.unsupported(
            format!("its input has dimensions {:?}", tensor.dims),
            "it must be a picture in the order (1, channels, height, width): export in NCHW order",
        ))
    }

    /// Appends an operator; the value is named after the node's output.
    pub(super) fn emit(
        &mut self,
        node: NodeView<'_>,
        op: Op,
        inputs: Vec<ValueId>,
        shape: Shape,
    ) -> Result<ValueId, ImportError> {
        if shape.elements() == 0 {
            return Err(node.mismatch(format!(
                "its output would have {} x {} pixels of {} channels",
                shape.height, shape.width, shape.channels
            )));
        }
        self.weighted += usize::from(matches!(op, Op::Conv(_) | Op::Dense(_)));
        if self.graph.nodes.len() >= MOST_NODES || self.weighted > MOST_WEIGHTED {
            return Err(node.unsupported(
                format!(
                    "with it the network has more than {MOST_NODES} layers, or more than {MOST_WEIGHTED} with weights"
                ),
                "that is deeper than what is compiled here: give a smaller network",
            ));
        }
        self.charge(&op, &inputs, shape).map_err(|exceeded| {
            let Shape { height, width, channels } = shape;
            node.exceeds(format!("its output has {height} x {width} pixels of {channels} channels"), exceeded)
        })?;
        let output = self.graph.add_value(node.outputs().first().cloned().unwrap_or_default(), shape);
        self.graph.nodes.push(Node { name: node.name().to_owned(), op, inputs, output });
        Ok(output)
    }

    /// Draws weights that a node is about to put into the graph's order.
    pub(super) fn charge_weights(&self, node: NodeView<'_>, count: usize) -> Result<(), ImportError> {
        let exceeds = |exceeded| node.exceeds(format!("it has {count} weights"), exceeded);
        self.budget.take_elements::<f32>(count).map_err(exceeds)
    }

    /// Draws what a new node costs from the file's budget: its output and its work. Its weights were drawn where they were
    /// put into the graph's order.
    fn charge(&self, op: &Op, inputs: &[ValueId], shape: Shape) -> Result<(), Exceeded> {
        let elements = shape.elements();
        let area = |window: &Window| u64::from(window.kernel_height) * u64::from(window.kernel_width);
        let work = match op {
            Op::Conv(conv) => shape.pixels().saturating_mul(conv.weights.len() as u64),
            Op::Dense(dense) => dense.weights.len() as u64,
            Op::MaxPool(window) => elements.saturating_mul(area(window)),
            Op::AveragePool(pool) => elements.saturating_mul(area(&pool.window)),
            Op::Lrn(lrn) => elements.saturating_mul(u64::from(lrn.size.min(shape.channels))),
            _ => elements.saturating_mul(inputs.len() as u64),
        };
        self.budget.take(Resource::Activations, elements)?;
        self.budget.take(Resource::Work, work)
    }
}
