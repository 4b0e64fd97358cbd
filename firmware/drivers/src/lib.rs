//! Cameras for any board with `embedded-hal`'s buses. Nothing here waits without a bound: a bus that does not answer is
//! asked again a few times, a picture that never comes is an error.
#![no_std]

pub mod arducam;
pub mod hm01b0;
mod retry;
