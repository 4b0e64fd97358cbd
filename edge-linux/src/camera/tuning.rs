//! What may change while the camera runs: when the label changes, and which part of the picture is looked at.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::steady::Steadiness;
use super::view::Region;

/// The settings that hold at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tuning {
    /// When the label changes.
    pub(crate) steadiness: Steadiness,
    /// The part of the upright picture that the network looks at; all of it if there is none.
    pub(crate) region: Option<Region>,
}

/// The settings of a running camera. Its threads read them for each frame, so a change holds from the next frame on.
#[derive(Debug)]
pub(crate) struct Tuned(Mutex<State>);

#[derive(Debug)]
struct State {
    tuning: Tuning,
    #[cfg(feature = "serve")]
    changes: u64,
}

impl Tuned {
    /// The settings at the start.
    pub(crate) const fn new(tuning: Tuning) -> Self {
        Self(Mutex::new(State {
            tuning,
            #[cfg(feature = "serve")]
            changes: 0,
        }))
    }

    /// The settings that hold now.
    pub(crate) fn get(&self) -> Tuning {
        self.lock().tuning
    }

    /// How often they have changed since the start.
    #[cfg(feature = "serve")]
    pub(crate) fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Replaces the settings by what `change` makes of them, which nobody else changes meanwhile.
    ///
    /// # Errors
    /// What `change` says; the settings stay as they were.
    #[cfg(feature = "serve")]
    pub(crate) fn change<E>(&self, change: impl FnOnce(Tuning) -> Result<Tuning, E>) -> Result<(), E> {
        let mut state = self.lock();
        let tuning = change(state.tuning)?;
        if tuning != state.tuning {
            state.tuning = tuning;
            state.changes += 1;
        }
        Ok(())
    }

    /// A thread that panicked leaves settings that are whole all the same.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_whole_or_not_at_all() {
        let steadiness = Steadiness { frames: 5, threshold: None, hysteresis: 0.1 };
        let start = Tuning { steadiness, region: None };
        let tuned = Tuned::new(start);
        assert_eq!(tuned.change(|_| Err("no")), Err("no"));
        assert_eq!(tuned.change(Ok::<_, ()>), Ok(()));
        assert_eq!((tuned.get(), tuned.changes()), (start, 0));
        let region = "1,2,3,4".parse().ok();
        assert_eq!(tuned.change(|tuning| Ok::<_, ()>(Tuning { region, ..tuning })), Ok(()));
        assert_eq!((tuned.get(), tuned.changes()), (Tuning { steadiness, region }, 1));
    }
}
