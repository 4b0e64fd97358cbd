//! One ONNX node with its attributes read by type, and the errors that name it.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::error::{ImportError, Place};
use crate::budget::Exceeded;

/// A node and the file it stands in.
#[derive(Clone, Copy)]
pub(super) struct NodeView<'a> {
    file: &'a str,
    proto: &'a NodeProto,
}

impl<'a> NodeView<'a> {
    pub(super) fn new(file: &'a str, proto: &'a NodeProto) -> Self {
        Self { file, proto }
    }

    pub(super) fn operator(&self) -> &'a str {
        &self.proto.op_type
    }

    /// Whether the operator is ONNX's own, not one of a vendor's domain.
    pub(super) fn is_standard(&self) -> bool {
        matches!(self.proto.domain.as_str(), "" | "ai.onnx")
    }

    pub(super) fn name(&self) -> &'a str {
        match self.proto.name.as_str() {
            "" => self.proto.output.first().map_or("", String::as_str),
            name => name,
        }
    }

    pub(super) fn inputs(&self) -> &'a [String] {
        &self.proto.input
    }

    /// The name of an input; `None` for one that is left out or empty.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        self.proto.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub(super) fn outputs(&self) -> &'a [String] {
        &self.proto.output
    }

    fn attribute(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, ImportError> {
        let Some(attribute) = self.proto.attribute.iter().find(|attribute| attribute.name == name) else {
            return Ok(None);
        };
        // The first version of the format had no type field.
        if attribute.r#type != kind as i32 && attribute.r#type != AttributeType::Undefined as i32 {
            let found = AttributeType::try_from(attribute.r#type).map_or("unknown", |kind| kind.as_str_name());
            return Err(self.bad_attribute(name, format!("a value of type {found}"), kind.as_str_name()));
        }
        Ok(Some(attribute))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.proto.attribute.iter().any(|attribute| attribute.name == name)
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>, ImportError> {
        Ok(self.attribute(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    /// An attribute that is 0 or 1.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ImportError> {
        match self.int(name)? {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(self.bad_attribute(name, other, "0 or 1")),
        }
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>, ImportError> {
        Ok(self.attribute(name, AttributeType::Float)?.map(|attribute| attribute.f))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, ImportError> {
        Ok(self.attribute(name, AttributeType::Ints)?.map(|attribute| attribute.ints.as_slice()))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, ImportError> {
        Ok(self.attribute(name, AttributeType::Floats)?.map(|attribute| attribute.floats.as_slice()))
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<String>, ImportError> {
        let attribute = self.attribute(name, AttributeType::String)?;
        Ok(attribute.map(|attribute| String::from_utf8_lossy(&attribute.s).into_owned()))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a tract_onnx::pb::TensorProto>, ImportError> {
        Ok(self.attribute(name, AttributeType::Tensor)?.and_then(|attribute| attribute.t.as_ref()))
    }

    fn place(&self) -> Box<Place> {
        let operator = match self.is_standard() {
            true => self.proto.op_type.clone(),
            false => format!("{}:{}", self.proto.domain, self.proto.op_type),
        };
        Box::new(Place { file: self.file.to_owned(), node: self.name().to_owned(), operator })
    }

    pub(super) fn unknown_operator(&self) -> ImportError {
        ImportError::UnknownOperator { place: self.place() }
    }

    pub(super) fn quantised(&self) -> ImportError {
        ImportError::Quantised { place: self.place() }
    }

    pub(super) fn missing_input(&self, input: impl Into<String>) -> ImportError {
        ImportError::MissingInput { place: self.place(), input: input.into() }
    }

    pub(super) fn bad_attribute(
        &self,
        attribute: &str,
        value: impl ToString,
        supported: impl Into<String>,
    ) -> ImportError {
        ImportError::Attribute {
            place: self.place(),
            attribute: attribute.to_owned(),
            value: value.to_string(),
            supported: supported.into(),
        }
    }

    pub(super) fn exceeds(&self, what: impl Into<String>, exceeded: Exceeded) -> ImportError {
        ImportError::Budget { place: self.place().to_string(), what: what.into(), exceeded }
    }

    pub(super) fn unsupported(&self, what: impl Into<String>, way_out: impl Into<String>) -> ImportError {
        ImportError::Unsupported { place: self.place(), what: what.into(), way_out: way_out.into() }
    }

    pub(super) fn mismatch(&self, what: impl Into<String>) -> ImportError {
        ImportError::Mismatch { place: self.place(), what: what.into() }
    }
}
