//! What happens when the label changes: a command runs, a picture is kept.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use image::ExtendedColorType;
use image::ImageEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use super::frame::RgbFrame;
use crate::destination;
use crate::output::{file_error, notice, report_error};

/// A change of the label.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The frame that brought it.
    pub(crate) frame: u64,
    /// The new label.
    pub(crate) label: String,
    /// The one before.
    pub(crate) previous: String,
    /// The new label's averaged probability.
    pub(crate) probability: f64,
}

/// A command that runs on changes, one at a time. Changes while it runs wait; only the newest of them counts.
#[derive(Debug)]
pub(crate) struct Hook {
    command: String,
    running: Option<Child>,
    waiting: Option<Change>,
}

impl Hook {
    /// A hook that has the shell run `command`.
    pub(crate) const fn new(command: String) -> Self {
        Self { command, running: None, waiting: None }
    }

    /// Runs the command for `change`, at once or when the one that runs has ended.
    pub(crate) fn change(&mut self, change: Change) {
        self.waiting = Some(change);
        self.poll();
    }

    /// Starts what waits, if nothing runs.
    pub(crate) fn poll(&mut self) {
        if let Some(child) = &mut self.running {
            match child.try_wait() {
                Ok(None) => return,
                Ok(Some(status)) if !status.success() => notice(format_args!("--on-change: {status}")),
                Ok(Some(_)) => {}
                Err(error) => notice(format_args!("--on-change: {error}")),
            }
            self.running = None;
        }
        let Some(change) = self.waiting.take() else { return };
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command);
        command.env("TINCEPTION_LABEL", &change.label).env("TINCEPTION_PREVIOUS", &change.previous);
        command.env("TINCEPTION_PROBABILITY", format!("{:.4}", change.probability));
        command.env("TINCEPTION_FRAME", change.frame.to_string());
        // Its output would come between the program's own.
        match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => self.running = Some(child),
            Err(error) => notice(format_args!("--on-change: cannot be started: {error}")),
        }
    }

    /// Waits for the command that runs, then runs what waits.
    pub(crate) fn finish(&mut self) {
        while let Some(mut child) = self.running.take() {
            let _ = child.wait();
            self.poll();
        }
    }
}

/// A folder of pictures of the moments when the label changed.
#[derive(Debug)]
pub(crate) struct Snapshots {
    folder: PathBuf,
    /// Pictures that could not be written.
    lost: u64,
}

impl Snapshots {
    /// Makes the folder if it isn't there.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
        if folder.metadata().is_ok_and(|metadata| metadata.permissions().readonly()) {
            return Err(file_error(folder, "may not be written to"));
        }
        Ok(Self { folder: folder.to_owned(), lost: 0 })
    }

    /// Keeps the picture, lossless, so that `classify` sees the same. A full disk is reported the first time, the second, the
    /// fourth ..., and nothing ends: the next picture is tried again.
    pub(crate) fn keep(&mut self, change: &Change, picture: &RgbFrame) {
        let name = format!("{:08}-{}.png", change.frame, file_name(&change.label));
        let written = png(picture).and_then(|bytes| destination::write(&self.folder.join(name), &bytes));
        if let Err(error) = written {
            self.lost += 1;
            if self.lost.is_power_of_two() {
                report_error(&error.context(format!("--snapshots: {} lost so far", self.lost)));
            }
        }
    }
}

/// A picture as a PNG file, quickly rather than small.
fn png(picture: &RgbFrame) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive).write_image(
        &picture.data,
        picture.size.width,
        picture.size.height,
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes)
}

/// The label's first name, in letters that every file system takes.
fn file_name(label: &str) -> String {
    let name = label.split(',').next().unwrap_or_default().trim();
    name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).take(60).collect()
}

#[cfg(test)]
mod tests {
    use tinception_core::image::Size;

    use super::*;

    fn change(frame: u64, label: &str) -> Change {
        Change { frame, label: label.into(), previous: "unknown".into(), probability: 0.5 }
    }

    #[test]
    fn the_command_learns_what_changed_and_only_the_newest_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = "$TINCEPTION_FRAME $TINCEPTION_PREVIOUS $TINCEPTION_LABEL $TINCEPTION_PROBABILITY";
        let mut hook = Hook::new(format!("sleep 0.2; echo {line} >> '{}'", path.display()));
        for (frame, label) in [(1, "a"), (2, "b"), (3, "$(c); d")] {
            hook.change(change(frame, label));
        }
        hook.finish();
        let log = std::fs::read_to_string(&path).unwrap();
        assert_eq!(log, "1 unknown a 0.5000\n3 unknown $(c); d 0.5000\n");
    }

    #[test]
    fn a_snapshot_has_the_pixels() {
        let folder = tempfile::tempdir().unwrap();
        let mut snapshots = Snapshots::new(&folder.path().join("new/folder")).unwrap();
        let picture = RgbFrame { size: Size::new(2, 1), data: vec![1, 2, 3, 250, 251, 252] };
        snapshots.keep(&change(7, "../tabby cat, tabby"), &picture);
        let path = folder.path().join("new/folder/00000007----tabby-cat.png");
        assert_eq!(image::open(path).unwrap().into_rgb8().into_raw(), picture.data);
    }
}
