//! Small graphs for the compiler's tests.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::calibrate::{Calibration, calibrate};
use tinception_models::graph::{Affine, AveragePool, Clamp, Conv, Dense, Graph, Lrn, Node, Op, ValueId};

/// Builds a graph node by node; weights are random, the same for the same seed.
pub(crate) struct Builder {
    pub(crate) graph: Graph,
    pub(crate) random: SmallRng,
}

impl Builder {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let mut graph = Graph {
            name: "test".into(),
            values: Vec::new(),
            nodes: Vec::new(),
            input: ValueId(0),
            output: ValueId(0),
            input_affine: Affine::identity(shape.channels as usize),
            own_output: None,
        };
        graph.input = graph.add_value("picture", shape);
        Self { graph, random: SmallRng::seed_from_u64(seed) }
    }

    pub(crate) fn input(&self) -> ValueId {
        self.graph.input
    }

    pub(crate) fn numbers(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.random.random_range(-scale..scale)).collect()
    }

    /// Adds a node named after its operator and number, for instance `Conv 3`.
    pub(crate) fn node(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        let input = self.graph.shape(inputs[0]);
        let slid = |window: &Window, channels: u32| {
            let (height, width) = window.output(input.height, input.width).expect("the window fits");
            Shape::new(height, width, channels)
        };
        let shape = match &op {
            Op::Conv(conv) => slid(&conv.window, conv.bias.len() as u32),
            Op::MaxPool(window) => slid(window, input.channels),
            Op::AveragePool(pool) => slid(&pool.window, input.channels),
            Op::Dense(dense) => Shape::new(1, 1, dense.bias.len() as u32),
            Op::Flatten => Shape::new(1, 1, input.elements() as u32),
            Op::Concat => Shape { channels: inputs.iter().map(|&id| self.graph.shape(id).channels).sum(), ..input },
            _ => input,
        };
        let name = format!("{} {}", op.name(), self.graph.nodes.len());
        let output = self.graph.add_value(format!("{name}:out"), shape);
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    pub(crate) fn conv(
        &mut self,
        input: ValueId,
        outputs: u32,
        window: Window,
        groups: usize,
        clamp: Clamp,
    ) -> ValueId {
        let depth = window.area() as usize * self.graph.shape(input).channels as usize / groups;
        let weights = self.numbers(outputs as usize * depth, 1.0 / (depth as f32).sqrt());
        let bias = self.numbers(outputs as usize, 0.5);
        self.node(Op::Conv(Conv { window, groups, weights, bias, clamp }), &[input])
    }

    /// A 1x1 convolution with ReLU.
    pub(crate) fn pointwise(&mut self, input: ValueId, outputs: u32) -> ValueId {
        self.conv(input, outputs, Window::square(1, 1), 1, Clamp::RELU)
    }

    /// A 3x3 max pool that keeps the size.
    pub(crate) fn pool(&mut self, input: ValueId) -> ValueId {
        self.node(Op::MaxPool(Window::square(3, 1).padded(Padding::same(1))), &[input])
    }

    /// A 1x1 convolution to another number of channels, then the classifier.
    pub(crate) fn finish(mut self, last: ValueId) -> Graph {
        let elements = self.graph.shape(last).elements() as usize;
        let weights = self.numbers(5 * elements, 1.0 / (elements as f32).sqrt());
        let bias = self.numbers(5, 0.1);
        let logits = self.node(Op::Dense(Dense { weights, bias, clamp: Clamp::NONE }), &[last]);
        self.graph.output = self.node(Op::Softmax, &[logits]);
        self.graph
    }
}

pub(crate) const LRN: Lrn = Lrn { size: 5, alpha: 0.5, beta: 0.75, bias: 1.0 };

/// Inputs of whole numbers from -128 to 127, both ends among them: int8 holds them exactly, at scale 1.
pub(crate) fn whole_numbers(shape: Shape, seed: u64) -> Vec<f32> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut values: Vec<f32> = (0..shape.elements()).map(|_| random.random_range(-128_i8..=127).into()).collect();
    (values[0], values[1]) = (-128.0, 127.0);
    values
}

pub(crate) fn calibrated(graph: &Graph, pictures: u64) -> Calibration {
    let shape = graph.shape(graph.input);
    calibrate(graph, (0..pictures).map(|seed| whole_numbers(shape, seed)), |_| ()).expect("it runs in float")
}

/// A random classifier of up to two dozen nodes: chains, branches, concatenations (nested and shared), additions,
/// pools, normalisations, flattened ends.
pub(crate) fn random_graph(seed: u64) -> Graph {
    let mut random = SmallRng::seed_from_u64(seed);
    let shape = Shape::new(random.random_range(3..9), random.random_range(3..9), random.random_range(1..6));
    let mut builder = Builder::new(shape, seed);
    let mut values = vec![builder.input()];
    for _ in 0..random.random_range(3..22) {
        let value = if random.random_bool(0.6) {
            values[values.len() - 1]
        } else {
            values[random.random_range(0..values.len())]
        };
        let made = random_node(&mut builder, &mut random, &values, value);
        values.push(made);
    }
    let mut last = values[values.len() - 1];
    if random.random_bool(0.3) {
        last = builder.node(Op::Flatten, &[last]);
    }
    let mut graph = builder.finish(last);
    // What nobody reads is no part of a network.
    loop {
        let read = |node: &Node| node.output == graph.output || graph.consumers(node.output).next().is_some();
        let Some(dead) = graph.nodes.iter().position(|node| !read(node)) else { return graph };
        graph.nodes.remove(dead);
    }
}

fn random_node(builder: &mut Builder, random: &mut SmallRng, values: &[ValueId], value: ValueId) -> ValueId {
    let shape = builder.graph.shape(value);
    let same_size = |builder: &Builder, other: &ValueId| {
        let other = builder.graph.shape(*other);
        (other.height, other.width) == (shape.height, shape.width)
    };
    let clamp = *[Clamp::NONE, Clamp::RELU, Clamp { min: 0.0, max: 6.0 }].choose(random).expect("three of them");
    match random.random_range(0..10) {
        0..3 => {
            let window = Window::square(3, random.random_range(1..3)).padded(Padding::same(1));
            builder.conv(value, random.random_range(1..10), window, 1, clamp)
        }
        3 => builder.conv(
            value,
            shape.channels,
            Window::square(3, 1).padded(Padding::same(1)),
            shape.channels as usize,
            clamp,
        ),
        4 => builder.pool(value),
        5 => builder.node(Op::Lrn(LRN), &[value]),
        6 => {
            let same: Vec<ValueId> = values.iter().copied().filter(|v| builder.graph.shape(*v) == shape).collect();
            builder.node(Op::Add(clamp), &[value, *same.choose(random).expect("itself at least")])
        }
        7 => builder.node(Op::Clamp(Clamp { min: -2.0, max: 3.0 }), &[value]),
        8 => {
            let pool = AveragePool { window: Window::square(2, 1), counted: Padding::NONE, clamp: Clamp::NONE };
            match shape.height.min(shape.width) {
                0..2 => builder.node(Op::Clamp(Clamp::RELU), &[value]),
                _ => builder.node(Op::AveragePool(pool), &[value]),
            }
        }
        _ => {
            let fitting: Vec<ValueId> = values.iter().copied().filter(|v| same_size(builder, v)).collect();
            let count = random.random_range(1..4);
            let mut branches = vec![value];
            branches.extend((0..count).map(|_| *fitting.choose(random).expect("itself at least")));
            builder.node(Op::Concat, &branches)
        }
    }
}
