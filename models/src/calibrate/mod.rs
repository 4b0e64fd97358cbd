//! Calibration: what values flow through a float network, measured on pictures.
//!
//! The float engine runs one picture at a time; of every value only a histogram, its range and the mean of each channel
//! stay, so memory does not grow with the pictures. The same pictures in the same order give the same numbers.

mod histogram;
mod method;

pub use histogram::{BINS, Histogram};
pub use method::Method;

use crate::graph::ValueId;

/// What is known of one value of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueStatistics {
    /// All its elements over all pictures.
    pub histogram: Histogram,
    /// The mean of each channel over all pixels and pictures.
    pub channel_mean: Vec<f32>,
}

/// What is known of all values of a graph, by [`ValueId`].
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    values: Vec<Option<ValueStatistics>>,
    samples: usize,
}

impl Calibration {
    /// How many pictures it is from.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// What is known of a value; `None` where no node makes it.
    #[must_use]
    pub fn get(&self, value: ValueId) -> Option<&ValueStatistics> {
        self.values.get(value.0)?.as_ref()
    }
}

/// Why a calibration failed.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// There was no picture.
    #[error("no pictures to calibrate on: give a folder with some; a hundred that look like those to come will do")]
    Empty,
    /// A value became infinite or not a number.
    #[error(
        "the float network's value '{value}' is infinite or not a number on picture {picture}: check the preprocessing \
         and the weights"
    )]
    NotFinite {
        /// Name of the value.
        value: String,
        /// Number of the picture, from 1.
        picture: usize,
    },
    /// The float engine cannot run the network.
    #[cfg(feature = "tract")]
    #[error(transparent)]
    Float(#[from] crate::float::FloatError),
}

#[cfg(feature = "tract")]
pub use run::{Calibrator, calibrate};

#[cfg(feature = "tract")]
mod run {
    use super::{Calibration, CalibrationError, Histogram, ValueStatistics};
    use crate::float::FloatEngine;
    use crate::graph::{Graph, ValueId};

    /// Takes pictures one by one.
    #[derive(Debug)]
    pub struct Calibrator {
        engine: FloatEngine,
        values: Vec<Running>,
        value_count: usize,
        samples: usize,
    }

    /// What is summed up of a value.
    #[derive(Debug)]
    struct Running {
        id: ValueId,
        name: String,
        pixels: u64,
        histogram: Histogram,
        channel_sums: Vec<f64>,
    }

    impl Calibrator {
        /// Prepares a graph, which must be the one that will be compiled.
        ///
        /// # Errors
        /// [`CalibrationError::Float`] where the float engine refuses the graph.
        pub fn new(graph: &Graph) -> Result<Self, CalibrationError> {
            let ids: Vec<ValueId> =
                std::iter::once(graph.input).chain(graph.nodes.iter().map(|node| node.output)).collect();
            let engine = FloatEngine::new(graph, &ids)?;
            let values = ids.into_iter().map(|id| Running {
                id,
                name: graph[id].name.clone(),
                pixels: graph.shape(id).pixels(),
                histogram: Histogram::new(),
                channel_sums: vec![0.0; graph.shape(id).channels as usize],
            });
            Ok(Self { engine, values: values.collect(), value_count: graph.values.len(), samples: 0 })
        }

        /// Runs one picture, the network's float input in NHWC.
        ///
        /// # Errors
        /// [`CalibrationError::Float`] for an input of the wrong size, [`CalibrationError::NotFinite`].
        pub fn add(&mut self, input: &[f32]) -> Result<(), CalibrationError> {
            let results = self.engine.run(input)?;
            self.samples += 1;
            for (value, elements) in self.values.iter_mut().zip(results) {
                if !value.histogram.add(&elements) {
                    return Err(CalibrationError::NotFinite { value: value.name.clone(), picture: self.samples });
                }
                for pixel in elements.chunks_exact(value.channel_sums.len().max(1)) {
                    for (sum, element) in value.channel_sums.iter_mut().zip(pixel) {
                        *sum += f64::from(*element);
                    }
                }
            }
            Ok(())
        }

        /// What the pictures showed.
        ///
        /// # Errors
        /// [`CalibrationError::Empty`] where there was no picture.
        pub fn finish(self) -> Result<Calibration, CalibrationError> {
            if self.samples == 0 {
                return Err(CalibrationError::Empty);
            }
            let mut values = vec![None; self.value_count];
            for value in self.values {
                let count = (value.pixels * self.samples as u64) as f64;
                let channel_mean = value.channel_sums.iter().map(|sum| (sum / count) as f32).collect();
                values[value.id.0] = Some(ValueStatistics { histogram: value.histogram, channel_mean });
            }
            Ok(Calibration { values, samples: self.samples })
        }
    }

    /// Calibrates on inputs as [`Calibrator::add`] takes them; `progress` hears after each how many are done.
    ///
    /// # Errors
    /// [`CalibrationError`].
    pub fn calibrate(
        graph: &Graph,
        inputs: impl IntoIterator<Item = Vec<f32>>,
        mut progress: impl FnMut(usize),
    ) -> Result<Calibration, CalibrationError> {
        let mut calibrator = Calibrator::new(graph)?;
        for (index, input) in inputs.into_iter().enumerate() {
            calibrator.add(&input)?;
            progress(index + 1);
        }
        calibrator.finish()
    }
}
