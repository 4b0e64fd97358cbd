//! Settings that may change while the camera runs: read, changed and saved over HTTP.
//!
//! ```text
//! GET  /api/settings        the settings that hold now
//! POST /api/settings        a JSON object with those that are to change: all of them are taken, or none
//! POST /api/settings/save   writes those that hold now to the file of options
//! ```

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tinception_core::image::Size;

use super::feed::{PictureSize, Update};
use crate::camera::saved;
use crate::camera::tuning::{Tuned, Tuning};
use crate::camera::view::Region;

/// Most bytes of a request: a few numbers.
pub(super) const LARGEST_BODY: usize = 4 << 10;

/// What a client may change, and where it is kept.
#[derive(Clone)]
pub(crate) struct Panel {
    tuned: Arc<Tuned>,
    config: Option<PathBuf>,
    /// Held while the file is written.
    saving: Arc<Mutex<()>>,
}

/// The settings that hold, as clients see them.
#[derive(Serialize)]
pub(super) struct Settings {
    /// `None` where none is set, and the usual one counts.
    threshold: Option<f64>,
    /// The threshold that suits the number of classes; `None` before the first frame.
    usual_threshold: Option<f64>,
    hysteresis: f64,
    average: u16,
    roi: Option<Roi>,
    /// The upright picture, of which `roi` is a part; `None` before the first frame.
    picture: Option<PictureSize>,
    /// Whether there is a file to save them to.
    can_save: bool,
    /// How often they have changed, as events tell it.
    changes: u64,
}

/// A part of the upright picture, in pixels.
#[derive(Serialize)]
struct Roi {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

impl Panel {
    /// Settings of a running camera, and the file that it has its options from.
    pub(crate) fn new(tuned: Arc<Tuned>, config: Option<PathBuf>) -> Self {
        Self { tuned, config, saving: Arc::default() }
    }

    /// The settings that hold now; `newest` is the newest frame.
    pub(super) fn settings(&self, newest: Option<&Update>) -> Settings {
        // Read first: a change between the two is told again by the next event.
        let changes = self.tuned.changes();
        let Tuning { steadiness, region } = self.tuned.get();
        let roi = |Region { x, y, size }: Region| Roi { x, y, width: size.width, height: size.height };
        Settings {
            threshold: steadiness.threshold,
            usual_threshold: newest.map(|update| update.usual_threshold),
            hysteresis: steadiness.hysteresis,
            average: steadiness.frames,
            roi: region.map(roi),
            picture: newest.and_then(|update| update.picture),
            can_save: self.config.is_some(),
            changes,
        }
    }

    /// Changes the settings that a JSON object names.
    ///
    /// # Errors
    /// What is wrong, in one line. Then nothing has changed.
    pub(super) fn change(&self, body: &[u8], newest: Option<&Update>) -> Result<(), String> {
        let example = "such as {\"threshold\": 0.5}";
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| format!("the body is not JSON ({error}); send an object, {example}"))?;
        let Value::Object(wanted) = value else { return Err(format!("send a JSON object, {example}")) };
        self.tuned.change(|mut tuning| {
            for (name, value) in &wanted {
                set(&mut tuning, name, value, newest.and_then(|update| update.picture))?;
            }
            Ok(tuning)
        })
    }

    /// Writes the settings that hold now to the file of options, and gives its name. Waits for the disk.
    ///
    /// # Errors
    /// There is no such file, or it can't be written.
    pub(super) fn save(&self) -> Result<String, SaveError> {
        let Some(file) = &self.config else { return Err(SaveError::NoFile) };
        let _only_one = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        saved::save(file, &self.tuned.get()).map_err(|error| SaveError::Failed(format!("{error:#}")))?;
        Ok(file.display().to_string())
    }
}

/// Why settings were not saved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SaveError {
    /// The camera was started without a file of options.
    NoFile,
    /// The file can't be read or written; the text says why.
    Failed(String),
}

/// Sets one setting.
fn set(tuning: &mut Tuning, name: &str, value: &Value, picture: Option<PictureSize>) -> Result<(), String> {
    let probability = |value: &Value| value.as_f64().filter(|number| (0.0..=1.0).contains(number));
    let steadiness = &mut tuning.steadiness;
    match name {
        "threshold" if value.is_null() => steadiness.threshold = None,
        "threshold" => {
            let wanted = "threshold: give a number from 0 to 1, or null for the usual one";
            steadiness.threshold = Some(probability(value).ok_or(wanted)?);
        }
        "hysteresis" => steadiness.hysteresis = probability(value).ok_or("hysteresis: give a number from 0 to 1")?,
        "average" => {
            let frames = value.as_u64().and_then(|frames| u16::try_from(frames).ok()).filter(|frames| *frames > 0);
            steadiness.frames = frames.ok_or("average: give a whole number of frames from 1 to 65535")?;
        }
        "roi" if value.is_null() => tuning.region = None,
        "roi" => tuning.region = Some(region(value, picture)?),
        _ => {
            let name: String = name.chars().take(40).collect();
            return Err(format!("{name}: no such setting; there are threshold, hysteresis, average and roi"));
        }
    }
    Ok(())
}

/// A part of the picture.
fn region(value: &Value, picture: Option<PictureSize>) -> Result<Region, String> {
    let wanted =
        "roi: give {\"x\", \"y\", \"width\", \"height\"} as whole numbers of pixels, or null for the whole picture";
    let sides = value.as_object().filter(|sides| sides.len() == 4).ok_or(wanted)?;
    let side = |name: &str| sides.get(name)?.as_u64().and_then(|side| u32::try_from(side).ok());
    let numbers = side("x").zip(side("y")).zip(side("width").zip(side("height")));
    let ((x, y), (width, height)) = numbers.ok_or(wanted)?;
    if width == 0 || height == 0 {
        return Err("roi: its width and height must be at least 1 pixel".into());
    }
    let region = Region { x, y, size: Size::new(width, height) };
    match picture {
        Some(PictureSize { width, height }) if !region.is_within(Size::new(width, height)) => {
            Err(format!("roi: reaches beyond the picture of {width} x {height} pixels; choose a smaller part"))
        }
        _ => Ok(region),
    }
}
