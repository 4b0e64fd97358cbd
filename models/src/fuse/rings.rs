//! How many rows of a convolution are kept for the pool behind it.

use tinception_core::format::tensor::Stored;

use crate::plan::{peak, plan};
use crate::program::{Place, Program, TensorId};

/// Rows that a ring may have, most first: multiples of 4, because that many are made at a time.
const ROWS: [u16; 3] = [16, 12, 8];

/// Lets rings grow as long as the arena stays within `limit`.
pub(super) fn grow(program: &mut Program, limit: u64) {
    for ring in 0..program.tensors.len() {
        for rows in ROWS {
            let mut attempt = program.clone();
            if matches!(attempt.tensors[ring].place, Place::Own)
                && set(&mut attempt, ring, rows)
                && peak(&attempt) <= limit
                && plan(&mut attempt.clone()).size <= limit
            {
                *program = attempt;
                break;
            }
        }
    }
}

/// Gives a ring, and what lies in it, more rows; `false` where it is none or has as many already.
fn set(program: &mut Program, ring: TensorId, rows: u16) -> bool {
    let Stored::Ring(before) = program.tensors[ring].stored else { return false };
    // A tensor with all its rows is no ring.
    let height = program.tensors[ring].shape.height;
    let rows = rows.min(u16::try_from(height - 1).unwrap_or(u16::MAX - 1));
    let rows = rows - rows % 4;
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
