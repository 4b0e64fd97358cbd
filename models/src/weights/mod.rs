//! Files of named weights: PyTorch checkpoints (`.pth`, `.pt`), safetensors and Caffe models (`.caffemodel`).
//!
//! [`read`] tells them apart by their content and returns every tensor under its name, as 32-bit floats in the file's
//! order. [`nets`](crate::nets) builds networks from them. Nothing in a file is executed, and a file that asks for it
//! is refused.

mod caffe;
mod caffe_messages;
mod error;
mod pickle;
mod pytorch;
mod safetensors;

use std::collections::BTreeMap;
use std::path::Path;

pub use caffe_messages::{Blob, BlobShape, Layer, Net, V1Layer};
pub use error::WeightsError;
use half::{bf16, f16};

use crate::budget::Budget;
use crate::file::{self, Unread};
use crate::kind::{Kind, Wanted};

/// No file is larger: 4 GiB, what a `.tin` file can hold.
const LARGEST: u64 = 4 << 30;

/// No tensor has more elements: 2^28, 1 GiB of floats.
const MOST_ELEMENTS: usize = 1 << 28;

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// As many elements as the product of `shape`, in row-major order. Integers and narrower floats are widened.
    pub values: Vec<f32>,
}

/// The tensors of one file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// The file, as errors call it.
    pub file: String,
    /// Every tensor by its name. A Caffe layer's blobs are `LAYER.weight` and `LAYER.bias`.
    pub tensors: BTreeMap<String, Tensor>,
    /// Class names, where the file holds them; this project's training writes them into its checkpoints.
    pub labels: Vec<String>,
    /// The side in pixels of the pictures it was trained on, likewise.
    pub size: Option<u32>,
}

/// Reads the file at `path`.
///
/// # Errors
/// [`WeightsError`] names the file and the tensor, what was expected and what was found.
pub fn read(path: impl AsRef<Path>) -> Result<Weights, WeightsError> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let bytes = match file::read(path, LARGEST, Wanted::Weights) {
        Ok(bytes) => bytes,
        Err(Unread::System(source)) => return Err(WeightsError::Read { file, source }),
        Err(Unread::Other(what)) => return Err(WeightsError::OtherKind { file, what }),
    };
    let budget = Budget::for_file(bytes.len() as u64);
    let other = Kind::of(&bytes).and_then(|kind| kind.instead_of(Wanted::Weights));
    // Archives of other programs hold pickles too.
    if let (Some(Kind::TorchScript | Kind::TorchExport), Some(what)) = (Kind::of(&bytes), &other) {
        return Err(WeightsError::OtherKind { file, what: what.clone() });
    }
    let weights = if pytorch::is_checkpoint(&bytes) {
        pytorch::read(path, &bytes, &file, &budget)?
    } else if safetensors::is_safetensors(&bytes) {
        safetensors::read(&bytes, &file, &budget)?
    } else {
        match (caffe::read(&bytes, &file, &budget), other) {
            (Err(WeightsError::Unknown { file, .. }), Some(what)) => {
                return Err(WeightsError::OtherKind { file, what });
            }
            (read, _) => read?,
        }
    };
    match weights.tensors.is_empty() {
        true => Err(WeightsError::Empty { file }),
        false => Ok(weights),
    }
}

/// How a file stores an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
}

