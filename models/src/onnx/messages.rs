//! ONNX's messages, as far as counting what they cost needs them: sizes, and which fields are messages
//! (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3>).

use tract_onnx::pb;

use crate::protobuf::Message;

/// An ONNX file.
pub(super) static MODEL: Message = Message {
    size: 0,
    messages: &[(7, &GRAPH), (8, &OPERATOR_SET), (14, &ENTRY), (20, &TRAINING), (25, &FUNCTION)],
    packed: &[],
};

static GRAPH: Message = Message {
    size: size_of::<pb::GraphProto>(),
    messages: &[
        (1, &NODE),
        (5, &TENSOR),
        (11, &VALUE_INFO),
        (12, &VALUE_INFO),
        (13, &VALUE_INFO),
        (14, &ANNOTATION),
        (15, &SPARSE_TENSOR),
    ],
    packed: &[],
};

static NODE: Message = Message { size: size_of::<pb::NodeProto>(), messages: &[(5, &ATTRIBUTE)], packed: &[] };

static ATTRIBUTE: Message = Message {
    size: size_of::<pb::AttributeProto>(),
    messages: &[
        (5, &TENSOR),
        (6, &GRAPH),
        (10, &TENSOR),
        (11, &GRAPH),
        (15, &TYPE),
        (22, &SPARSE_TENSOR),
        (23, &SPARSE_TENSOR),
    ],
    packed: &[8],
};

static TENSOR: Message =
    Message { size: size_of::<pb::TensorProto>(), messages: &[(3, &SEGMENT), (13, &ENTRY)], packed: &[1, 5, 7, 11] };

static SPARSE_TENSOR: Message =
    Message { size: size_of::<pb::SparseTensorProto>(), messages: &[(1, &TENSOR), (2, &TENSOR)], packed: &[3] };

static VALUE_INFO: Message = Message { size: size_of::<pb::ValueInfoProto>(), messages: &[(2, &TYPE)], packed: &[] };

static TYPE: Message = Message { size: size_of::<pb::TypeProto>(), messages: &[(1, &TENSOR_TYPE)], packed: &[] };

static TENSOR_TYPE: Message =
    Message { size: size_of::<pb::type_proto::Tensor>(), messages: &[(2, &SHAPE)], packed: &[] };

static SHAPE: Message = Message { size: size_of::<pb::TensorShapeProto>(), messages: &[(1, &DIMENSION)], packed: &[] };

static DIMENSION: Message =
    Message { size: size_of::<pb::tensor_shape_proto::Dimension>(), messages: &[], packed: &[] };

static ANNOTATION: Message = Message { size: size_of::<pb::TensorAnnotation>(), messages: &[(2, &ENTRY)], packed: &[] };

static TRAINING: Message = Message {
    size: size_of::<pb::TrainingInfoProto>(),
    messages: &[(1, &GRAPH), (2, &GRAPH), (3, &ENTRY), (4, &ENTRY)],
    packed: &[],
};

static FUNCTION: Message =
    Message { size: size_of::<pb::FunctionProto>(), messages: &[(7, &NODE), (9, &OPERATOR_SET)], packed: &[] };

static ENTRY: Message = Message { size: size_of::<pb::StringStringEntryProto>(), messages: &[], packed: &[] };

static OPERATOR_SET: Message = Message { size: size_of::<pb::OperatorSetIdProto>(), messages: &[], packed: &[] };

static SEGMENT: Message = Message { size: size_of::<pb::tensor_proto::Segment>(), messages: &[], packed: &[] };
