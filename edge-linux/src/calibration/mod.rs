//! Calibration on a folder of pictures, and what it is worth.

mod run;
mod set;
mod verdict;

pub(crate) use run::calibrate;
pub(crate) use set::CalibrationSet;
pub(crate) use verdict::{Verdict, lost_layer};
