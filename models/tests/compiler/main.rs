//! The compiler from the calibrated graph to the file, on small graphs.
#![cfg(feature = "tract")]

mod endings;
mod file;
mod fusion;
mod graphs;
mod layers;
mod memory;
mod slices;
