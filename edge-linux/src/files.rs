//! Folders of pictures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::output::file_error;

/// What names of picture files end in.
const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "bmp", "webp"];
/// Folders within folders are followed this far, so that links in a circle come to an end.
const DEPTH: usize = 8;

/// All picture files in a folder and in the folders within it, by their names, sorted by path.
///
/// # Errors
/// A folder that can't be read, or that holds no picture.
pub(crate) fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.is_file() {
        return Err(file_error(folder, "is a file; give the folder that holds the pictures"));
    }
    let mut found = Vec::new();
    collect(folder, DEPTH, &mut found)?;
    if found.is_empty() {
        return Err(file_error(folder, "holds no pictures; put JPEG, PNG, BMP or WebP files into it"));
    }
    found.sort();
    Ok(found)
}

/// At most `limit` of the items, evenly spread over all of them.
pub(crate) fn spread<T: Clone>(items: &[T], limit: usize) -> Vec<T> {
    let count = limit.min(items.len());
    (0..count).filter_map(|index| items.get(index * items.len() / count)).cloned().collect()
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("{}: the folder cannot be read", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, found)?;
            }
        } else if is_picture(&path) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
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
    fn a_sample_is_spread_evenly() {
        let items: Vec<u32> = (0..10).collect();
        assert_eq!(spread(&items, 4), [0, 2, 5, 7]);
        assert_eq!(spread(&items, 10), items);
        assert_eq!(spread(&items, 99), items);
        assert!(spread(&items, 0).is_empty());
        assert!(spread::<u32>(&[], 3).is_empty());
    }
}
