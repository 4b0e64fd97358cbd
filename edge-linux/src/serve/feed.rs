//! What the camera loop tells, and the newest of it for whoever asks.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Bytes;
use serde::Serialize;
use tokio::sync::watch;

use super::metrics::Metrics;
use super::pace::{Latency, Rates};
use crate::camera::pipeline::Counts;
use crate::camera::{MqttCounts, Present, Stages};
use crate::ranking::Class;

/// Changes of the label that are remembered.
const HISTORY: usize = 50;

/// A classified frame.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Update {
    /// Seconds since 1970.
    pub(crate) time: f64,
    /// The best classes, best first.
    pub(crate) top: Vec<Class>,
    /// The classes that lead over the last minute, those with the highest probabilities first, as they are in this frame.
    pub(crate) leaders: Vec<Class>,
    /// The label that holds steady; `None` for none above the threshold.
    pub(crate) label: Option<String>,
    /// Its averaged probability; 0 where there is none.
    pub(crate) probability: f64,
    /// Its id; left out where the network states none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// All classes above the threshold, where classes are independent of each other.
    #[serde(flatten)]
    pub(crate) present: Present,
    /// Classified frames in the last second.
    pub(crate) frames_per_second: f64,
    /// What happens a second, of all frames.
    pub(crate) rates: Rates,
    /// The upright picture's size; `None` before the first frame.
    pub(crate) picture: Option<PictureSize>,
    /// How often the settings that may change at run time have changed.
    pub(crate) settings: u64,
    /// The threshold where none is set.
    #[serde(skip)]
    pub(crate) usual_threshold: f64,
    /// Entropy of all probabilities, in bits: high where the network has no idea.
    pub(crate) entropy: f64,
    /// Share of activations at the end of int8's range, where this frame was looked at so closely.
    #[serde(skip)]
    pub(crate) saturation: Option<f64>,
    /// What became of the states for an MQTT broker, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt: Option<MqttCounts>,
    /// Milliseconds from the moment the frame had come until its label was known.
    pub(crate) latency_ms: f64,
    /// How long it takes, over the last minute.
    pub(crate) latency: Latency,
    /// Where that time went.
    pub(crate) stages: Stages,
    /// Frames that the network saw since the start.
    pub(crate) classified: u64,
    /// What became of the others.
    pub(crate) counts: Counts,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PictureSize {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Which picture is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// As it came, upright.
    Bare,
    /// With the label on it.
    Drawn,
}

/// When the label became another.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    /// Seconds since 1970.
    time: f64,
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// A frame as JPEG, which all who look at it share.
#[derive(Clone, Default)]
pub(super) struct Picture {
    part: Bytes,
    /// Where the JPEG begins and ends.
    jpeg: Range<usize>,
}

impl Picture {
    /// Between the pictures of a stream.
    pub(super) const BOUNDARY: &str = "frame";

    fn new(jpeg: &[u8]) -> Self {
        let head =
            format!("--{}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", Self::BOUNDARY, jpeg.len());
        let part = [head.as_bytes(), jpeg, b"\r\n"].concat();
        Self { part: part.into(), jpeg: head.len()..head.len() + jpeg.len() }
    }

    /// The picture as a part of a stream, with its headers.
    pub(super) fn part(&self) -> Bytes {
        self.part.clone()
    }

    /// The JPEG file alone.
    pub(super) fn jpeg(&self) -> Bytes {
        self.part.slice(self.jpeg.clone())
    }
}

/// The newest update and picture. Writers never wait; a reader that is slow misses some.
pub(crate) struct Feed {
    updates: watch::Sender<Option<Arc<Update>>>,
    /// Of each [`Look`].
    pictures: [watch::Sender<Picture>; 2],
    viewers: [AtomicUsize; 2],
    last: Mutex<Option<Instant>>,
    history: Mutex<VecDeque<Change>>,
    metrics: Metrics,
}

impl Feed {
    /// A feed to which nothing has come yet.
    pub(crate) fn new() -> Self {
        Self {
            updates: watch::Sender::new(None),
            pictures: [(); 2].map(|()| watch::Sender::new(Picture::default())),
            viewers: [AtomicUsize::new(0), AtomicUsize::new(0)],
            last: Mutex::new(None),
            history: Mutex::new(VecDeque::with_capacity(HISTORY)),
            metrics: Metrics::new(),
        }
    }

    /// Takes what the network made of a frame.
    pub(crate) fn publish(&self, update: Update) {
        self.metrics.observe(&update);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if history.back().is_none_or(|change| (&change.label, &change.id) != (&update.label, &update.id)) {
            if history.len() == HISTORY {
                history.pop_front();
            }
            history.push_back(Change { time: update.time, label: update.label.clone(), id: update.id.clone() });
        }
        drop(history);
        self.updates.send_replace(Some(Arc::new(update)));
    }

    /// Whether somebody would see such a picture: encoding one for nobody costs more than the network.
    pub(crate) fn wants_picture(&self, look: Look) -> bool {
        self.viewers[look as usize].load(Ordering::Relaxed) > 0
    }

    /// Takes a frame as JPEG.
    pub(crate) fn publish_picture(&self, look: Look, jpeg: &[u8]) {
        self.pictures[look as usize].send_replace(Picture::new(jpeg));
    }

    /// The updates from now on.
    pub(super) fn updates(&self) -> watch::Receiver<Option<Arc<Update>>> {
        self.updates.subscribe()
    }

    /// The pictures from now on, and a viewer for as long as they are wanted.
    pub(super) fn pictures(self: &Arc<Self>, look: Look) -> (watch::Receiver<Picture>, Viewer) {
        let mut pictures = self.pictures[look as usize].subscribe();
        pictures.mark_unchanged();
        self.viewers[look as usize].fetch_add(1, Ordering::Relaxed);
        (pictures, Viewer(self.clone(), look))
    }

    /// Seconds since the last update; `None` before the first.
    pub(super) fn age(&self) -> Option<f64> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed().as_secs_f64())
    }

    /// The newest update; `None` before the first.
    pub(super) fn newest(&self) -> Option<Arc<Update>> {
        self.updates.borrow().clone()
    }

    /// The changes of the label, oldest first.
    pub(super) fn history(&self) -> Vec<Change> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Everything counted, for Prometheus.
    pub(super) fn metrics(&self) -> String {
        self.metrics.text()
    }
}

/// Somebody who sees the pictures.
pub(super) struct Viewer(Arc<Feed>, Look);

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers[self.1 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}
