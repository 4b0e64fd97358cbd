//! Damaged files: what a reader may answer to them.

use tinception_core::error::{FormatError, RunError};
use tinception_core::model::{Checksum, Model};
use tinception_core::session::{Ranked, Session};

/// Arenas larger than this are not tried.
pub const ARENA_LIMIT: usize = 1 << 20;

/// What came of a file that a reader took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps ran.
    Ran,
    /// Its arena is larger than [`ARENA_LIMIT`].
    TooLarge,
}

/// Opens a file of unknown quality and, if a reader takes it, uses all of it: texts, tables, a run, the ranking.
///
/// # Errors
/// What the reader found.
///
/// # Panics
/// If a verified model does not run to its end.
pub fn open_and_run(file: &[u8], checksum: Checksum, arena: &mut Vec<u8>) -> Result<Outcome, FormatError> {
    let model = Model::with_checksum(file, checksum)?;
    let labels = model.labels().count();
    assert!(labels == 0 || labels as u32 == model.logits().expect("verified").shape.channels);
    assert_eq!(model.preprocess().is_some(), model.pixel_table().is_some());
    assert!(model.self_test_seed().is_none() || model.self_test_hashes().count() == model.step_count());
    assert_eq!(model.steps().count(), model.step_count());
    if model.arena_size() > ARENA_LIMIT {
        return Ok(Outcome::TooLarge);
    }
    arena.clear();
    arena.resize(model.arena_size(), 0x55);
    let mut session = Session::new(&model, arena).expect("the arena is as large as the model asks");
    session.input_mut().fill(17);
    assert_eq!(session.run(), Ok::<(), RunError>(()));
    let mut best = [Ranked::default(); 5];
    assert!(!session.logits().expect("verified").top(&mut best).is_empty());
    let _ = session.probabilities().map(|values| values.iter().count());
    let _ = session.self_test().expect("a verified model runs");
    Ok(Outcome::Ran)
}
