//! Random tensors, windows and layers, ordinary and extreme.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tinception_core::kernels::conv::{Conv, Layout};
use tinception_core::kernels::pool::Average;
use tinception_core::kernels::{AverageWindow, ChannelTable, Divisors, Pixels, PixelsMut};
use tinception_core::quant::Output;
use tinception_core::shape::{Padding, Shape, Window};

use crate::{Rng, tables};

/// What int8 data look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Evenly distributed over all values.
    Random,
    /// All at the lower end.
    Lowest,
    /// All at the upper end.
    Highest,
    /// Lower and upper end in turn.
    Alternating,
}

impl Values {
    /// One of the four, mostly the first.
    pub fn any(rng: &mut Rng) -> Self {
        let extremes = [Self::Lowest, Self::Highest, Self::Alternating];
        if rng.random_bool(0.6) { Self::Random } else { *extremes.choose(rng).unwrap_or(&Self::Random) }
    }

    /// The `index`-th value, within `lowest..=127`.
    pub fn value(self, rng: &mut Rng, index: usize, lowest: i8) -> i8 {
        match self {
            Self::Random => rng.random_range(lowest..=127),
            Self::Lowest => lowest,
            Self::Highest => 127,
            Self::Alternating => [lowest, 127][index % 2],
        }
    }

    /// `length` values.
    pub fn fill(self, rng: &mut Rng, length: usize) -> Vec<i8> {
        (0..length).map(|index| self.value(rng, index, i8::MIN)).collect()
    }
}

/// A tensor in the middle of other data: bytes in front of it, between its pixels and behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strided {
    /// Height, width, channels.
    pub shape: Shape,
    /// Elements from one pixel to the next.
    pub stride: usize,
    /// Elements in front of the tensor.
    pub first: usize,
    /// All elements.
    pub data: Vec<i8>,
}

impl Strided {
    /// A tensor with random gaps (none in half of the cases), the gaps filled at random.
    pub fn new(rng: &mut Rng, shape: Shape, values: Values) -> Self {
        let gap = if rng.random_bool(0.5) { 0 } else { rng.random_range(1..12) };
        let stride = shape.channels as usize + gap;
        let first = rng.random_range(0..20);
        let length = first + shape.pixels() as usize * stride + rng.random_range(0..9);
        let mut tensor = Self { shape, stride, first, data: Values::Random.fill(rng, length) };
        let dense = values.fill(rng, shape.elements() as usize);
        tensor.write(&dense);
        tensor
    }

    /// Overwrites the elements, in NHWC order.
    pub fn write(&mut self, dense: &[i8]) {
        let channels = self.shape.channels as usize;
        for (pixel, values) in dense.chunks(channels).enumerate() {
            self.data[self.first + pixel * self.stride..][..channels].copy_from_slice(values);
        }
    }

    /// The elements in NHWC order.
    #[must_use]
    pub fn dense(&self) -> Vec<i8> {
        let pixel = |index| &self.data[self.first + index * self.stride..][..self.shape.channels as usize];
        (0..self.shape.pixels() as usize).flat_map(pixel).copied().collect()
    }

    /// The same tensor with its elements zeroed: what is left is what nobody may touch.
    #[must_use]
    pub fn gaps(&self) -> Self {
        let mut gaps = self.clone();
        gaps.write(&vec![0; self.shape.elements() as usize]);
        gaps
    }

    /// The view that a kernel reads.
    ///
    /// # Panics
    /// Never: the data are long enough.
    #[must_use]
    pub fn pixels(&self) -> Pixels<'_> {
        Pixels::new(&self.data[self.first..], self.shape, self.stride).expect("long enough")
    }

    /// The view that a kernel writes. It ends with the last pixel's last channel.
    ///
    /// # Panics
    /// Never: the data are long enough.
    pub fn pixels_mut(&mut self) -> PixelsMut<'_> {
        let length = (self.shape.pixels() as usize - 1) * self.stride + self.shape.channels as usize;
        PixelsMut::new(&mut self.data[self.first..][..length], self.shape, self.stride).expect("long enough")
    }
}

/// A random zero point, often at an end of the range, as after a ReLU.
pub fn zero_point(rng: &mut Rng) -> i8 {
    *[i8::MIN, 0, i8::MAX, rng.random(), rng.random()].choose(rng).unwrap_or(&0)
}

/// Zero point and range of an output: no activation, a ReLU, a ReLU6, or any.
pub fn output(rng: &mut Rng) -> Output {
    let zero_point = zero_point(rng);
    let ends = [rng.random(), rng.random::<i8>()];
    let (min, max) = match rng.random_range(0..4) {
        0 => (i8::MIN, i8::MAX),
        1 => (zero_point, i8::MAX),
        2 => (zero_point, zero_point.saturating_add(60)),
        _ => (ends[0].min(ends[1]), ends[0].max(ends[1])),
    };
    Output { zero_point, min, max }
}

