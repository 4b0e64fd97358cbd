//! The program as its users meet it: run as a process, on small networks and on the full GoogLeNet.
#![cfg(feature = "tract")]

mod bad_input;
mod calibration;
mod commands;
mod common;
mod exit_codes;
mod googlenet;
mod import;
mod inputs;
mod kinds;
mod names;
mod outputs;
mod scores;
mod terminal;
