//! Nothing allocates once a session is made: every allocation of the process is counted, on every thread, while models
//! run on every backend. It is a program of its own, since a test harness allocates on a thread beside it.

use std::alloc::System;
use std::hint::black_box;
use std::ops::ControlFlow;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use tinception_core::arch::{AnyBackend, Backend};
use tinception_core::model::{Model, Step};
use tinception_core::session::{Observer, Ranked, Session, Values};
use tinception_tests::aligned::Aligned;
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::single_operator::{KINDS, single_operator_model};
use tinception_tests::{backends, rng};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What `body` allocates.
fn allocated(body: impl FnOnce()) -> Stats {
    let region = Region::new(ALLOCATOR);
    body();
    region.change()
}

/// Hashes all outputs, as the self-test and profilers do.
struct Hash(u32);

impl Observer for Hash {
    fn after(&mut self, _: usize, _: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        self.0 ^= output.crc32();
        ControlFlow::Continue(())
    }
}

/// Everything that a program does with a session between two pictures.
fn use_session(session: &mut Session<'_, '_>, picture: &[i8]) {
    session.input_mut().copy_from_slice(picture);
    session.run().expect("a verified model runs");
    let mut best = [Ranked::default(); 5];
    black_box(session.logits().expect("logits").top(&mut best));
    black_box(session.probabilities().map(|values| values.iter().max()));

    session.input_mut().copy_from_slice(picture);
    let mut hash = Hash(0);
    session.run_observed(&mut hash).expect("a verified model runs");
    black_box(hash.0);

    session.input_mut().copy_from_slice(picture);
    while session.step().expect("a verified model runs") {}
    assert_eq!(session.self_test(), Ok(None));
}

fn check(bytes: &[u8], backend: AnyBackend, seed: u64) {
    let file = Aligned::new(bytes);
    let mut arena = vec![0; Model::new(&file).expect("a valid model").arena_size()];
    // Verifying a file and making a session need no memory either: a microcontroller has none to give.
    let region = Region::new(ALLOCATOR);
    let model = Model::new(&file).expect("a valid model");
    let mut session = Session::with_backend(&model, &mut arena, backend).expect("large enough");
    let make = region.change();
    let mut memory = vec![0; session.prepared_size()];
    let picture = tinception_tests::cases::Values::Random.fill(&mut rng(seed), session.input_mut().len());
    let plain = allocated(|| use_session(&mut session, &picture));
    let prepare = allocated(|| session.prepare(&mut memory).expect("large enough"));
    let prepared = allocated(|| use_session(&mut session, &picture));
    for (what, stats) in [("make", make), ("run", plain), ("prepare", prepare), ("run prepared", prepared)] {
        assert_eq!(stats, Stats::default(), "{what}: {} on model {seed}", backend.name());
    }
}

fn main() {
    // The counter counts.
    assert_eq!(allocated(|| drop(black_box(Box::new(7)))).allocations, 1);

    let backends = backends::all();
    for seed in 0..4 * KINDS + 8 {
        let bytes = if seed < 8 { every_operator_model(seed) } else { single_operator_model(seed) };
        for backend in &backends {
            check(&bytes, *backend, seed);
        }
    }
    println!("nothing allocates once a session is made: ok");
}
