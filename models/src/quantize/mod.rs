//! Quantisation: scales and zero points of activations, int8 weights, integer rules and tables.
//!
//! Activations are affine per tensor, and zero is always representable. Weights are symmetric per output channel
//! (Jacob et al. 2018, section 2; Krishnamoorthi 2018, section 2). What must share a scale is found first
//! ([`sharing`]); then each group's range is chosen from the calibration.

mod activations;
mod rules;
mod sharing;
pub mod tables;
mod weights;

pub use activations::{activation_range, activations};
pub use rules::{common_shift, parameters, quantize, requantize};
pub use sharing::sharing;
pub use weights::{QuantizedConv, Source, WeightError};
