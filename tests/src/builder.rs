//! Puts random layers together to whole `.tin` files.
//!
//! Tensors get memory of their own unless they are slices or copies in place; a real planner would reuse it.

use rand::Rng as _;
use tinception_core::format::preprocess::{Preprocess, TABLE_ENTRIES};
use tinception_core::format::step::{Add, AveragePool, Conv, Link, Lrn, Operator, Rescale, Softmax, Step};
use tinception_core::format::tensor::{DataType, Stored, Tensor};
use tinception_core::format::writer::Writer;
use tinception_core::format::{ALIGNMENT, NO_TENSOR};
use tinception_core::image::{ColourOrder, Resize};
use tinception_core::kernels::conv::minimum_scratch;
use tinception_core::kernels::{AverageWindow, lrn};
use tinception_core::model::Model;
use tinception_core::quant::{Output, QuantParams};
use tinception_core::shape::{Shape, Window};

use crate::aligned::Aligned;
use crate::cases::{self, AverageCase, ConvCase, Style};
use crate::{Rng, interpreter, tables};

/// No activation, zero point 0.
const PLAIN: Output = Output { zero_point: 0, min: i8::MIN, max: i8::MAX };

/// A file in the making.
#[derive(Debug)]
pub struct Builder<'r> {
    /// Where all random parameters come from.
    pub rng: &'r mut Rng,
    /// The file that is being built.
    pub writer: Writer,
    /// Whether [`link`](Self::link) and [`store`](Self::store) do anything.
    pub linked: bool,
    used: u32,
    scratch: usize,
    spare: usize,
}

impl<'r> Builder<'r> {
    /// A file with an input of this shape: tensor 0.
    pub fn new(rng: &'r mut Rng, input: Shape) -> Self {
        Self::with_writer(rng, Writer::new(), input)
    }

    /// The same in a file that has been begun.
    pub fn with_writer(rng: &'r mut Rng, writer: Writer, input: Shape) -> Self {
        let mut builder = Self { rng, writer, linked: true, used: 0, scratch: 0, spare: 0 };
        let zero_point = cases::zero_point(builder.rng);
        builder.tensor(input, DataType::Int8, zero_point);
        builder
    }

    /// A tensor with memory of its own.
    pub fn tensor(&mut self, shape: Shape, data_type: DataType, zero_point: i8) -> u16 {
        let quant = QuantParams { scale: self.rng.random_range(0.01..0.2), zero_point };
        let (offset, pixel_stride, stored) = (self.used, shape.channels, Stored::Whole);
        let tensor = Tensor { offset, shape, pixel_stride, stored, data_type, quant };
        self.used = (tensor.end() as u32).next_multiple_of(ALIGNMENT as u32);
        self.push(tensor)
    }

    /// The channels from `first` on of a wide tensor.
    pub fn slice(&mut self, wide: u16, first: u32, channels: u32) -> u16 {
        let mut tensor = self.writer.tensors[usize::from(wide)];
        tensor.offset += first;
        tensor.shape.channels = channels;
        self.push(tensor)
    }

    /// A tensor in the place of another.
    pub fn in_place_of(&mut self, other: u16, zero_point: i8) -> u16 {
        let mut tensor = self.writer.tensors[usize::from(other)];
        tensor.quant.zero_point = zero_point;
        self.push(tensor)
    }

    /// Gives the tensor made last less memory.
    pub fn store(&mut self, tensor: u16, stored: Stored) {
        if self.linked {
            let tensor = &mut self.writer.tensors[usize::from(tensor)];
            tensor.stored = stored;
            self.used = (tensor.end() as u32).next_multiple_of(ALIGNMENT as u32);
        }
    }

    /// Links the step made last to the next one.
    pub fn link(&mut self, link: Link) {
        if let Some(step) = self.writer.steps.last_mut().filter(|_| self.linked) {
            step.link = link;
        }
    }

    /// Scratch that some step needs at least.
    pub fn scratch_for(&mut self, bytes: usize) {
        self.scratch = self.scratch.max(bytes);
    }

    /// Scratch beyond what is needed.
    pub fn add_scratch(&mut self, bytes: usize) {
        self.spare += bytes;
    }

    fn push(&mut self, tensor: Tensor) -> u16 {
        self.writer.tensors.push(tensor);
        (self.writer.tensors.len() - 1) as u16
    }

