//! Writes what the readers read: data first, as it comes, then the sections, then the header in front.

use alloc::string::String;
use alloc::vec::Vec;

use super::header::{self, Header, Section, SectionKind};
use super::preprocess::Preprocess;
use super::selftest::{self, SelfTest};
use super::step::{self, Step};
use super::tensor::{self, Tensor};
use super::{ALIGNMENT, MAGIC, NO_TENSOR, VERSION, checksum, preprocess};

/// Bytes in front of the data: the header and a table of so many sections, rounded up to the alignment.
const fn data_start(sections: usize) -> usize {
    (header::SIZE + sections * header::SECTION_SIZE).next_multiple_of(ALIGNMENT)
}

/// Puts a file together. Offsets that [`add_data`](Self::add_data) returns are final and go into the records.
#[derive(Clone, Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    /// The tensors, in the order of their indices.
    pub tensors: Vec<Tensor>,
    /// The steps, in the order in which they run.
    pub steps: Vec<Step>,
    /// Class names, one a line.
    pub labels: String,
    /// Class ids, one a line. Set from the start: the section takes a place in the table, which lies in front of the data.
    label_ids: Option<String>,
    /// How a picture becomes the input, for networks that take pictures.
    pub preprocess: Option<Preprocess>,
    /// Where the file comes from, `key: value` a line.
    pub provenance: String,
    /// The self-test's seed and hashes.
    pub self_test: Option<(u32, Vec<u32>)>,
    /// Index of the tensor that takes the picture.
    pub input: u16,
    /// Index of the tensor that ranks the classes.
    pub logits: u16,
    /// Index of the softmax's or sigmoid's output, if there is one.
    pub probabilities: Option<u16>,
    /// Bytes of scratch behind the activations.
    pub scratch_size: u32,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A file without content.
    #[must_use]
    pub fn new() -> Self {
        Self::with(None)
    }

    /// A file without content but for the classes' ids: one a line, as many as there will be labels. The line of a class that
    /// has none is empty.
    #[must_use]
    pub fn with_label_ids(label_ids: String) -> Self {
        Self::with(Some(label_ids))
    }

    fn with(label_ids: Option<String>) -> Self {
        let sections = if label_ids.is_some() { 7 } else { 6 };
        Self {
            bytes: alloc::vec![0; data_start(sections)],
            tensors: Vec::new(),
            steps: Vec::new(),
            labels: String::new(),
            label_ids,
            preprocess: None,
            provenance: String::new(),
            self_test: None,
            input: 0,
            logits: 0,
            probabilities: None,
            scratch_size: 0,
        }
    }

    /// Appends `data` at the next multiple of `alignment` and returns its offset in the file.
    pub fn add_data(&mut self, data: &[u8], alignment: usize) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(data);
        offset
    }

    /// Appends a table of little-endian i32, 16-byte aligned.
    pub fn add_table(&mut self, table: &[i32]) -> u32 {
        let bytes: Vec<u8> = table.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.add_data(&bytes, ALIGNMENT)
    }

    /// Bytes of the arena that the tensors take: the end of the last, rounded up to 16.
    #[must_use]
    pub fn activation_size(&self) -> u32 {
        let end = self.tensors.iter().map(Tensor::end).max().unwrap_or(0);
        end.next_multiple_of(ALIGNMENT as u64) as u32
    }

    /// The file.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut file = self.clone();
        let mut table = Vec::new();
        let tensors: Vec<u8> = self.tensors.iter().flat_map(Tensor::emit).collect();
        let steps: Vec<u8> = self.steps.iter().flat_map(Step::emit).collect();
        file.add_section(&mut table, SectionKind::Tensors, tensor::SIZE, &tensors);
        file.add_section(&mut table, SectionKind::Steps, step::SIZE, &steps);
        file.add_section(&mut table, SectionKind::Labels, 1, self.labels.as_bytes());
        if let Some(label_ids) = &self.label_ids {
            file.add_section(&mut table, SectionKind::LabelIds, 1, label_ids.as_bytes());
        }
        if let Some(preprocess) = &self.preprocess {
            file.add_section(&mut table, SectionKind::Preprocess, preprocess::SIZE, &preprocess.emit());
        }
        file.add_section(&mut table, SectionKind::Provenance, 1, self.provenance.as_bytes());
        if let Some((seed, hashes)) = &self.self_test {
            let mut bytes = SelfTest { seed: *seed, steps: hashes.len() as u32 }.emit().to_vec();
            bytes.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
            file.add_section(&mut table, SectionKind::SelfTest, selftest::SIZE, &bytes);
        }
        let header = Header {
            magic: MAGIC,
            version: self.version(),
            checksum: 0,
            file_length: file.bytes.len() as u32,
            activation_size: self.activation_size(),
            scratch_size: self.scratch_size,
            input: self.input,
            logits: self.logits,
            probabilities: self.probabilities.unwrap_or(NO_TENSOR),
            section_count: table.len() as u16,
        };
        let mut bytes = file.bytes;
        bytes[..header::SIZE].copy_from_slice(&header.emit());
        for (section, entry) in table.iter().zip(bytes[header::SIZE..].chunks_exact_mut(header::SECTION_SIZE)) {
            entry.copy_from_slice(&section.emit());
        }
        refresh_checksum(&mut bytes);
        bytes
    }

    /// The oldest version that has all that the file uses.
    fn version(&self) -> (u16, u16) {
        let needed = |step: &Step| match &step.operator {
            step::Operator::Sigmoid(_) => 2,
            step::Operator::Conv(conv) if conv.winograd.is_some() => 1,
            _ => 0,
        };
        let of_steps = self.steps.iter().map(needed).max().unwrap_or(0);
        (VERSION.0, if self.label_ids.is_some() { 3 } else { of_steps })
    }

    fn add_section(&mut self, table: &mut Vec<Section>, kind: SectionKind, record_size: usize, bytes: &[u8]) {
        let offset = self.add_data(bytes, 4);
        let length = bytes.len() as u32;
        table.push(Section { kind: kind as u16, record_size: record_size as u16, offset, length });
    }
}

/// Writes the right checksum into a file whose other bytes have changed. A file too short for a header stays as it is.
pub fn refresh_checksum(file: &mut [u8]) {
    let sum = checksum(file);
    if let Some(field) = file.get_mut(header::CHECKSUM) {
        field.copy_from_slice(&sum.to_le_bytes());
    }
}
