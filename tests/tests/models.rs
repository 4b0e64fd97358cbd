//! Whole models on every backend against the interpreter, which knows nothing of sessions, backends or layouts.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;

use tinception_core::arch::{AnyBackend, Backend};
use tinception_core::error::{FormatError, RunError};
use tinception_core::model::{Model, Step};
use tinception_core::session::{Observer, Ranked, Session, Values, Whole};
use tinception_core::shape::Shape;
use tinception_tests::aligned::Aligned;
use tinception_tests::builder::Builder;
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::single_operator::single_operator_model;
use tinception_tests::{backends, cases, for_seeds, interpreter, rng};

/// Compares each step's output with what the interpreter got.
struct Compare<'a> {
    expected: &'a [Vec<u8>],
    seen: usize,
}

impl Compare<'_> {
    fn look(&mut self, index: usize, step: &Step<'_>, output: Values<'_>) {
        let size = step.output.data_type.size() as usize;
        let bytes: Vec<u8> = output.iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect();
        assert_eq!(bytes, self.expected[index], "step {index}, {}, {}", step.name(), step.operator_name());
        self.seen += 1;
    }
}

/// Runs `file` on a random input and the self-test on `backend`, in an arena of just the right size.
fn check(file: &[u8], seed: u64, backend: AnyBackend) {
    let file = Aligned::new(file);
    let model = Model::new(&file).expect("a valid model");
    let shape = model.input().expect("an input").shape;
    let mut rng = rng(!seed);
    let values = cases::Values::any(&mut rng);
    let input = values.fill(&mut rng, shape.elements() as usize);
    let expected = interpreter::run(&model, &input);
    // What an arena holds before a run must not matter.
    for dirt in [0, 0xA5] {
        let mut arena = vec![dirt; model.arena_size()];
        let mut session = Session::with_backend(&model, &mut arena, backend).expect("a large enough arena");
        session.input_mut().copy_from_slice(&input);
        let mut compare = Compare { expected: &expected, seen: 0 };
        let mut observer = Whole::new(|index, step: &Step<'_>, output| {
            compare.look(index, step, output);
            ControlFlow::Continue(())
        });
        session.run_observed(&mut observer).expect("a verified model runs");
        assert_eq!(compare.seen, model.step_count());
        assert_eq!(session.self_test(), Ok(None), "self-test on {}", backend.name());
    }
}

#[test]
fn sessions_give_the_interpreters_bits_on_every_operator() {
    let backends = backends::all();
    for_seeds(40, |seed, _| {
        let file = every_operator_model(seed);
        backends.iter().for_each(|backend| check(&file, seed, *backend));
    });
}

#[test]
fn sessions_give_the_interpreters_bits_on_single_operators() {
    let backends = backends::all();
    for_seeds(800, |seed, _| {
        let file = single_operator_model(seed);
        backends.iter().for_each(|backend| check(&file, seed, *backend));
    });
}

#[test]
fn the_model_has_every_operator_and_says_something_at_every_step() {
    for seed in 0..8 {
        let file = every_operator_model(seed);
        assert!(file.len() <= 20 * 1024, "{} bytes", file.len());
        assert_eq!(file, every_operator_model(seed), "made twice, the same bytes");
        let file = Aligned::new(&file);
        let model = Model::new(&file).expect("a valid model");
        let operators: HashSet<&str> = model.steps().map(|step| step.operator_name()).collect();
        let all = ["conv", "max pool", "average pool", "lrn", "add", "rescale", "softmax", "sigmoid"];
        assert_eq!(operators, HashSet::from(all));
        let types: HashSet<u8> = model.steps().map(|step| step.output.data_type as u8).collect();
        assert_eq!(types.len(), 3);
        let shape = model.input().expect("an input").shape;
        let mut input = vec![0; shape.elements() as usize];
        tinception_core::selftest::fill_input(1, shape, &mut input);
        for (step, output) in model.steps().zip(interpreter::run(&model, &input)) {
            let distinct: HashSet<&[u8]> = output.chunks(step.output.data_type.size() as usize).collect();
            let least = if seed == 0 { 3 } else { 2 };
            assert!(distinct.len() >= least, "seed {seed}: {} gives {} distinct values", step.name(), distinct.len());
        }
    }
}

