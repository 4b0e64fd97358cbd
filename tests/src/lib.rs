//! What the tests share: random cases, whole models made from them, and a slow interpreter to compare with.
//!
//! Everything random comes from [`rng`], whose numbers are the same on every machine, so a seed is all that a failing
//! test needs to print.

pub mod backends;
pub mod builder;
pub mod cases;
pub mod data;
pub mod every_operator;
pub mod executors;
#[cfg(feature = "tract")]
pub mod generated;
pub mod googlenet;
pub mod interpreter;
pub mod linked;
pub mod mutate;
pub mod single_operator;
pub mod tables;

/// The page's program, compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../../docs/microcontrollers.md")]
pub mod microcontrollers {}

pub use tinception_models::aligned;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rand::SeedableRng;

/// The generator of all random cases: portable, unlike `SmallRng`, so that golden files don't depend on the machine.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// A generator for `seed`.
#[must_use]
pub fn rng(seed: u64) -> Rng {
    Rng::seed_from_u64(seed)
}

/// Runs `body` for each seed from 0 on, with the seed's generator, and prints the seed that fails.
///
/// # Panics
/// Where `body` does.
pub fn for_seeds(seeds: u64, body: impl Fn(u64, &mut Rng)) {
    for seed in 0..seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(seed, &mut rng(seed)))) {
            println!("failing seed: {seed}");
            resume_unwind(panic);
        }
    }
}
