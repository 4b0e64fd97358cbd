//! `tinception camera`, run as a process on real bytes: what it sees, and what it does about faults.
#![cfg(feature = "camera")]

#[cfg(feature = "mqtt")]
mod broker;
mod colours;
mod common;
mod config;
mod disk;
mod faults;
mod hooks;
mod labels;
#[cfg(feature = "mqtt")]
mod mqtt;
mod network;
#[cfg(feature = "serve")]
mod page;
mod soak;
mod stall;
mod stop;
mod systemd;
