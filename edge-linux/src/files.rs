//! Files that are read, and folders of pictures.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::output::file_error;

/// What names of picture files end in.
const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];
/// What names of files end in that lie beside pictures and describe them.
const NOTES: [&str; 10] = ["txt", "md", "csv", "json", "jsonl", "xml", "yaml", "yml", "html", "db"];
/// Folders within folders are followed this far.
const DEPTH: usize = 8;

/// Checks that `path` is a regular file, before it is opened: opening a FIFO waits for a writer, and reading a device need
/// not end. Returns what the system knows of it.
///
/// # Errors
/// What it is instead, or that it isn't there.
pub(crate) fn check(path: &Path) -> Result<Metadata> {
    let metadata = fs::metadata(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    let what = kind(&metadata);
    Err(file_error(path, format_args!("is {what}, not a regular file; give a regular file")))
}

/// What something that is no regular file is.
fn kind(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;

        let kind = metadata.file_type();
        if kind.is_fifo() {
            return "a pipe";
        } else if kind.is_socket() {
            return "a socket";
        } else if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if metadata.is_dir() { "a folder" } else { "something else" }
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// It is no such file, or it can't be read.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let unreadable = || format!("{}: cannot be read", path.display());
    let too_large = || file_error(path, format_args!("is larger than {} MiB, too large to be read", most >> 20));
    let length = check(path)?.len();
    if length > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let room = usize::try_from(length).ok().and_then(|length| bytes.try_reserve_exact(length + 1).ok());
    room.ok_or_else(|| file_error(path, "there is not enough memory to read it"))?;
    // It may grow meanwhile, and what lies in /proc has no length.
    File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)).with_context(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(too_large());
    }
    Ok(bytes)
}

/// The pictures of a folder, and what else lies there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Picture files, by their names, sorted by path.
    pub(crate) pictures: Vec<PathBuf>,
    /// How many other files of each ending were passed over; hidden ones and notes are not counted.
    others: BTreeMap<String, usize>,
}

impl Found {
    /// How many files were passed over.
    pub(crate) fn passed_over(&self) -> usize {
        self.others.values().sum()
    }

    /// The files that were passed over by the endings of their names, as in `1 gif, 2 heic`.
    pub(crate) fn kinds(&self) -> String {
        let each: Vec<_> = self.others.iter().map(|(ending, count)| format!("{count} {ending}")).collect();
        each.join(", ")
    }

    /// How many files were passed over, in words; `None` where there were none.
    pub(crate) fn note(&self) -> Option<String> {
        let files = if self.passed_over() == 1 {
            "file was passed over, as it is"
        } else {
            "files were passed over, as they are"
        };
        (self.passed_over() > 0)
            .then(|| format!("{} {files} not named as JPEG, PNG, BMP or WebP: {}", self.passed_over(), self.kinds()))
    }
}

/// All picture files in a folder and in the folders within it. A folder that links lead to twice is looked into once.
///
/// # Errors
/// A folder that can't be read, or that holds no picture.
pub(crate) fn find(folder: &Path) -> Result<Found> {
    if folder.is_file() {
        return Err(file_error(folder, "is a file; give the folder that holds the pictures"));
    }
    let mut found = Found::default();
    collect(folder, DEPTH, &mut HashSet::new(), &mut found)?;
    if found.pictures.is_empty() {
        let other =
            found.note().map(|note| format!(", or convert the files that are there ({note})")).unwrap_or_default();
        let message = format_args!("holds no pictures; put JPEG, PNG, BMP or WebP files into it{other}");
        return Err(file_error(folder, message));
    }
    found.pictures.sort();
    Ok(found)
}

/// The pictures alone that [`find`] finds.
///
/// # Errors
/// Those of [`find`].
#[cfg(any(feature = "camera", feature = "tract"))]
pub(crate) fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(find(folder)?.pictures)
}

