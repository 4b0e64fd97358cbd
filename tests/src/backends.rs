//! The backends that a test runs.

use tinception_core::arch::{AnyBackend, Backend, available};

/// Backends that every machine of this architecture has. A test fails where one is missing.
const EXPECTED: &[&str] = if cfg!(target_arch = "aarch64") {
    &["scalar", "neon"]
} else if cfg!(target_arch = "arm") {
    &["scalar", "dsp"]
} else {
    &["scalar"]
};

/// This machine's backends, all of them.
///
/// # Panics
/// If a backend is missing that this architecture always has.
#[must_use]
pub fn all() -> Vec<AnyBackend> {
    let backends: Vec<AnyBackend> = available().collect();
    let names: Vec<&str> = backends.iter().map(|backend| backend.name()).collect();
    println!("backends: {}", names.join(", "));
    for expected in EXPECTED.iter().copied().chain(detected()) {
        assert!(names.contains(&expected), "backend {expected} is missing; there are {names:?}");
    }
    backends
}

/// Backends that the processor's own flags promise.
#[cfg(target_arch = "x86_64")]
fn detected() -> Option<&'static str> {
    std::arch::is_x86_feature_detected!("avx512vnni").then_some("vnni")
}

/// Backends that the processor's own flags promise.
#[cfg(not(target_arch = "x86_64"))]
fn detected() -> Option<&'static str> {
    None
}