#[test]
fn a_damaged_result_fails_the_self_test() {
    let file = every_operator_model(3);
    let mut file = Aligned::new(&file);
    // The last four bytes of the file are the hash of the last step.
    let last = file.len() - 1;
    file[last] ^= 1;
    tinception_core::format::writer::refresh_checksum(&mut file);
    let model = Model::new(&file).expect("hashes are only looked at in a self-test");
    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::new(&model, &mut arena).expect("a large enough arena");
    let mismatch = session.self_test().expect("the model runs").expect("a mismatch");
    assert_eq!(mismatch.step, model.step_count() - 1);
    assert_eq!(mismatch.computed ^ mismatch.expected, 1 << 24);
}

#[test]
fn an_arena_one_byte_too_small_is_refused() {
    let file = Aligned::new(&every_operator_model(5));
    let model = Model::new(&file).expect("a valid model");
    let needed = model.arena_size();
    assert!(Session::new(&model, &mut vec![0; needed]).is_ok());
    let error = Session::new(&model, &mut vec![0; needed - 1]).err();
    assert_eq!(error, Some(RunError::ArenaTooSmall { needed }));
}

#[test]
fn stepping_stopping_and_resuming_give_the_same_as_a_run() {
    struct StopAt(usize);
    impl Observer for StopAt {
        fn after(&mut self, index: usize, _: &Step<'_>, _: Values<'_>) -> ControlFlow<()> {
            if index == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let file = Aligned::new(&every_operator_model(6));
    let model = Model::new(&file).expect("a valid model");
    let mut arenas = [vec![0; model.arena_size()], vec![0; model.arena_size()], vec![0; model.arena_size()]];
    let [whole, stepped, stopped] = &mut arenas;
    let sessions = [whole, stepped, stopped].map(|arena| Session::new(&model, arena).expect("a large enough arena"));
    let [mut whole, mut stepped, mut stopped] = sessions;
    for session in [&mut whole, &mut stepped, &mut stopped] {
        session.input_mut().fill(-9);
    }
    whole.run().expect("runs");
    let mut steps = 0;
    while stepped.step().expect("runs") {
        steps += 1;
    }
    assert_eq!(steps, model.step_count());
    assert_eq!(stopped.run_observed(&mut StopAt(4)), Err(RunError::Stopped));
    stopped.resume(&mut ()).expect("goes on");
    let logits = |session: &Session<'_, '_>| session.logits().expect("logits").iter().collect::<Vec<i32>>();
    assert_eq!(logits(&whole), logits(&stepped));
    assert_eq!(logits(&whole), logits(&stopped));
}

#[test]
fn the_last_class_a_u16_can_number_is_ranked_and_one_more_is_refused() {
    let file = |classes| {
        let mut rng = rng(1);
        let mut builder = Builder::new(&mut rng, Shape::new(1, 1, classes));
        builder.rescale("in place", (0, 0));
        Aligned::new(&builder.writer.finish())
    };
    let largest = file(1 << 16);
    let model = Model::new(&largest).expect("65,536 classes are fine");
    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::new(&model, &mut arena).expect("a large enough arena");
    session.input_mut()[usize::from(u16::MAX)] = 1;
    let mut best = [Ranked::default(); 2];
    let ranked = session.logits().expect("logits").top(&mut best).to_vec();
    assert_eq!(ranked, [Ranked { class: u16::MAX, value: 1 }, Ranked { class: 0, value: 0 }]);
    assert_eq!(Model::new(&file((1 << 16) + 1)).err(), Some(FormatError::Tensor { tensor: 0 }));
}

/// The model that tinception-core's own tests embed. `TINCEPTION_BLESS=1` writes it anew after a change of the format.
#[test]
fn the_golden_model_is_what_the_generator_makes() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/every_operator.tin");
    let made = every_operator_model(0);
    if std::env::var_os("TINCEPTION_BLESS").is_some() {
        std::fs::write(&path, &made).expect("the golden folder can be written");
    }
    let golden = std::fs::read(&path).expect("core/tests/golden/every_operator.tin exists");
    assert!(golden == made, "the format or the generator changed: run the test once with TINCEPTION_BLESS=1");
}
