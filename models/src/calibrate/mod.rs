//! Calibration: what values flow through a float network, measured on pictures.
//!
//! The float engine runs one picture at a time; of every value only a histogram, its range and a few numbers for each
//! channel stay, so memory does not grow with the pictures. The same pictures in the same order give the same numbers.
//!
//! Pictures can be held out: one run then gives the calibration on all of them and the one on the others, which the held-out
//! pictures can judge.

mod histogram;
mod method;
#[cfg(feature = "tract")]
mod run;

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
    /// The mean square of each channel, likewise.
    pub channel_mean_square: Vec<f32>,
    /// The largest magnitude of each channel.
    pub channel_largest: Vec<f32>,
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
