//! Files with transformed weights: the same hashes as without them, fused or not, and nothing accepted that would give
//! others. Builds without the kernel read such files too, and pass over what they don't use.
// Safe code and millions of products, and no backend to compare: Miri would find nothing.
#![cfg(all(feature = "alloc", not(miri)))]

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use tinception_core::arch::scalar::Scalar;
use tinception_core::arch::{AnyBackend, available};
use tinception_core::error::{FormatError, StepProblem};
use tinception_core::format::step::{Conv, Link, Operator, Step};
use tinception_core::format::tensor::{DataType, Stored, Tensor};
use tinception_core::format::writer::Writer;
use tinception_core::format::{ALIGNMENT, NO_TENSOR, SCRATCH_LIMIT};
use tinception_core::kernels::conv::{Layout, minimum_scratch};
use tinception_core::kernels::winograd;
use tinception_core::model::Model;
use tinception_core::quant::QuantParams;
use tinception_core::selftest::fill_input;
use tinception_core::session::{Session, Whole};
use tinception_core::shape::{Padding, Shape, Window};

const SEED: u32 = 7;

/// A file where a model may lie.
#[repr(align(16))]
struct Aligned([u8; 64 * 1024], usize);

impl Aligned {
    fn new(file: &[u8]) -> Box<Self> {
        let mut aligned = Box::new(Self([0; 64 * 1024], file.len()));
        aligned.0[..file.len()].copy_from_slice(file);
        aligned
    }

