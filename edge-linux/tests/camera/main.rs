//! `tinception camera`, run as a process on real bytes: what it sees, and what it does about faults.
#![cfg(feature = "camera")]

#[cfg(feature = "mqtt")]
mod broker;
#[cfg(feature = "serve")]
mod browser;
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
#[cfg(feature = "serve")]
mod page_access;
#[cfg(feature = "serve")]
mod page_look;
#[cfg(feature = "serve")]
mod page_memory;
mod soak;
mod stall;
mod stop;
mod systemd;
