//! The way back: a graph as an ONNX model (NCHW, operator set 13), for tract and for `.onnx` files.
//!
//! Every graph value becomes the output of one ONNX node and is `[1, channels, height, width]` there, vectors included.
//! A fused clamp becomes a node of its own behind the operator, which then writes a tensor named `.../linear`.

use std::collections::HashSet;

use prost::Message;
use tinception_core::shape::{Padding, Shape, Window};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

use crate::graph::{Affine, AveragePool, Clamp, Conv, Dense, Graph, Node, Op, ValueId, nhwc_order};

/// The graph as an ONNX model. It takes the picture in front of the graph's `input_affine`, in NCHW, and gives
/// `[1, classes]`, or NCHW where the output is a picture.
#[must_use]
pub fn to_onnx(graph: &Graph) -> ModelProto {
    let mut writer = Writer::new(graph);
    let shape = graph.shape(graph.output);
    let mut output = (writer.names[graph.output.0].clone(), nchw(shape));
    if shape.pixels() == 1 {
        let flat = writer.unique(&format!("{}/flat", output.0));
        writer.node("Flatten", &flat, &[&output.0], &flat, vec![int("axis", 1)]);
        output = (flat, vec![1, i64::from(shape.channels)]);
    }
    writer.model(&[output])
}

/// As [`to_onnx`], but its outputs are these values, in this order, all in NCHW.
#[must_use]
pub fn to_onnx_with_outputs(graph: &Graph, outputs: &[ValueId]) -> ModelProto {
    let writer = Writer::new(graph);
    let outputs: Vec<_> = outputs.iter().map(|id| (writer.names[id.0].clone(), nchw(graph.shape(*id)))).collect();
    writer.model(&outputs)
}

