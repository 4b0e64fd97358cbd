//! Which convolutions get transformed weights for exact Winograd.

use tinception_core::format::tensor::DataType;
use tinception_core::kernels::winograd::{self, TILES};

use crate::program::{Operator, Program};
use crate::quantize::QuantizedConv;

/// The least input and output channels: with fewer, transforms outweigh the products that are saved.
const LEAST_CHANNELS: usize = 16;

/// Marks the convolutions that transformed weights pay for: those that they apply to, with enough channels, whose output
/// fills at least two thirds of the tiles that are computed. For a full tile, direct kernels take 1.9 times as many
/// instructions or more.
pub fn choose(program: &mut Program) {
    for step in &mut program.steps {
        let Operator::Conv(conv) = &mut step.operator else { continue };
        let output = &program.tensors[step.output];
        let (height, width) = (u64::from(output.shape.height), u64::from(output.shape.width));
        let tiles = (height.div_ceil(2) * width.div_ceil(2)).next_multiple_of(TILES as u64);
        let channels = conv.layout.group_inputs.min(conv.layout.group_outputs);
        let pays = channels >= LEAST_CHANNELS && 4 * tiles * 2 <= 3 * height * width;
        let applies = output.data_type == DataType::Int8 && winograd::applies(&conv.window, &conv.layout);
        conv.winograd = pays && applies;
    }
}

/// Bytes of a convolution's transformed weights in the file; 0 where it gets none.
#[must_use]
pub fn bytes(conv: &QuantizedConv) -> usize {
    if conv.winograd { 2 * winograd::size(&conv.layout) } else { 0 }
}

/// Bytes of scratch that the kernel for a convolution's transformed weights runs with; 0 where it gets none.
pub(crate) fn scratch(conv: &QuantizedConv) -> usize {
    if conv.winograd { winograd::scratch(&conv.layout) } else { 0 }
}

/// The transformed weights as they lie in a file, `None` where the convolution gets none.
pub(crate) fn transformed(conv: &QuantizedConv) -> Option<Vec<u8>> {
    let mut transformed = conv.winograd.then(|| vec![0; winograd::size(&conv.layout)])?;
    winograd::prepare(&conv.layout, &conv.weights, &mut transformed)?;
    Some(transformed.iter().flat_map(|weight| weight.to_le_bytes()).collect())
}

#[cfg(test)]
mod tests {
    use tinception_core::kernels::conv::Layout;
    use tinception_core::quant::QuantParams;
    use tinception_core::shape::{Padding, Shape, Window};

    use super::*;
    use crate::program::{Place, Step, Tensor};

    /// Whether a convolution over a picture of this size gets transformed weights, and how many bytes.
    fn chosen(window: Window, input: Shape, outputs: u32, data_type: DataType) -> usize {
        let (height, width) = window.output(input.height, input.width).expect("it fits");
        let layout = Layout::new(&window, 1, input.channels, outputs).expect("a layout");
        let tensor = |shape, data_type| Tensor {
            name: String::new(),
            shape,
            data_type,
            quant: QuantParams { scale: 1.0, zero_point: 0 },
            place: Place::Own,
            stored: Default::default(),
        };
        let conv = QuantizedConv {
            window,
            groups: 1,
            layout,
            weights: vec![1; layout.weights],
            winograd: false,
            bias: vec![0; layout.table],
            multiplier: vec![0; layout.table],
            shift: vec![1; layout.table],
            weight_sum: vec![0; layout.table],
        };
        let step = Step {
            name: String::new(),
            operator: Operator::Conv(conv),
            input: 0,
            second_input: None,
            output: 1,
            range: (-128, 127),
            link: Default::default(),
        };
        let mut program = Program {
            tensors: vec![tensor(input, DataType::Int8), tensor(Shape::new(height, width, outputs), data_type)],
            steps: vec![step],
            input: 0,
            logits: 1,
            probabilities: None,
        };
        choose(&mut program);
        let Operator::Conv(conv) = &program.steps[0].operator else { panic!("it was one") };
        assert_eq!(transformed(conv).map_or(0, |bytes| bytes.len()), bytes(conv));
        bytes(conv)
    }

    #[test]
    fn whole_tiles_of_enough_channels_are_chosen() {
        let same = Window::square(3, 1).padded(Padding::same(1));
        let int8 =
            |window, side, inputs, outputs| chosen(window, Shape::new(side, side, inputs), outputs, DataType::Int8);
        // 16 positions of two bytes.
        assert_eq!(int8(same, 16, 32, 32), 32 * 32 * 32);
        assert_eq!(int8(same, 7, 96, 130), 32 * 96 * 132);
        assert_eq!(int8(same, 4, 16, 16), 32 * 16 * 16);
        // Tiles half empty, few channels, channels that are no multiple of 8 or too many, other kernels, logits.
        assert_eq!(int8(same, 3, 32, 32), 0);
        assert_eq!(int8(same, 16, 8, 32), 0);
        assert_eq!(int8(same, 16, 32, 8), 0);
        assert_eq!(int8(same, 16, 36, 32), 0);
        assert_eq!(int8(same, 16, 256, 32), 0);
        assert_eq!(int8(Window::square(3, 2), 16, 32, 32), 0);
        assert_eq!(int8(Window::square(1, 1), 16, 32, 32), 0);
        assert_eq!(chosen(same, Shape::new(16, 16, 32), 32, DataType::Int32), 0);
    }
}
