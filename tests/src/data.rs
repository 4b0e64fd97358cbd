//! Real weights and pictures, which are not part of this repository.

use std::path::{Path, PathBuf};

/// `path` in the data folder: `TINCEPTION_DATA`, else `shared` beside the repository. `None`, and a line that says why,
/// where it is missing.
#[must_use]
pub fn find(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let found = std::env::var_os("TINCEPTION_DATA").map_or(beside, PathBuf::from).join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: no data (set TINCEPTION_DATA)");
    None
}
