//! A flag that ends a run: before a step, and within one that takes long.
// Miri would take many minutes for a step that takes long, and nothing here is unsafe.
#![cfg(all(feature = "alloc", feature = "threads", feature = "every-operator", not(miri)))]

use std::sync::atomic::{AtomicBool, Ordering};

use tinception_core::arch;
use tinception_core::error::RunError;
use tinception_core::executor::Executor;
use tinception_core::format::step::{AveragePool, Conv, Link, Operator, Step};
use tinception_core::format::tensor::{DataType, Stored, Tensor};
use tinception_core::format::writer::Writer;
use tinception_core::format::{ALIGNMENT, NO_TENSOR};
use tinception_core::model::Model;
use tinception_core::quant::QuantParams;
use tinception_core::session::Session;
use tinception_core::shape::{Padding, Shape, Window};

/// The executors that the other tests use; this crate cannot depend on theirs.
#[path = "../../tests/src/executors.rs"]
pub mod executors;

use executors::Backwards;

/// Bytes of a file, at a multiple of 16.
#[repr(align(16))]
struct Aligned([u8; 4096]);

/// Output pixels of the steps that give logits, and the square's side.
const SIDE: u32 = 32;
const CHANNELS: u32 = 4;
const KERNEL: u32 = 31;

/// A large average pool to int8; one, a max pool and a convolution to int32, all of many pixels; the pool again as the result.
fn file() -> Vec<u8> {
    let mut writer = Writer::new();
    let shape = Shape::new(SIDE, SIDE, CHANNELS);
    let one = Shape::new(1, 1, CHANNELS);
    let types = [DataType::Int8, DataType::Int8, DataType::Int32, DataType::Int8, DataType::Int32];
    let mut offset = 0;
    for (shape, data_type) in types.map(|data_type| (shape, data_type)).into_iter().chain([(one, DataType::Int8)]) {
        let quant = QuantParams { scale: 0.5, zero_point: 0 };
        let tensor = Tensor { offset, shape, pixel_stride: CHANNELS, stored: Stored::Whole, data_type, quant };
        offset = (tensor.end() as u32).next_multiple_of(16);
        writer.tensors.push(tensor);
    }
    let window = Window::square(KERNEL, 1).padded(Padding::same(KERNEL / 2));
    // Every padding counts, so that there is one divisor.
    let area = (KERNEL * KERNEL) as i32;
    let divisor_table = writer.add_table(&[area, 1 << 30, 35]);
    let average = AveragePool { window, counted: window.padding, divisor_table, divisors: 1 };
    let weights: Vec<u8> = (0..16).collect();
    let weights = writer.add_data(&weights, ALIGNMENT);
    let sums = [6, 22, 38, 54];
    let table: Vec<i32> = [[0; 4], [1 << 30; 4], [31; 4], sums].concat();
    let channel_table = writer.add_table(&table);
    let conv = Conv { window: Window::square(1, 1), groups: 1, weights, channel_table, winograd: None };
    let steps = [
        (0, 1, Operator::AveragePool(average)),
        (1, 2, Operator::AveragePool(average)),
        (1, 3, Operator::MaxPool(window)),
        (3, 4, Operator::Conv(conv)),
        (3, 5, Operator::MaxPool(Window::global(SIDE, SIDE))),
    ];
    for (input, output, operator) in steps {
        let (second_input, min, max, name, name_length) = (NO_TENSOR, -128, 127, 64, 0);
        writer.steps.push(Step {
            input,
            second_input,
            output,
            min,
            max,
            name,
            name_length,
            link: Link::None,
            operator,
        });
    }
    (writer.logits, writer.scratch_size) = (5, 64);
    writer.finish()
}

fn with_model(test: impl FnOnce(&Model<'_>)) {
    let bytes = file();
    let mut aligned = Aligned([0; 4096]);
    aligned.0[..bytes.len()].copy_from_slice(&bytes);
    test(&Model::new(&aligned.0[..bytes.len()]).expect("a valid model"));
}

fn fill(session: &mut Session<'_, '_>) {
    for (value, at) in session.input_mut().iter_mut().zip(0_u32..) {
        *value = (at.wrapping_mul(2_654_435_761) >> 24) as i8;
    }
}

/// All outputs of a run.
fn outputs(session: &mut Session<'_, '_>) -> Result<Vec<u32>, RunError> {
    let mut hashes = Vec::new();
    fill(session);
    session.run_observed(&mut tinception_core::session::Hashes::new(|_, _, hash| {
        hashes.push(hash);
        std::ops::ControlFlow::Continue(())
    }))?;
    Ok(hashes)
}

/// Sets the flag when it has run a few pieces of work.
#[derive(Debug)]
struct Setting<'a> {
    stop: &'a AtomicBool,
    pieces: std::sync::atomic::AtomicUsize,
}

impl Executor for Setting<'_> {
    fn threads(&self) -> usize {
        2
    }

    fn least_work(&self) -> u64 {
        0
    }

    fn join(&self, first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
        first();
        if self.pieces.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
        second();
    }
}

#[test]
fn a_flag_that_is_not_set_changes_nothing() {
    with_model(|model| {
        assert!(model.cost() > u64::from(SIDE * SIDE * CHANNELS * KERNEL * KERNEL));
        for backend in arch::available() {
            let (mut arena, stop) = (vec![0xA5; model.arena_size()], AtomicBool::new(false));
            let mut session = Session::with_backend(model, &mut arena, backend).expect("enough memory");
            let expected = outputs(&mut session).expect("it runs");
            session.stop_at(&stop);
            assert_eq!(outputs(&mut session), Ok(expected.clone()), "in parts");
            let mut memory = vec![0; session.threads_size(3)];
            session.set_executor(&Backwards(3), &mut memory).expect("enough memory");
            assert_eq!(outputs(&mut session), Ok(expected), "in ranges and parts");
        }
    });
}

#[test]
fn a_run_ends_before_a_step_and_within_one() {
    with_model(|model| {
        let (mut arena, stop) = (vec![0; model.arena_size()], AtomicBool::new(false));
        let mut session = Session::new(model, &mut arena).expect("enough memory");
        let expected = outputs(&mut session).expect("it runs");
        session.stop_at(&stop);
        // Between two steps: it goes on where it was.
        fill(&mut session);
        assert_eq!(session.step(), Ok(true));
        stop.store(true, Ordering::Relaxed);
        assert_eq!(session.step(), Err(RunError::Stopped));
        assert_eq!(session.step_observed(&mut ()), Err(RunError::Stopped));
        stop.store(false, Ordering::Relaxed);
        assert_eq!(session.resume(&mut ()), Ok(()));
        // Within a step: it begins anew.
        let executor = Setting { stop: &stop, pieces: 4.into() };
        let mut memory = vec![0; session.threads_size(2)];
        session.set_executor(&executor, &mut memory).expect("enough memory");
        assert_eq!(outputs(&mut session), Err(RunError::Stopped));
        stop.store(false, Ordering::Relaxed);
        assert_eq!(session.step(), Err(RunError::Stopped), "what is overwritten can't be gone on with");
        assert_eq!(session.step_observed(&mut ()), Err(RunError::Stopped));
        assert_eq!(outputs(&mut session), Ok(expected));
    });
}
