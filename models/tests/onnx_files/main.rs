//! ONNX files as they come from elsewhere: in several parts, and made to cost more than they weigh.
#![cfg(feature = "tract")]

mod build;
mod cost;
mod external;
