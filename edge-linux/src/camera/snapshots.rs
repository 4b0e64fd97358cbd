//! Pictures of the moments when the label changed, in a folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::events::Change;
use super::frame::RgbFrame;
use crate::destination;
use crate::output::{file_error, report_error};
use crate::picture::encode_png;

/// Longest part of a name that a label gives, in bytes. File systems have a limit of 255 for all of it.
const LONGEST_LABEL: usize = 120;
/// How a name begins: date and time (UTC), to a millisecond, as `humantime` writes them but for the colons, which not every
/// file system takes.
const TIME: &str = "0000-00-00T00-00-00.000Z-";

/// A folder of pictures of the moments when the label changed.
#[derive(Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
    /// The most pictures that are kept, and the names of those there are, the oldest first.
    keep: Option<(usize, BTreeSet<String>)>,
    /// Pictures that could not be written.
    lost: u64,
}

impl Snapshots {
    /// Makes the folder if it isn't there. What a run left behind that was killed is removed. With `keep`, so many
    /// pictures stay, the newest ones, those of earlier runs among them.
    pub(crate) fn new(folder: &Path, keep: Option<usize>) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("{}: the folder cannot be made", folder.display()))?;
        if folder.metadata().is_ok_and(|metadata| metadata.permissions().readonly()) {
            return Err(file_error(folder, "may not be written to; give another folder, or change its permissions"));
        }
        destination::clear_leftovers(folder);
        let mut snapshots = Self { folder: folder.to_owned(), keep: None, lost: 0 };
        if let Some(most) = keep {
            let entries = fs::read_dir(folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
            let files = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
            let names = files.filter_map(|entry| entry.file_name().into_string().ok());
            snapshots.keep = Some((most, names.filter(|name| is_own(name)).collect()));
            snapshots.remove_oldest();
        }
        Ok(snapshots)
    }

    /// Keeps the picture, lossless, so that `classify` sees the same. A full disk is reported the first time, the second, the
    /// fourth ..., and nothing ends: the next picture is tried again.
    pub(crate) fn keep(&mut self, change: &Change, picture: &RgbFrame) {
        let name = self.free_name(change, SystemTime::now());
        match encode_png(picture.size, &picture.data)
            .and_then(|bytes| destination::write(&self.folder.join(&name), &bytes))
        {
            Ok(()) => {
                if let Some((_, names)) = &mut self.keep {
                    names.insert(name);
                }
                self.remove_oldest();
            }
            Err(error) => {
                self.lost += 1;
                if self.lost.is_power_of_two() {
                    report_error(
                        &error.context(format!("--snapshots: a picture cannot be written ({} lost so far)", self.lost)),
                    );
                }
            }
        }
    }

    /// A name that no file has. A board without a clock may begin at the same time again and again.
    fn free_name(&self, change: &Change, now: SystemTime) -> String {
        let time = humantime::format_rfc3339_millis(now).to_string().replace(':', "-");
        let start = format!("{time}-{:08}-{}", change.frame, file_name(&change.label));
        let names = (1..u32::MAX).map(|number| match number {
            1 => format!("{start}.png"),
            _ => format!("{start}-{number}.png"),
        });
        let is_free = |name: &String| self.folder.join(name).symlink_metadata().is_err();
        names.into_iter().find(is_free).unwrap_or(start)
    }

    fn remove_oldest(&mut self) {
        let Some((most, names)) = &mut self.keep else { return };
        while names.len() > *most {
            let Some(oldest) = names.pop_first() else { return };
            match fs::remove_file(self.folder.join(&oldest)) {
                Ok(()) => {}
                // Somebody else took it away.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    report_error(&error.context(format!("--snapshots-keep: {oldest}: cannot be removed")));
                }
            }
        }
    }
}

/// The label's first name, in letters that every file system takes.
fn file_name(label: &str) -> String {
    let name = label.split(',').next().unwrap_or_default().trim();
    let mut length = 0;
    name.chars()
        .map(|letter| if letter.is_alphanumeric() { letter } else { '-' })
        .take_while(|letter| {
            length += letter.len_utf8();
            length <= LONGEST_LABEL
        })
        .collect()
}