    /// Shape and zero point of a tensor.
    #[must_use]
    pub fn facts(&self, tensor: u16) -> (Shape, i8) {
        let tensor = &self.writer.tensors[usize::from(tensor)];
        (tensor.shape, tensor.quant.zero_point)
    }

    fn step(&mut self, name: &str, (input, second_input, output): (u16, u16, u16), range: Output, operator: Operator) {
        let name_length = name.len() as u16;
        let name = self.writer.add_data(name.as_bytes(), 1);
        let (min, max) = (range.min, range.max);
        let link = Link::None;
        self.writer.steps.push(Step { input, second_input, output, min, max, name, name_length, link, operator });
    }

    /// An int8 tensor for what `window` makes of `input`.
    pub fn windowed(&mut self, window: &Window, input: u16, channels: u32, zero_point: i8) -> u16 {
        let (shape, _) = self.facts(input);
        let (height, width) = window.output(shape.height, shape.width).expect("the window fits");
        self.tensor(Shape::new(height, width, channels), DataType::Int8, zero_point)
    }

    /// A convolution from `input` to `output`, whose zero point is `quantized`'s.
    pub fn conv_into(&mut self, name: &str, tensors: (u16, u16), window: Window, groups: u32, quantized: Output) {
        let (input, output) = tensors;
        let channels = self.facts(output).0.channels;
        let logits = self.writer.tensors[usize::from(output)].data_type == DataType::Int32;
        let spread = if logits { 4e5 } else { 50.0 };
        let style = Style::Natural { spread };
        let case = ConvCase::new(self.rng, window, groups, self.facts(input), (channels, quantized), style);
        self.add_conv(name, tensors, &case);
    }

    /// A convolution with a new int8 output, which is returned. It has no activation, a ReLU, or one with an upper end.
    pub fn conv(&mut self, name: &str, input: u16, window: Window, (groups, outputs): (u32, u32)) -> u16 {
        let middle = self.rng.random_range(-60..=60);
        let quantized = match self.rng.random_range(0..3) {
            0 => Output { zero_point: middle, ..PLAIN },
            1 => Output { zero_point: i8::MIN, ..PLAIN },
            _ => Output { zero_point: -100, min: -100, max: 90 },
        };
        let output = self.windowed(&window, input, outputs, quantized.zero_point);
        self.conv_into(name, (input, output), window, groups, quantized);
        output
    }

    /// A step for a finished convolution case.
    pub fn add_conv(&mut self, name: &str, (input, output): (u16, u16), case: &ConvCase) {
        self.scratch = self.scratch.max(minimum_scratch(&case.window, &case.layout()));
        let weights = self.writer.add_data(bytemuck::cast_slice(&case.weights), ALIGNMENT);
        let channel_table = self.writer.add_table(&case.table.concat());
        let (window, groups) = (case.window, case.groups);
        let conv = Conv { window, groups, weights, channel_table, winograd: None };
        self.step(name, (input, NO_TENSOR, output), case.quantized, Operator::Conv(conv));
    }

    /// A max pool with a new output.
    pub fn max_pool(&mut self, name: &str, input: u16, window: Window) -> u16 {
        let (shape, zero_point) = self.facts(input);
        let output = self.windowed(&window, input, shape.channels, zero_point);
        let range = Output { min: -120, max: 125, ..PLAIN };
        self.step(name, (input, NO_TENSOR, output), range, Operator::MaxPool(window));
        output
    }

    /// An average pool with a new output: int8, or int32 with many more bits.
    pub fn average_pool(&mut self, name: &str, input: u16, window: AverageWindow, data_type: DataType) -> u16 {
        let logits = data_type == DataType::Int32;
        let (ratio, zero_point) = if logits { (4096.0, 0) } else { (0.8, self.rng.random_range(-90..=-20)) };
        let case = AverageCase::new(self.rng, window, self.facts(input), ratio);
        let output = self.tensor(case.output, data_type, zero_point);
        self.add_average(name, (input, output), &case);
        output
    }

    /// A step for a finished average pool case.
    pub fn add_average(&mut self, name: &str, (input, output): (u16, u16), case: &AverageCase) {
        let divisor_table = self.writer.add_table(case.divisors.as_flattened());
        let AverageWindow { window, counted } = case.window;
        let divisors = case.divisors.len() as u32;
        let pool = AveragePool { window, counted, divisor_table, divisors };
        self.step(name, (input, NO_TENSOR, output), PLAIN, Operator::AveragePool(pool));
    }

