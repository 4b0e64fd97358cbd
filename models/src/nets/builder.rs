//! What the architectures are built with: layers by name over a graph, their weights taken from a file.

use std::collections::HashSet;

use tinception_core::shape::{Padding, Shape, Window};

use super::{Architecture, Built, NetError};
use crate::graph::{Affine, AveragePool, Clamp, Conv, Dense, Graph, Node, Op, ValueId, nhwc_order, overhang};
use crate::weights::{Tensor, Weights};

/// The largest picture's side: weights of the classifier alone would not be larger.
const LARGEST: u32 = 4096;

/// A graph that grows, and the tensors that are used up.
pub(super) struct Builder<'w> {
    architecture: Architecture,
    weights: &'w Weights,
    /// What stands in front of its tensors' names.
    prefix: &'w str,
    used: HashSet<&'w str>,
    graph: Graph,
}

impl<'w> Builder<'w> {
    pub(super) fn new(
        architecture: Architecture,
        weights: &'w Weights,
        prefix: &'w str,
        picture: Shape,
    ) -> Result<Self, NetError> {
        let mut graph = Graph {
            name: architecture.name().to_owned(),
            values: Vec::new(),
            nodes: Vec::new(),
            input: ValueId(0),
            output: ValueId(0),
            input_affine: Affine::identity(picture.channels as usize),
            own_output: None,
        };
        graph.input = graph.add_value("pixels", picture);
        let builder = Self { architecture, weights, prefix, used: HashSet::new(), graph };
        match (1..=LARGEST).contains(&picture.height) {
            true => Ok(builder),
            false => Err(builder.too_small("the first layer")),
        }
    }

    pub(super) fn input(&self) -> ValueId {
        self.graph.input
    }

    pub(super) fn shape(&self, value: ValueId) -> Shape {
        self.graph.shape(value)
    }

    fn too_small(&self, layer: &str) -> NetError {
        let size = self.graph.shape(self.graph.input).height;
        let way_out = format!("it was designed for {}", self.architecture.size());
        NetError::Size { architecture: self.architecture.name(), size, layer: layer.to_owned(), way_out }
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<ValueId>, shape: Shape) -> ValueId {
        let output = self.graph.add_value(name, shape);
        self.graph.nodes.push(Node { name: name.to_owned(), op, inputs, output });
        output
    }

