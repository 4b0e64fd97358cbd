//! A verified file. Once a [`Model`] exists, nothing in its bytes can make a session panic, read out of bounds or hang.
//!
//! [`Model::new`] checks everything once, on the device too: the checksum, that every section, tensor, table and weight
//! lies where it may, that shapes and windows fit, that no step overwrites what it reads, that no accumulator can
//! overflow, that no step reads what an earlier run left, and that the stated arena is exactly the one needed. It takes time in
//! proportion to the file's bytes. How long a run takes is another matter: [`Model::cost`] says it. A [`Step`] is a record with its offsets resolved to
//! slices, ready for the kernels.

mod cost;
mod effort;
mod group;
mod labels;
mod resolve;
mod text;
mod verify;
mod written;

pub use group::{GROUP_LIMIT, Group, Kind};
pub use labels::{Label, Labels};
pub use resolve::{Operator, Step};

use crate::error::FormatError;
use crate::format::header::{self, Header, Section, SectionKind};
use crate::format::preprocess::{self, Preprocess};
use crate::format::selftest::{self, SelfTest};
use crate::format::tensor::{self, Tensor};
use crate::format::{ALIGNMENT, LABEL_LIMIT, MAGIC, NO_TENSOR, PROVENANCE_LIMIT, VERSION, checksum, step};

/// Embeds a `.tin` file in the program at the alignment a [`Model`] needs; `include_bytes!` alone aligns to 1.
///
/// The argument is a path as `include_bytes!` takes it; the value is a `&'static [u8]`.
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {{
        #[repr(C, align(16))]
        struct Aligned<T: ?Sized>(T);
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &FILE.0
    }};
}

/// Whether the checksum of a file must be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// A wrong checksum is an error.
    #[default]
    Verify,
    /// The checksum is not looked at; everything else is verified all the same. For tests of what lies behind it.
    Skip,
}

/// Records of `N` bytes, each `stride` bytes after the one before.
#[derive(Clone, Copy, Debug)]
struct Records<'a, const N: usize> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a, const N: usize> Records<'a, N> {
    fn len(&self) -> usize {
        self.bytes.len().checked_div(self.stride).unwrap_or_default()
    }

    fn get(&self, index: usize) -> Option<&'a [u8; N]> {
        self.bytes.get(index.checked_mul(self.stride)?..)?.first_chunk()
    }
}

/// A verified model over the bytes of its file.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    file: &'a [u8],
    header: Header,
    tensors: Records<'a, { tensor::SIZE }>,
    steps: Records<'a, { step::SIZE }>,
    /// UTF-8, as the provenance is.
    labels: &'a [u8],
    /// UTF-8, a line for each label, or no bytes.
    label_ids: &'a [u8],
    preprocess: Option<Preprocess>,
    provenance: &'a [u8],
    self_test: Option<(SelfTest, &'a [u8])>,
}

impl<'a> Model<'a> {
    /// Verifies a file. `bytes` must start at a multiple of 16 in memory: see [`include_model!`](crate::include_model).
    pub fn new(bytes: &'a [u8]) -> Result<Self, FormatError> {
        Self::with_checksum(bytes, Checksum::Verify)
    }

    /// As [`new`](Self::new), and says whether the checksum counts.
    pub fn with_checksum(bytes: &'a [u8], verify: Checksum) -> Result<Self, FormatError> {
        if !(bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
            return Err(FormatError::Misaligned);
        }
        let (magic, _) = bytes.split_first_chunk::<8>().ok_or(FormatError::Length)?;
        if *magic != MAGIC {
            return Err(FormatError::Magic);
        }
        let (record, table) = bytes.split_first_chunk().ok_or(FormatError::Length)?;
        let header = Header::parse(record);
        let (major, minor) = header.version;
        if major != VERSION.0 {
            return Err(FormatError::Version { major, minor });
        }
        if header.file_length as usize != bytes.len() {
            return Err(FormatError::Length);
        }
        if verify == Checksum::Verify && checksum(bytes) != header.checksum {
            return Err(FormatError::Checksum);
        }
        // The model is verified before it is returned, not afterwards: otherwise it would be moved twice, and the code that
        // moves it takes flash.
        let found = Self::with_sections(bytes, header, table);
        if let Ok(model) = &found {
            verify::model(model)?;
        }
        found
    }

    fn with_sections(file: &'a [u8], header: Header, table: &'a [u8]) -> Result<Self, FormatError> {
        let table =
            table.get(..usize::from(header.section_count) * header::SECTION_SIZE).ok_or(FormatError::Section)?;
        let find = |kind: SectionKind, record: usize| -> Result<Option<(&'a [u8], usize)>, FormatError> {
            let sections = table.as_chunks().0.iter().map(Section::parse);
            let mut found = None;
            for section in sections.filter(|section| section.kind == kind as u16) {
                let bytes = slice(file, section.offset, u64::from(section.length)).ok_or(FormatError::Section)?;
                if found.is_some() || usize::from(section.record_size) < record {
                    return Err(FormatError::Section);
                }
                found = Some((bytes, usize::from(section.record_size)));
            }
            Ok(found)
        };
        let text = |kind, limit| match find(kind, 1)? {
            Some((bytes, _)) if !text::is_clean(bytes, limit, true) => Err(FormatError::Text),
            found => Ok(found.map_or(&[][..], |(bytes, _)| bytes)),
        };
        let (tensors, tensor_stride) = find(SectionKind::Tensors, tensor::SIZE)?.ok_or(FormatError::Section)?;
        let (steps, step_stride) = find(SectionKind::Steps, step::SIZE)?.ok_or(FormatError::Section)?;
        if !tensors.len().is_multiple_of(tensor_stride) || !steps.len().is_multiple_of(step_stride) {
            return Err(FormatError::Section);
        }
        let preprocess = match find(SectionKind::Preprocess, preprocess::SIZE)? {
            Some((bytes, _)) => {
                let record = bytes.first_chunk().ok_or(FormatError::Section)?;
                Some(Preprocess::parse(record).ok_or(FormatError::Preprocess)?)
            }
            None => None,
        };
        let self_test = match find(SectionKind::SelfTest, selftest::SIZE)? {
            Some((bytes, record_size)) => {
                let record = bytes.first_chunk().ok_or(FormatError::Section)?;
                let hashes = bytes.get(record_size..).ok_or(FormatError::Section)?;
                Some((SelfTest::parse(record), hashes))
            }
            None => None,
        };
        Ok(Self {
            file,
            header,
            tensors: Records { bytes: tensors, stride: tensor_stride },
            steps: Records { bytes: steps, stride: step_stride },
            labels: text(SectionKind::Labels, LABEL_LIMIT)?,
            label_ids: text(SectionKind::LabelIds, LABEL_LIMIT)?,
            preprocess,
            provenance: text(SectionKind::Provenance, PROVENANCE_LIMIT)?,
            self_test,
        })
    }