/// A window whose every position sees the input, however small that is. Padding may differ on all sides.
pub fn pool_window(rng: &mut Rng) -> Window {
    let (kernel_height, kernel_width) = (rng.random_range(1..=4), rng.random_range(1..=4));
    Window {
        kernel_height,
        kernel_width,
        stride_height: rng.random_range(1..=3),
        stride_width: rng.random_range(1..=3),
        padding: Padding {
            top: rng.random_range(0..kernel_height),
            left: rng.random_range(0..kernel_width),
            bottom: rng.random_range(0..kernel_height),
            right: rng.random_range(0..kernel_width),
        },
    }
}

/// An input of `channels` that `window` fits on, and the output that it gives.
pub fn shapes(rng: &mut Rng, window: &Window, channels: u32, largest: u32) -> (Shape, Shape) {
    loop {
        let input = Shape::new(rng.random_range(1..=largest), rng.random_range(1..=largest), channels);
        if let Some((height, width)) = window.output(input.height, input.width) {
            return (input, Shape::new(height, width, channels));
        }
    }
}

/// Parameters of a convolution, owned.
#[derive(Clone, Debug)]
pub struct ConvCase {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups of channels.
    pub groups: u32,
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// The input's zero point.
    pub zero_point: i8,
    /// The output's zero point and range.
    pub quantized: Output,
    /// In the order of [`Layout`].
    pub weights: Vec<i8>,
    /// Bias, multiplier, shift, weight sum.
    pub table: [Vec<i32>; 4],
}

/// How wild a convolution's parameters are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    /// As a compiler makes them: outputs spread over the range of int8. Logits need more bits.
    Natural {
        /// The spread aimed at, in output units.
        spread: f64,
    },
    /// Anything that a verifier lets through, its ends above all.
    Extreme,
}

impl ConvCase {
    /// A layer with random weights.
    ///
    /// # Panics
    /// If the groups do not divide the channels or the window does not fit.
    pub fn new(
        rng: &mut Rng,
        window: Window,
        groups: u32,
        (input, zero_point): (Shape, i8),
        (outputs, quantized): (u32, Output),
        style: Style,
    ) -> Self {
        let (height, width) = window.output(input.height, input.width).expect("the window fits");
        let layout = Layout::new(&window, groups as usize, input.channels, outputs).expect("groups divide");
        let mut case = Self {
            window,
            groups,
            input,
            output: Shape::new(height, width, outputs),
            zero_point,
            quantized,
            weights: vec![0; layout.weights],
            // Padding of the table: no bias, and a rule that is one.
            table: [vec![0; layout.table], vec![0; layout.table], vec![1; layout.table], vec![0; layout.table]],
        };
        let limit = i32::MAX - 16384 * layout.depth as i32;
        for channel in 0..outputs as usize {
            let values = if style == Style::Extreme { Values::any(rng) } else { Values::Random };
            let mut weights: Vec<i8> = (0..layout.depth).map(|k| values.value(rng, k, -127)).collect();
            if style != Style::Extreme && layout.depth > 3 {
                // Balanced, so that an input far from its zero point does not saturate the output.
                let mean = weights.iter().map(|weight| i32::from(*weight)).sum::<i32>() / layout.depth as i32;
                weights.iter_mut().for_each(|weight| *weight = (i32::from(*weight) - mean).clamp(-127, 127) as i8);
            }
            for (k, weight) in weights.iter().enumerate() {
                case.weights[layout.weight_index(channel, k)] = *weight;
            }
            let sum: i32 = weights.iter().map(|weight| i32::from(*weight)).sum();
            let (bias, (multiplier, shift)) = match style {
                Style::Natural { spread } => {
                    // Standard deviation of a sum of products of two even spreads over int8.
                    let deviation = (layout.depth as f64).sqrt() * 74.0 * 74.0;
                    let bias = rng.random_range(-deviation..=deviation) as i32 - i32::from(zero_point) * sum;
                    let ratio = spread / deviation * rng.random_range(0.5..2.0);
                    (bias, tables::rule(rng, ratio))
                }
                Style::Extreme => {
                    let bias = [0, limit, -limit, rng.random_range(-limit..=limit), rng.random_range(-9999..9999)];
                    let multiplier = [0, 1, i32::MAX, rng.random_range(0..=i32::MAX), 1 << 30];
                    let shift = [1, 62, rng.random_range(1..=62), rng.random_range(30..50), 33, 32];
                    let any = |rng: &mut Rng, choices: &[i32]| *choices.choose(rng).expect("there are choices");
                    (any(rng, &bias), (any(rng, &multiplier), any(rng, &shift)))
                }
            };
            for (array, value) in case.table.iter_mut().zip([bias, multiplier, shift, sum]) {
                array[layout.table_index(channel)] = value;
            }
        }
        case
    }

