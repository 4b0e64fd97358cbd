//! What a `.tin` file may ask of this machine: memory, and work for a picture.
//!
//! A file of a few hundred bytes can be a network that takes gigabytes and hours. Both limits have a part that every file may
//! ask for and one in proportion to its bytes: that is what a large network has, whose file holds its weights.

use std::path::Path;

use anyhow::Result;
use tinception_core::arch::AnyBackend;
use tinception_core::model::Model;
use tinception_core::session::Prepared;

use crate::output::{file_error, grouped};

/// Set to `off`, it lets a file ask for anything.
const VARIABLE: &str = "TINCEPTION_LIMITS";

/// Bytes of memory for any file, and more for each of its bytes: the weights once more, in 16 bits.
const MEMORY: (u64, u64) = (256 << 20, 4);
/// Operations ([`Model::cost`]) of a picture for any file, and more for each of its bytes. A second or a few on one core; of
/// known networks none has 1,000 for a byte.
const COST: (u64, u64) = (1 << 31, 4096);

/// Refuses a network that takes too much with so many threads on a picture.
pub(crate) fn check(path: &Path, model: &Model<'_>, backend: AnyBackend, threads: usize) -> Result<()> {
    if std::env::var_os(VARIABLE).is_some_and(|value| value == "off") {
        return Ok(());
    }
    let limit = |(any, each): (u64, u64)| any.saturating_add(each.saturating_mul(model.file_size() as u64));
    // The input as the picture's pixels, and as they are resized.
    let pixels = model.input().map_or(0, |input| input.extent().saturating_mul(2));
    let memory = Prepared::memory_size(model, backend, threads).saturating_add(pixels);
    let (asked, allowed, of) = match (model.cost(), limit(COST)) {
        (cost, allowed) if cost > allowed => (cost, allowed, "operations for a picture"),
        _ if memory > limit(MEMORY) => (memory, limit(MEMORY), "bytes of memory"),
        _ => return Ok(()),
    };
    Err(file_error(
        path,
        format_args!(
            "the network takes {} {of}, but a file of this size may take only {}; if you trust the file, set the variable {VARIABLE}=off",
            grouped(asked),
            grouped(allowed)
        ),
    ))
}
