//! Steps that run together give the bits that they give one after the other.

use std::ops::ControlFlow;

use tinception_core::arch::{AnyBackend, Backend};
use tinception_core::error::RunError;
use tinception_core::model::{Kind, Model};
use tinception_core::session::{Hashes, Session, Whole};
use tinception_tests::aligned::Aligned;
use tinception_tests::linked::linked_model;
use tinception_tests::{backends, cases, for_seeds, interpreter, rng};

/// Every step's output in NHWC order, with prepared weights or without.
fn outputs(model: &Model<'_>, input: &[i8], backend: AnyBackend, prepare: bool) -> Vec<Vec<u8>> {
    let mut arena = vec![0xA5; model.arena_size()];
    let mut session = Session::with_backend(model, &mut arena, backend).expect("a large enough arena");
    let mut memory = vec![-1; session.prepared_size()];
    if prepare {
        session.prepare(&mut memory).expect("enough memory");
    }
    let mut outputs = Vec::new();
    // Twice, so that nothing of the first run is left in the second.
    for _ in 0..2 {
        outputs.clear();
        session.input_mut().copy_from_slice(input);
        let mut observer = Whole::new(|_, step: &tinception_core::model::Step<'_>, values| {
            let size = step.output.data_type.size() as usize;
            outputs.push(values.iter().flat_map(|value| value.to_le_bytes().into_iter().take(size)).collect());
            ControlFlow::Continue(())
        });
        session.run_observed(&mut observer).expect("a verified model runs");
    }
    assert_eq!(session.self_test(), Ok(None), "self-test on {}", backend.name());
    outputs
}

#[test]
fn groups_give_the_bits_of_single_steps() {
    let backends = backends::all();
    for_seeds(250, |seed, _| {
        let files = [linked_model(seed, false), linked_model(seed, true)].map(|file| Aligned::new(&file));
        let [plain, linked] = files.each_ref().map(|file| Model::new(file).expect("a valid model"));
        assert_eq!(plain.self_test_seed(), linked.self_test_seed());
        assert!(plain.self_test_hashes().eq(linked.self_test_hashes()), "hashes don't depend on links");
        assert!(linked.arena_size() < plain.arena_size());
        let shape = plain.input().expect("an input").shape;
        let mut rng = rng(!seed);
        let input = cases::Values::any(&mut rng).fill(&mut rng, shape.elements() as usize);
        let expected = interpreter::run(&plain, &input);
        for backend in &backends {
            for prepare in [false, true] {
                for (model, name) in [(&plain, "single"), (&linked, "linked")] {
                    let found = outputs(model, &input, *backend, prepare);
                    for ((step, found), expected) in model.steps().zip(&found).zip(&expected) {
                        assert!(found == expected, "{} {name}, prepared {prepare}: {}", backend.name(), step.name());
                    }
                    assert_eq!(found.len(), expected.len());
                }
            }
        }
    });
}

#[test]
fn models_have_every_kind_of_group() {
    let mut counts = [0; 4];
    let (mut rings, mut lengths) = (0, [0; 5]);
    for seed in 0..250 {
        let file = Aligned::new(&linked_model(seed, true));
        let model = Model::new(&file).expect("a valid model");
        let mut first = 0;
        while let Some(group) = model.group(first) {
            counts[group.kind as usize] += 1;
            lengths[group.length] += 1;
            rings += usize::from(group.kind == Kind::Rows && !model.step(first).expect("a step").output.is_whole());
            first += group.length;
        }
        assert_eq!(first, model.step_count());
    }
    assert!(counts.iter().all(|count| *count >= 500) && rings > 200, "{counts:?}, {rings} rings");
    assert!(lengths[1..].iter().all(|count| *count > 100), "{lengths:?}");
}

#[test]
fn a_run_stopped_inside_a_group_goes_on_behind_it() {
    let file = Aligned::new(&linked_model(4, true));
    let model = Model::new(&file).expect("a valid model");
    let mut arenas = [0; 2].map(|byte| vec![byte; model.arena_size()]);
    let [whole, stopped] = &mut arenas;
    let [mut whole, mut stopped] = [whole, stopped].map(|arena| Session::new(&model, arena).expect("a large arena"));
    for session in [&mut whole, &mut stopped] {
        session.input_mut().fill(-9);
    }
    let mut expected = Vec::new();
    let mut all = Hashes::new(|_, _, crc| {
        expected.push(crc);
        ControlFlow::Continue(())
    });
    whole.run_observed(&mut all).expect("it runs");
    let mut found = Vec::new();
    let mut observer = Hashes::new(|_, _, crc| {
        found.push(crc);
        ControlFlow::Break(())
    });
    let mut stops = 0;
    while stopped.step_observed(&mut observer) == Err(RunError::Stopped) {
        stops += 1;
    }
    assert_eq!(found, expected);
    assert!(stops < model.step_count(), "groups are one step");
}
