//! How many rows of a convolution are kept for the pool behind it.

use tinception_core::format::tensor::Stored;

use crate::plan::{peak, plan};
use crate::program::{Place, Program, TensorId};

/// Rows that a ring has at most, most first.
const ROWS: [u16; 4] = [16, 12, 8, 6];

/// Lets rings grow as long as the arena doesn't.
pub(super) fn grow(program: &mut Program) {
    let smallest = plan(&mut program.clone()).size;
    for rows in ROWS {
        let mut attempt = program.clone();
        let limit = peak(&attempt);
        for ring in 0..attempt.tensors.len() {
            if matches!(attempt.tensors[ring].place, Place::Own) {
                let before = attempt.clone();
                if set(&mut attempt, ring, rows) && peak(&attempt) > limit {
                    attempt = before;
                }
            }
        }
        if plan(&mut attempt.clone()).size <= smallest {
            *program = attempt;
            return;
        }
    }
}

/// Gives a ring, and what lies in it, more rows; `false` where it is none or has as many already.
fn set(program: &mut Program, ring: TensorId, rows: u16) -> bool {
    let Stored::Ring(before) = program.tensors[ring].stored else { return false };
    // A tensor with all its rows is no ring.
    let height = program.tensors[ring].shape.height;
    let rows = rows.min(u16::try_from(height - 1).unwrap_or(u16::MAX - 1));
    let rows = rows - rows % 2;
    for tensor in &mut program.tensors {
        if rows > before && tensor.place == (Place::Same { of: ring }) {
            tensor.stored = Stored::Ring(rows);
        }
    }
    if rows > before {
        program.tensors[ring].stored = Stored::Ring(rows);
    }
    rows > before
}
