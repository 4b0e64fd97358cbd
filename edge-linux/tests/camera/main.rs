//! `tinception camera`, run as a process on real bytes: what it sees, and what it does about faults.
#![cfg(feature = "camera")]

mod common;
mod config;
mod faults;
mod labels;
mod soak;
