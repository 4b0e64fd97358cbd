//! Models on several threads give the interpreter's bits.

use std::ops::ControlFlow;

use tinception_core::arch::{AnyBackend, Backend};
use tinception_core::executor::Executor;
use tinception_core::model::{Model, Step};
use tinception_core::selftest::fill_input;
use tinception_core::session::{Observer, Prepared, Session, Values};
use tinception_tests::aligned::Aligned;
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::executors::{Backwards, Spawned};
use tinception_tests::linked::linked_model;
use tinception_tests::single_operator::single_operator_model;
use tinception_tests::{backends, cases, for_seeds, interpreter, rng};

/// Keeps every output that is whole. It takes no parts, so that groups of steps are cut too.
#[derive(Default)]
struct Outputs(Vec<Option<Vec<u8>>>);

impl Observer for Outputs {
    fn after(&mut self, _: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        let size = step.output.data_type.size() as usize;
        let bytes = || output.iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect();
        self.0.push(output.is_whole().then(bytes));
        ControlFlow::Continue(())
    }
}

/// Every whole output, with prepared weights or without, on the executor's threads.
fn outputs(
    model: &Model<'_>,
    input: &[i8],
    (backend, prepare): (AnyBackend, bool),
    executor: Option<&dyn Executor>,
) -> Vec<Option<Vec<u8>>> {
    let mut memory = vec![-1; Prepared::size(model, backend)];
    let prepared = Prepared::new(model, backend, &mut memory).expect("enough memory");
    let (mut arena, mut workspace) = (vec![0xA5; model.arena_size()], vec![-1; prepared.workspace_size()]);
    let session = if prepare {
        prepared.session(&mut arena, &mut workspace)
    } else {
        Session::with_backend(model, &mut arena, backend)
    };
    let mut session = session.expect("enough memory");
    let mut memory = vec![0x5A5A; executor.map_or(0, |executor| session.threads_size(executor.threads()))];
    if let Some(executor) = executor {
        session.set_executor(executor, &mut memory).expect("enough memory");
    }
    let mut outputs = Outputs::default();
    session.input_mut().copy_from_slice(input);
    session.run_observed(&mut outputs).expect("a verified model runs");
    outputs.0
}

/// Compares all backends on all executors with the interpreter.
fn check(file: &[u8], seed: u64, backends: &[AnyBackend], executors: &[&dyn Executor]) {
    let file = Aligned::new(file);
    let model = Model::new(&file).expect("a valid model");
    let mut rng = rng(!seed);
    let input = cases::Values::any(&mut rng).fill(&mut rng, model.input().expect("an input").shape.elements() as usize);
    let expected = interpreter::run(&model, &input);
    for backend in backends {
        for prepare in [false, true] {
            for executor in executors {
                let found = outputs(&model, &input, (*backend, prepare), Some(*executor));
                assert_eq!(found.len(), expected.len());
                for ((step, found), expected) in model.steps().zip(&found).zip(&expected) {
                    let equal = found.as_ref().is_none_or(|found| found == expected);
                    assert!(equal, "{} prepared {prepare}, {executor:?}: {}", backend.name(), step.name());
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_interpreters_bits() {
    let backends = backends::all();
    for_seeds(60, |seed, _| {
        let threads = 1 + seed as usize % 8;
        let executors: [&dyn Executor; 2] = [&Backwards(threads), &Backwards(threads + 8)];
        check(&every_operator_model(seed), seed, &backends, &executors);
        check(&single_operator_model(seed), seed, &backends, &executors);
        check(&linked_model(seed, true), seed, &backends, &executors);
    });
}

#[test]
fn real_threads_give_the_interpreters_bits() {
    let backends = backends::all();
    for_seeds(6, |seed, _| {
        check(&linked_model(seed, true), seed, &backends, &[&Spawned(2), &Spawned(3)]);
        check(&every_operator_model(seed), seed, &backends, &[&Spawned(2), &Spawned(4)]);
    });
}

/// A whole network, if the variable TINCEPTION_MODEL names one: its large layers are cut where small ones are not.
#[test]
fn a_network_gives_the_bits_of_one_thread() {
    let Some(path) = std::env::var_os("TINCEPTION_MODEL") else {
        println!("skipped: no network (set TINCEPTION_MODEL to a .tin file)");
        return;
    };
    let file = Aligned::new(&std::fs::read(&path).expect("TINCEPTION_MODEL names a readable file"));
    let model = Model::new(&file).expect("a valid model");
    let shape = model.input().expect("an input").shape;
    let mut input = vec![0; shape.elements() as usize];
    fill_input(model.self_test_seed().unwrap_or(1), shape, &mut input);
    for backend in backends::all() {
        for prepare in [false, true] {
            let expected = outputs(&model, &input, (backend, prepare), None);
            for threads in 1..=8 {
                let executors: [&dyn Executor; 2] = [&Backwards(threads), &Spawned(threads)];
                for executor in executors {
                    let found = outputs(&model, &input, (backend, prepare), Some(executor));
                    assert!(found == expected, "{} prepared {prepare}, {executor:?}", backend.name());
                }
            }
        }
    }
}
