//! Damaged and hostile files: an error or a run to the end, never a panic.

use std::ops::Range;

use rand::Rng as _;
use tinception_core::error::{FormatError, StepProblem};
use tinception_core::format::writer::refresh_checksum;
use tinception_core::format::{MAGIC, header, step, tensor};
use tinception_core::model::{Checksum, Model};
use tinception_tests::aligned::Aligned;
use tinception_tests::every_operator::every_operator_model;
use tinception_tests::linked::linked_model;
use tinception_tests::mutate::{Outcome, mutate_record, open_and_run};
use tinception_tests::{interpreter, rng};

/// Where fields of the header lie, as `core/src/format/header.rs` documents them.
const MAJOR: usize = 8;
const MINOR: usize = 10;
const FILE_LENGTH: usize = 16;
const SECTION_COUNT: usize = 34;

fn u32_at(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]])
}

/// Where the section of this kind lies.
fn section(file: &[u8], kind: u16) -> Range<usize> {
    let entries = file[header::SIZE..].as_chunks::<{ header::SECTION_SIZE }>().0.iter().map(header::Section::parse);
    let section = entries.take(7).find(|section| section.kind == kind).expect("the section is there");
    section.offset as usize..(section.offset + section.length) as usize
}

#[test]
fn every_flipped_bit_is_found_by_the_checksum() {
    let mut file = Aligned::new(&every_operator_model(0));
    assert!(Model::new(&file).is_ok());
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            assert!(Model::new(&file).is_err(), "bit {bit} of byte {at}");
            file[at] ^= 1 << bit;
        }
    }
}

#[test]
fn every_flipped_bit_behind_a_right_checksum_gives_an_error_or_a_run() {
    let original = every_operator_model(1);
    let mut file = Aligned::new(&original);
    let (mut arena, mut ran, mut refused) = (Vec::new(), 0, 0);
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            refresh_checksum(&mut file);
            match open_and_run(&file, Checksum::Verify, &mut arena) {
                Ok(Outcome::Ran) => ran += 1,
                Ok(Outcome::TooLarge) => {}
                Err(_) => refused += 1,
            }
            file[at] = original[at];
            file[header::CHECKSUM].copy_from_slice(&original[header::CHECKSUM]);
        }
    }
    // A table or a name can change and leave a model; a weight cannot, its sum would be wrong.
    println!("{ran} flips ran, {refused} were refused");
    assert!(ran > 10_000 && refused > 10_000);
}

#[test]
fn every_flipped_bit_and_word_of_linked_records_gives_an_error_or_a_run() {
    let words = [0, 1, 2, 3, 0xFF, 0xFFFF, 0x1_0000, 0xFFFF_FFF0, 0xFFFF_FFFF];
    for seed in 0..2 {
        let original = linked_model(seed, true);
        let mut file = Aligned::new(&original);
        let (mut arena, mut refused) = (Vec::new(), 0);
        for at in [1, 2].into_iter().flat_map(|kind| section(&original, kind)) {
            for bit in 0..8 {
                file[at] ^= 1 << bit;
                refused += usize::from(open_and_run(&file, Checksum::Skip, &mut arena).is_err());
                file[at] = original[at];
            }
            for word in words.iter().filter(|_| at % 2 == 0 && at + 4 <= original.len()) {
                file[at..at + 4].copy_from_slice(&u32::to_le_bytes(*word));
                let _ = open_and_run(&file, Checksum::Skip, &mut arena);
                file[at..at + 4].copy_from_slice(&original[at..at + 4]);
            }
        }
        assert!(refused > 2000, "{refused} flips were refused");
    }
}

#[test]
fn skipping_the_checksum_is_the_same_as_refreshing_it() {
    let original = every_operator_model(2);
    let (mut rng, mut arenas) = (rng(2), [Vec::new(), Vec::new()]);
    for _ in 0..500 {
        let mut file = Aligned::new(&original);
        for _ in 0..rng.random_range(1..=3) {
            let at = rng.random_range(0..file.len());
            file[at] = rng.random();
        }
        let skipped = open_and_run(&file, Checksum::Skip, &mut arenas[0]);
        refresh_checksum(&mut file);
        assert_eq!(open_and_run(&file, Checksum::Verify, &mut arenas[1]), skipped);
        assert_eq!(arenas[0], arenas[1]);
    }
}