    /// A random layer: depthwise, grouped or plain, from one channel and one pixel on.
    pub fn random(rng: &mut Rng, style: Style) -> Self {
        let (groups, inputs, outputs) = match rng.random_range(0..4) {
            0 => {
                let channels = rng.random_range(2..=21);
                (channels, channels, channels)
            }
            1 => {
                let groups = rng.random_range(2..=4);
                (groups, groups * rng.random_range(1..=7), groups * rng.random_range(1..=7))
            }
            2 => (1, 4 * rng.random_range(1..=9), rng.random_range(1..=21)),
            _ => (1, rng.random_range(1..=19), rng.random_range(1..=21)),
        };
        let window = if rng.random_bool(0.3) {
            Window::square(1, *[1, 1, 2].choose(rng).unwrap_or(&1))
        } else {
            let mut window = pool_window(rng);
            // A convolution's window may lie in the padding alone.
            window.padding.bottom += rng.random_range(0..=1) * rng.random_range(0..3);
            window.padding.left += rng.random_range(0..=1) * rng.random_range(0..3);
            window
        };
        let (input, _) = shapes(rng, &window, inputs, 9);
        let (zero_point, quantized) = (zero_point(rng), output(rng));
        Self::new(rng, window, groups, (input, zero_point), (outputs, quantized), style)
    }

    /// The parameters a kernel takes.
    #[must_use]
    pub fn conv(&self) -> Conv<'_> {
        let [bias, multiplier, shift, weight_sum] = &self.table;
        Conv {
            window: self.window,
            groups: self.groups as usize,
            weights: &self.weights,
            winograd: None,
            table: ChannelTable { bias, multiplier, shift, weight_sum },
            input_zero_point: self.zero_point,
            output: self.quantized,
        }
    }

    /// The layout of weights and table.
    ///
    /// # Panics
    /// Never: the groups divide the channels.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let (inputs, outputs) = (self.input.channels, self.output.channels);
        Layout::new(&self.window, self.groups as usize, inputs, outputs).expect("groups divide")
    }
}

/// Parameters of an average pool, owned.
#[derive(Clone, Debug)]
pub struct AverageCase {
    /// Window and counted padding.
    pub window: AverageWindow,
    /// `[divisor, multiplier, shift]`, ascending.
    pub divisors: Vec<[i32; 3]>,
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// The input's zero point.
    pub zero_point: i8,
}

impl AverageCase {
    /// A pool over `input`; `ratio` is the input's scale over the output's.
    ///
    /// # Panics
    /// If the window does not fit.
    pub fn new(rng: &mut Rng, window: AverageWindow, (input, zero_point): (Shape, i8), ratio: f64) -> Self {
        let (height, width) = window.window.output(input.height, input.width).expect("the window fits");
        let positions = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        let mut divisors: Vec<u32> = positions.map(|(y, x)| window.divisor(y, x, input.height, input.width)).collect();
        divisors.sort_unstable();
        divisors.dedup();
        let entry = |divisor: u32| {
            let (multiplier, shift) = tables::rule(rng, ratio / f64::from(divisor));
            [divisor as i32, multiplier, shift]
        };
        let divisors = divisors.into_iter().map(entry).collect();
        let output = Shape::new(height, width, input.channels);
        Self { window, divisors, input, output, zero_point }
    }

    /// A random pool, some of its padding counted.
    pub fn random(rng: &mut Rng, ratio: f64) -> Self {
        let window = pool_window(rng);
        let channels = rng.random_range(1..=37);
        let (input, _) = shapes(rng, &window, channels, 9);
        let zero_point = zero_point(rng);
        let window = AverageWindow { window, counted: counted(rng, &window.padding) };
        Self::new(rng, window, (input, zero_point), ratio)
    }

    /// The parameters a kernel takes, for an output of this zero point and range.
    #[must_use]
    pub fn average(&self, output: Output) -> Average<'_> {
        let divisors = Divisors::new(&self.divisors);
        Average { window: self.window, divisors, zero_point: self.zero_point, output }
    }
}

/// The average over all of a tensor of this shape.
#[must_use]
pub fn global_average(shape: Shape) -> AverageWindow {
    AverageWindow { window: Window::global(shape.height, shape.width), counted: Padding::NONE }
}

/// A random part of the padding: none, all, or something else on each side.
pub fn counted(rng: &mut Rng, padding: &Padding) -> Padding {
    match rng.random_range(0..3) {
        0 => Padding::NONE,
        1 => *padding,
        _ => Padding {
            top: rng.random_range(0..=padding.top),
            left: rng.random_range(0..=padding.left),
            bottom: rng.random_range(0..=padding.bottom),
            right: rng.random_range(0..=padding.right),
        },
    }
}
