//! Int8 weights, biases and requantisation rules of convolutions and dense layers.

use tinception_core::kernels::conv::Layout;
use tinception_core::quant::QuantParams;
use tinception_core::shape::Window;

use super::rules::requantize;

/// A convolution in float, and what is known of its input.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups of channels.
    pub groups: usize,
    /// Input and output channels.
    pub channels: (u32, u32),
    /// `[output][ky][kx][input channel / groups]`.
    pub weights: &'a [f32],
    /// One per output channel.
    pub bias: &'a [f32],
    /// Scale and zero point of the input.
    pub input: QuantParams,
    /// The input's mean by channel, to correct the bias by; its channel is the patch element modulo its length within
    /// the group. `None` leaves the bias as it is.
    pub input_mean: Option<&'a [f32]>,
}

/// A convolution as the kernels take it: see [`Layout`] and the format's
/// [`Conv`](tinception_core::format::step::Conv).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizedConv {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups of channels.
    pub groups: usize,
    /// How weights and tables are laid out.
    pub layout: Layout,
    /// In blocks, zero padded.
    pub weights: Vec<i8>,
    /// Whether the file has the weights transformed for exact Winograd, too.
    pub winograd: bool,
    /// The input's zero point folded in.
    pub bias: Vec<i32>,
    /// Multiplier of each channel's rule.
    pub multiplier: Vec<i32>,
    /// Shift of each channel's rule.
    pub shift: Vec<i32>,
    /// Sum of each channel's weights.
    pub weight_sum: Vec<i32>,
}

/// Why a layer has no int8 form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightError {
    /// The groups don't divide the channels, or there are not as many weights or biases as the shapes say.
    Layout,
    /// A weight or bias is infinite or not a number.
    NotFinite,
    /// An output sums up more products than an int32 holds.
    TooDeep {
        /// Products summed up.
        depth: usize,
    },
    /// The scales are so far apart that no rule joins them.
    Ratio,
}

/// Largest product of an activation and a weight: 128 * 127, rounded up.
const PRODUCT_LIMIT: f64 = 16384.0;
/// A bias may have this many steps of the accumulator. A channel whose weights are tiny beside its bias, a dead one,
/// gets larger steps; it loses nothing, since the bias still has 24 bits.
const BIAS_STEPS: f64 = 16_777_216.0;

impl Source<'_> {
    fn layout(&self) -> Result<Layout, WeightError> {
        let (inputs, outputs) = self.channels;
        let layout = Layout::new(&self.window, self.groups, inputs, outputs).ok_or(WeightError::Layout)?;
        let expected = outputs as usize * layout.depth;
        if self.weights.len() != expected || self.bias.len() != outputs as usize {
            return Err(WeightError::Layout);
        }
        if !self.weights.iter().chain(self.bias).all(|value| value.is_finite()) {
            return Err(WeightError::NotFinite);
        }
        Ok(layout)
    }

    /// The accumulator's scale for each output channel: the input's times the channel's weights'.
    ///
    /// # Errors
    /// [`WeightError`].
    pub fn scales(&self) -> Result<Vec<f64>, WeightError> {
        let layout = self.layout()?;
        // What is left for the bias when all products are as large as they can be, the folded zero point included.
        let room = f64::from(i32::MAX) - 2.0 * PRODUCT_LIMIT * layout.depth as f64 - 1.0;
        if room < f64::from(1 << 20) {
            return Err(WeightError::TooDeep { depth: layout.depth });
        }
        let input = f64::from(self.input.scale);
        let scale = |(weights, bias): (&[f32], &f32)| {
            let largest = weights.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            (input * f64::from(largest) / 127.0).max(f64::from(bias.abs()) / BIAS_STEPS.min(room))
        };
        let scales: Vec<f64> = self.weights.chunks_exact(layout.depth).zip(self.bias).map(scale).collect();
        // A channel that is always 0 takes any scale; its neighbours' keeps a common scale of all channels as it is.
        let some = scales.iter().copied().fold(0.0, f64::max);
        let some = if some > 0.0 { some } else { input };
        Ok(scales.into_iter().map(|scale| if scale > 0.0 { scale } else { some }).collect())
    }

    /// The int8 convolution with an output of this scale.
    ///
    /// # Errors
    /// [`WeightError`].
    pub fn quantize(&self, output_scale: f64) -> Result<QuantizedConv, WeightError> {
        let layout = self.layout()?;
        let scales = self.scales()?;
        let mut conv = QuantizedConv {
            window: self.window,
            groups: self.groups,
            layout,
            weights: vec![0; layout.weights],
            winograd: false,
            bias: vec![0; layout.table],
            multiplier: vec![0; layout.table],
            shift: vec![1; layout.table],
            weight_sum: vec![0; layout.table],
        };
        let channels = self.weights.chunks_exact(layout.depth).zip(self.bias).zip(scales);
        for (output, ((weights, bias), scale)) in channels.enumerate() {
            let weight_scale = scale / f64::from(self.input.scale);
            let (mut sum, mut drift) = (0, 0.0);
            for (k, weight) in weights.iter().enumerate() {
                let quantised = (f64::from(*weight) / weight_scale).round().clamp(-127.0, 127.0);
                conv.weights[layout.weight_index(output, k)] = quantised as i8;
                sum += quantised as i32;
                drift += (quantised * weight_scale - f64::from(*weight)) * self.mean_of(&layout, output, k);
            }
            let entry = layout.table_index(output);
            let rule = requantize(scale / output_scale).ok_or(WeightError::Ratio)?;
            let folded = f64::from(self.input.zero_point) * f64::from(sum);
            let limit = f64::from(i32::MAX) - PRODUCT_LIMIT * layout.depth as f64;
            conv.bias[entry] = (((f64::from(*bias) - drift) / scale).round() - folded).clamp(-limit, limit) as i32;
            conv.multiplier[entry] = rule.multiplier();
            conv.shift[entry] = rule.shift() as i32;
            conv.weight_sum[entry] = sum;
        }
        Ok(conv)
    }

    /// The mean of what the `k`-th weight of an output channel is multiplied with.
    fn mean_of(&self, layout: &Layout, output: usize, k: usize) -> f64 {
        let Some(means) = self.input_mean else { return 0.0 };
        // A dense layer over a whole picture seen as one pixel has the picture's channels again and again.
        let first = output / layout.group_outputs * layout.group_inputs;
        let channel = first + k % layout.group_inputs;
        means.get(channel % means.len().max(1)).map_or(0.0, |mean| f64::from(*mean))
    }
}

