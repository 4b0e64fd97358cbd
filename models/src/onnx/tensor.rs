//! Constants: initializers and the data of `Constant` nodes, their sizes checked before anything is allocated.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::f16;

use super::error::ImportError;
use super::external;
use crate::budget::Budget;

/// A constant tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Constant {
    /// Sizes; empty for a scalar.
    pub(super) dims: Vec<usize>,
    /// As many elements as the product of `dims`.
    pub(super) data: Data,
}

/// A constant's elements; narrower types are widened when they are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// Weights and factors.
    Float(Vec<f32>),
    /// Shapes, axes and indices.
    Int(Vec<i64>),
}

impl Constant {
    pub(super) fn ints(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], data: Data::Int(values) }
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Float(values) => values.len(),
            Data::Int(values) => values.len(),
        }
    }

    pub(super) fn as_floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::Float(values) => Some(values),
            Data::Int(_) => None,
        }
    }

    pub(super) fn as_ints(&self) -> Option<&[i64]> {
        match &self.data {
            Data::Float(_) => None,
            Data::Int(values) => Some(values),
        }
    }
}

/// The elements of a tensor of these sizes; `None` where they are negative, too many to exist, or have too many axes. A
/// tensor without elements is one too, but its other sizes must not be too many either.
pub(super) fn element_count(dims: &[i64]) -> Option<usize> {
    let sizes: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let sizes = sizes.filter(|sizes| sizes.len() <= MOST_AXES && room(sizes) <= super::MOST_ELEMENTS)?;
    Some(sizes.iter().product())
}

/// The elements that a tensor of these sizes would have if none of them were zero, so that no product of them overflows.
pub(super) fn room(dims: &[usize]) -> usize {
    dims.iter().fold(1, |count: usize, &dim| count.saturating_mul(dim.max(1)))
}

/// Twice as many axes as any picture has.
pub(super) const MOST_AXES: usize = 8;

/// Reads a tensor: float, float16, double, int32, int64, uint8, int8 or bool, from its typed field or its raw bytes.
///
/// # Errors
/// [`ImportError::ExternalData`], [`ImportError::Budget`], and [`ImportError::Tensor`] for another type or a wrong amount
/// of data.
pub(super) fn read(file: &str, name: &str, proto: &TensorProto, budget: &Budget) -> Result<Constant, ImportError> {
    let bad = |reason: String| ImportError::Tensor { file: file.to_owned(), tensor: name.to_owned(), reason };
    if external::is_external(proto) {
        return Err(ImportError::ExternalData {
            file: file.to_owned(),
            tensor: name.to_owned(),
            what: "its data lies in another file, and this model was not read from a folder; save it with its weights \
                   inside (onnx.save with save_as_external_data=False)"
                .into(),
        });
    }
    let count = element_count(&proto.dims)
        .ok_or_else(|| bad(format!("its dimensions {:?} are impossible or too large", proto.dims)))?;
    let dims = proto.dims.iter().filter_map(|&dim| usize::try_from(dim).ok()).collect();
    let kind = DataType::try_from(proto.data_type).unwrap_or(DataType::Undefined);
    let raw = proto.raw_data.as_slice();
    let is_raw = !raw.is_empty();
    let charged = match kind {
        DataType::Float | DataType::Double | DataType::Float16 => budget.take_elements::<f32>(count),
        _ => budget.take_elements::<i64>(count),
    };
    charged.map_err(|exceeded| ImportError::Budget {
        place: file.to_owned(),
        what: format!("tensor '{name}'"),
        exceeded,
    })?;

    let floats = match kind {
        DataType::Float if is_raw => Some(elements(raw, |bytes| f32::from_le_bytes(*bytes))),
        DataType::Float => Some(Some(proto.float_data.clone())),
        DataType::Double if is_raw => Some(elements(raw, |bytes| f64::from_le_bytes(*bytes) as f32)),
        DataType::Double => Some(Some(proto.double_data.iter().map(|&value| value as f32).collect())),
        DataType::Float16 if is_raw => Some(elements(raw, |bytes| f16::from_le_bytes(*bytes).to_f32())),
        // The specification keeps a half float's bits in the low half of an int32.
        DataType::Float16 => {
            Some(Some(proto.int32_data.iter().map(|&bits| f16::from_bits(bits as u16).to_f32()).collect()))
        }
        _ => None,
    };
    let data = match floats {
        Some(values) => values.map(Data::Float),
        None => {
            let narrow = || proto.int32_data.iter().map(|&value| i64::from(value)).collect();
            let values = match kind {
                DataType::Int64 if is_raw => elements(raw, |bytes| i64::from_le_bytes(*bytes)),
                DataType::Int64 => Some(proto.int64_data.clone()),
                DataType::Int32 if is_raw => elements(raw, |bytes| i64::from(i32::from_le_bytes(*bytes))),
                DataType::Int8 if is_raw => elements(raw, |bytes| i64::from(i8::from_le_bytes(*bytes))),
                DataType::Uint8 | DataType::Bool if is_raw => elements(raw, |&[byte]| i64::from(byte)),
                DataType::Int32 | DataType::Int8 | DataType::Uint8 | DataType::Bool => Some(narrow()),
                other => return Err(bad(format!("its type {} is not supported", other.as_str_name()))),
            };
            values.map(Data::Int)
        }
    };
    let constant = data.map(|data| Constant { dims, data });
    constant.filter(|constant| constant.len() == count).ok_or_else(|| {
        bad(format!("its data does not fill its dimensions {:?} ({count} elements) exactly", proto.dims))
    })
}

