//! The architectures: built from generated weights they compute what PyTorch computes, and int8 follows.
#![cfg(feature = "tract")]

mod caffe;
mod errors;
mod float;
mod int8;
