//! A model on several threads: every operator in ranges, on all backends, with the bits of one thread.

use std::ops::ControlFlow;

use tinception_core::arch::{AnyBackend, Backend, available};
use tinception_core::error::RunError;
use tinception_core::executor::Executor;
use tinception_core::model::{Model, Step};
use tinception_core::selftest::fill_input;
use tinception_core::session::{Observer, Prepared, Session, Values};

/// The executors that the other tests use; this crate cannot depend on theirs.
#[path = "../../tests/src/executors.rs"]
pub mod executors;

use executors::{Backwards, Spawned};

static FILE: &[u8] = tinception_core::include_model!("golden/every_operator.tin");

/// Never runs the second.
#[derive(Debug)]
struct Lazy;

impl Executor for Lazy {
    fn threads(&self) -> usize {
        2
    }

    fn least_work(&self) -> u64 {
        0
    }

    fn join(&self, first: &mut (dyn FnMut() + Send), _: &mut (dyn FnMut() + Send)) {
        first();
    }
}

/// Keeps the hash of each whole output and takes no parts.
#[derive(Default)]
struct Hashed(Vec<u32>);

impl Observer for Hashed {
    fn after(&mut self, _: usize, _: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        self.0.push(if output.is_whole() { output.crc32() } else { 0 });
        ControlFlow::Continue(())
    }
}

/// The hashes of all steps, and of a second run.
fn hashes(model: &Model<'_>, backend: AnyBackend, prepare: bool, executor: Option<&dyn Executor>) -> [Vec<u32>; 2] {
    let mut memory = vec![-1; Prepared::size(model, backend)];
    let prepared = Prepared::new(model, backend, &mut memory).expect("enough memory");
    let (mut arena, mut workspace) = (vec![0xA5; model.arena_size()], vec![-1; prepared.workspace_size()]);
    let session = if prepare {
        prepared.session(&mut arena, &mut workspace)
    } else {
        Session::with_backend(model, &mut arena, backend)
    };
    let mut session = session.expect("enough memory");
    let mut memory = vec![-1; executor.map_or(0, |executor| session.threads_size(executor.threads()))];
    if let Some(executor) = executor {
        session.set_executor(executor, &mut memory).expect("enough memory");
    }
    [(); 2].map(|()| {
        let shape = model.input().expect("an input").shape;
        fill_input(model.self_test_seed().expect("a self-test"), shape, session.input_mut());
        let mut hashed = Hashed::default();
        session.run_observed(&mut hashed).expect("a verified model runs");
        hashed.0
    })
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let model = Model::new(FILE).expect("a valid model");
    let stored: Vec<u32> = model.self_test_hashes().collect();
    for backend in available() {
        for prepare in [false, true] {
            assert_eq!(hashes(&model, backend, prepare, None), [stored.clone(), stored.clone()]);
            // Miri takes a second for what takes a millisecond.
            for threads in if cfg!(miri) { 3..4 } else { 1..9 } {
                let executors: [&dyn Executor; 2] = [&Backwards(threads), &Spawned(threads)];
                for executor in executors {
                    let found = hashes(&model, backend, prepare, Some(executor));
                    assert_eq!(found, [stored.clone(), stored.clone()], "{}: {executor:?}", backend.name());
                }
            }
        }
    }
}

#[test]
fn an_executor_that_leaves_work_undone_is_an_error() {
    let model = Model::new(FILE).expect("a valid model");
    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::new(&model, &mut arena).expect("a large enough arena");
    let mut memory = vec![0; session.threads_size(2)];
    session.set_executor(&Lazy, &mut memory).expect("enough memory");
    assert!(matches!(session.run(), Err(RunError::Step { .. })));
}

#[test]
fn threads_bring_their_memory() {
    let model = Model::new(FILE).expect("a valid model");
    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::new(&model, &mut arena).expect("a large enough arena");
    assert_eq!((session.threads_size(0), session.threads_size(1)), (0, 0));
    let needed = session.threads_size(3);
    assert!(needed * 2 >= 2 * model.scratch_size());
    let mut memory = vec![0; needed];
    let less = &mut memory[1..];
    assert_eq!(session.set_executor(&Backwards(3), less), Err(RunError::WorkspaceTooSmall { needed }));
}
