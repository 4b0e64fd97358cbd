//! tinception's runtime: int8 convolutional networks from a `.tin` file, with the same bits on every processor.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("models are read in place, and they are little-endian");

/// Whether this build has every operator, or those of the Inceptions for microcontrollers alone.
const EVERY_OPERATOR: bool = cfg!(feature = "every-operator");
/// Whether this build verifies what only a stranger's file could have wrong, or what a run could be harmed by alone.
const EVERY_CHECK: bool = cfg!(feature = "every-check");
/// Whether this build takes every kind of picture, or RGB565 alone.
const EVERY_FORMAT: bool = cfg!(feature = "every-format");

pub mod arch;
pub mod error;
pub mod executor;
pub mod format;
pub mod image;
pub mod kernels;
pub mod model;
pub mod quant;
pub mod selftest;
pub mod session;
pub mod shape;