/// Fields take extreme values far more often here than by chance: offsets, sizes and counts at their limits.
#[test]
fn extreme_words_give_an_error_or_a_run() {
    let original = every_operator_model(3);
    let mut file = Aligned::new(&original);
    let mut arena = Vec::new();
    let words = [0, 1, 0x7F, 0x80, 0xFFFF, 0x1_0000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFF0, 0xFFFF_FFFF];
    for at in (0..original.len() - 3).step_by(2) {
        for word in words {
            file[at..at + 4].copy_from_slice(&u32::to_le_bytes(word));
            let _ = open_and_run(&file, Checksum::Skip, &mut arena);
        }
        file[at..at + 4].copy_from_slice(&original[at..at + 4]);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let original = every_operator_model(4);
    for length in 0..original.len() {
        let mut file = Aligned::new(&original[..length]);
        let error = Model::with_checksum(&file, Checksum::Skip).err();
        assert_eq!(error, Some(FormatError::Length), "{length} bytes");
        // The same with a header that states the shorter length, so that only the sections can tell.
        if length >= header::SIZE {
            file[FILE_LENGTH..FILE_LENGTH + 4].copy_from_slice(&(length as u32).to_le_bytes());
            refresh_checksum(&mut file);
            assert!(Model::new(&file).is_err(), "{length} bytes");
        }
    }
    let mut longer = original.clone();
    longer.push(0);
    assert_eq!(Model::with_checksum(&Aligned::new(&longer), Checksum::Skip).err(), Some(FormatError::Length));
}

#[test]
fn another_magic_or_major_version_is_refused() {
    let original = every_operator_model(5);
    for at in 0..MAGIC.len() {
        let mut file = Aligned::new(&original);
        file[at] ^= 0x20;
        refresh_checksum(&mut file);
        assert_eq!(Model::new(&file).err(), Some(FormatError::Magic));
    }
    for major in [0, 2, 0xFFFF_u16] {
        let mut file = Aligned::new(&original);
        file[MAJOR..MAJOR + 2].copy_from_slice(&major.to_le_bytes());
        refresh_checksum(&mut file);
        // The model's classes have ids, which came with 1.3.
        assert_eq!(Model::new(&file).err(), Some(FormatError::Version { major, minor: 3 }));
    }
}

#[test]
fn misaligned_bytes_are_refused() {
    let original = every_operator_model(5);
    for offset in 0..=16 {
        let mut shifted = Aligned::zeroed(offset + original.len());
        shifted[offset..].copy_from_slice(&original);
        let expected = if offset.is_multiple_of(16) { None } else { Some(FormatError::Misaligned) };
        assert_eq!(Model::new(&shifted[offset..]).err(), expected, "{offset}");
    }
}

/// A file as a newer minor version may write it: longer records of tensors, steps and the self-test, and a section of
/// a kind that nobody knows yet.
fn newer_minor(original: &[u8]) -> Vec<u8> {
    const TABLE: usize = header::SIZE;
    const LONGER: usize = 12;
    let count = usize::from(u16::from_le_bytes([original[SECTION_COUNT], original[SECTION_COUNT + 1]]));
    // One more entry would not fit in front of the data: the sections and their table move to the end of the file.
    let mut file = original.to_vec();
    let mut table = Vec::new();
    for entry in original[TABLE..][..count * header::SECTION_SIZE].chunks(header::SECTION_SIZE) {
        let mut section = header::Section::parse(entry.first_chunk().expect("a whole entry"));
        let bytes = &original[section.offset as usize..][..section.length as usize];
        let size = usize::from(section.record_size);
        let longer = match size {
            1 => bytes.to_vec(),
            tensor::SIZE | step::SIZE => {
                let record = |record: &[u8]| [record, &[0xEE; LONGER]].concat();
                bytes.chunks(size).flat_map(record).collect()
            }
            // Preprocessing and self-test have one record; hashes may follow it.
            _ => [&bytes[..size], &[0xEE; LONGER], &bytes[size..]].concat(),
        };
        section.record_size += if size == 1 { 0 } else { LONGER as u16 };
        file.resize(file.len().next_multiple_of(4), 0);
        (section.offset, section.length) = (file.len() as u32, longer.len() as u32);
        file.extend(longer);
        table.push(section);
    }
    // A model can do without a preprocessing; its entry makes room for the unknown section.
    let unknown = table.iter_mut().find(|section| section.kind == 4).expect("a preprocessing");
    (unknown.kind, unknown.record_size) = (0x1234, 3);
    file[MINOR..MINOR + 2].copy_from_slice(&7_u16.to_le_bytes());
    let length = file.len() as u32;
    file[FILE_LENGTH..FILE_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
    for (section, entry) in table.iter().zip(file[TABLE..].chunks_mut(header::SECTION_SIZE)) {
        entry.copy_from_slice(&section.emit());
    }
    refresh_checksum(&mut file);
    file
}

#[test]
fn a_newer_minor_version_stays_readable() {
    (6..8).for_each(newer_minor_is_readable);
}

fn newer_minor_is_readable(seed: u64) {
    let original = Aligned::new(&every_operator_model(seed));
    let newer = Aligned::new(&newer_minor(&original));
    let (original, newer) = (Model::new(&original).expect("valid"), Model::new(&newer).expect("readable"));
    assert_eq!(newer.version(), (1, 7));
    assert_eq!(newer.step_count(), original.step_count());
    assert_eq!(newer.tensor_count(), original.tensor_count());
    assert_eq!(newer.provenance(), original.provenance());
    assert!(newer.labels().eq(original.labels()));
    assert_eq!(newer.labels().filter_map(|label| label.id).count(), if seed % 2 == 1 { 9 } else { 0 });
    assert!(newer.preprocess().is_none());
    assert!(newer.self_test_hashes().eq(original.self_test_hashes()));
    let seed = newer.self_test_seed().expect("a self-test");
    assert_eq!(interpreter::self_test_hashes(&newer, seed), newer.self_test_hashes().collect::<Vec<u32>>());
}

/// The section of ids, by its entry in the table and by its text: as many lines as labels, or none.
#[test]
fn label_ids_are_as_many_as_labels_and_lie_in_the_file() {
    let original = every_operator_model(7);
    let entry = (0..7).map(|index| header::SIZE + index * header::SECTION_SIZE).find(|at| original[*at] == 7);
    let entry = entry.expect("a section of ids");
    let ids = section(&original, 7);
    assert_eq!(&original[ids.clone()], b"id0\nid1\nid2\nid3\nid4\n\nid6\nid7\nid8\nid9\n");
    let after = |change: &dyn Fn(&mut [u8])| {
        let mut file = Aligned::new(&original);
        change(&mut file);
        let mut arena = Vec::new();
        open_and_run(&file, Checksum::Skip, &mut arena).err()
    };
    let length = |bytes: u32| move |file: &mut [u8]| file[entry + 8..entry + 12].copy_from_slice(&bytes.to_le_bytes());
    let whole = ids.len() as u32;
    assert_eq!(after(&length(whole)), None);
    // Without its last line end, and without the last id as a class without an id.
    assert_eq!(after(&length(whole - 1)), None);
    assert_eq!(after(&length(0)), None, "none at all");
    for short in [whole - 4, 4, 1] {
        assert_eq!(after(&length(short)), Some(FormatError::Text), "{short} bytes");
    }
    assert_eq!(after(&length(u32::MAX)), Some(FormatError::Section));
    let offset = (original.len() as u32 - whole + 1).to_le_bytes();
    assert_eq!(after(&|file| file[entry + 4..entry + 8].copy_from_slice(&offset)), Some(FormatError::Section));
    assert_eq!(after(&|file| file[entry + 2..entry + 4].fill(0)), Some(FormatError::Section), "records of no bytes");
    // Twice there, in the place of the labels; then unknown, so that they are as good as missing.
    let labels = (0..7).map(|index| header::SIZE + index * header::SECTION_SIZE).find(|at| original[*at] == 3);
    let labels = labels.expect("a section of labels");
    assert_eq!(after(&|file| file[labels] = 7), Some(FormatError::Section));
    assert_eq!(after(&|file| file[labels] = 77), Some(FormatError::Text), "ids without labels");
    assert_eq!(after(&|file| file[entry] = 77), None);
    for (byte, error) in [(b'\t', true), (0x1B, true), (0xFF, true), (b'\n', true), (b' ', false)] {
        assert_eq!(after(&|file| file[ids.start + 1] = byte), error.then_some(FormatError::Text), "{byte:#x}");
    }
}

#[test]
fn an_arena_that_is_not_the_one_needed_is_refused() {
    const ACTIVATION_SIZE: usize = 20;
    const SCRATCH_SIZE: usize = 24;
    let original = every_operator_model(7);
    for (field, change) in [
        (ACTIVATION_SIZE, 16),
        (ACTIVATION_SIZE, -16),
        (ACTIVATION_SIZE, -1),
        (SCRATCH_SIZE, 1),
        (SCRATCH_SIZE, 1 << 16),
    ] {
        let mut file = Aligned::new(&original);
        let value = u32_at(&file, field).wrapping_add_signed(change);
        file[field..field + 4].copy_from_slice(&value.to_le_bytes());
        refresh_checksum(&mut file);
        assert_eq!(Model::new(&file).err(), Some(FormatError::Arena), "{change} at {field}");
    }
    let mut file = Aligned::new(&original);
    file[SCRATCH_SIZE..SCRATCH_SIZE + 4].fill(0);
    refresh_checksum(&mut file);
    assert!(matches!(Model::new(&file), Err(FormatError::Step { .. })), "a step needs scratch");
}

/// A real network, where one is given: `TINCEPTION_GOOGLENET` is the path of a `.tin` file.
#[test]
fn flips_of_a_large_model_give_an_error_or_a_run() {
    let Some(path) = std::env::var_os("TINCEPTION_GOOGLENET") else {
        println!("skipped: no model (set TINCEPTION_GOOGLENET to the path of a .tin file)");
        return;
    };
    let mut file = Aligned::new(&std::fs::read(path).expect("TINCEPTION_GOOGLENET names a readable file"));
    let size = Model::new(&file).expect("a valid model").arena_size();
    let (mut rng, mut arena) = (rng(11), Vec::new());
    for _ in 0..1000 {
        let (at, mask) = (rng.random_range(0..file.len()), rng.random_range(1..=255_u8));
        file[at] ^= mask;
        let taken = Model::with_checksum(&file, Checksum::Skip);
        if taken.is_ok_and(|model| model.arena_size() <= 2 * size) {
            arena.resize(2 * size, 0);
            let model = Model::with_checksum(&file, Checksum::Skip).expect("just taken");
            let mut session = tinception_core::session::Session::new(&model, &mut arena).expect("large enough");
            session.run().expect("a verified model runs");
        }
        file[at] ^= mask;
    }
}

/// What the fuzzer's mutator makes, in numbers that a test can afford: several changed fields at a time.
#[test]
fn changed_fields_give_an_error_or_a_run() {
    let originals: Vec<Vec<u8>> = (0..4).map(every_operator_model).collect();
    let (mut rng, mut arena, mut ran, mut refused) = (rng(8), Vec::new(), 0, 0);
    for round in 0..40_000 {
        let mut file = Aligned::new(&originals[round % originals.len()]);
        let mut changes = rng.random_range(1..=3);
        while changes > 0 {
            changes -= u32::from(mutate_record(&mut rng, &mut file));
        }
        match open_and_run(&file, Checksum::Skip, &mut arena) {
            Ok(_) => ran += 1,
            Err(_) => refused += 1,
        }
    }
    println!("{ran} ran, {refused} were refused");
    assert!(ran > 2_000 && refused > 2_000);
}

#[test]
fn misaligned_weights_and_tables_are_refused() {
    let original = every_operator_model(9);
    // Per operator, where its offsets lie in the record and the alignment of what they point to (docs/format.md).
    let fields = [(0, 40, 16), (0, 44, 16), (2, 44, 4), (3, 24, 4), (6, 28, 4)];
    let steps = section(&original, 2);
    for (operator, field, alignment) in fields {
        let records = original[steps.clone()].chunks(step::SIZE).enumerate();
        let found = records.filter(|(_, record)| record[0] == operator).map(|(index, _)| index).collect::<Vec<usize>>();
        assert!(!found.is_empty());
        for index in found {
            for change in 1..alignment {
                let mut file = Aligned::new(&original);
                let at = steps.start + index * step::SIZE + field;
                let offset = u32_at(&file, at) - change;
                file[at..at + 4].copy_from_slice(&offset.to_le_bytes());
                let problem = StepProblem::Data;
                let error = Model::with_checksum(&file, Checksum::Skip).err();
                assert_eq!(error, Some(FormatError::Step { step: index as u16, problem }), "{change} before");
            }
        }
    }
}
