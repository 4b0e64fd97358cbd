//! Float networks through tract, exactly as the .onnx file has them.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use tinception_models::compile::{Label, Labels};
use tinception_models::ending::Ending;
use tinception_models::float::FloatEngine;
use tinception_models::graph::Graph;
use tinception_models::preprocess::Preprocessing;
use tinception_models::{onnx, passes};

use super::{Engine, Network, Scores, StepHash, Worker};
use crate::files;
use crate::output::file_error;
use crate::preprocess::Preprocessor;

/// An .onnx file, ready to run.
#[derive(Debug)]
pub(crate) struct TractNetwork {
    engine: FloatEngine,
    preprocessor: Preprocessor,
    labels: Vec<Label>,
    ending: Ending,
    has_one_score: bool,
    file: String,
}

impl TractNetwork {
    /// Loads a file. Pictures become its input as `settings` say.
    pub(crate) fn open(path: &Path, settings: Preprocessing) -> Result<Self> {
        files::check(path)?;
        let engine = FloatEngine::from_onnx(path)?;
        let preprocessor = Preprocessor::new(settings, engine.input_shape(), path)?;
        let ending = engine.own_ending().ok_or_else(|| {
            let advice = "it gives a class's number instead of scores, as behind an ArgMax; let it end in the scores";
            file_error(path, advice)
        })?;
        check_ending(path)?;
        let has_one_score = engine.output_len() == Some(1);
        let mut labels: Vec<Label> = onnx::Metadata::read(path)?.labels.iter().map(|line| Label::parse(line)).collect();
        if has_one_score {
            labels = Labels::of_one_score(labels);
        }
        Ok(Self { engine, preprocessor, labels, ending, has_one_score, file: path.display().to_string() })
    }
}

impl Network for TractNetwork {
    fn engine(&self) -> Engine {
        Engine::Tract
    }

    fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    fn labels(&self) -> Vec<Label> {
        self.labels.clone()
    }

    fn has_one_score(&self) -> bool {
        self.has_one_score
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

/// Fails where the compiler can't tell what the network's output means. What it doesn't know, tract may run all the same.
fn check_ending(path: &Path) -> Result<()> {
    if let Ok(mut graph) = onnx::import(path)
        && passes::simplify(&mut graph).is_ok()
    {
        passes::end_in_probabilities(&mut graph).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

struct TractWorker<'a>(&'a TractNetwork);

impl Worker for TractWorker<'_> {
    fn classify(&mut self, pixels: &[u8]) -> Result<Scores> {
        let TractNetwork { engine, preprocessor, ending, file, .. } = self.0;
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
        Scores::of_float(values, *ending).map_err(|problem| anyhow!("{file}: {problem}"))
    }

    fn classify_hashed(&mut self, _: &[u8]) -> Result<(Scores, Vec<StepHash>)> {
        anyhow::bail!("{}: --hash-steps works with .tin files only; leave it out, or give a .tin file", self.0.file)
    }
}
