//! What an ONNX file says besides its graph: class names, preprocessing, where its weights are from.
//!
//! These are `metadata_props` under this project's keys; other programs pass over them. `labels` has one class a line,
//! `preprocessing` is a [`Preprocessing`] as text.

use std::path::Path;

use tract_onnx::pb::{ModelProto, StringStringEntryProto};

use super::error::ImportError;
use super::file::{decode, read};
use crate::preprocess::Preprocessing;

const LABELS: &str = "labels";
const PREPROCESSING: &str = "preprocessing";

/// What an ONNX file says besides its graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Class names in the order of the scores; empty where there are none.
    pub labels: Vec<String>,
    /// How pictures become the input.
    pub preprocessing: Option<Preprocessing>,
    /// The other entries: `source`, `source-sha256`, `licence` and what other programs wrote.
    pub others: Vec<(String, String)>,
}

impl Metadata {
    /// The metadata of the file at `path`.
    ///
    /// # Errors
    /// [`ImportError::Read`], [`ImportError::NotOnnx`], [`ImportError::OtherKind`], [`ImportError::Metadata`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ImportError> {
        let (file, bytes) = read(path.as_ref())?;
        let mut metadata = Self::default();
        for StringStringEntryProto { key, value } in decode(&bytes, &file)?.0.metadata_props {
            match key.as_str() {
                LABELS => metadata.labels = value.trim_end().lines().map(|line| line.trim().to_owned()).collect(),
                PREPROCESSING => {
                    let parsed =
                        value.parse().map_err(|reason| ImportError::Metadata { file: file.clone(), key, reason })?;
                    metadata.preprocessing = Some(parsed);
                }
                _ => metadata.others.push((key, value)),
            }
        }
        Ok(metadata)
    }

    /// Another entry's value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.others.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Writes it into a model.
    pub fn write(&self, model: &mut ModelProto) {
        let mut add = |key: &str, value: String| {
            model.metadata_props.push(StringStringEntryProto { key: key.to_owned(), value });
        };
        if !self.labels.is_empty() {
            add(LABELS, self.labels.join("\n"));
        }
        if let Some(preprocessing) = &self.preprocessing {
            add(PREPROCESSING, preprocessing.to_string());
        }
        self.others.iter().for_each(|(key, value)| add(key, value.clone()));
    }
}