    fn file(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

/// Values that look random (a multiplicative hash).
fn value(index: usize) -> i8 {
    let mixed = (index as u32).wrapping_mul(0x9E37_79B1);
    ((((mixed ^ (mixed >> 15)).wrapping_mul(0x85EB_CA77) >> 8) % 255) as i32 - 127) as i8
}

/// What changes between the files.
#[derive(Clone, Copy)]
struct File {
    window: Window,
    channels: u32,
    /// Whether the convolution runs some rows at a time.
    fused: bool,
    scratch: Option<usize>,
    transformed: bool,
}

const FILE: File = File {
    window: Window {
        kernel_height: 3,
        kernel_width: 3,
        stride_height: 1,
        stride_width: 1,
        padding: Padding { top: 1, left: 1, bottom: 1, right: 1 },
    },
    channels: 16,
    fused: false,
    scratch: None,
    transformed: true,
};

/// A convolution, a max pool, and another one over all of its output.
fn writer(file: File) -> Writer {
    let (input, outputs) = (Shape::new(9, 11, file.channels), 20);
    let (height, width) = file.window.output(input.height, input.width).expect("it fits");
    let pool = Window::square(3, 2);
    let (pooled_height, pooled_width) = pool.output(height, width).expect("it fits");
    let last = Window { kernel_height: pooled_height, kernel_width: pooled_width, ..Window::square(1, 1) };
    let mut writer = Writer::new();
    let mut offset = 0;
    let stored = if file.fused { Stored::Ring(5) } else { Stored::Whole };
    let shapes = [(height, width, stored), (pooled_height, pooled_width, Stored::Whole), (1, 1, Stored::Whole)];
    let whole = [(input, Stored::Whole)].into_iter();
    for (shape, stored) in whole.chain(shapes.map(|(height, width, rows)| (Shape::new(height, width, outputs), rows))) {
        let quant = QuantParams { scale: 0.1, zero_point: -3 };
        let data_type = DataType::Int8;
        writer.tensors.push(Tensor { offset, shape, pixel_stride: shape.channels, stored, data_type, quant });
        offset = (writer.tensors.last().expect("one").end() as u32).next_multiple_of(16);
    }
    let layout = Layout::new(&file.window, 1, file.channels, outputs).expect("a layout");
    let weights: Vec<i8> = (0..layout.weights).map(value).collect();
    let entries = 0..layout.table;
    let sum = |output: usize| (0..layout.depth).map(|k| i32::from(weights[layout.weight_index(output, k)])).sum();
    let table: Vec<i32> = (entries.clone().map(|index| i32::from(value(index)) * 50))
        .chain(entries.clone().map(|_| 1 << 30))
        .chain(entries.clone().map(|_| 41))
        .chain(entries.map(sum))
        .collect();
    let weights_at = writer.add_data(bytemuck::cast_slice(&weights), ALIGNMENT);
    let channel_table = writer.add_table(&table);
    let mut transformed = vec![0; winograd::size(&layout)];
    winograd::prepare(&layout, &weights, &mut transformed).expect("enough room");
    let bytes: Vec<u8> = transformed.iter().flat_map(|value| value.to_le_bytes()).collect();
    let winograd = file.transformed.then(|| writer.add_data(&bytes, ALIGNMENT)).and_then(NonZeroU32::new);
    let conv = Conv { window: file.window, groups: 1, weights: weights_at, channel_table, winograd };
    let name = writer.add_data(b"step", 1);
    let operators = [Operator::Conv(conv), Operator::MaxPool(pool), Operator::MaxPool(last)];
    for (input, operator) in (0..).zip(operators) {
        let link = if file.fused && input == 0 { Link::Stream } else { Link::None };
        let (second_input, output) = (NO_TENSOR, input + 1);
        writer.steps.push(Step {
            input,
            second_input,
            output,
            min: -128,
            max: 127,
            name,
            name_length: 4,
            link,
            operator,
        });
    }
    writer.logits = 3;
    let scratch =
        file.scratch.unwrap_or_else(|| winograd::scratch(&layout).max(minimum_scratch(&file.window, &layout)));
    writer.scratch_size = scratch.next_multiple_of(16) as u32;
    writer
}

fn hashes(model: &Model<'_>, backend: AnyBackend) -> Vec<u32> {
    let mut arena = vec![0xA5; model.arena_size()];
    let mut session = Session::with_backend(model, &mut arena, backend).expect("a large enough arena");
    fill_input(SEED, model.input().expect("an input").shape, session.input_mut());
    let mut hashes = Vec::new();
    let mut observer = Whole::new(|_, _, output| {
        hashes.push(output.crc32());
        ControlFlow::Continue(())
    });
    session.run_observed(&mut observer).expect("it runs");
    hashes
}

#[test]
fn transformed_weights_change_no_hash() {
    for fused in [false, true] {
        let direct = Aligned::new(&writer(File { transformed: false, fused, ..FILE }).finish());
        let direct = Model::new(direct.file()).expect("a valid model");
        assert_eq!(direct.version(), (1, 0), "old readers know all of it");
        let expected = hashes(&direct, AnyBackend::Scalar(Scalar));
        assert_eq!(expected.len(), 3);
        // With too little scratch for four tiles, the direct way is taken.
        for scratch in [None, Some(9 * 16)] {
            let file = Aligned::new(&writer(File { fused, scratch, ..FILE }).finish());
            let model = Model::new(file.file()).expect("a valid model");
            assert_eq!(model.version(), (1, 1));
            for backend in available() {
                assert_eq!(hashes(&model, backend), expected, "{backend:?}, fused: {fused}, scratch: {scratch:?}");
            }
        }
    }
}

fn problem(writer: &Writer) -> Option<StepProblem> {
    match Model::new(Aligned::new(&writer.finish()).file()) {
        Ok(_) => None,
        Err(FormatError::Step { step: 0, problem }) => Some(problem),
        Err(other) => panic!("another error: {other}"),
    }
}

fn conv(writer: &mut Writer) -> &mut Conv {
    let Operator::Conv(conv) = &mut writer.steps[0].operator else { panic!("a convolution") };
    conv
}

#[test]
fn contradicting_transformed_weights_are_refused_where_they_are_used() {
    let refused = |problem| if cfg!(feature = "winograd") { Some(problem) } else { None };
    assert_eq!(problem(&writer(FILE)), None);
    // Other weights: those of the direct way, read as if they were transformed.
    let mut other = writer(FILE);
    conv(&mut other).winograd = NonZeroU32::new(conv(&mut other).weights);
    assert_eq!(problem(&other), refused(StepProblem::Weights));
    for (offset, expected) in [(8, StepProblem::Data), (1, StepProblem::Data), (u32::MAX - 15, StepProblem::Data)] {
        let mut moved = writer(FILE);
        let winograd = &mut conv(&mut moved).winograd;
        *winograd = winograd.and_then(|at| NonZeroU32::new(at.get().saturating_add(offset)));
        assert_eq!(problem(&moved), refused(expected), "moved by {offset}");
    }
    let stride = Window { stride_width: 2, ..FILE.window };
    let kernel = Window { kernel_width: 5, ..FILE.window };
    for window in [stride, kernel] {
        assert_eq!(problem(&writer(File { window, ..FILE })), refused(StepProblem::Data), "{window:?}");
    }
    assert_eq!(problem(&writer(File { channels: 12, ..FILE })), refused(StepProblem::Data), "channels");
}

#[test]
fn every_flipped_bit_of_the_transformed_weights_is_seen() {
    let mut good = writer(FILE);
    let start = conv(&mut good).winograd.expect("it has some").get() as usize;
    let file = good.finish();
    let layout = Layout::new(&FILE.window, 1, FILE.channels, 20).expect("a layout");
    for bit in (0..winograd::size(&layout) * 16).step_by(97) {
        let mut bytes = file.clone();
        bytes[start + bit / 8] ^= 1 << (bit % 8);
        tinception_core::format::writer::refresh_checksum(&mut bytes);
        let damaged = Aligned::new(&bytes);
        assert_eq!(Model::new(damaged.file()).is_err(), cfg!(feature = "winograd"), "bit {bit}");
    }
}

#[test]
fn four_tiles_never_need_more_scratch_than_a_file_may_state() {
    let largest = (8..2000).step_by(8).filter(|channels| {
        winograd::applies(&FILE.window, &Layout::new(&FILE.window, 1, *channels, 8).expect("a layout"))
    });
    // 128 bytes of tiles and one of padding for each channel, and 4.
    assert_eq!(largest.max(), Some((SCRATCH_LIMIT - 4) / 129 / 8 * 8));
}