impl Element {
    /// Little-endian bytes as floats; `None` where a number is cut off.
    fn widen(self, bytes: &[u8]) -> Option<Vec<f32>> {
        match self {
            Self::F64 => numbers(bytes, |bytes| f64::from_le_bytes(bytes) as f32),
            Self::F32 => numbers(bytes, f32::from_le_bytes),
            Self::F16 => numbers(bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Self::Bf16 => numbers(bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Self::I64 => numbers(bytes, |bytes| i64::from_le_bytes(bytes) as f32),
            Self::I32 => numbers(bytes, |bytes| i32::from_le_bytes(bytes) as f32),
            Self::I16 => numbers(bytes, |bytes| f32::from(i16::from_le_bytes(bytes))),
            Self::I8 => numbers(bytes, |[byte]: [u8; 1]| f32::from(byte as i8)),
            Self::U8 => numbers(bytes, |[byte]: [u8; 1]| f32::from(byte)),
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Option<Vec<f32>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| convert(*chunk)).collect())
}

/// Draws a tensor's floats from the file's budget, before they are made.
fn charge(budget: &Budget, file: &str, name: &str, shape: &[usize]) -> Result<(), WeightsError> {
    let count = shape.iter().fold(1_usize, |count, size| count.saturating_mul(*size));
    budget.take_elements::<f32>(count).map_err(|exceeded| WeightsError::Budget {
        file: file.to_owned(),
        part: format!("tensor '{name}' of {shape:?}"),
        exceeded,
    })
}

/// A tensor whose elements fill its shape exactly.
fn tensor(file: &str, name: &str, shape: Vec<usize>, values: Option<Vec<f32>>) -> Result<Tensor, WeightsError> {
    let bad = |reason: String| WeightsError::Tensor { file: file.to_owned(), tensor: name.to_owned(), reason };
    let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
    match (count, values) {
        (Some(count), _) if count > MOST_ELEMENTS => Err(bad(format!("its shape {shape:?} is too large"))),
        (Some(count), Some(values)) if values.len() == count => Ok(Tensor { shape, values }),
        (Some(count), Some(values)) => {
            Err(bad(format!("its shape {shape:?} wants {count} elements, its data has {}", values.len())))
        }
        (None, _) => Err(bad(format!("its shape {shape:?} is impossible"))),
        (_, None) => Err(bad("its data ends within a number".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_widened() {
        // IEEE 754: half 0xc100 is -2.5, bfloat16 0xc020 the same.
        assert_eq!(Element::F16.widen(&[0x00, 0xc1]), Some(vec![-2.5]));
        assert_eq!(Element::Bf16.widen(&[0x20, 0xc0]), Some(vec![-2.5]));
        assert_eq!(Element::F64.widen(&(-2.5_f64).to_le_bytes()), Some(vec![-2.5]));
        assert_eq!(Element::I64.widen(&(-7_i64).to_le_bytes()), Some(vec![-7.0]));
        assert_eq!(Element::I8.widen(&[0xff, 1]), Some(vec![-1.0, 1.0]));
        assert_eq!(Element::U8.widen(&[0xff]), Some(vec![255.0]));
        assert_eq!(Element::F32.widen(&[0; 7]), None);
    }

    #[test]
    fn shapes_and_data_must_agree() {
        let message = |shape: &[usize], values| tensor("net", "w", shape.to_vec(), values).unwrap_err().to_string();
        assert!(message(&[2, 2], Some(vec![0.0; 3])).contains("net: tensor 'w': its shape [2, 2] wants 4 elements"));
        assert!(message(&[1 << 40], Some(vec![])).contains("too large"));
        assert!(message(&[usize::MAX, 2], Some(vec![])).contains("impossible"));
        assert!(message(&[1], None).contains("within a number"));
        assert_eq!(tensor("net", "w", vec![], Some(vec![3.0])).unwrap().values, [3.0]);
    }

    #[test]
    fn other_files_are_no_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        assert!(read(&path).unwrap_err().to_string().contains("notes.txt: cannot be read"));
        let kinds: [(&[u8], &str); 4] = [
            (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
            (b"\x08\x08\x12\x07pytorch", "needs no import"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (b"<!doctype html>", "web page"),
        ];
        for (bytes, words) in kinds {
            std::fs::write(&path, bytes).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("notes.txt: no file of weights: this is") && message.contains(words), "{message}");
        }
        for text in ["", "shopping list", "\x0a\x03net"] {
            std::fs::write(&path, text).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains("notes.txt: ") && message.contains("weights"), "{message}");
        }
    }
}
