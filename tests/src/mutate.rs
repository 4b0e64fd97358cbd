//! Damaged files: what a reader may answer to them.

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use tinception_core::error::{FormatError, RunError};
use tinception_core::format::header::{self, Header, Section, SectionKind};
use tinception_core::format::{LABEL_LIMIT, is_control};
use tinception_core::model::{Checksum, Label, Model, Operator, Step};
use tinception_core::session::{Ranked, Session};

use crate::Rng;

/// Arenas larger than this are not tried.
pub const ARENA_LIMIT: usize = 1 << 20;
/// Models with more inner loops than this are not tried: no hang, only long.
const WORK_LIMIT: u64 = 1 << 26;

/// What came of a file that a reader took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All steps ran.
    Ran,
    /// Its arena is larger than [`ARENA_LIMIT`], or a run would take seconds.
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
    let labels: Vec<Label<'_>> = model.labels().collect();
    assert!(labels.is_empty() || labels.len() as u32 == model.logits().expect("verified").shape.channels);
    for Label { id, name } in labels {
        assert!(name.len() <= LABEL_LIMIT && id.is_none_or(|id| !id.is_empty() && id.len() <= LABEL_LIMIT));
        assert!(!name.chars().chain(id.unwrap_or_default().chars()).any(|character| is_control(character.into())));
    }
    assert_eq!(model.preprocess().is_some(), model.pixel_table().is_some());
    assert!(model.self_test_seed().is_none() || model.self_test_hashes().count() == model.step_count());
    assert_eq!(model.steps().count(), model.step_count());
    if model.arena_size() > ARENA_LIMIT || model.steps().map(|step| work(&step)).sum::<u64>() > WORK_LIMIT {
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

/// About how often a step's inner loop runs.
fn work(step: &Step<'_>) -> u64 {
    let window = match &step.operator {
        Operator::Conv(_) => return step.macs(),
        Operator::MaxPool(pool) => pool.window.area(),
        Operator::AveragePool(pool) => pool.window.window.area(),
        _ => 1,
    };
    step.output.shape.elements().saturating_mul(window.min(step.input.shape.pixels()))
}

/// Changes a field of the header, of the section table or of a record, if the file has any; `false` where it does not
/// or the dice say so.
///
/// A field gets a value from the ends of its range, one near its own, or that of another record.
pub fn mutate_record(rng: &mut Rng, file: &mut [u8]) -> bool {
    let Some((record, table)) = file.split_first_chunk() else { return false };
    let sections: Vec<Section> = table
        .as_chunks::<{ header::SECTION_SIZE }>()
        .0
        .iter()
        .take(usize::from(Header::parse(record).section_count).min(16))
        .map(Section::parse)
        .collect();
    let is_record = |section: &&Section| {
        let kinds = [SectionKind::Tensors, SectionKind::Steps, SectionKind::Preprocess, SectionKind::SelfTest];
        section.record_size > 1 && kinds.iter().any(|kind| *kind as u16 == section.kind)
    };
    let records: Vec<&Section> = sections.iter().filter(is_record).collect();
    let size = 1 << rng.random_range(0..3);
    let (at, other) = match rng.random_range(0..8) {
        0..3 => return false,
        3 => {
            let end = header::SIZE + sections.len() * header::SECTION_SIZE;
            (rng.random_range(0..end), rng.random_range(0..end))
        }
        _ => {
            let Some(section) = records.choose(rng) else { return false };
            let record_size = usize::from(section.record_size);
            let count = section.length as usize / record_size;
            if count == 0 {
                return false;
            }
            let field = rng.random_range(0..record_size);
            let mut start = || section.offset as usize + rng.random_range(0..count) * record_size + field;
            (start(), start())
        }
    };
    // Fields lie at multiples of their size.
    let (at, other) = (at / size * size, other / size * size);
    let Some(source) = file.get(other..).and_then(|rest| rest.get(..size)) else { return false };
    let copied = source.to_vec();
    let Some(field) = file.get_mut(at..).and_then(|rest| rest.get_mut(..size)) else { return false };
    let mut word = [0; 4];
    word[..size].copy_from_slice(field);
    let value = u32::from_le_bytes(word);
    let extremes = [0, 1, 2, 3, 127, 128, 255, 0x7FFF, 0xFFFE, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX];
    let value = match rng.random_range(0..4) {
        0 => *extremes.choose(rng).unwrap_or(&0),
        1 => value.wrapping_add_signed(rng.random_range(-16..=16)),
        2 => value ^ (1 << rng.random_range(0..8 * size)),
        _ => {
            field.copy_from_slice(&copied);
            return true;
        }
    };
    field.copy_from_slice(&value.to_le_bytes()[..size]);
    true
}
