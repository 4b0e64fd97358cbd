//! x
#![no_std]
#[cfg(test)]
extern crate std;
pub mod error;
pub mod image;
pub mod quant;
pub mod shape;