    /// The tensor of this name.
    fn tensor(&mut self, name: &str) -> Result<&'w Tensor, NetError> {
        let name = format!("{}{name}", self.prefix);
        let Some((name, tensor)) = self.weights.tensors.get_key_value(&name) else {
            return Err(NetError::Missing {
                file: self.weights.file.clone(),
                tensor: name,
                architecture: self.architecture.name(),
            });
        };
        self.used.insert(name);
        match tensor.values.iter().all(|value| value.is_finite()) {
            true => Ok(tensor),
            false => Err(NetError::NotFinite { file: self.weights.file.clone(), tensor: name.clone() }),
        }
    }

    fn wrong_shape(&self, name: &str, expected: String, found: &Tensor) -> NetError {
        NetError::Shape {
            file: self.weights.file.clone(),
            tensor: format!("{}{name}", self.prefix),
            architecture: self.architecture.name(),
            expected,
            found: found.shape.clone(),
        }
    }

    /// The values of the tensor of this name and shape. Ones in front of a shape make no difference: Caffe writes
    /// vectors as `[1, 1, 1, n]`.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<&'w [f32], NetError> {
        let tensor = self.tensor(name)?;
        let extra = tensor.shape.len().saturating_sub(shape.len());
        let (front, rest) = tensor.shape.split_at(extra);
        match front.iter().all(|size| *size == 1) && rest == shape {
            true => Ok(&tensor.values),
            false => Err(self.wrong_shape(name, format!("{shape:?}"), tensor)),
        }
    }

    /// A convolution with `outputs` filters over all channels of `input`, from `NAME.weight`, and `NAME.bias` if it
    /// has one.
    pub(super) fn conv(
        &mut self,
        name: &str,
        weights: &str,
        input: ValueId,
        outputs: u32,
        window: Window,
        has_bias: bool,
    ) -> Result<ValueId, NetError> {
        let shape = self.shape(input);
        let (rows, columns) = (window.kernel_height as usize, window.kernel_width as usize);
        let (filters, depth) = (outputs as usize, shape.channels as usize);
        let oihw = self.values(&format!("{weights}.weight"), &[filters, depth, rows, columns])?;
        let bias = match has_bias {
            true => self.values(&format!("{weights}.bias"), &[filters])?.to_vec(),
            false => vec![0.0; filters],
        };
        let area = rows * columns;
        let filter = |filter: &'w [f32]| {
            (0..area).flat_map(move |at| (0..depth).map(move |channel| filter[channel * area + at]))
        };
        let weights = oihw.chunks_exact((depth * area).max(1)).flat_map(filter).collect();
        let (height, width) = window.output(shape.height, shape.width).ok_or_else(|| self.too_small(name))?;
        let conv = Conv { window, groups: 1, weights, bias, clamp: Clamp::NONE };
        Ok(self.push(name, Op::Conv(conv), vec![input], Shape::new(height, width, outputs)))
    }

    /// A ReLU.
    pub(super) fn relu(&mut self, name: &str, input: ValueId) -> ValueId {
        let shape = self.shape(input);
        self.push(&format!("{name}/relu"), Op::Clamp(Clamp::RELU), vec![input], shape)
    }

    /// A convolution without bias, batch normalisation, ReLU: torchvision's `BasicConv2d`, from `NAME.conv.weight` and
    /// `NAME.bn.*`.
    pub(super) fn basic(
        &mut self,
        name: &str,
        input: ValueId,
        outputs: u32,
        window: Window,
    ) -> Result<ValueId, NetError> {
        let conv = self.conv(name, &format!("{name}.conv"), input, outputs, window, false)?;
        let normal = self.batch_norm(&format!("{name}.bn"), conv)?;
        Ok(self.relu(name, normal))
    }

    /// A batch normalisation with the statistics of training: `weight * (x - mean) / sqrt(variance + 0.001) + bias`
    /// (Ioffe and Szegedy 2015; both torchvision networks use this epsilon).
    fn batch_norm(&mut self, name: &str, input: ValueId) -> Result<ValueId, NetError> {
        const EPSILON: f64 = 1e-3;
        let shape = self.shape(input);
        let channels = [shape.channels as usize];
        let mut part = |part: &str| self.values(&format!("{name}.{part}"), &channels);
        let (weight, bias) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        if variance.iter().any(|variance| *variance < 0.0) {
            let tensor = format!("{}{name}.running_var", self.prefix);
            return Err(NetError::NotFinite { file: self.weights.file.clone(), tensor });
        }
        let scale = |(weight, variance): (&f32, &f32)| f64::from(*weight) / (f64::from(*variance) + EPSILON).sqrt();
        let scales: Vec<f64> = weight.iter().zip(variance).map(scale).collect();
        let shift = scales.iter().zip(bias.iter().zip(mean));
        let shift = shift.map(|(scale, (bias, mean))| (f64::from(*bias) - f64::from(*mean) * scale) as f32).collect();
        let affine = Affine { scale: scales.iter().map(|scale| *scale as f32).collect(), shift };
        // How many batches the statistics are from doesn't matter.
        if let Some((name, _)) =
            self.weights.tensors.get_key_value(&format!("{}{name}.num_batches_tracked", self.prefix))
        {
            self.used.insert(name);
        }
        Ok(self.push(name, Op::BatchNorm(affine), vec![input], shape))
    }

    /// A square max pool with `padding` on all sides; with `ceil` it also takes rows and columns that don't fill a
    /// window.
    pub(super) fn max_pool(
        &mut self,
        name: &str,
        input: ValueId,
        [kernel, stride, padding]: [u32; 3],
        ceil: bool,
    ) -> Result<ValueId, NetError> {
        let shape = self.shape(input);
        let mut all = Padding::same(padding);
        if ceil {
            all.bottom += overhang(shape.height, padding, padding, kernel, stride);
            all.right += overhang(shape.width, padding, padding, kernel, stride);
        }
        let window = Window::square(kernel, stride).padded(all);
        let (height, width) = window.output(shape.height, shape.width).ok_or_else(|| self.too_small(name))?;
        Ok(self.push(name, Op::MaxPool(window), vec![input], Shape { height, width, ..shape }))
    }

    /// An average pool whose padding, if any, counts in the divisor.
    pub(super) fn average_pool(&mut self, name: &str, input: ValueId, window: Window) -> Result<ValueId, NetError> {
        let shape = self.shape(input);
        let (height, width) = window.output(shape.height, shape.width).ok_or_else(|| self.too_small(name))?;
        let pool = AveragePool { window, counted: window.padding, clamp: Clamp::NONE };
        Ok(self.push(name, Op::AveragePool(pool), vec![input], Shape { height, width, ..shape }))
    }

    /// The mean of each channel.
    pub(super) fn global_average(&mut self, name: &str, input: ValueId) -> Result<ValueId, NetError> {
        let Shape { height, width, .. } = self.shape(input);
        self.average_pool(name, input, Window::global(height, width))
    }

    /// Any operator that leaves the shape as it is.
    pub(super) fn unary(&mut self, name: &str, op: Op, input: ValueId) -> ValueId {
        let shape = self.shape(input);
        self.push(name, op, vec![input], shape)
    }

    /// Joins branches on the channels.
    pub(super) fn concat(&mut self, name: &str, branches: Vec<ValueId>) -> ValueId {
        let channels = branches.iter().map(|branch| self.shape(*branch).channels).sum();
        let shape = branches.first().map_or_else(Shape::default, |first| self.shape(*first));
        self.push(name, Op::Concat, branches, Shape { channels, ..shape })
    }

    /// The classifier: a dense layer over all of `input`, from `NAME.weight` and `NAME.bias`. It has as many outputs as
    /// they have.
    pub(super) fn classifier(&mut self, name: &str, input: ValueId) -> Result<ValueId, NetError> {
        let shape = self.shape(input);
        let (weight, inputs) = (format!("{name}.weight"), shape.elements() as usize);
        let found = self.tensor(&weight)?;
        let classes = match found.shape[..] {
            [classes, columns] | [1, 1, classes, columns] if columns == inputs && classes > 0 => classes,
            _ => return Err(self.wrong_shape(&weight, format!("[classes, {inputs}]"), found)),
        };
        let bias = self.values(&format!("{name}.bias"), &[classes])?.to_vec();
        // PyTorch and Caffe flatten in NCHW order.
        let order: Vec<usize> = nhwc_order(shape).collect();
        let rows = found.values.chunks_exact(inputs.max(1));
        let weights = rows.flat_map(|row| order.iter().map(|index| row[*index])).collect();
        let classes = u32::try_from(classes).map_err(|_| self.wrong_shape(&weight, "fewer classes".into(), found))?;
        let dense = Dense { weights, bias, clamp: Clamp::NONE };
        Ok(self.push(name, Op::Dense(dense), vec![input], Shape::new(1, 1, classes)))
    }

    /// The graph, whose output is that of the last layer.
    pub(super) fn finish(mut self) -> Result<Built, NetError> {
        let left = self.weights.tensors.keys().filter(|name| !self.used.contains(name.as_str())).cloned();
        let (own, passed_over): (Vec<String>, Vec<String>) = left.partition(|name| name.starts_with(self.prefix));
        let (left_out, left_over): (Vec<String>, Vec<String>) =
            own.into_iter().partition(|name| self.architecture.is_auxiliary(&name[self.prefix.len()..]));
        if let Some(first) = left_over.first() {
            return Err(NetError::LeftOver {
                file: self.weights.file.clone(),
                architecture: self.architecture.name(),
                count: left_over.len(),
                first: first.clone(),
            });
        }
        self.graph.output = self.graph.nodes.last().map_or(self.graph.input, |node| node.output);
        Ok(Built { graph: self.graph, left_out, prefix: self.prefix.to_owned(), passed_over })
    }
}
