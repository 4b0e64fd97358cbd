//! x
#![no_std]
#[cfg(test)]
extern crate std;
pub mod quant;
pub mod shape;
