//! Why weights could not be fetched.

use std::path::PathBuf;

/// Why weights could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The file could not be read or written.
    #[error("{}: {source}; what has arrived is kept, run the command again to go on", path.display())]
    File {
        /// Path of the file that is fetched.
        path: PathBuf,
        /// What the system said: no space left, as a rule.
        source: std::io::Error,
    },
    /// Something that is no ordinary file has the name: writing to it would change what it leads to.
    #[error("{}: is {what}, not a file of its own; remove it", path.display())]
    NotAFile {
        /// What has the name.
        path: PathBuf,
        /// What it is: a link, a pipe, a folder.
        what: &'static str,
    },
    /// Another process is fetching the same file.
    #[error("{}: another program is fetching this file; wait for it", path.display())]
    Busy {
        /// The unfinished file.
        path: PathBuf,
    },
    /// A file of this name is there, and it is not the published one.
    #[error("{}: is not the published file (its hash is {found}, published is {published}); remove it", path.display())]
    Stranger {
        /// Path of the file that is fetched.
        path: PathBuf,
        /// SHA-256 of the file that is there.
        found: String,
        /// The published one.
        published: String,
    },
    /// No server could be reached.
    #[error("{file}: no server could be reached: is this machine online? ({attempts})")]
    Offline {
        /// Name of the file that was asked for.
        file: String,
        /// What each said.
        attempts: String,
    },
    /// No server gave the published file.
    #[error("{file}: no server gave it ({attempts})")]
    Failed {
        /// Name of the file that was asked for.
        file: String,
        /// What each said.
        attempts: String,
    },
}
