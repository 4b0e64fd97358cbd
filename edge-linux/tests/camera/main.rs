//! `tinception camera`, run as a process on real bytes: what it sees, and what it does about faults.
#![cfg(feature = "camera")]

#[cfg(feature = "mqtt")]
mod broker;
mod common;
mod config;
mod disk;
mod faults;
mod labels;
#[cfg(feature = "mqtt")]
mod mqtt;
#[cfg(feature = "serve")]
mod page;
mod soak;
mod stall;
mod systemd;
