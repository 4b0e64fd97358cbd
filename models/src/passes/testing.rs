//! Small random graphs for the passes' tests, and the comparison of what they compute.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tinception_core::shape::{Padding, Shape, Window};

use crate::float::FloatEngine;
use crate::graph::{Affine, Clamp, Conv, Dense, Graph, Node, Op, ValueId};

/// Builds a graph node by node; weights are random, the same in every run.
pub(super) struct GraphBuilder {
    graph: Graph,
    rng: SmallRng,
}

impl GraphBuilder {
    pub(super) fn new(height: u32, width: u32, channels: u32) -> Self {
        let mut graph = Graph {
            name: "test".into(),
            values: Vec::new(),
            nodes: Vec::new(),
            input: ValueId(0),
            output: ValueId(0),
            input_affine: Affine::identity(channels as usize),
            own_output: None,
        };
        graph.input = graph.add_value("picture", Shape::new(height, width, channels));
        Self { graph, rng: SmallRng::seed_from_u64(1) }
    }

    pub(super) fn input(&self) -> ValueId {
        self.graph.input
    }

    pub(super) fn finish(mut self, output: ValueId) -> Graph {
        self.graph.output = output;
        self.graph
    }

    fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.rng.random_range(-1.0..1.0)).collect()
    }

    pub(super) fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let input = self.graph.shape(inputs[0]);
        let slid = |window: &Window, channels: u32| {
            let (height, width) = window.output(input.height, input.width).expect("the window fits");
            Shape::new(height, width, channels)
        };
        let shape = match &op {
            Op::Conv(conv) => slid(&conv.window, conv.bias.len() as u32),
            Op::MaxPool(window) => slid(window, input.channels),
            Op::AveragePool(pool) => slid(&pool.window, input.channels),
            Op::Pad(padding) => slid(&Window::square(1, 1).padded(*padding), input.channels),
            Op::Dense(dense) => Shape::new(1, 1, dense.bias.len() as u32),
            Op::Flatten => Shape::new(1, 1, input.elements() as u32),
            Op::Concat => Shape { channels: inputs.iter().map(|&id| self.graph.shape(id).channels).sum(), ..input },
            _ => input,
        };
        let number = self.graph.nodes.len();
        let output = self.graph.add_value(format!("value{number}"), shape);
        self.graph.nodes.push(Node { name: format!("node{number}"), op, inputs: inputs.to_vec(), output });
        output
    }

    pub(super) fn pad(&mut self, input: ValueId, all: u32) -> ValueId {
        self.node(Op::Pad(Padding::same(all)), &[input])
    }

    pub(super) fn conv(&mut self, input: ValueId, outputs: usize, kernel: u32, stride: u32, padding: u32) -> ValueId {
        self.grouped_conv(input, outputs, kernel, stride, padding, 1)
    }

    pub(super) fn grouped_conv(
        &mut self,
        input: ValueId,
        outputs: usize,
        kernel: u32,
        stride: u32,
        padding: u32,
        groups: usize,
    ) -> ValueId {
        self.any_conv(input, outputs, Window::square(kernel, stride).padded(Padding::same(padding)), groups)
    }

    pub(super) fn rectangular_conv(&mut self, input: ValueId, outputs: usize, kernel: (u32, u32)) -> ValueId {
        self.any_conv(input, outputs, Window::global(kernel.0, kernel.1), 1)
    }

    fn any_conv(&mut self, input: ValueId, outputs: usize, window: Window, groups: usize) -> ValueId {
        let depth = self.graph.shape(input).channels as usize / groups;
        let weights = self.numbers(outputs * window.area() as usize * depth);
        let bias = self.numbers(outputs);
        self.node(Op::Conv(Conv { window, groups, weights, bias, clamp: Clamp::NONE }), &[input])
    }

    pub(super) fn dense(&mut self, input: ValueId, outputs: usize) -> ValueId {
        let inputs = self.graph.shape(input).elements() as usize;
        let dense = Dense { weights: self.numbers(outputs * inputs), bias: self.numbers(outputs), clamp: Clamp::NONE };
        self.node(Op::Dense(dense), &[input])
    }

    pub(super) fn batch_norm(&mut self, input: ValueId) -> ValueId {
        let channels = self.graph.shape(input).channels as usize;
        let affine = Affine { scale: self.numbers(channels), shift: self.numbers(channels) };
        self.node(Op::BatchNorm(affine), &[input])
    }
}

/// The ONNX names of a graph's operators, in order.
pub(super) fn operators(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

/// A value of a graph on a random picture, the same for graphs of the same input size.
pub(super) fn run(graph: &Graph, value: ValueId) -> Vec<f32> {
    let mut rng = SmallRng::seed_from_u64(2);
    let picture: Vec<f32> = (0..graph.shape(graph.input).elements()).map(|_| rng.random_range(-1.0..1.0)).collect();
    let engine = FloatEngine::new(graph, &[value]).expect("tract takes the graph");
    engine.run(&picture).expect("tract runs the graph").swap_remove(0)
}

/// Two values are equal up to float rounding: 1e-5 of the largest.
pub(super) fn assert_same(before: (&Graph, ValueId), after: (&Graph, ValueId)) {
    let (expected, found) = (run(before.0, before.1), run(after.0, after.1));
    assert_eq!(before.0.shape(before.1), after.0.shape(after.1));
    assert_eq!(expected.len(), found.len());
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "an output of zeros would prove nothing");
    for (expected, found) in expected.iter().zip(&found) {
        assert!((expected - found).abs() <= 1e-5 * largest, "{found} instead of {expected}");
    }
}

pub(super) fn assert_same_output(before: &Graph, after: &Graph) {
    assert_same((before, before.output), (after, after.output));
}
