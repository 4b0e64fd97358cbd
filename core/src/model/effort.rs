//! What verifying a file may cost.

use crate::EVERY_CHECK;
use crate::error::StepProblem;

/// Units for each byte of the file. Verifying a byte of weights or of a table takes one.
const UNITS_PER_BYTE: usize = 16;
/// Units that a look at something of a few bytes takes: a record, an entry of a table.
pub(super) const LOOK: usize = 4;

/// What is left to verify a file with, in proportion to its bytes: so steps may share weights and read what was written long
/// before, but no file takes longer than others of its size.
#[derive(Debug)]
pub(super) struct Effort(usize);

impl Effort {
    /// What a file of so many bytes may take.
    pub(super) const fn of(file_size: usize) -> Self {
        Self(file_size.saturating_mul(UNITS_PER_BYTE))
    }

    /// Takes `units` of it.
    pub(super) fn take(&mut self, units: usize) -> Result<(), StepProblem> {
        if EVERY_CHECK {
            self.0 = self.0.checked_sub(units).ok_or(StepProblem::Effort)?;
        }
        Ok(())
    }
}
