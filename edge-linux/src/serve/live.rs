//! The camera loop's side of the page.

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::feed::{Feed, Update};
use super::picture;
use crate::camera::frame::RgbFrame;
use crate::camera::mailbox::{Mailbox, Taken};
use crate::camera::{Moment, UNKNOWN};
use crate::engine::{Classes, Scores};

/// How long the encoding thread waits for a picture before it looks again.
const GLANCE: Duration = Duration::from_secs(1);

/// Of so many frames one's activations are looked at, which takes about as long as the network again.
const SATURATION_EVERY: u64 = 100;

/// A frame to encode, and what to write on it.
#[derive(Default)]
struct Labelled {
    frame: RgbFrame,
    text: String,
}

/// Tells the feed what the network sees. Pictures are encoded by a thread of their own, and only if somebody looks.
pub(crate) struct Live {
    feed: Arc<Feed>,
    pictures: Arc<Mailbox<Labelled>>,
    spare: Labelled,
    classified: u64,
    rate: Rate,
}

impl Live {
    /// Starts the encoding thread.
    pub(crate) fn start(feed: Arc<Feed>) -> Result<Self> {
        let pictures = Arc::new(Mailbox::default());
        let (to, from) = (feed.clone(), pictures.clone());
        thread::Builder::new()
            .name("encode".into())
            .spawn(move || encode(&to, &from))
            .context("cannot start a thread")?;
        Ok(Self { feed, pictures, spare: Labelled::default(), classified: 0, rate: Rate::new(Instant::now()) })
    }

    /// Whether the next frame's activations are to be looked at: one frame of a hundred, the first among them.
    pub(crate) const fn wants_saturation(&self) -> bool {
        self.classified.is_multiple_of(SATURATION_EVERY)
    }

    /// Takes a classified frame. Its picture goes to those who look; `picture` is an old buffer afterwards.
    pub(crate) fn tell(&mut self, moment: &Moment<'_>, scores: &Scores, picture: &mut RgbFrame) {
        self.classified += 1;
        let steady = &moment.steady;
        self.feed.publish(Update {
            top: moment.top.clone(),
            label: steady.class.map(|_| steady.label.to_owned()),
            id: steady.id.map(str::to_owned),
            present: steady.present.clone(),
            frames_per_second: self.rate.count(Instant::now()),
            entropy: entropy(scores),
            saturation: moment.saturation,
            mqtt: moment.mqtt,
            latency_ms: moment.latency_ms,
            stages: moment.stages,
            classified: self.classified,
            counts: moment.counts,
        });
        if self.feed.wants_picture() {
            mem::swap(&mut self.spare.frame, picture);
            self.spare.text = match steady.class {
                Some(_) => format!(" {} {:.0} % ", steady.short, steady.probability * 100.0),
                None => format!(" {UNKNOWN} "),
            };
            self.pictures.put(&mut self.spare);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.pictures.close();
    }
}

fn encode(feed: &Feed, pictures: &Mailbox<Labelled>) {
    let mut labelled = Labelled::default();
    loop {
        match pictures.take(&mut labelled, GLANCE) {
            Taken::Item => {
                picture::annotate(&mut labelled.frame, &labelled.text);
                // A frame that libjpeg refuses is not shown; the next one comes.
                if let Ok(jpeg) = picture::encode(&labelled.frame) {
                    feed.publish_picture(&jpeg);
                }
            }
            Taken::Nothing => {}
            Taken::Closed => return,
        }
    }
}

/// Entropy in bits: 0 where one class is certain, or where each of independent classes is.
fn entropy(scores: &Scores) -> f64 {
    let bits = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    let of_class = |p: &f64| match scores.classes {
        Classes::Exclusive => bits(*p),
        Classes::Independent => bits(*p) + bits(1.0 - p),
    };
    scores.probabilities.iter().map(of_class).sum()
}

/// Counts what happens a second, over the last whole one.
struct Rate {
    since: Instant,
    count: u32,
    last: f64,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self { since: now, count: 0, last: 0.0 }
    }

    fn count(&mut self, now: Instant) -> f64 {
        self.count += 1;
        let time = now.duration_since(self.since).as_secs_f64();
        if time >= 1.0 {
            self.last = f64::from(self.count) / time;
            (self.since, self.count) = (now, 0);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_in_bits() {
        for (probabilities, bits) in [(&[1.0, 0.0][..], 0.0), (&[0.5, 0.5], 1.0), (&[0.25; 4], 2.0), (&[], 0.0)] {
            let found = entropy(&Scores::exclusive(probabilities.to_vec()));
            assert!((found - bits).abs() < 1e-12, "{probabilities:?}");
        }
        // Two coins and a certainty.
        assert!((entropy(&Scores::independent(vec![0.5, 1.0, 0.5])) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn rates_are_of_whole_seconds() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let rates: Vec<f64> = (1..=20).map(|index| rate.count(start + Duration::from_millis(100 * index))).collect();
        assert_eq!(rates[..9], [0.0; 9]);
        assert!(rates[9..].iter().all(|rate| (rate - 10.0).abs() < 1e-6), "{rates:?}");
    }
}
