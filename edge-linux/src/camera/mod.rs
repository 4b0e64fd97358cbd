//! From a camera's frames to labels.
//!
//! ```text
//! source -> Frame -> newest? -> Decoder -> RGB -> turn, crop, resize -> newest? -> network -> steady label -> outputs
//! ```
//!
//! Capture and decoding have a thread each, the network runs on the caller's. Between them lies a
//! [`Mailbox`](mailbox::Mailbox) that keeps the newest frame only: a slow network drops frames, and never falls behind.

mod child;
pub(crate) mod colour;
mod convert;
mod events;
pub(crate) mod frame;
mod jpeg;
pub(crate) mod mailbox;
mod outputs;
pub(crate) mod pipeline;
#[cfg(feature = "serve")]
pub(crate) mod saved;
mod snapshots;
pub(crate) mod sources;
mod steady;
pub(crate) mod tuning;
pub(crate) mod view;

pub(crate) use events::{Change, Hook};
pub(crate) use mailbox::Taken;
pub(crate) use outputs::{Form, Moment, MqttCounts, Outputs, Present, Stages, Steady, UNKNOWN};
pub(crate) use pipeline::{Counts, Pipeline, Seen, Settings};
pub(crate) use snapshots::Snapshots;
#[cfg(feature = "serve")]
pub(crate) use steady::usual_threshold;
pub(crate) use steady::{Steadiness, SteadyLabel};
#[cfg(test)]
pub(crate) mod testing;