    /// A global average pool to int32 logits.
    pub fn average_logits(&mut self, name: &str, input: u16) -> u16 {
        let (shape, _) = self.facts(input);
        self.average_pool(name, input, cases::global_average(shape), DataType::Int32)
    }

    /// Local response normalisation.
    pub fn lrn(&mut self, name: &str, (input, output): (u16, u16), size: u32, index_shift: u32) {
        let (shape, _) = self.facts(input);
        self.scratch = self.scratch.max(lrn::minimum_scratch(shape.channels));
        let table = tables::lrn(self.rng, size.min(shape.channels), index_shift);
        let entries = table.len() as u32;
        let table = self.writer.add_data(bytemuck::cast_slice(&table), 4);
        let shift = self.rng.random_range(14..=17);
        let lrn = Lrn { size, table, entries, index_shift, shift };
        self.step(name, (input, NO_TENSOR, output), PLAIN, Operator::Lrn(lrn));
    }

    /// An addition of `input` and `second`.
    pub fn add(&mut self, name: &str, (input, second, output): (u16, u16, u16)) {
        let shift = self.rng.random_range(20..=31);
        let multipliers = [0, 1].map(|_| self.rng.random_range((1 << shift) / 5..(1_i64 << shift)) as i32);
        let range = Output { min: -100, max: 100, ..PLAIN };
        self.step(name, (input, second, output), range, Operator::Add(Add { multipliers, shift }));
    }

    /// A rescale.
    pub fn rescale(&mut self, name: &str, (input, output): (u16, u16)) {
        let ratio = self.rng.random_range(0.4..1.6);
        let (multiplier, shift) = tables::rule(self.rng, ratio);
        let operator = Operator::Rescale(Rescale { multiplier, shift: shift as u32 });
        self.step(name, (input, NO_TENSOR, output), PLAIN, operator);
    }

    /// A softmax with a new output.
    pub fn softmax(&mut self, name: &str, logits: u16) -> u16 {
        self.probabilities(name, logits, Operator::Softmax)
    }

    /// A sigmoid with a new output.
    pub fn sigmoid(&mut self, name: &str, logits: u16) -> u16 {
        self.probabilities(name, logits, Operator::Sigmoid)
    }

    fn probabilities(&mut self, name: &str, logits: u16, operator: fn(Softmax) -> Operator) -> u16 {
        let (shape, _) = self.facts(logits);
        let output = self.tensor(shape, DataType::UInt16, 0);
        let table: Vec<u8> = tables::softmax().iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let table = self.writer.add_data(&table, 4);
        let ratio = self.rng.random_range(0.0005..0.002);
        let (multiplier, shift) = tables::rule(self.rng, ratio);
        let softmax = Softmax { multiplier, shift: shift as u32, table };
        self.step(name, (logits, NO_TENSOR, output), PLAIN, operator(softmax));
        output
    }

    /// A preprocessing record for a BGR input, with a random table.
    pub fn preprocess(&mut self) {
        let table: Vec<u8> = (0..3 * TABLE_ENTRIES).map(|_| self.rng.random()).collect();
        let (mean, scale) = ([104.0, 117.0, 123.0], [1.0, 1.0, 0.5]);
        let table = self.writer.add_data(&table, 4);
        let resize = Resize::ShorterSide(256);
        self.writer.preprocess = Some(Preprocess { order: ColourOrder::Bgr, resize, mean, scale, table });
    }

    /// The file, its self-test filled with the reference's hashes.
    ///
    /// # Panics
    /// If what was built is not a model.
    #[must_use]
    pub fn finish(&mut self, logits: u16, probabilities: Option<u16>) -> Vec<u8> {
        (self.writer.logits, self.writer.probabilities) = (logits, probabilities);
        // From the least that every step runs with to a little more.
        let spare = self.spare + self.rng.random_range(0..=64);
        self.writer.scratch_size = (self.scratch + spare).next_multiple_of(ALIGNMENT) as u32;
        let bytes = Aligned::new(&self.writer.finish());
        let model = Model::new(&bytes).unwrap_or_else(|error| panic!("built an invalid model: {error}"));
        let seed = self.rng.random();
        self.writer.self_test = Some((seed, interpreter::self_test_hashes(&model, seed)));
        self.writer.finish()
    }
}
