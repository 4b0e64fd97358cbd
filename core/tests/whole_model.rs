//! A small model of every operator, embedded as a program embeds one: small enough for Miri.
//!
//! `golden/every_operator.tin` is made by the tests of the workspace (`tests/src/every_operator.rs`); the hashes in it
//! come from `kernels::reference`.

use tinception_core::arch::{Backend, available};
use tinception_core::error::RunError;
use tinception_core::model::{Checksum, Model};
use tinception_core::session::{Prepared, Ranked, Session};

static FILE: &[u8] = tinception_core::include_model!("golden/every_operator.tin");

/// An aligned copy that can be damaged.
#[repr(align(16))]
struct Copy([u8; 16 * 1024]);

impl Copy {
    fn new() -> Box<Self> {
        let mut copy = Box::new(Self([0; 16 * 1024]));
        copy.0[..FILE.len()].copy_from_slice(FILE);
        copy
    }

    fn file(&mut self) -> &mut [u8] {
        &mut self.0[..FILE.len()]
    }
}

#[test]
fn every_step_gives_the_stored_bits() {
    let model = Model::new(FILE).expect("a valid model");
    assert_eq!(model.labels().count(), 10);
    assert_eq!(model.pixel_table().map(<[i8]>::len), Some(768));
    for backend in available() {
        let mut arena = vec![0xA5; model.arena_size()];
        let mut session = Session::with_backend(&model, &mut arena, backend).expect("a large enough arena");
        assert_eq!(session.self_test(), Ok(None));
        let mut best = [Ranked::default(); 3];
        let ranked = session.logits().expect("logits").top(&mut best);
        assert!(ranked.is_sorted_by(|a, b| a.value >= b.value));
        assert_eq!(session.probabilities().expect("probabilities").iter().count(), 10);
    }
}

#[test]
fn prepared_weights_give_the_stored_bits() {
    let model = Model::new(FILE).expect("a valid model");
    for backend in available() {
        let needed = Prepared::size(&model, backend);
        let mut memory = vec![-1; needed];
        let prepared = Prepared::new(&model, backend, &mut memory).expect("enough memory");
        // Two sessions run from one copy.
        let mut arenas = [vec![0xA5; model.arena_size()], vec![0x5A; model.arena_size()]];
        for arena in &mut arenas {
            let mut workspace = vec![-1; prepared.workspace_size()];
            let mut session = prepared.session(arena, &mut workspace).expect("enough memory");
            for _ in 0..2 {
                assert_eq!(session.self_test(), Ok(None), "{}", backend.name());
            }
        }
        if let Some(less) = prepared.workspace_size().checked_sub(1) {
            let error = prepared.session(&mut arenas[0], &mut vec![0; less]).err();
            assert_eq!(error, Some(RunError::WorkspaceTooSmall { needed: less + 1 }));
        }
        if let Some(less) = needed.checked_sub(1) {
            let error = Prepared::new(&model, backend, &mut vec![0; less]).err();
            assert_eq!(error, Some(RunError::PreparedTooSmall { needed }));
        }
    }
}

#[test]
fn damaged_bytes_give_an_error_or_a_run() {
    // Miri takes a second for what takes a millisecond.
    let (checked, run) = if cfg!(miri) { (997, 7919) } else { (1, 61) };
    let mut copy = Copy::new();
    let mut arena = vec![0; 1 << 16];
    for at in (0..FILE.len()).step_by(checked) {
        let mask = 1 << (at % 8);
        copy.file()[at] ^= mask;
        if let Ok(model) = Model::with_checksum(copy.file(), Checksum::Skip)
            && at % run == 0
            && let Ok(mut session) = Session::new(&model, &mut arena)
        {
            assert_eq!(session.run(), Ok(()));
        }
        copy.file()[at] ^= mask;
    }
}
