//! The compiler of tinception: it turns a float network into a `.tin` file for `tinception-core`.
//!
//! [`graph`] is the network between all steps. [`onnx`] makes one from an ONNX file, [`nets`] from a file of named
//! [`weights`], [`passes`] bring it into the form
//! the quantiser wants, [`float`] runs it as it was trained. [`calibrate`] watches it on pictures, [`preprocess`] says
//! how those come in. [`compile`] does the rest: [`quantize`] finds integers, [`program`] puts them into steps,
//! [`fuse`] links those that run together, [`plan`] gives every tensor its place in memory, [`emit`] writes the file.
//! [`compare`] shows what int8 cost, layer by layer. ONNX, the float engine and what runs it need the feature `tract`; files
//! of weights need `weights`, which is part of it; [`zoo`] needs the feature of its name. [`artefacts`] are the trained models
//! that come with all this. [`kind`] names files of other kinds in errors.

pub mod aligned;
pub mod artefacts;
#[cfg(feature = "weights")]
pub mod budget;
pub mod calibrate;
#[cfg(feature = "tract")]
pub mod compare;
pub mod compile;
pub mod emit;
pub mod ending;
pub mod equalise;
#[cfg(feature = "weights")]
mod file;
#[cfg(feature = "tract")]
pub mod float;
pub mod fuse;
pub mod graph;
pub mod kind;
pub mod names;
#[cfg(feature = "weights")]
pub mod nets;
#[cfg(feature = "tract")]
pub mod onnx;
pub mod passes;
pub mod plan;
pub mod preprocess;
pub mod program;
#[cfg(feature = "weights")]
mod protobuf;
pub mod quantize;
#[cfg(feature = "weights")]
pub mod weights;
pub mod winograd;
#[cfg(feature = "zoo")]
pub mod zoo;
