//! What is seen, told to people and programs.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use tinception_core::model;
use tinception_models::compile::Label;

use super::pipeline::Counts;
use crate::output::json_line;
use crate::ranking::Class;
use crate::terminal::plain;

/// The label where no class is probable enough.
pub(crate) const UNKNOWN: &str = "unknown";

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One line that changes, for a terminal.
    Live,
    /// A line for each change of the label.
    Changes,
    /// A JSON object for each frame.
    Json,
}

/// What was seen at a moment.
#[derive(Serialize)]
pub(crate) struct Moment<'a> {
    /// How many frames came before it.
    pub(crate) frame: u64,
    /// Milliseconds from the moment the frame had come until its label was known.
    pub(crate) latency_ms: f64,
    /// Where that time went.
    pub(crate) stages: Stages,
    /// The frame's best classes, best first.
    pub(crate) top: Vec<Class>,
    /// The steady label.
    pub(crate) steady: Steady<'a>,
    /// What became of the frames up to now.
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// What became of the states for an MQTT broker, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt: Option<MqttCounts>,
    /// Share of activations at the end of int8's range, where this frame was looked at so closely. For the page's metrics.
    #[serde(skip)]
    #[cfg(feature = "serve")]
    pub(crate) saturation: Option<f64>,
}

/// States for an MQTT broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct MqttCounts {
    /// Acknowledged by the broker.
    pub(crate) published: u64,
    /// Made room for newer ones, or went away with a connection.
    pub(crate) dropped: u64,
    /// How often the broker was there.
    pub(crate) connections: u64,
    /// How often it could not be reached, or went away.
    pub(crate) failures: u64,
}

/// Milliseconds of each stage. What the latency has beyond them, the frame waited.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Stages {
    /// Decoding, turning, mirroring.
    pub(crate) decode_ms: f64,
    /// Cutting out and resizing.
    pub(crate) resize_ms: f64,
    /// Running the network.
    pub(crate) network_ms: f64,
}

/// The label over several frames.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Steady<'a> {
    /// Its name, or `unknown`.
    pub(crate) label: &'a str,
    /// Its id; left out where the network states none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    /// The name's first synonym, for where space is short.
    #[serde(skip)]
    pub(crate) short: &'a str,
    /// Its class; null for `unknown`.
    pub(crate) class: Option<usize>,
    /// Its averaged probability; 0 for `unknown`.
    pub(crate) probability: f64,
    /// Whether it is another one than a frame before.
    pub(crate) changed: bool,
    /// All classes above the threshold, where classes are independent of each other.
    #[serde(flatten)]
    pub(crate) present: &'a Present,
}

/// All classes above the threshold, where classes are independent of each other; nothing where they are not.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Present {
    /// Their names.
    #[serde(rename = "present", skip_serializing_if = "Option::is_none")]
    pub(crate) names: Option<Vec<String>>,
    /// Their ids, in the same order; left out where none of them has one.
    #[serde(rename = "present_ids", skip_serializing_if = "Option::is_none")]
    pub(crate) ids: Option<Vec<Option<String>>>,
}

impl Present {
    /// These classes, where there is such a list.
    pub(crate) fn new(classes: Option<Vec<Label>>) -> Self {
        let Some(classes) = classes else { return Self::default() };
        let (names, ids): (_, Vec<Option<String>>) = classes.into_iter().map(|Label { id, name }| (name, id)).unzip();
        Self { names: Some(names), ids: Some(ids).filter(|ids| ids.iter().any(Option::is_some)) }
    }
}

/// The last line in JSON.
#[derive(Serialize)]
struct End {
    classified: u64,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    mqtt: Option<MqttCounts>,
}

/// Writes what is seen to standard output, in one of the forms.
pub(crate) struct Outputs<'a> {
    form: Form,
    out: &'a mut dyn Write,
    start: Instant,
    classified: u64,
    shown: Option<Instant>,
    rate: Rate,
}

/// Frames a second, over the last second or so.
#[derive(Default)]
struct Rate {
    since: Option<(Instant, u64)>,
    value: f64,
}

impl Rate {
    fn update(&mut self, now: Instant, count: u64) -> f64 {
        let (since, before) = *self.since.get_or_insert((now, count));
        let seconds = (now - since).as_secs_f64();
        if seconds >= 1.0 {
            self.value = (count - before) as f64 / seconds;
            self.since = Some((now, count));
        }
        self.value
    }
}

/// A class and its probability, for a line in which others have to stand, too.
fn brief(class: &Class) -> String {
    let label = model::Label { id: None, name: &class.label };
    format!("{} {:.0} %", label.short(), class.probability * 100.0)
}

/// A terminal line is written no more often than this: nobody reads faster.
const GLANCE: Duration = Duration::from_millis(100);

impl<'a> Outputs<'a> {
    /// Tells moments to `out`.
    pub(crate) fn new(form: Form, out: &'a mut dyn Write) -> Self {
        Self { form, out, start: Instant::now(), classified: 0, shown: None, rate: Rate::default() }
    }

    /// Tells what was seen.
    pub(crate) fn tell(&mut self, moment: &Moment<'_>) -> Result<()> {
        self.classified += 1;
        let now = Instant::now();
        let rate = self.rate.update(now, self.classified);
        match self.form {
            Form::Json => {
                json_line(self.out, moment)?;
                self.out.flush()?;
            }
            Form::Changes if moment.steady.changed => {
                let Steady { label, probability, .. } = moment.steady;
                let seconds = (now - self.start).as_secs_f64();
                writeln!(self.out, "{seconds:9.2} s  frame {}  {:5.1} %  {label}", moment.frame, probability * 100.0)?;
                self.out.flush()?;
            }
            Form::Live if self.shown.is_none_or(|shown| now - shown >= GLANCE) || moment.steady.changed => {
                self.shown = Some(now);
                let Steady { short, probability, .. } = moment.steady;
                let best = moment.top.first().map(brief).unwrap_or_default();
                let (label, best) = (plain(short), plain(&best));
                let Counts { dropped, broken, .. } = moment.counts;
                // Back to the line's start; what is left of the line before goes.
                write!(
                    self.out,
                    "\r{label} {:.0} %  | {best} | {rate:.1} frames/s, {:.1} ms, {dropped} dropped, {broken} broken\x1b[K",
                    probability * 100.0,
                    moment.latency_ms
                )?;
                self.out.flush()?;
            }
            Form::Changes | Form::Live => {}
        }
        Ok(())
    }

    /// Tells what became of all frames.
    pub(crate) fn end(&mut self, counts: Counts, mqtt: Option<MqttCounts>) -> Result<()> {
        let classified = self.classified;
        if self.form == Form::Json {
            json_line(self.out, &End { classified, counts, mqtt })?;
        } else {
            let Counts { captured, skipped, dropped, broken, reconnects } = counts;
            let new_line = if self.form == Form::Live { "\n" } else { "" };
            writeln!(
                self.out,
                "{new_line}{captured} frames: {classified} classified, {skipped} skipped, {dropped} dropped, {broken} \
                 broken; {reconnects} reconnects"
            )?;
            if let Some(MqttCounts { published, dropped, failures, .. }) = mqtt {
                writeln!(self.out, "MQTT: {published} states published, {dropped} dropped; {failures} failures")?;
            }
        }
        self.out.flush()?;
        Ok(())
    }
}
