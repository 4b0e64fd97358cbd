//! What the programs for QEMU's machines share. Each also runs on the host, and prints the same there.
#![cfg_attr(target_os = "none", no_std)]

pub mod drawing;
pub mod line;
pub mod machine;
pub mod network;
pub mod random;
