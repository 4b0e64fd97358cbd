//! PyTorch checkpoints: the zip archives of PyTorch 1.6 and later, and the stream of pickles before, in which most of
//! torchvision's weights are.

use std::io::{Cursor, Read};
use std::path::Path;

use pytorch_reader::{DType, MAX_PICKLE_SIZE, PickleValue, PytorchReader};

use super::error::WeightsError;
use super::pickle::{self, Refusal};
use super::{Element, Weights, tensor};

const KIND: &str = "PyTorch checkpoint";

/// How the stream of pickles starts: protocol 2, then the number 0x1950a86a20f9469cfc6c.
const STREAM_START: [u8; 14] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The pickles in front of the stream's data: the number, the version, the system, the object, the storages' keys.
const STREAM_PICKLES: usize = 5;

/// Under these keys training programs keep the state dict; this project's has it in `weights`.
const CONTAINERS: [&str; 4] = ["weights", "state_dict", "model_state_dict", "model"];

/// What networks trained on several devices have in front of each name.
const PARALLEL: &str = "module.";

/// Whether these are the first bytes of a zip archive, of the stream, or of a pickle alone.
pub(super) fn is_checkpoint(bytes: &[u8]) -> bool {
    is_zip(bytes) || matches!(bytes, [0x80, 2..=5, b'c' | b'}' | b']' | b'(' | 0x8a | 0x95, ..])
}

fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Reads the checkpoint in `path`, whose content is `bytes`.
pub(super) fn read(path: &Path, bytes: &[u8], file: &str) -> Result<Weights, WeightsError> {
    let damaged = |reason: String| WeightsError::Damaged { file: file.to_owned(), kind: KIND, reason };
    check_pickles(bytes, file)?;
    let root = PytorchReader::read_pickle_data(path, None).map_err(|error| damaged(error.to_string()))?;
    let root = match root {
        PickleValue::Dict(root) => root,
        _ => return Err(damaged("it holds no state dict".into())),
    };
    let container = CONTAINERS.into_iter().find(|key| matches!(root.get(*key), Some(PickleValue::Dict(_))));
    let reader = match container {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let reader = reader.map_err(|error| damaged(error.to_string()))?;
    let mut weights = Weights { file: file.to_owned(), ..Weights::default() };
    let parallel = reader.tensors().keys().all(|name| name.starts_with(PARALLEL));
    for (name, found) in reader.tensors() {
        let bad = |reason: String| WeightsError::Tensor { file: file.to_owned(), tensor: name.clone(), reason };
        let element = element(found.dtype()).ok_or_else(|| bad(format!("its type {:?} is unknown", found.dtype())))?;
        if found.num_elements() > super::MOST_ELEMENTS {
            return Err(bad(format!("its shape {:?} is too large", found.shape())));
        }
        let bytes = found.read().map_err(|error| bad(error.to_string()))?;
        let read = tensor(file, name, found.shape().to_vec(), element.widen(&bytes))?;
        let name = if parallel { &name[PARALLEL.len()..] } else { name };
        weights.tensors.insert(name.to_owned(), read);
    }
    if let Some(PickleValue::Dict(spec)) = root.get("spec") {
        if let Some(PickleValue::List(labels)) = spec.get("labels") {
            weights.labels = labels.iter().filter_map(text).map(str::to_owned).collect();
        }
        if let Some(PickleValue::Int(size)) = spec.get("size") {
            weights.size = u32::try_from(*size).ok();
        }
    }
    Ok(weights)
}

fn text(value: &PickleValue) -> Option<&str> {
    match value {
        PickleValue::String(text) => Some(text),
        _ => None,
    }
}

fn element(dtype: DType) -> Option<Element> {
    Some(match dtype {
        DType::F64 => Element::F64,
        DType::F32 => Element::F32,
        DType::F16 => Element::F16,
        DType::BF16 => Element::Bf16,
        DType::I64 => Element::I64,
        DType::I32 => Element::I32,
        DType::I16 => Element::I16,
        DType::I8 => Element::I8,
        DType::U8 | DType::Bool => Element::U8,
        DType::U16 | DType::U32 | DType::U64 => return None,
    })
}

/// Refuses a checkpoint any of whose pickles imports more than a state dict needs.
fn check_pickles(bytes: &[u8], file: &str) -> Result<(), WeightsError> {
    let check = |pickle: &[u8]| match pickle::check(pickle) {
        Ok(length) => Ok(length),
        Err(Refusal::Damaged) => Err(damaged(file, "its pickle ends in the middle")),
        Err(Refusal::Forbidden(name)) => Err(WeightsError::Pickle { file: file.to_owned(), name }),
    };
    if !is_zip(bytes) {
        let is_stream = bytes.starts_with(&STREAM_START);
        let mut rest = bytes;
        for _ in 0..if is_stream { STREAM_PICKLES } else { 1 } {
            rest = &rest[check(rest)?..];
        }
        return if is_stream { Ok(()) } else { Err(damaged(file, "it is a pickle without tensors")) };
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(file, error))?;
    let mut found = false;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| damaged(file, error))?;
        let is_pickle = entry.name().map_err(|error| damaged(file, error))?.ends_with(".pkl");
        if !is_pickle {
            continue;
        }
        let mut pickle = Vec::new();
        entry.take(MAX_PICKLE_SIZE).read_to_end(&mut pickle).map_err(|error| damaged(file, error))?;
        check(&pickle)?;
        found = true;
    }
    match found {
        true => Ok(()),
        false => Err(damaged(file, "the archive holds no data.pkl")),
    }
}

fn damaged(file: &str, reason: impl ToString) -> WeightsError {
    WeightsError::Damaged { file: file.to_owned(), kind: KIND, reason: reason.to_string() }
}