/// Little-endian bytes as numbers; `None` where a number is cut off.
fn elements<const N: usize, T>(raw: &[u8], convert: impl Fn(&[u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = raw.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(convert).collect())
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::tensor_proto::DataLocation;

    use super::*;

    fn budget() -> Budget {
        Budget::for_file(1000)
    }

    fn proto(kind: DataType, dims: &[i64]) -> TensorProto {
        TensorProto { data_type: kind as i32, dims: dims.to_vec(), ..TensorProto::default() }
    }

    fn message(proto: &TensorProto) -> String {
        read("net.onnx", "w", proto, &budget()).expect_err("the tensor is broken").to_string()
    }

    #[test]
    fn typed_and_raw_data_read_the_same() {
        let values = vec![1.5_f32, -2.0, 0.25];
        let typed = TensorProto { float_data: values.clone(), ..proto(DataType::Float, &[3]) };
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let raw = TensorProto { raw_data, ..proto(DataType::Float, &[3]) };
        let expected = Constant { dims: vec![3], data: Data::Float(values) };
        assert_eq!(read("net.onnx", "w", &typed, &budget()).unwrap(), expected);
        assert_eq!(read("net.onnx", "w", &raw, &budget()).unwrap(), expected);
    }

    #[test]
    fn half_floats_and_small_integers_are_widened() {
        // IEEE 754 half: 0x3c00 is 1, 0xc100 is -2.5.
        let half = TensorProto { int32_data: vec![0x3c00, 0xc100], ..proto(DataType::Float16, &[2]) };
        assert_eq!(read("net.onnx", "w", &half, &budget()).unwrap().as_floats(), Some([1.0, -2.5].as_slice()));
        let bytes = TensorProto { raw_data: vec![0xff, 2], ..proto(DataType::Int8, &[2]) };
        assert_eq!(read("net.onnx", "w", &bytes, &budget()).unwrap().as_ints(), Some([-1, 2].as_slice()));
    }

    #[test]
    fn wrong_amounts_of_data_are_named() {
        let short = TensorProto { float_data: vec![0.0; 3], ..proto(DataType::Float, &[2, 2]) };
        assert!(message(&short).contains("net.onnx: tensor 'w'"));
        assert!(message(&short).contains("4 elements"));
        let cut = TensorProto { raw_data: vec![0; 7], ..proto(DataType::Float, &[2]) };
        assert!(message(&cut).contains("2 elements"));
        assert!(message(&proto(DataType::Float, &[-1])).contains("impossible"));
        assert!(message(&proto(DataType::Float, &[i64::MAX, i64::MAX])).contains("too large"));
        assert!(message(&proto(DataType::String, &[1])).contains("STRING"));
    }

    #[test]
    fn external_data_is_refused() {
        let external =
            TensorProto { data_location: Some(DataLocation::External as i32), ..proto(DataType::Float, &[1]) };
        assert!(message(&external).contains("another file"));
    }
}
