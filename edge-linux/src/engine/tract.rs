//! Float networks through tract, exactly as the .onnx file has them.

use std::path::Path;

use anyhow::{Context, Result};
use tinception_models::float::FloatEngine;
use tinception_models::graph::Graph;
use tinception_models::preprocess::Preprocessing;
use tinception_models::{onnx, passes};

use super::{Engine, Network, Scores, StepHash, Worker};
use crate::files;
use crate::preprocess::Preprocessor;

/// An .onnx file, ready to run.
#[derive(Debug)]
pub(crate) struct TractNetwork {
    engine: FloatEngine,
    preprocessor: Preprocessor,
    labels: Vec<String>,
    file: String,
}

impl TractNetwork {
    /// Loads a file. Pictures become its input as `settings` say.
    pub(crate) fn open(path: &Path, settings: Preprocessing) -> Result<Self> {
        files::check(path)?;
        let engine = FloatEngine::from_onnx(path)?;
        let preprocessor = Preprocessor::new(settings, engine.input_shape(), path)?;
        let labels = onnx::Metadata::read(path)?.labels;
        Ok(Self { engine, preprocessor, labels, file: path.display().to_string() })
    }
}

impl Network for TractNetwork {
    fn engine(&self) -> Engine {
        Engine::Tract
    }

    fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    fn labels(&self) -> Vec<&str> {
        self.labels.iter().map(String::as_str).collect()
    }

    fn input_bytes(&self, pixels: &[u8]) -> Result<Vec<u8>> {
        let input = self.preprocessor.settings.to_float(pixels);
        Ok(input.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(TractWorker(self))
    }
}

/// The network in `path` as the compiler wants it.
pub(crate) fn graph(path: &Path) -> Result<Graph> {
    files::check(path)?;
    let mut graph = onnx::import(path)?;
    passes::optimise(&mut graph).with_context(|| path.display().to_string())?;
    Ok(graph)
}

struct TractWorker<'a>(&'a TractNetwork);

impl Worker for TractWorker<'_> {
    fn classify(&mut self, pixels: &[u8]) -> Result<Scores> {
        let TractNetwork { engine, preprocessor, file, .. } = self.0;
        let outputs = engine.run(&preprocessor.settings.to_float(pixels))?;
        let values: Vec<f64> = outputs
            .first()
            .with_context(|| format!("{file}: the network gave no scores"))?
            .iter()
            .map(|value| f64::from(*value))
            .collect();
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            anyhow::bail!(
                "{file}: the network's scores are not finite numbers; check its weights and the preprocessing"
            );
        }
        Ok(if is_distribution(&values) {
            Scores { probabilities: values, logits: None }
        } else {
            Scores::from_logits(values)
        })
    }

    fn classify_hashed(&mut self, _: &[u8]) -> Result<(Scores, Vec<StepHash>)> {
        anyhow::bail!("{}: --hash-steps hashes the steps of .tin files; leave it out", self.0.file)
    }
}

/// Whether the output is that of a softmax already: no negative value, and a sum of 1.
fn is_distribution(values: &[f64]) -> bool {
    let sum: f64 = values.iter().sum();
    values.iter().all(|value| *value >= 0.0) && (sum - 1.0).abs() < 1e-3
}

#[cfg(test)]
mod tests {
    use super::is_distribution;

    #[test]
    fn logits_are_told_from_probabilities() {
        assert!(is_distribution(&[0.25, 0.75]));
        assert!(!is_distribution(&[-0.25, 1.25]));
        assert!(!is_distribution(&[0.25, 0.5]));
        assert!(!is_distribution(&[3.0, 1.0]));
    }
}