/// At most `limit` of the items, evenly spread over all of them.
pub(crate) fn spread<T: Clone>(items: &[T], limit: usize) -> Vec<T> {
    let count = limit.min(items.len());
    (0..count).filter_map(|index| items.get(index * items.len() / count)).cloned().collect()
}

fn collect(folder: &Path, depth: usize, seen: &mut HashSet<PathBuf>, found: &mut Found) -> Result<()> {
    let unreadable = || format!("{}: the folder cannot be read", folder.display());
    if !seen.insert(fs::canonicalize(folder).with_context(unreadable)?) {
        return Ok(());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        paths.push(entry.with_context(unreadable)?.path());
    }
    // Which of two links to a folder counts does not depend on the file system's order.
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, seen, found)?;
            }
        } else if is_picture(&path) && is_file_or_gone(&path) {
            found.pictures.push(path);
        } else if !is_hidden(&path) {
            let ending = ending(&path);
            if !NOTES.contains(&ending.as_str()) {
                *found.others.entry(ending).or_default() += 1;
            }
        }
    }
    Ok(())
}

/// Whether it is no pipe or device. A link to nothing counts as a picture, so that it is reported.
fn is_file_or_gone(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) || !path.exists()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_picture(path: &Path) -> bool {
    !is_hidden(path) && EXTENSIONS.contains(&ending(path).as_str())
}

/// What a file's name ends in, in lower case.
fn ending(path: &Path) -> String {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.unwrap_or_else(|| "without an ending".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_in_order_and_others_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["c.JPEG", "b/a.png", "a.webp", "notes.txt", ".hidden.jpg"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = find(folder.path())
            .unwrap()
            .pictures
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.webp", "b/a.png", "c.JPEG"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_passed_over_is_counted_and_links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        for name in ["a.jpg", "b/c.png", "b/photo.HEIC", "x.heic", "notes", "._a.jpg", ".DS_Store"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        std::os::unix::fs::symlink(".", folder.path().join("again")).unwrap();
        std::os::unix::fs::symlink("../b", folder.path().join("b/self")).unwrap();
        let pipe = folder.path().join("pipe.jpg");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let found = find(folder.path()).unwrap();
        assert_eq!(found.pictures, [folder.path().join("a.jpg"), folder.path().join("b/c.png")]);
        let note = found.note().unwrap();
        assert!(note.contains("4 files") && note.contains("2 heic") && note.contains("1 jpg"), "{note}");
        assert_eq!(find(&folder.path().join("b")).unwrap().passed_over(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::write(at("file"), "abc").unwrap();
        for (path, what) in [
            (at("pipe"), "a pipe"),
            (at("socket"), "a socket"),
            (folder.path().to_owned(), "a folder"),
            (PathBuf::from("/dev/zero"), "a device"),
            (at("absent"), "cannot be read"),
        ] {
            assert!(format!("{:#}", read(&path, 9).unwrap_err()).contains(what), "{what}");
        }
        assert_eq!(read(&at("file"), 3).unwrap(), b"abc");
        assert!(read(&at("file"), 2).unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn files_that_are_no_pictures_are_counted_by_kind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        let others = ["1.HEIC", "b/2.heic", "b/3.gif", "4.tif", "scan", "._a.jpg", "labels.txt", "b/Thumbs.db"];
        for name in others {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let message = find(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("5 files") && message.contains("1 gif, 2 heic, 1 tif, 1 without an ending"),
            "{message}"
        );
        fs::write(folder.path().join("a.jpg"), "").unwrap();
        let found = find(folder.path()).unwrap();
        assert_eq!((found.pictures.len(), found.passed_over()), (1, 5));
    }

    #[test]
    fn a_sample_is_spread_evenly() {
        let items: Vec<u32> = (0..10).collect();
        assert_eq!(spread(&items, 4), [0, 2, 5, 7]);
        assert_eq!(spread(&items, 10), items);
        assert_eq!(spread(&items, 99), items);
        assert!(spread(&items, 0).is_empty());
        assert!(spread::<u32>(&[], 3).is_empty());
    }
}
