//! Probabilities over several pictures.

use heapless::Vec;

use crate::Guess;

/// Classes that can be smoothed.
pub const MAX_CLASSES: usize = 64;

/// An exponential moving average of each class's probability: a quarter of the new picture, three quarters of the past.
#[derive(Clone, Debug, Default)]
pub struct Smooth {
    averages: Vec<u16, MAX_CLASSES>,
    started: bool,
}

impl Smooth {
    /// For so many classes; `None` for more than [`MAX_CLASSES`].
    #[must_use]
    pub fn new(classes: usize) -> Option<Self> {
        let mut averages = Vec::new();
        averages.resize_default(classes).ok()?;
        Some(Self { averages, started: false })
    }

    /// Adds a picture: its probabilities, 65535 is 1.0. The first counts in full.
    pub fn add(&mut self, probabilities: impl Iterator<Item = i32>) {
        for (average, new) in self.averages.iter_mut().zip(probabilities) {
            let new = new.clamp(0, 65535);
            *average = if self.started { ((3 * i32::from(*average) + new + 2) / 4) as u16 } else { new as u16 };
        }
        self.started = true;
    }

    /// The best three classes, best first; of equal ones the lower first.
    #[must_use]
    pub fn best(&self) -> Vec<Guess, 3> {
        let mut best: Vec<Guess, 3> = Vec::new();
        for (class, average) in (0..).zip(&self.averages) {
            let mut guess = Guess { class, probability: *average };
            // What a place holds moves on to the next one where the new guess is better.
            for other in best.iter_mut() {
                if guess.probability > other.probability {
                    core::mem::swap(other, &mut guess);
                }
            }
            let _ = best.push(guess);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(smooth: &Smooth) -> std::vec::Vec<u16> {
        smooth.best().iter().map(|guess| guess.class).collect()
    }

    #[test]
    fn one_picture_does_not_overturn_many() {
        let mut smooth = Smooth::new(4).unwrap();
        smooth.add([100, 60_000, 3000, 2435].into_iter());
        assert_eq!(smooth.best()[0], Guess { class: 1, probability: 60_000 });
        assert_eq!(classes(&smooth), [1, 2, 3]);
        smooth.add([65_535, 0, 0, 0].into_iter());
        // (3 * 60,000 + 2) / 4 and (3 * 100 + 65,535 + 2) / 4.
        assert_eq!(
            smooth.best()[..2],
            [Guess { class: 1, probability: 45_000 }, Guess { class: 0, probability: 16_459 }]
        );
        for _ in 0..8 {
            smooth.add([65_535, 0, 0, 0].into_iter());
        }
        assert_eq!(classes(&smooth)[0], 0);
    }

    #[test]
    fn equal_classes_keep_their_order() {
        let mut smooth = Smooth::new(5).unwrap();
        smooth.add([7, 9, 9, 7, 9].into_iter());
        assert_eq!(classes(&smooth), [1, 2, 4]);
        assert!(Smooth::new(MAX_CLASSES + 1).is_none());
    }

    #[test]
    fn steady_pictures_settle() {
        let mut smooth = Smooth::new(2).unwrap();
        for _ in 0..40 {
            smooth.add([65_535, 1].into_iter());
        }
        assert_eq!(smooth.best()[0].probability, 65_535);
        assert_eq!(smooth.best()[0].percent(), 100.0);
    }
}
