//! int8 networks through tinception-core.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use tinception_core::image::quantize_pixels;
use tinception_core::model::{Checksum, Model};
use tinception_core::session::{Hashes, Observer, Prepared, Session};
use tinception_models::compile::Label;
use tinception_models::ending::OwnOutput;
use tinception_models::preprocess::Preprocessing;

#[cfg(feature = "serve")]
use super::saturation::Saturation;
use super::{Classes, Engine, Network, Scores, StepHash, Worker};
use crate::output::file_error;
use crate::preprocess::Preprocessor;
use crate::threads::{self, Pool};
use crate::{backend, limits, tin};

/// Probabilities of a model are this many for 1.0.
const ONE: f64 = 65_535.0;

/// A verified `.tin` file that takes pictures.
#[derive(Debug)]
pub(crate) struct CoreNetwork {
    model: Model<'static>,
    prepared: Prepared<'static, 'static>,
    /// The threads on one picture, if there are several.
    pool: Option<&'static Pool>,
    table: &'static [i8],
    preprocessor: Preprocessor,
    /// How the classes go together.
    classes: Classes,
    /// What the float network's own output was.
    own: OwnOutput,
}

impl CoreNetwork {
    /// Loads and verifies a file. Its sessions share the work on a picture between `threads` threads, the caller's
    /// among them.
    pub(crate) fn open(path: &Path, checksum: Checksum, threads: usize) -> Result<Self> {
        let model = tin::load(path, checksum)?;
        let parts = (model.preprocess(), model.pixel_table(), model.input());
        let (Some(record), Some(table), Some(input)) = parts else {
            return Err(file_error(
                path,
                "the network does not take pictures; `tinception inspect` shows what it takes",
            ));
        };
        let preprocessor = Preprocessor::new(Preprocessing::from_record(record), input.shape, path)?;
        let backend = backend::chosen()?;
        limits::check(path, &model, backend, threads)?;
        let prepared = backend::prepare(&model, backend)?;
        let pool = Pool::of_this_thread(threads)?;
        let classes = if model.has_independent_classes() { Classes::Independent } else { Classes::Exclusive };
        let own = OwnOutput::of_provenance(model.provenance());
        Ok(Self { model, prepared, pool, table, preprocessor, classes, own })
    }

    /// The verified model.
    pub(crate) fn model(&self) -> &Model<'static> {
        &self.model
    }
}

impl Network for CoreNetwork {
    fn engine(&self) -> Engine {
        Engine::Core
    }

    fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    fn labels(&self) -> Vec<Label> {
        self.model.labels().map(Label::from).collect()
    }

    fn has_one_score(&self) -> bool {
        self.own.one_score
    }

    fn input_bytes(&self, pixels: &[u8]) -> Result<Vec<u8>> {
        let mut input = pixels.to_vec();
        quantize_pixels(&mut input, self.preprocessor.settings.order, self.table)?;
        Ok(input)
    }

    fn worker(&self) -> Box<dyn Worker + '_> {
        Box::new(CoreWorker { network: self, session: None, stop: None })
    }
}

struct CoreWorker<'a> {
    network: &'a CoreNetwork,
    /// Made for the first picture.
    session: Option<Session<'static, 'static>>,
    /// Ends a run, if there is one.
    stop: Option<&'static AtomicBool>,
}

impl CoreWorker<'_> {
    fn run(&mut self, pixels: &[u8], observer: &mut impl Observer) -> Result<Scores> {
        let CoreNetwork { model, prepared, pool, table, preprocessor, classes, own } = self.network;
        let session = match &mut self.session {
            Some(session) => session,
            empty => empty.insert(backend::session(model, prepared, *pool)?),
        };
        if let Some(stop) = self.stop {
            session.stop_at(stop);
        }
        let input: &mut [u8] = bytemuck::cast_slice_mut(session.input_mut());
        input.copy_from_slice(pixels);
        quantize_pixels(input, preprocessor.settings.order, table)?;
        threads::run(session, *pool, observer)?;
        let logits = session.logits().context("the network gave no scores")?;
        let quant = logits.tensor().quant;
        let real = |value: i32| f64::from(quant.scale) * (f64::from(value) - f64::from(quant.zero_point));
        let logits = logits.iter().map(real).collect();
        let probabilities = session.probabilities().map(|all| all.iter().map(|value| f64::from(value) / ONE).collect());
        Ok(Scores::of_int8(logits, probabilities, *classes, *own))
    }
}

impl Worker for CoreWorker<'_> {
    fn classify(&mut self, pixels: &[u8]) -> Result<Scores> {
        self.run(pixels, &mut ())
    }

    #[cfg(feature = "camera")]
    fn stop_at(&mut self, stop: &'static AtomicBool) {
        self.stop = Some(stop);
    }

    #[cfg(feature = "serve")]
    fn classify_watched(&mut self, pixels: &[u8]) -> Result<(Scores, Option<f64>)> {
        let mut saturation = Saturation::default();
        let scores = self.run(pixels, &mut saturation)?;
        Ok((scores, Some(saturation.share())))
    }

    fn classify_hashed(&mut self, pixels: &[u8]) -> Result<(Scores, Vec<StepHash>)> {
        let mut hashes = Vec::new();
        let scores = self.run(
            pixels,
            &mut Hashes::new(|_, step, crc32| {
                hashes.push(StepHash { name: step.name().to_owned(), crc32 });
                ControlFlow::Continue(())
            }),
        )?;
        Ok((scores, hashes))
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use rand::{RngCore, SeedableRng};
    use tinception_core::format::tensor::DataType;
    use tinception_core::session::Whole;
    use tinception_models::artefacts;

    use super::*;

    /// On all models on board and noise, against all outputs as a whole; and the scores are those of every other run.
    #[test]
    fn saturation_counts_every_output() {
        for model in artefacts::MODELS {
            let network = CoreNetwork::open(Path::new(model.name), Checksum::Verify, 1).unwrap();
            let size = network.preprocessor.size;
            let channels = network.preprocessor.settings.order.channels().count();
            let mut pixels = vec![0; size.width as usize * size.height as usize * channels];
            rand::rngs::SmallRng::seed_from_u64(7).fill_bytes(&mut pixels);
            // Black and white alone: noise of all shades may saturate nothing.
            pixels.iter_mut().for_each(|pixel| *pixel = if *pixel < 128 { 0 } else { 255 });
            let mut worker = CoreWorker { network: &network, session: None, stop: None };
            let (mut saturated, mut elements) = (0, 0);
            let mut count = Whole::new(|_, _, output| {
                if output.tensor().data_type == DataType::Int8 {
                    let zero = i32::from(output.tensor().quant.zero_point);
                    saturated += output.iter().filter(|value| [-128, 127].contains(value) && *value != zero).count();
                    elements += output.iter().count();
                }
                ControlFlow::Continue(())
            });
            let scores = worker.run(&pixels, &mut count).unwrap();
            let (watched, share) = worker.classify_watched(&pixels).unwrap();
            assert_eq!(watched, scores, "{}", model.name);
            let expected = saturated as f64 / elements as f64;
            assert!(share.is_some_and(|share| (share - expected).abs() < 1e-12), "{share:?}, not {expected}");
            assert!(saturated > 0, "{}: noise saturates something", model.name);
        }
    }
}
