//! Folders of pictures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::output::file_error;

/// What names of picture files end in.
const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];
/// What names of files end in that lie beside pictures and describe them.
const NOTES: [&str; 10] = ["txt", "md", "csv", "json", "jsonl", "xml", "yaml", "yml", "html", "db"];
/// Folders within folders are followed this far, so that links in a circle come to an end.
const DEPTH: usize = 8;

/// What a folder and the folders within it hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Picture files, by their names, sorted by path.
    pub(crate) pictures: Vec<PathBuf>,
    /// How many other files there are of each kind, by the endings of their names. Hidden files and notes are not counted.
    pub(crate) others: BTreeMap<String, usize>,
}

impl Found {
    /// How many files are no pictures.
    pub(crate) fn other_files(&self) -> usize {
        self.others.values().sum()
    }

    /// Those files by their kinds, as in `2 heic, 1 gif`.
    pub(crate) fn other_kinds(&self) -> String {
        let kinds: Vec<String> = self.others.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        kinds.join(", ")
    }
}

/// All picture files in a folder and in the folders within it, by their names, sorted by path.
///
/// # Errors
/// A folder that can't be read, or that holds no picture.
pub(crate) fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(find(folder)?.pictures)
}

/// As [`pictures`], with a count of the files that are none.
///
/// # Errors
/// Those of [`pictures`].
pub(crate) fn find(folder: &Path) -> Result<Found> {
    if folder.is_file() {
        return Err(file_error(folder, "is a file; give the folder that holds the pictures"));
    }
    let mut found = Found::default();
    collect(folder, DEPTH, &mut found)?;
    if found.pictures.is_empty() && found.others.is_empty() {
        return Err(file_error(folder, "holds no pictures; put JPEG, PNG, BMP or WebP files into it"));
    }
    if found.pictures.is_empty() {
        let (count, kinds) = (found.other_files(), found.other_kinds());
        return Err(file_error(
            folder,
            format_args!(
                "holds no pictures that can be read, but {count} other files ({kinds}); convert them to JPEG or PNG"
            ),
        ));
    }
    found.pictures.sort();
    Ok(found)
}

/// At most `limit` of the items, evenly spread over all of them.
pub(crate) fn spread<T: Clone>(items: &[T], limit: usize) -> Vec<T> {
    let count = limit.min(items.len());
    (0..count).filter_map(|index| items.get(index * items.len() / count)).cloned().collect()
}

fn collect(folder: &Path, depth: usize, found: &mut Found) -> Result<()> {
    let unreadable = || format!("{}: the folder cannot be read", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found)?;
            }
            continue;
        }
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        match kind(&path) {
            kind if EXTENSIONS.contains(&kind.as_str()) => found.pictures.push(path),
            kind if NOTES.contains(&kind.as_str()) => {}
            kind => *found.others.entry(kind).or_default() += 1,
        }
    }
    Ok(())
}

/// What a file's name ends in, in lower case.
fn kind(path: &Path) -> String {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.unwrap_or_else(|| "without an ending".into())
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
        let names: Vec<_> = pictures(folder.path())
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.webp", "b/a.png", "c.JPEG"]);
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
        assert!(message.contains("5 other files (1 gif, 2 heic, 1 tif, 1 without an ending)"), "{message}");
        fs::write(folder.path().join("a.jpg"), "").unwrap();
        let found = find(folder.path()).unwrap();
        assert_eq!((found.pictures.len(), found.other_files()), (1, 5));
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
