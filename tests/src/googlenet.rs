//! GoogLeNet with random weights, whole and in parts, to be timed: speed does not depend on the numbers.

use rand::Rng as _;
use tinception_core::shape::{Padding, Shape, Window};
use tinception_models::graph::{Affine, AveragePool, Clamp, Conv, Dense, Graph, Lrn, Node, Op, ValueId};

use crate::Rng;

/// An inception module: Szegedy et al. 2014, table 1.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    /// `3a` to `5b`.
    pub name: &'static str,
    /// Height and width.
    pub side: u32,
    /// Input channels.
    pub inputs: u32,
    /// Channels of the 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 and pool projection convolutions.
    pub channels: [u32; 6],
}

/// The nine modules.
pub const MODULES: [Module; 9] = [
    Module { name: "3a", side: 28, inputs: 192, channels: [64, 96, 128, 16, 32, 32] },
    Module { name: "3b", side: 28, inputs: 256, channels: [128, 128, 192, 32, 96, 64] },
    Module { name: "4a", side: 14, inputs: 480, channels: [192, 96, 208, 16, 48, 64] },
    Module { name: "4b", side: 14, inputs: 512, channels: [160, 112, 224, 24, 64, 64] },
    Module { name: "4c", side: 14, inputs: 512, channels: [128, 128, 256, 24, 64, 64] },
    Module { name: "4d", side: 14, inputs: 512, channels: [112, 144, 288, 32, 64, 64] },
    Module { name: "4e", side: 14, inputs: 528, channels: [256, 160, 320, 32, 128, 128] },
    Module { name: "5a", side: 7, inputs: 832, channels: [256, 160, 320, 32, 128, 128] },
    Module { name: "5b", side: 7, inputs: 832, channels: [384, 192, 384, 48, 128, 128] },
];

/// A window that keeps the size.
#[must_use]
pub const fn same(kernel: u32, stride: u32) -> Window {
    Window::square(kernel, stride).padded(Padding::same(kernel / 2))
}

/// The 3x3 pool of stride 2 that rounds up.
const POOL: Window = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
const LRN: Lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 };

/// A graph in the making.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    rng: Rng,
}

impl Network {
    /// A network for pictures of `shape`.
    #[must_use]
    pub fn new(name: &str, shape: Shape) -> Self {
        let (values, nodes, input) = (Vec::new(), Vec::new(), ValueId(0));
        let input_affine = Affine::identity(shape.channels as usize);
        let mut graph =
            Graph { name: name.into(), values, nodes, input, output: input, input_affine, own_output: None };
        graph.input = graph.add_value("data", shape);
        Self { graph, rng: crate::rng(1) }
    }

    /// The value that holds the picture.
    #[must_use]
    pub fn input(&self) -> ValueId {
        self.graph.input
    }

    fn node(&mut self, name: String, op: Op, inputs: &[ValueId], shape: Shape) -> ValueId {
        let output = self.graph.add_value(&name, shape);
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    /// The output's shape where `window` slides over `input`.
    fn slid(&self, input: ValueId, window: &Window, channels: u32) -> Shape {
        let shape = self.graph.shape(input);
        let (height, width) = window.output(shape.height, shape.width).expect("the window fits");
        Shape::new(height, width, channels)
    }

    fn numbers(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.rng.random_range(-scale..scale)).collect()
    }

    /// A convolution with ReLU.
    pub fn conv(&mut self, name: &str, input: ValueId, outputs: u32, window: Window) -> ValueId {
        let depth = window.area() as usize * self.graph.shape(input).channels as usize;
        // Keeps the spread of the activations (He et al. 2015).
        let weights = self.numbers(depth * outputs as usize, (6.0 / depth as f32).sqrt());
        let bias = self.numbers(outputs as usize, 0.1);
        let shape = self.slid(input, &window, outputs);
        self.node(name.into(), Op::Conv(Conv { window, groups: 1, weights, bias, clamp: Clamp::RELU }), &[input], shape)
    }

    fn max_pool(&mut self, name: &str, input: ValueId, window: Window) -> ValueId {
        let shape = self.slid(input, &window, self.graph.shape(input).channels);
        self.node(name.into(), Op::MaxPool(window), &[input], shape)
    }

    fn lrn(&mut self, name: &str, input: ValueId) -> ValueId {
        self.node(name.into(), Op::Lrn(LRN), &[input], self.graph.shape(input))
    }

