//! The compiler from the calibrated graph to the file, on small graphs.
#![cfg(feature = "tract")]

mod endings;
mod equalise;
mod file;
mod fusion;
mod graphs;
mod layers;
mod memory;
mod ranges;
mod slices;
