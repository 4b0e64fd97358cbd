//! The parts of Caffe's `caffe.proto` that hold trained weights; other fields are passed over.

use prost::Message;

use crate::protobuf;

/// `NetParameter`: a `.caffemodel` file.
#[derive(Clone, PartialEq, Message)]
pub struct Net {
    /// The network's name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Layers as they were before 2014-10.
    #[prost(message, repeated, tag = "2")]
    pub layers: Vec<V1Layer>,
    /// Layers as they are since.
    #[prost(message, repeated, tag = "100")]
    pub layer: Vec<Layer>,
}

/// `LayerParameter`.
#[derive(Clone, PartialEq, Message)]
pub struct Layer {
    /// The layer's name.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its kind, such as `Convolution`.
    #[prost(string, optional, tag = "2")]
    pub kind: Option<String>,
    /// Weights, then biases.
    #[prost(message, repeated, tag = "7")]
    pub blobs: Vec<Blob>,
}

/// `V1LayerParameter`.
#[derive(Clone, PartialEq, Message)]
pub struct V1Layer {
    /// The layer's name.
    #[prost(string, optional, tag = "4")]
    pub name: Option<String>,
    /// Its kind, a number: 4 is a convolution, 14 a dense layer.
    #[prost(int32, optional, tag = "5")]
    pub kind: Option<i32>,
    /// Weights, then biases.
    #[prost(message, repeated, tag = "6")]
    pub blobs: Vec<Blob>,
}

/// `BlobProto`: a tensor.
#[derive(Clone, PartialEq, Message)]
pub struct Blob {
    /// Outermost size of a tensor of four, where there is no `shape`.
    #[prost(int32, optional, tag = "1")]
    pub num: Option<i32>,
    /// The second size.
    #[prost(int32, optional, tag = "2")]
    pub channels: Option<i32>,
    /// The third size.
    #[prost(int32, optional, tag = "3")]
    pub height: Option<i32>,
    /// The innermost size.
    #[prost(int32, optional, tag = "4")]
    pub width: Option<i32>,
    /// Values of the tensor.
    #[prost(float, repeated, tag = "5")]
    pub data: Vec<f32>,
    /// Size of the tensor in each dimension.
    #[prost(message, optional, tag = "7")]
    pub shape: Option<BlobShape>,
    /// Elements of a network trained in double precision.
    #[prost(double, repeated, tag = "8")]
    pub double_data: Vec<f64>,
}

/// `BlobShape`.
#[derive(Clone, PartialEq, Message)]
pub struct BlobShape {
    /// Sizes, outermost first.
    #[prost(int64, repeated, tag = "1")]
    pub dim: Vec<i64>,
}

/// Which fields above are messages, and what they take in memory.
pub(super) static NET: protobuf::Message =
    protobuf::Message { size: 0, messages: &[(2, &V1_LAYER), (100, &LAYER)], packed: &[] };

static V1_LAYER: protobuf::Message =
    protobuf::Message { size: size_of::<V1Layer>(), messages: &[(6, &BLOB)], packed: &[] };

static LAYER: protobuf::Message = protobuf::Message { size: size_of::<Layer>(), messages: &[(7, &BLOB)], packed: &[] };

static BLOB: protobuf::Message = protobuf::Message { size: size_of::<Blob>(), messages: &[(7, &SHAPE)], packed: &[] };

static SHAPE: protobuf::Message = protobuf::Message { size: size_of::<BlobShape>(), messages: &[], packed: &[1] };
