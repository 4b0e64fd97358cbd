//! Small ONNX files, message by message.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// A tensor that takes or gives floats of these sizes.
pub(crate) fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension { value: Some(dimension::Value::DimValue(size)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// A float constant.
pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let data_type = DataType::Float as i32;
    TensorProto { name: name.into(), dims: dims.to_vec(), data_type, raw_data, ..TensorProto::default() }
}

/// A vector of whole numbers.
pub(crate) fn ints(name: &str, values: &[i64]) -> TensorProto {
    let data_type = DataType::Int64 as i32;
    let dims = vec![values.len() as i64];
    TensorProto { name: name.into(), dims, data_type, int64_data: values.to_vec(), ..TensorProto::default() }
}

/// A node that makes `output`, and is named after it.
pub(crate) fn node(operator: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        name: output.into(),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    }
}

/// Whole numbers as an attribute.
pub(crate) fn list(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type, ints: ints.to_vec(), ..AttributeProto::default() }
}

/// A number as an attribute.
pub(crate) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

/// A model that takes the picture `x` of these sizes and gives `y`.
pub(crate) fn model(picture: &[i64], node: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    let output = vec![ValueInfoProto { name: "y".into(), ..value("y", &[1, 2]) }];
    let graph = GraphProto { node, initializer, input: vec![value("x", picture)], output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { version: 13, ..OperatorSetIdProto::default() }];
    ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..ModelProto::default() }
}

/// The bytes of a file.
pub(crate) fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}