/// Whether a file's name is one that is given here: time, frame, label.
fn is_own(name: &str) -> bool {
    let alike = |letter: u8, pattern: u8| if pattern == b'0' { letter.is_ascii_digit() } else { letter == pattern };
    let Some((time, rest)) = name.split_at_checked(TIME.len()) else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    time.bytes().zip(TIME.bytes()).all(|(letter, pattern)| alike(letter, pattern))
        && digits >= 8
        && rest[digits..].starts_with('-')
        && rest.ends_with(".png")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tinception_core::image::Size;

    use super::*;

    fn change(frame: u64, label: &str) -> Change {
        Change { frame, label: label.into(), id: None, previous: "unknown".into(), probability: 0.5 }
    }

    fn picture() -> RgbFrame {
        RgbFrame { size: Size::new(2, 1), data: vec![1, 2, 3, 250, 251, 252] }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_snapshot_has_the_pixels_and_its_name_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder");
        let mut snapshots = Snapshots::new(&path, None).unwrap();
        snapshots.keep(&change(7, "../tabby cat, tabby"), &picture());
        let names = names(&path);
        assert!(is_own(&names[0]) && names[0].ends_with("-00000007----tabby-cat.png"), "{names:?}");
        assert_eq!(image::open(path.join(&names[0])).unwrap().into_rgb8().into_raw(), picture().data);
        // 2021-03-04 05:06:07.089, by date(1).
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(1_614_834_367_089);
        assert_eq!(snapshots.free_name(&change(7, "cat"), then), "2021-03-04T05-06-07.089Z-00000007-cat.png");
    }

    #[test]
    fn a_name_is_never_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::new(folder.path(), None).unwrap();
        let mut all = Vec::new();
        for _ in 0..3 {
            let name = snapshots.free_name(&change(1, "a"), SystemTime::UNIX_EPOCH);
            fs::write(folder.path().join(&name), "").unwrap();
            all.push(name);
        }
        let start = "1970-01-01T00-00-00.000Z-00000001-a";
        assert_eq!(all, [format!("{start}.png"), format!("{start}-2.png"), format!("{start}-3.png")]);
        assert!(all.iter().all(|name| is_own(name)));
    }

    #[test]
    fn the_newest_stay_over_several_runs_and_others_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let others = [
            "00000007-cat.png",
            "2020-01-01T00-00-00.000Z-00000007-cat.jpg",
            "2020-01-01T00-00-00.000Z-holiday.png",
            "2020-01-01.png",
            "holiday.png",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}.png",
        ];
        for name in others {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir(folder.path().join("2020-01-01T00-00-00.000Z-00000007-cat.png")).unwrap();
        let own = || names(folder.path()).into_iter().filter(|name| is_own(name)).collect::<Vec<_>>();
        let mut unbounded = Snapshots::new(folder.path(), None).unwrap();
        for frame in 0..6 {
            unbounded.keep(&change(frame, "a"), &picture());
        }
        assert_eq!(own().len(), 7);
        let mut snapshots = Snapshots::new(folder.path(), Some(4)).unwrap();
        assert_eq!(own().len(), 5);
        for frame in 6..9 {
            snapshots.keep(&change(frame, "b"), &picture());
        }
        let frames: Vec<u32> = own().iter().filter_map(|name| name[TIME.len()..TIME.len() + 8].parse().ok()).collect();
        assert_eq!(frames, [7, 5, 6, 7, 8], "the folder, and the newest four");
        for name in others {
            assert!(folder.path().join(name).exists(), "{name}");
        }
    }

    #[test]
    fn labels_of_every_kind_make_names() {
        for label in ["", "..", "a/b\0c\n", &"\u{20000}".repeat(99), &"x".repeat(999)] {
            let name = format!("{TIME}00000001-{}.png", file_name(label));
            assert!(is_own(&name) && name.len() < 200 && !name.contains(['/', '\0', '\n']), "{name}");
        }
    }
}
