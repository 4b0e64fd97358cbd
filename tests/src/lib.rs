//! What the tests share: random cases, whole models made from them, and a slow interpreter to compare with.
//!
//! Everything random comes from [`rng`], whose numbers are the same on every machine, so a seed is all that a failing
//! test needs to print.

pub mod aligned;
pub mod backends;
pub mod builder;
pub mod cases;
pub mod every_operator;
pub mod interpreter;
pub mod mutate;
pub mod single_operator;
pub mod tables;

use rand::SeedableRng;

/// The generator of all random cases: portable, unlike `SmallRng`, so that golden files don't depend on the machine.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// A generator for `seed`.
#[must_use]
pub fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}
