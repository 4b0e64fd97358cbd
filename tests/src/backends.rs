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
fn detected() -> impl Iterator<Item = &'static str> {
    #[cfg(target_arch = "x86_64")]
    let promised = [
        std::arch::is_x86_feature_detected!("avx512vnni").then_some("vnni"),
        std::arch::is_x86_feature_detected!("avx2").then_some("avx2"),
    ];
    #[cfg(target_arch = "aarch64")]
    let promised = [
        std::arch::is_aarch64_feature_detected!("i8mm").then_some("i8mm"),
        std::arch::is_aarch64_feature_detected!("dotprod").then_some("dotprod"),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let promised = [None::<&str>; 0];
    promised.into_iter().flatten()
}
