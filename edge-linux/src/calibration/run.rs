//! The float network's run over a calibration set.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tinception_models::calibrate::{Calibration, Calibrator};
use tinception_models::compile::Options;
use tinception_models::equalise::{self, Factors};
use tinception_models::graph::Graph;

use super::CalibrationSet;
use crate::engine::Scores;
use crate::output::progress;
use crate::preprocess::Preprocessor;

/// A network, ready to be compiled.
pub(crate) struct Calibrated {
    /// The network, its channels equalised where int8 would lose a layer otherwise.
    pub(crate) graph: Graph,
    /// What was equalised.
    pub(crate) factors: Vec<Factors>,
    /// What all pictures showed.
    pub(crate) all: Calibration,
    /// What those showed that don't judge; `None` where none could be held out.
    pub(crate) others: Option<Calibration>,
    /// The pictures that judge: those held out, or all.
    pub(crate) judges: Vec<PathBuf>,
}

/// Runs the network in `model` on a set's pictures, and equalises it where that is worth it. Pictures that can't be read
/// are passed over, and noted in the set.
pub(crate) fn calibrate(
    model: &Path,
    graph: &Graph,
    preprocessor: &Preprocessor,
    set: &mut CalibrationSet,
    options: &Options,
    quiet: bool,
) -> Result<Calibrated> {
    let in_file = || model.display().to_string();
    let plain = run(model, graph.clone(), preprocessor, set, quiet)?;
    let estimates = |of: &Calibrated| equalise::estimates(&of.graph, &of.all, options).with_context(in_file);
    let before = estimates(&plain)?;
    let factors = equalise::factors(graph, &plain.all, &before);
    if factors.is_empty() {
        return Ok(plain);
    }
    let mut equal = graph.clone();
    equalise::apply(&mut equal, &factors);
    // The ranges of its layers are others now; what is to be said of the pictures has been noted already.
    let equal = run(model, equal, preprocessor, &mut set.unread(), quiet)?;
    if equalise::is_better(&before, &estimates(&equal)?) { Ok(Calibrated { factors, ..equal }) } else { Ok(plain) }
}

fn run(
    model: &Path,
    graph: Graph,
    preprocessor: &Preprocessor,
    set: &mut CalibrationSet,
    quiet: bool,
) -> Result<Calibrated> {
    let in_file = || model.display().to_string();
    let mut calibrator = Calibrator::new(&graph).with_context(in_file)?;
    let (mut held_out, mut kept) = (Vec::new(), Vec::new());
    let pictures = set.pictures();
    let bar = progress(pictures.len(), "calibrating", quiet);
    for (picture, judges) in pictures {
        bar.inc(1);
        let pixels = match preprocessor.read(&picture) {
            Ok(pixels) => pixels,
            Err(error) => {
                set.pass_over(&error);
                continue;
            }
        };
        let input = preprocessor.settings.to_float(&pixels);
        let scores = if judges { calibrator.add_held_out(&input) } else { calibrator.add(&input) };
        set.look(&pixels, preprocessor.size, best_class(&scores.with_context(in_file)?));
        if judges { &mut held_out } else { &mut kept }.push(picture);
    }
    bar.finish_and_clear();
    set.check()?;
    let (all, others) = calibrator.finish().with_context(in_file)?;
    let judges = if others.is_some() { held_out } else { kept.into_iter().chain(held_out).collect() };
    Ok(Calibrated { graph, factors: Vec::new(), all, others, judges })
}

/// The class with the largest score.
fn best_class(scores: &[f32]) -> usize {
    Scores::exclusive(scores.iter().copied().map(f64::from).collect()).best()
}