#[cfg(test)]
mod tests {
    use tinception_core::shape::Padding;

    use super::*;

    const INPUT: QuantParams = QuantParams { scale: 0.1, zero_point: -128 };

    fn source<'a>(weights: &'a [f32], bias: &'a [f32], input_mean: Option<&'a [f32]>) -> Source<'a> {
        let window = Window::square(1, 1).padded(Padding::NONE);
        Source { window, groups: 1, channels: (3, bias.len() as u32), weights, bias, input: INPUT, input_mean }
    }

    #[test]
    fn a_corrected_bias_keeps_the_mean() {
        // Weights between two steps, all rounded the same way.
        let (weights, bias, mean) = ([1.27, 0.0149, 0.0249], [0.3], [2.0, 3.0, 5.0]);
        let float =
            f64::from(bias[0]) + weights.iter().zip(mean).map(|(w, x)| f64::from(*w) * f64::from(x)).sum::<f64>();
        let int8 = |source: Source<'_>| {
            let conv = source.quantize(0.1).unwrap();
            let accumulator_scale = source.scales().unwrap()[0];
            let q = |x: f32| f64::from(x) / 0.1_f64 - 128.0;
            let sum: f64 = conv.weights.iter().zip(mean).map(|(w, x)| f64::from(*w) * q(x)).sum();
            (sum + f64::from(conv.bias[0])) * accumulator_scale
        };
        let step = 0.1 * 0.01;
        assert!((int8(source(&weights, &bias, None)) - float).abs() > 10.0 * step);
        assert!((int8(source(&weights, &bias, Some(&mean))) - float).abs() <= step);
    }

    #[test]
    fn blocks_tables_and_the_folded_zero_point() {
        let weights = [1.27, -0.64, 0.0, 0.0, 2.54, -2.54];
        let conv = source(&weights, &[0.05, -1.0], None).quantize(0.5).unwrap();
        assert_eq!(conv.weights, [127, -64, 0, 0, 0, 127, -127, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(conv.weight_sum, [63, 0, 0, 0]);
        // 0.05 / (0.1 * 0.01) + 128 * 63, and -1 / (0.1 * 0.02).
        assert_eq!(conv.bias, [50 + 128 * 63, -500, 0, 0]);
        let rule = |entry: usize| f64::from(conv.multiplier[entry]) / 2_f64.powi(conv.shift[entry]);
        assert!((rule(0) - 0.1 * 0.01 / 0.5).abs() < 1e-9 && (rule(1) - 0.1 * 0.02 / 0.5).abs() < 1e-9);
        assert_eq!((conv.multiplier[3], conv.shift[3]), (0, 1));
    }

    #[test]
    fn a_bias_never_takes_the_products_room() {
        let conv = source(&[1e-20, 0.0, 0.0], &[3e6], None).quantize(1e5).unwrap();
        assert!(i64::from(conv.bias[0]).abs() <= i64::from(i32::MAX) - 16384 * 3);
        let rule = f64::from(conv.multiplier[0]) / 2_f64.powi(conv.shift[0]);
        assert!((f64::from(conv.bias[0]) * rule - 30.0).abs() < 1e-5);
    }

    #[test]
    fn what_has_no_int8_form_is_refused() {
        assert_eq!(source(&[1.0; 4], &[0.0], None).quantize(1.0), Err(WeightError::Layout));
        assert_eq!(source(&[f32::NAN; 3], &[0.0], None).quantize(1.0), Err(WeightError::NotFinite));
        assert_eq!(source(&[1.0; 3], &[0.0], None).quantize(1e-20), Err(WeightError::Ratio));
    }
}
