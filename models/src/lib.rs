//! The compiler of tinception: it turns a float network into a `.tin` file for `tinception-core`.
//!
//! [`graph`] is the network between all steps. [`onnx`] makes one from an ONNX file, [`passes`] bring it into the form
//! the quantiser wants, [`float`] runs it as it was trained. ONNX and the float engine need the feature `tract`.

#[cfg(feature = "tract")]
pub mod float;
pub mod graph;
#[cfg(feature = "tract")]
pub mod onnx;
pub mod passes;
