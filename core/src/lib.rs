//! tinception's runtime: int8 convolutional networks from a `.tin` file, with the same bits on every processor.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(target_endian = "big")]
compile_error!("models are read in place, and they are little-endian");

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
