//! A second and a third chance.

/// How often a bus is asked before its error counts.
const ATTEMPTS: u32 = 3;

/// Calls `transfer` until it succeeds, three times at most; the last error counts.
pub(crate) fn retry<T, E>(mut transfer: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    for _ in 1..ATTEMPTS {
        if let Ok(value) = transfer() {
            return Ok(value);
        }
    }
    transfer()
}
