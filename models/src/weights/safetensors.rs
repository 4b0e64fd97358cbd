//! safetensors: a JSON header, then the tensors' bytes (<https://github.com/huggingface/safetensors>).

use safetensors::{Dtype, SafeTensors};

use super::error::WeightsError;
use super::{Element, Weights, charge, tensor};
use crate::budget::Budget;

/// Whether these are the first bytes of such a file: the header's length, then its brace.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
    length.is_some_and(|length| length < 1 << 32) && bytes.get(8) == Some(&b'{')
}

/// Reads a file's content.
pub(super) fn read(bytes: &[u8], file: &str, budget: &Budget) -> Result<Weights, WeightsError> {
    let found = SafeTensors::deserialize(bytes).map_err(|error| WeightsError::Damaged {
        file: file.to_owned(),
        kind: "safetensors file",
        reason: error.to_string(),
    })?;
    let mut weights = Weights { file: file.to_owned(), ..Weights::default() };
    for (name, view) in found.iter() {
        let element = element(view.dtype()).ok_or_else(|| WeightsError::Tensor {
            file: file.to_owned(),
            tensor: name.to_owned(),
            reason: format!("its type {:?} is unknown", view.dtype()),
        })?;
        charge(budget, file, name, view.shape())?;
        let read = tensor(file, name, view.shape().to_vec(), element.widen(view.data()))?;
        weights.tensors.insert(name.to_owned(), read);
    }
    Ok(weights)
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U8 | Dtype::BOOL => Element::U8,
        _ => return None,
    })
}
