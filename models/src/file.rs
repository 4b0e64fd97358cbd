//! Files that a user names, read whole: what can't be one is refused before it is read.

use std::fs;
use std::io;
use std::path::Path;

use crate::kind::{Kind, Wanted, folder_instead_of};

/// Why a file was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The system refused.
    System(io::Error),
    /// It is something else than a file to read: this.
    Other(String),
}

/// The bytes of a regular file of at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64, wanted: Wanted) -> Result<Vec<u8>, Unread> {
    let metadata = fs::metadata(path).map_err(Unread::System)?;
    if metadata.is_dir() {
        return Err(Unread::Other(folder_instead_of(path, wanted)));
    }
    // A pipe or a device has no end, or waits for somebody to write.
    if !metadata.is_file() {
        return Err(Unread::Other("this is a pipe or a device; give a regular file".into()));
    }
    if metadata.len() > most {
        let what = Kind::of_file(path).and_then(|kind| kind.instead_of(wanted));
        let size = format!("this file has {} MiB, and at most {} are read", metadata.len() >> 20, most >> 20);
        return Err(Unread::Other(what.unwrap_or(size)));
    }
    // `fs::read` reserves first and says so where there is no memory.
    fs::read(path).map_err(Unread::System)
}
