//! The smallest files: a pool whose pixels a convolution takes at once. What builds without the feature `every-operator`
//! refuse of them, and what every build does.
#![cfg(feature = "alloc")]

use tinception_core::error::{FormatError, StepProblem};
use tinception_core::format::step::{Conv, Link, Operator, Step};
use tinception_core::format::tensor::{DataType, Stored, Tensor};
use tinception_core::format::writer::Writer;
use tinception_core::format::{ALIGNMENT, NO_TENSOR};
use tinception_core::model::Model;
use tinception_core::quant::QuantParams;
use tinception_core::session::Session;
use tinception_core::shape::{Shape, Window};

/// Bytes of a file, at a multiple of 16.
#[repr(align(16))]
struct Aligned([u8; 4096]);

/// What changes between the files.
struct File {
    channels: u32,
    shift: i32,
    name: &'static [u8],
}

const FILE: File = File { channels: 8, shift: 40, name: b"step" };

/// What a reader says of the file; where it takes it, the model has run.
fn read(file: &File) -> Option<StepProblem> {
    const OUTPUTS: u32 = 4;
    let window = Window::square(1, 1);
    let mut writer = Writer::new();
    let tensors = [(file.channels, Stored::Whole), (file.channels, Stored::Nothing), (OUTPUTS, Stored::Whole)];
    for (offset, (channels, stored)) in (0..).step_by(16).zip(tensors) {
        let quant = QuantParams { scale: 0.5, zero_point: 0 };
        let (shape, data_type) = (Shape::new(1, 1, channels), DataType::Int8);
        writer.tensors.push(Tensor { offset, shape, pixel_stride: channels, stored, data_type, quant });
    }
    // Weights of 0, so that padding and sums are right whatever their number.
    let weights = writer.add_data(&[0; 64], ALIGNMENT);
    let table: Vec<i32> = [0, 1 << 30, file.shift, 0].into_iter().flat_map(|value| [value; 4]).collect();
    let channel_table = writer.add_table(&table);
    let conv = Operator::Conv(Conv { window, groups: 1, weights, channel_table, winograd: None });
    let (name, name_length) = (writer.add_data(file.name, 1), file.name.len() as u16);
    for (input, link, operator) in [(0, Link::Stream, Operator::MaxPool(window)), (1, Link::None, conv)] {
        let (second_input, output, min, max) = (NO_TENSOR, input + 1, -128, 127);
        writer.steps.push(Step { input, second_input, output, min, max, name, name_length, link, operator });
    }
    (writer.logits, writer.scratch_size) = (2, 16);
    let written = writer.finish();
    let mut aligned = Aligned([0; 4096]);
    aligned.0[..written.len()].copy_from_slice(&written);
    match Model::new(&aligned.0[..written.len()]) {
        Ok(model) => {
            Session::new(&model, &mut vec![0; model.arena_size()])
                .expect("a large enough arena")
                .run()
                .expect("it runs");
            None
        }
        Err(FormatError::Step { problem, .. }) => Some(problem),
        Err(error) => panic!("{error}"),
    }
}

/// What is refused where `every-operator` is off, alone.
fn left_out() -> Option<StepProblem> {
    (!cfg!(feature = "every-operator")).then_some(StepProblem::LeftOut)
}

#[test]
fn every_build_runs_common_shifts_and_patches_that_lie_there() {
    for shift in [33, 54] {
        assert_eq!(read(&File { shift, ..FILE }), None, "{shift}");
    }
}

#[test]
fn other_shifts_can_be_left_out() {
    for shift in [1, 32, 55, 62] {
        assert_eq!(read(&File { shift, ..FILE }), left_out(), "{shift}");
    }
}

#[test]
fn pooled_patches_that_need_padding_can_be_left_out() {
    assert_eq!(read(&File { channels: 6, ..FILE }), left_out());
}

#[test]
fn names_are_text() {
    assert_eq!(read(&File { name: "Schritt für Schritt".as_bytes(), ..FILE }), None);
    assert_eq!(read(&File { name: b"step \xC3", ..FILE }), Some(StepProblem::Name));
    let checked = cfg!(feature = "every-check").then_some(StepProblem::Name);
    assert_eq!(read(&File { name: b"\x1B]0;step\x07", ..FILE }), checked);
    assert_eq!(read(&File { name: &[b'n'; 255], ..FILE }), None);
    assert_eq!(read(&File { name: &[b'n'; 256], ..FILE }), checked);
}