/// A model as the bytes of an `.onnx` file.
#[must_use]
pub fn encode(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

struct Writer<'a> {
    graph: &'a Graph,
    /// The tensor of each graph value.
    names: Vec<String>,
    tensor_names: HashSet<String>,
    /// Nodes, and what tract makes nodes of: initializers and the input.
    node_names: HashSet<String>,
    picture: String,
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut writer = Self {
            graph,
            names: Vec::new(),
            tensor_names: HashSet::new(),
            node_names: HashSet::new(),
            picture: String::new(),
            nodes: Vec::new(),
            weights: Vec::new(),
        };
        for value in &graph.values {
            let name = writer.unique(&value.name);
            writer.names.push(name);
        }
        writer.picture = writer.names[graph.input.0].clone();
        writer.node_names.insert(writer.picture.clone());
        if graph.input_affine != Affine::identity(graph.input_affine.scale.len()) {
            let scaled = writer.unique(&format!("{}/scaled", writer.picture));
            writer.affine(&scaled, &writer.picture.clone(), &scaled, &graph.input_affine);
            writer.names[graph.input.0] = scaled;
        }
        for node in &graph.nodes {
            writer.operator(node);
        }
        writer
    }

    /// A name for a tensor that no other has.
    fn unique(&mut self, wish: &str) -> String {
        unique_among(&mut self.tensor_names, if wish.is_empty() { "value" } else { wish })
    }

    /// A name for an initializer: it names a tensor and must differ from all nodes.
    fn unique_weight(&mut self, wish: &str) -> String {
        loop {
            let name = self.unique(wish);
            if self.node_names.insert(name.clone()) {
                return name;
            }
        }
    }

    fn node(&mut self, operator: &str, name: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            op_type: operator.to_owned(),
            name: unique_among(&mut self.node_names, if name.is_empty() { output } else { name }),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            attribute,
            ..NodeProto::default()
        });
    }

    /// Adds an initializer and returns its name.
    fn floats(&mut self, wish: &str, dims: Vec<i64>, values: impl IntoIterator<Item = f32>) -> String {
        let name = self.unique_weight(wish);
        self.weights.push(TensorProto {
            name: name.clone(),
            dims,
            data_type: DataType::Float as i32,
            raw_data: values.into_iter().flat_map(f32::to_le_bytes).collect(),
            ..TensorProto::default()
        });
        name
    }

    /// Adds an initializer of integers and returns its name.
    fn ints(&mut self, wish: &str, values: &[i64]) -> String {
        let name = self.unique_weight(wish);
        self.weights.push(TensorProto {
            name: name.clone(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name
    }

    fn operator(&mut self, node: &Node) {
        let output = self.names[node.output.0].clone();
        let inputs: Vec<String> = node.inputs.iter().map(|id| self.names[id.0].clone()).collect();
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let shape = self.graph.shape(node.inputs[0]);
        let name = node.name.as_str();
        match &node.op {
            Op::Conv(conv) => {
                let linear = self.before_clamp(&output, conv.clamp);
                self.conv(name, inputs[0], &linear, conv);
                self.clamp(name, &linear, &output, conv.clamp);
            }
            Op::Dense(dense) => {
                let linear = self.before_clamp(&output, dense.clamp);
                self.dense(name, inputs[0], &linear, dense, shape);
                self.clamp(name, &linear, &output, dense.clamp);
            }
            Op::AveragePool(pool) => {
                let linear = self.before_clamp(&output, pool.clamp);
                self.average_pool(name, inputs[0], &linear, pool);
                self.clamp(name, &linear, &output, pool.clamp);
            }
            Op::Add(clamp) => {
                let linear = self.before_clamp(&output, *clamp);
                self.node("Add", name, &inputs, &linear, vec![]);
                self.clamp(name, &linear, &output, *clamp);
            }
            Op::Clamp(clamp) if *clamp == Clamp::NONE => self.node("Identity", name, &inputs, &output, vec![]),
            Op::Clamp(clamp) => self.clamp(name, inputs[0], &output, *clamp),
            Op::MaxPool(window) => self.node("MaxPool", name, &inputs, &output, window_attributes(*window)),
            Op::Lrn(lrn) => {
                let attributes = vec![
                    int("size", i64::from(lrn.size)),
                    float("alpha", lrn.alpha),
                    float("beta", lrn.beta),
                    float("bias", lrn.bias),
                ];
                self.node("LRN", name, &inputs, &output, attributes);
            }
            Op::Concat => self.node("Concat", name, &inputs, &output, vec![int("axis", 1)]),
            Op::BatchNorm(affine) => self.affine(name, inputs[0], &output, affine),
            Op::Pad(padding) => self.pad(name, inputs[0], &output, *padding),
            Op::Flatten => self.flatten(name, inputs[0], &output, shape),
            Op::Softmax => self.node("Softmax", name, &inputs, &output, vec![int("axis", 1)]),
            Op::LogSoftmax => self.node("LogSoftmax", name, &inputs, &output, vec![int("axis", 1)]),
            Op::Sigmoid => self.node("Sigmoid", name, &inputs, &output, vec![]),
            Op::Identity => self.node("Identity", name, &inputs, &output, vec![]),
        }
    }

    /// The tensor that an operator writes when a clamp comes behind it.
    fn before_clamp(&mut self, output: &str, clamp: Clamp) -> String {
        match clamp == Clamp::NONE {
            true => output.to_owned(),
            false => self.unique(&format!("{output}/linear")),
        }
    }

    fn clamp(&mut self, name: &str, input: &str, output: &str, clamp: Clamp) {
        if input == output {
            return;
        }
        if clamp == Clamp::RELU {
            return self.node("Relu", &format!("{name}/relu"), &[input], output, vec![]);
        }
        let end = |writer: &mut Self, end: &str, value: f32| match value.is_finite() {
            true => writer.floats(&format!("{output}/{end}"), vec![], [value]),
            false => String::new(),
        };
        let (min, max) = (end(self, "min", clamp.min), end(self, "max", clamp.max));
        let all = [input, min.as_str(), max.as_str()];
        let given = if max.is_empty() { &all[..2] } else { &all[..] };
        self.node("Clip", &format!("{name}/clip"), given, output, vec![]);
    }

    fn conv(&mut self, name: &str, input: &str, output: &str, conv: &Conv) {
        let outputs = conv.bias.len();
        let area = conv.window.area() as usize;
        let depth = conv.weights.len() / (outputs * area).max(1);
        let filters = conv.weights.chunks_exact((area * depth).max(1));
        let weights = filters.flat_map(|filter| {
            (0..depth).flat_map(move |channel| (0..area).map(move |at| filter[at * depth + channel]))
        });
        let (rows, columns) = (conv.window.kernel_height, conv.window.kernel_width);
        let dims = vec![outputs as i64, depth as i64, i64::from(rows), i64::from(columns)];
        let weights = self.floats(&format!("{output}/weights"), dims, weights);
        let bias = self.floats(&format!("{output}/bias"), vec![outputs as i64], conv.bias.iter().copied());
        let mut attributes = window_attributes(conv.window);
        attributes.push(int("group", conv.groups as i64));
        self.node("Conv", name, &[input, &weights, &bias], output, attributes);
    }

    fn dense(&mut self, name: &str, input: &str, output: &str, dense: &Dense, shape: Shape) {
        let (inputs, outputs) = (shape.elements() as usize, dense.bias.len());
        // ONNX flattens in NCHW order: put each column where its element is there.
        let mut position = vec![0; inputs];
        for (nhwc, nchw) in nhwc_order(shape).enumerate() {
            position[nchw] = nhwc;
        }
        let rows = dense.weights.chunks_exact(inputs.max(1));
        let weights = rows.flat_map(|row| position.iter().map(|&nhwc| row[nhwc]));
        let weights = self.floats(&format!("{output}/weights"), vec![outputs as i64, inputs as i64], weights);
        let bias = self.floats(&format!("{output}/bias"), vec![outputs as i64], dense.bias.iter().copied());
        let (flat, row) = (self.unique(&format!("{output}/flat")), self.unique(&format!("{output}/row")));
        self.node("Flatten", &format!("{name}/flatten"), &[input], &flat, vec![int("axis", 1)]);
        self.node("Gemm", name, &[&flat, &weights, &bias], &row, vec![int("transB", 1)]);
        let shape = self.ints(&format!("{output}/shape"), &[1, outputs as i64, 1, 1]);
        self.node("Reshape", &format!("{name}/reshape"), &[&row, &shape], output, vec![]);
    }

    /// ONNX has one padding, counted or not. Where only a part counts, that part becomes a Pad in front.
    fn average_pool(&mut self, name: &str, input: &str, output: &str, pool: &AveragePool) {
        let (padding, counted) = (pool.window.padding, pool.counted);
        if counted == Padding::NONE || counted == padding {
            let mut attributes = window_attributes(pool.window);
            attributes.push(int("count_include_pad", i64::from(counted == padding)));
            return self.node("AveragePool", name, &[input], output, attributes);
        }
        let padded = self.unique(&format!("{output}/padded"));
        self.pad(&format!("{name}/pad"), input, &padded, counted);
        let rest = Padding {
            top: padding.top.saturating_sub(counted.top),
            left: padding.left.saturating_sub(counted.left),
            bottom: padding.bottom.saturating_sub(counted.bottom),
            right: padding.right.saturating_sub(counted.right),
        };
        self.node("AveragePool", name, &[&padded], output, window_attributes(pool.window.padded(rest)));
    }

    fn affine(&mut self, name: &str, input: &str, output: &str, affine: &Affine) {
        let dims = vec![1, affine.scale.len() as i64, 1, 1];
        let scale = self.floats(&format!("{output}/scale"), dims.clone(), affine.scale.iter().copied());
        let shift = self.floats(&format!("{output}/shift"), dims, affine.shift.iter().copied());
        let scaled = self.unique(&format!("{output}/product"));
        self.node("Mul", &format!("{name}/mul"), &[input, &scale], &scaled, vec![]);
        self.node("Add", name, &[&scaled, &shift], output, vec![]);
    }

    fn pad(&mut self, name: &str, input: &str, output: &str, padding: Padding) {
        let Padding { top, left, bottom, right } = padding;
        let pads = [0, 0, top, left, 0, 0, bottom, right].map(i64::from);
        let pads = self.ints(&format!("{output}/pads"), &pads);
        self.node("Pad", name, &[input, &pads], output, vec![string("mode", "constant")]);
    }

    /// The graph's flattened values are in NHWC order.
    fn flatten(&mut self, name: &str, input: &str, output: &str, shape: Shape) {
        let transposed = self.unique(&format!("{output}/nhwc"));
        self.node("Transpose", &format!("{name}/transpose"), &[input], &transposed, vec![ints("perm", &[0, 2, 3, 1])]);
        let shape = self.ints(&format!("{output}/shape"), &[1, shape.elements() as i64, 1, 1]);
        self.node("Reshape", name, &[&transposed, &shape], output, vec![]);
    }

    fn model(self, outputs: &[(String, Vec<i64>)]) -> ModelProto {
        let input = value_info(&self.picture, &nchw(self.graph.shape(self.graph.input)));
        let graph = GraphProto {
            name: if self.graph.name.is_empty() { "network".into() } else { self.graph.name.clone() },
            node: self.nodes,
            initializer: self.weights,
            input: vec![input],
            output: outputs.iter().map(|(name, dims)| value_info(name, dims)).collect(),
            ..GraphProto::default()
        };
        ModelProto {
            ir_version: 7,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
            producer_name: "tinception".into(),
            graph: Some(graph),
            ..ModelProto::default()
        }
    }
}

/// `wish`, with a number behind it where it is taken.
fn unique_among(taken: &mut HashSet<String>, wish: &str) -> String {
    let mut name = wish.to_owned();
    // The count is free almost always, however many share the wish.
    let mut number = taken.len();
    while !taken.insert(name.clone()) {
        name = format!("{wish}_{number}");
        number += 1;
    }
    name
}

fn nchw(shape: Shape) -> Vec<i64> {
    vec![1, i64::from(shape.channels), i64::from(shape.height), i64::from(shape.width)]
}

fn value_info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|&dim| Dimension { value: Some(dimension::Value::DimValue(dim)), ..Dimension::default() })
        .collect();
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(TensorShapeProto { dim }) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..ValueInfoProto::default() }
}

fn window_attributes(window: Window) -> Vec<AttributeProto> {
    let Padding { top, left, bottom, right } = window.padding;
    vec![
        ints("kernel_shape", &[window.kernel_height, window.kernel_width].map(i64::from)),
        ints("strides", &[window.stride_height, window.stride_width].map(i64::from)),
        ints("pads", &[top, left, bottom, right].map(i64::from)),
    ]
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.as_bytes().to_vec(), ..attribute(name, AttributeType::String) }
}
