//! What is told about a picture.

use heapless::Vec;
use micromath::F32Ext;

use crate::StepTimes;

/// A class and how sure the network is of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Guess {
    /// Index of the class.
    pub class: u16,
    /// Smoothed probability; 65535 is 1.0.
    pub probability: u16,
}

impl Guess {
    /// The probability in percent, for people: rounded to one decimal.
    #[must_use]
    pub fn percent(&self) -> f32 {
        F32Ext::round(f32::from(self.probability) * (1000.0 / 65535.0)) / 10.0
    }
}

/// The best classes of a picture, and how long it took.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The best three classes, best first.
    pub best: Vec<Guess, 3>,
    /// Microseconds until the picture was there.
    pub capture: u32,
    /// Microseconds for resize and quantisation.
    pub prepare: u32,
    /// Microseconds of each step of the network.
    pub steps: StepTimes,
}

impl Report {
    /// Microseconds from the request for a picture to its name.
    #[must_use]
    pub fn total(&self) -> u32 {
        let steps = self.steps.iter().fold(0_u32, |sum, time| sum.wrapping_add(*time));
        self.capture.wrapping_add(self.prepare).wrapping_add(steps)
    }

    /// Pictures in a second, for people: rounded to one decimal; 0 where no time has passed.
    #[must_use]
    pub fn rate(&self) -> f32 {
        match self.total() {
            0 => 0.0,
            total => (10.0e6 / total as f32).round() / 10.0,
        }
    }

    /// Logs the best classes by name, and the rate.
    #[cfg(feature = "defmt")]
    pub fn log(&self, labels: tinception_core::model::Labels<'_>) {
        for guess in &self.best {
            let label = labels.clone().nth(usize::from(guess.class)).unwrap_or_default();
            defmt::info!("{=str} {=f32} %", label.name, guess.percent());
        }
        defmt::info!("{=f32} pictures in a second", self.rate());
    }

    pub(crate) fn clear(&mut self) {
        self.steps.clear();
    }
}
