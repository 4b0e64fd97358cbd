//! PyTorch checkpoints: the zip archives of PyTorch 1.6 and later, and the stream of pickles before, in which most of
//! torchvision's weights are.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;

use pytorch_reader::{DType, MAX_PICKLE_SIZE, PickleValue, PytorchReader};

use super::error::WeightsError;
use super::pickle::{self, Refusal};
use super::{Element, Weights, charge, tensor};
use crate::budget::{Budget, Resource};
use crate::kind::{Kind, Wanted};

const KIND: &str = "PyTorch checkpoint";

/// How the stream of pickles starts: protocol 2, then the number 0x1950a86a20f9469cfc6c.
const STREAM_START: [u8; 14] = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The pickles in front of the stream's data: the number, the version, the system, the object, the storages' keys.
const STREAM_PICKLES: usize = 5;

/// Where this project's training has the state dict, beside a `spec`.
const OWN: &str = "weights";

/// Under these keys other training programs keep state dicts; some keep the averaged weights beside the last ones.
const CONTAINERS: [&str; 14] = [
    OWN,
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "params",
    "ema",
    "model_ema",
    "ema_state_dict",
    "state_dict_ema",
    "params_ema",
];

/// What an instruction of a pickle may leave in memory: an object on the reader's stack, and the same in its memo.
const INSTRUCTION: u64 = 256;

/// No network here has more tensors. Each may be a view of the whole file.
const MOST_TENSORS: usize = 4096;

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
pub(super) fn read(path: &Path, bytes: &[u8], file: &str, budget: &Budget) -> Result<Weights, WeightsError> {
    let damaged = |reason: String| WeightsError::Damaged { file: file.to_owned(), kind: KIND, reason };
    check_pickles(bytes, file, budget)?;
    let mut weights = Weights { file: file.to_owned(), ..Weights::default() };
    let root = PytorchReader::read_pickle_data(path, None).map_err(|error| damaged(error.to_string()))?;
    let root = match root {
        PickleValue::Dict(root) => root,
        _ => return Err(damaged("it holds no state dict".into())),
    };
    read_spec(&root, &mut weights);
    let container = container(&root, file)?;
    // The pickle is read once more for the tensors; what was made of it first makes room.
    drop(root);
    let reader = match container {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let reader = reader.map_err(|error| damaged(error.to_string()))?;
    if reader.tensors().len() > MOST_TENSORS {
        let found = reader.tensors().len();
        return Err(damaged(format!("it holds {found} tensors, and no network here has more than {MOST_TENSORS}")));
    }
    let parallel = reader.tensors().keys().all(|name| name.starts_with(PARALLEL));
    for (name, found) in reader.tensors() {
        let bad = |reason: String| WeightsError::Tensor { file: file.to_owned(), tensor: name.clone(), reason };
        let element = element(found.dtype()).ok_or_else(|| bad(format!("its type {:?} is unknown", found.dtype())))?;
        if found.num_elements() > super::MOST_ELEMENTS {
            return Err(bad(format!("its shape {:?} is too large", found.shape())));
        }
        charge(budget, file, name, found.shape())?;
        let bytes = found.read().map_err(|error| bad(error.to_string()))?;
        let read = tensor(file, name, found.shape().to_vec(), element.widen(&bytes))?;
        let name = if parallel { &name[PARALLEL.len()..] } else { name };
        weights.tensors.insert(name.to_owned(), read);
    }
    Ok(weights)
}

/// What this project's training says beside the weights.
fn read_spec(root: &HashMap<String, PickleValue>, weights: &mut Weights) {
    if let Some(PickleValue::Dict(spec)) = root.get("spec") {
        if let Some(PickleValue::List(labels)) = spec.get("labels") {
            weights.labels = labels.iter().filter_map(text).map(str::to_owned).collect();
        }
        if let Some(PickleValue::Int(size)) = spec.get("size") {
            weights.size = u32::try_from(*size).ok();
        }
    }
}

/// The key under which the state dict is; `None` where the file is one itself.
fn container(root: &HashMap<String, PickleValue>, file: &str) -> Result<Option<&'static str>, WeightsError> {
    if root.contains_key("spec") && matches!(root.get(OWN), Some(PickleValue::Dict(_))) {
        return Ok(Some(OWN));
    }
    let holds =
        |key: &&str| root.get(*key).is_some_and(|value| matches!(value, PickleValue::Dict(_)) && has_tensor(value));
    match CONTAINERS.into_iter().filter(holds).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        [key] => Ok(Some(key)),
        ref several => Err(WeightsError::Several {
            file: file.to_owned(),
            keys: several.iter().map(|key| (*key).to_owned()).collect(),
        }),
    }
}

/// Whether there is a tensor in it, at any depth.
fn has_tensor(value: &PickleValue) -> bool {
    match value {
        PickleValue::Unsupported(kind) => kind == "torch.Tensor",
        PickleValue::Dict(entries) => entries.values().any(has_tensor),
        _ => false,
    }
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
fn check_pickles(bytes: &[u8], file: &str, budget: &Budget) -> Result<(), WeightsError> {
    let take = |amount: u64| {
        let part = "its pickle".to_owned();
        let exceeds = |exceeded| WeightsError::Budget { file: file.to_owned(), part, exceeded };
        budget.take(Resource::Memory, amount).map_err(exceeds)
    };
    let check = |pickle: &[u8]| match pickle::check(pickle) {
        Ok(checked) => {
            take(INSTRUCTION.saturating_mul(checked.instructions as u64))?;
            Ok(checked.length)
        }
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
        let name = entry.name().map_err(|error| damaged(file, error))?.into_owned();
        if !name.ends_with(".pkl") {
            // Packed again, an entry can be far larger than the file, and each of its tensors would unpack it once more.
            if entry.compression() != zip::CompressionMethod::Stored && name.contains("data/") {
                let reason = format!("its entry '{name}' is compressed, and torch.save stores them as they are");
                return Err(damaged(file, reason));
            }
            continue;
        }
        take(entry.size().min(MAX_PICKLE_SIZE))?;
        let mut pickle = Vec::new();
        entry.take(MAX_PICKLE_SIZE).read_to_end(&mut pickle).map_err(|error| damaged(file, error))?;
        check(&pickle)?;
        found = true;
    }
    match found {
        true => Ok(()),
        false => Err(match Kind::of(bytes).and_then(|kind| kind.instead_of(Wanted::Weights)) {
            Some(what) => WeightsError::OtherKind { file: file.to_owned(), what },
            None => damaged(file, "the archive holds no data.pkl"),
        }),
    }
}

fn damaged(file: &str, reason: impl ToString) -> WeightsError {
    WeightsError::Damaged { file: file.to_owned(), kind: KIND, reason: reason.to_string() }
}