    /// Bytes of the whole file.
    #[must_use]
    pub const fn file_size(&self) -> usize {
        self.file.len()
    }

    /// The file's major and minor version.
    #[must_use]
    pub const fn version(&self) -> (u16, u16) {
        self.header.version
    }

    /// Bytes of the arena that hold activations.
    #[must_use]
    pub const fn activation_size(&self) -> usize {
        self.header.activation_size as usize
    }

    /// Bytes of scratch behind the activations.
    #[must_use]
    pub const fn scratch_size(&self) -> usize {
        self.header.scratch_size as usize
    }

    /// Bytes of RAM a session needs: activations and scratch.
    #[must_use]
    pub const fn arena_size(&self) -> usize {
        // Saturates where a hostile file asks for more than a 32-bit machine can address: no arena is that large.
        self.activation_size().saturating_add(self.scratch_size())
    }

    /// How many tensors there are.
    #[must_use]
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// The tensor of this index.
    #[must_use]
    pub fn tensor(&self, index: u16) -> Option<Tensor> {
        Tensor::parse(self.tensors.get(usize::from(index))?)
    }

    /// The tensor that takes the picture: int8, contiguous.
    #[must_use]
    pub fn input(&self) -> Option<Tensor> {
        self.tensor(self.header.input)
    }

    /// The tensor that ranks the classes: 1 x 1 x classes, int32 or int8.
    #[must_use]
    pub fn logits(&self) -> Option<Tensor> {
        self.tensor(self.header.logits)
    }

    /// The softmax's or sigmoid's output, if there is one: 1 x 1 x classes, u16; 65535 is 1.0.
    #[must_use]
    pub fn probabilities(&self) -> Option<Tensor> {
        if self.header.probabilities == NO_TENSOR { None } else { self.tensor(self.header.probabilities) }
    }

    /// Whether the probabilities are a sigmoid's: each class is true or not by itself. A softmax's sum up to 1, and one
    /// class of all is true.
    #[must_use]
    pub fn has_independent_classes(&self) -> bool {
        let makes_them = |step: &step::Step| step.output == self.header.probabilities;
        let records = (0..self.step_count()).filter_map(|index| step::Step::parse(self.steps.get(index)?).ok());
        records.filter(makes_them).any(|step| matches!(step.operator, step::Operator::Sigmoid(_)))
    }

    /// How many steps there are.
    #[must_use]
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// The step of this index, ready to run.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<Step<'a>> {
        let record = step::Step::parse(self.steps.get(index)?).ok()?;
        resolve::step(self, &record).ok()
    }

    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'a>> + use<'a> {
        let model = *self;
        (0..model.step_count()).map_while(move |index| model.step(index))
    }

    /// The classes' names and ids in order; empty where the file names none.
    #[must_use]
    pub fn labels(&self) -> Labels<'a> {
        Labels::new(text::text(self.labels), text::text(self.label_ids))
    }

    /// How a picture becomes the input; `None` for networks that don't take pictures.
    #[must_use]
    pub const fn preprocess(&self) -> Option<&Preprocess> {
        self.preprocess.as_ref()
    }

    /// The preprocessing's table: 256 int8 for each input channel, indexed by pixel value.
    #[must_use]
    pub fn pixel_table(&self) -> Option<&'a [i8]> {
        let preprocess = self.preprocess?;
        let length = preprocess.order.channels().count() as u64 * preprocess::TABLE_ENTRIES as u64;
        slice(self.file, preprocess.table, length).map(bytemuck::cast_slice)
    }

    /// Where the file comes from: lines of `key: value`.
    #[must_use]
    pub fn provenance(&self) -> &'a str {
        text::text(self.provenance)
    }

    /// Seed of the self-test's input; `None` where the file has no self-test.
    #[must_use]
    pub fn self_test_seed(&self) -> Option<u32> {
        self.self_test.map(|(record, _)| record.seed)
    }

    /// CRC-32 of each step's output for the self-test's input.
    pub fn self_test_hashes(&self) -> impl Iterator<Item = u32> + use<'a> {
        let hashes = self.self_test.map_or(&[][..], |(_, hashes)| hashes);
        hashes.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

/// `length` bytes of the file from `offset` on.
#[cfg_attr(target_os = "none", inline(never))]
fn slice(file: &[u8], offset: u32, length: u64) -> Option<&[u8]> {
    let length = usize::try_from(length).ok()?;
    file.get(offset as usize..)?.get(..length)
}
