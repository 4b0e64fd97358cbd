//! Any bytes as a model: an error, or a run to the end.
//!
//! Most mutations go to the header and the records, where the reader decides. What they would make wrong all at once,
//! the file's length and the arena's size, is put right again, so that more than the first checks are reached; the
//! checksum is not looked at.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tinception_core::format::header::{self, Header, Section, SectionKind};
use tinception_core::format::tensor::{self, Tensor};
use tinception_core::model::Checksum;
use tinception_tests::aligned::Aligned;
use tinception_tests::mutate::{mutate_record, open_and_run};
use tinception_tests::rng;

fuzz_target!(|bytes: &[u8]| {
    let file = Aligned::new(bytes);
    let _ = open_and_run(&file, Checksum::Skip, &mut Vec::new());
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut rng = rng(u64::from(seed));
    let size = if mutate_record(&mut rng, &mut data[..size]) { size } else { fuzzer_mutate(data, size, max_size) };
    put_right(&mut data[..size]);
    size
});

/// Writes the length and the activations' size that the header should state.
fn put_right(file: &mut [u8]) {
    let length = file.len() as u32;
    let Some((record, table)) = file.split_first_chunk() else { return };
    let mut header = Header::parse(record);
    header.file_length = length;
    let entries = table.as_chunks::<{ header::SECTION_SIZE }>().0.iter().take(usize::from(header.section_count));
    let tensors = entries.map(Section::parse).find(|section| section.kind == SectionKind::Tensors as u16);
    if let Some(section) = tensors
        && let Some(bytes) = file.get(section.offset as usize..)
        && section.record_size >= tensor::SIZE as u16
    {
        let records = bytes[..bytes.len().min(section.length as usize)].chunks(usize::from(section.record_size));
        let ends = records.filter_map(|record| Some(Tensor::parse(record.first_chunk()?)?.end()));
        let end = ends.max().unwrap_or(0).min(u32::MAX.into());
        header.activation_size = end.next_multiple_of(16) as u32;
    }
    file[..header::SIZE].copy_from_slice(&header.emit());
}
