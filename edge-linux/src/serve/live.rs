//! The camera loop's side of the page.

use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::feed::{Feed, Look, PictureSize, Update};
use super::leaders::Leaders;
use super::pace::Pace;
use super::picture;
use crate::camera::frame::RgbFrame;
use crate::camera::mailbox::{Mailbox, Taken};
use crate::camera::tuning::Tuned;
use crate::camera::{Moment, UNKNOWN, usual_threshold};
use crate::engine::{Classes, Scores};
use crate::labels::Labels;
use crate::ranking;

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
    pace: Pace,
    leaders: Leaders,
    tuned: Arc<Tuned>,
}

impl Live {
    /// Starts the encoding thread. The page is told when the settings change.
    pub(crate) fn start(feed: Arc<Feed>, tuned: Arc<Tuned>) -> Result<Self> {
        let pictures = Arc::new(Mailbox::default());
        let (to, from) = (feed.clone(), pictures.clone());
        thread::Builder::new()
            .name("encode".into())
            .spawn(move || encode(&to, &from))
            .context("cannot start a thread")?;
        let now = Instant::now();
        Ok(Self {
            feed,
            pictures,
            spare: Labelled::default(),
            classified: 0,
            pace: Pace::new(now),
            leaders: Leaders::new(now),
            tuned,
        })
    }

    /// Whether the next frame's activations are to be looked at: one frame of a hundred, the first among them.
    pub(crate) const fn wants_saturation(&self) -> bool {
        self.classified.is_multiple_of(SATURATION_EVERY)
    }

    /// Takes a classified frame. Its picture goes to those who look; `picture` is an old buffer afterwards.
    pub(crate) fn tell(&mut self, moment: &Moment<'_>, scores: &Scores, labels: &Labels, picture: &mut RgbFrame) {
        self.classified += 1;
        let steady = &moment.steady;
        let now = Instant::now();
        let (rates, latency) = self.pace.count(now, self.classified, moment.counts, moment.latency_ms);
        let leaders = self.leaders.update(now, scores);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.feed.publish(Update {
            time: time.as_millis() as f64 / 1e3,
            top: moment.top.clone(),
            leaders: leaders.iter().map(|class| ranking::class(scores, labels, *class)).collect(),
            label: steady.class.map(|_| steady.label.to_owned()),
            id: steady.id.map(str::to_owned),
            present: steady.present.clone(),
            probability: steady.probability,
            frames_per_second: rates.classified,
            rates,
            picture: Some(PictureSize { width: picture.size.width, height: picture.size.height }),
            settings: self.tuned.changes(),
            usual_threshold: usual_threshold(scores.probabilities.len(), scores.classes),
            entropy: entropy(scores),
            saturation: moment.saturation,
            mqtt: moment.mqtt,
            latency_ms: moment.latency_ms,
            latency,
            stages: moment.stages,
            classified: self.classified,
            counts: moment.counts,
        });
        if [Look::Bare, Look::Drawn].iter().any(|look| self.feed.wants_picture(*look)) {
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
                // The label is drawn onto the same pixels, so the bare picture comes first.
                for look in [Look::Bare, Look::Drawn] {
                    if !feed.wants_picture(look) {
                        continue;
                    }
                    if look == Look::Drawn {
                        picture::annotate(&mut labelled.frame, &labelled.text);
                    }
                    // A frame that libjpeg refuses is not shown; the next one comes.
                    if let Ok(jpeg) = picture::encode(&labelled.frame) {
                        feed.publish_picture(look, &jpeg);
                    }
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
}