    /// An inception module.
    pub fn module(&mut self, module: &Module, input: ValueId) -> ValueId {
        let named = |part: &str| format!("inception_{}/{part}", module.name);
        let [pixel, reduce3, conv3, reduce5, conv5, projection] = module.channels;
        let pixel = self.conv(&named("1x1"), input, pixel, same(1, 1));
        let reduced = self.conv(&named("3x3_reduce"), input, reduce3, same(1, 1));
        let conv3 = self.conv(&named("3x3"), reduced, conv3, same(3, 1));
        let reduced = self.conv(&named("5x5_reduce"), input, reduce5, same(1, 1));
        let conv5 = self.conv(&named("5x5"), reduced, conv5, same(5, 1));
        let pooled = self.max_pool(&named("pool"), input, same(3, 1));
        let pooled = self.conv(&named("pool_proj"), pooled, projection, same(1, 1));
        let branches = [pixel, conv3, conv5, pooled];
        let channels = branches.iter().map(|branch| self.graph.shape(*branch).channels).sum();
        let shape = Shape { channels, ..self.graph.shape(input) };
        self.node(named("output"), Op::Concat, &branches, shape)
    }

    /// A mean over all pixels, a dense layer, a softmax. Returns the mean's value, too.
    #[must_use]
    pub fn finish(mut self, last: ValueId, classes: usize) -> (Graph, ValueId) {
        let shape = self.graph.shape(last);
        let window = Window::global(shape.height, shape.width);
        let pool = AveragePool { window, counted: Padding::NONE, clamp: Clamp::NONE };
        let pixel = Shape::new(1, 1, shape.channels);
        let mean = self.node("mean".into(), Op::AveragePool(pool), &[last], pixel);
        let weights = self.numbers(classes * pixel.channels as usize, 0.05);
        let dense = Dense { weights, bias: vec![0.0; classes], clamp: Clamp::NONE };
        let scores = Shape::new(1, 1, classes as u32);
        let logits = self.node("classifier".into(), Op::Dense(dense), &[mean], scores);
        self.graph.output = self.node("prob".into(), Op::Softmax, &[logits], scores);
        (self.graph, mean)
    }
}

/// The whole network for pictures of 224 x 224, and its mean.
#[must_use]
pub fn whole() -> (Graph, ValueId) {
    let mut net = Network::new("googlenet", Shape::new(224, 224, 3));
    let mut value = net.conv("conv1/7x7_s2", net.input(), 64, same(7, 2));
    value = net.max_pool("pool1/3x3_s2", value, POOL);
    value = net.lrn("pool1/norm1", value);
    value = net.conv("conv2/3x3_reduce", value, 64, same(1, 1));
    value = net.conv("conv2/3x3", value, 192, same(3, 1));
    value = net.lrn("conv2/norm2", value);
    value = net.max_pool("pool2/3x3_s2", value, POOL);
    let mut side = 28;
    for module in &MODULES {
        if module.side != side {
            value = net.max_pool(&format!("pool in front of {}", module.name), value, POOL);
            side = module.side;
        }
        value = net.module(module, value);
    }
    net.finish(value, 1000)
}

/// One module, and a small classifier behind it, since only classifiers compile; and the mean in front of that.
#[must_use]
pub fn module(module: &Module) -> (Graph, ValueId) {
    let mut net = Network::new(module.name, Shape::new(module.side, module.side, module.inputs));
    let output = net.module(module, net.input());
    net.finish(output, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1's own sum, 1.5 G, is rounded; the published BVLC model has exactly these.
    #[test]
    fn the_whole_network_has_googlenets_work() {
        let (graph, mean) = whole();
        assert_eq!(graph.macs(), 1_582_671_872);
        assert_eq!(graph.shape(mean), Shape::new(1, 1, 1024));
        let weights = |node: &Node| match &node.op {
            Op::Conv(conv) => conv.weights.len() + conv.bias.len(),
            Op::Dense(dense) => dense.weights.len() + dense.bias.len(),
            _ => 0,
        };
        assert_eq!(graph.nodes.iter().map(weights).sum::<usize>(), 6_998_552);
    }

    #[test]
    fn modules_fit_together() {
        for pair in MODULES.windows(2) {
            let [pixel, _, conv3, _, conv5, projection] = pair[0].channels;
            assert_eq!(pixel + conv3 + conv5 + projection, pair[1].inputs, "{} and {}", pair[0].name, pair[1].name);
        }
    }
}
