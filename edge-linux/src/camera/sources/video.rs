//! Video files, decoded by ffmpeg where it is installed: a program of its own, whose output is read.

use std::io::{BufReader, ErrorKind, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Result;

use super::y4m::Y4m;
use super::{Read, Source};
use crate::camera::frame::Frame;
use crate::output::file_error;

/// A video, and the ffmpeg that decodes it.
pub(super) struct Video {
    frames: Y4m<BufReader<ChildStdout>>,
    ffmpeg: Ffmpeg,
    ended: bool,
}

/// Ends with the value.
struct Ffmpeg(Child);

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ffmpeg {
    /// What it says went wrong, in a line.
    fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            let _ = stderr.take(4096).read_to_string(&mut text);
        }
        text.lines().last().unwrap_or("it gives no reason").trim().to_owned()
    }
}

impl Video {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::with(Path::new("ffmpeg"), path)
    }

    fn with(program: &Path, path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(file_error(path, "there is no such file"));
        }
        let mut command = Command::new(program);
        command.args(["-nostdin", "-loglevel", "fatal", "-i"]).arg(path);
        command.args(["-an", "-sn", "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"]);
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| {
            let why = match error.kind() {
                ErrorKind::NotFound => {
                    "ffmpeg, which decodes videos, is not installed; install it, or give a y4m: file"
                }
                _ => "ffmpeg, which decodes videos, does not start",
            };
            file_error(path, format_args!("{why} ({error})"))
        })?;
        let stdout = child.stdout.take();
        let mut ffmpeg = Ffmpeg(child);
        let Some(stdout) = stdout else { return Err(file_error(path, "ffmpeg has no output")) };
        match Y4m::new(BufReader::with_capacity(1 << 16, stdout), path) {
            Ok(frames) => Ok(Self { frames, ffmpeg, ended: false }),
            Err(_) => Err(file_error(path, format_args!("ffmpeg cannot decode it: {}", ffmpeg.complaint()))),
        }
    }
}

impl Source for Video {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        if self.ended {
            return Ok(Read::End);
        }
        let read = self.frames.read(frame)?;
        self.ended = read == Read::End;
        if self.ended && !self.ffmpeg.0.wait()?.success() {
            return Ok(Read::Broken(format!("ffmpeg failed: {}", self.ffmpeg.complaint())));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that stands in for ffmpeg.
    fn script(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn what_ffmpeg_decodes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("video.mp4");
        std::fs::write(&video, b"").unwrap();
        let program = script(folder.path(), r#"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdefFRAME\nghijkl'"#);
        let mut video = Video::with(&program, &video).unwrap();
        let mut frame = Frame::default();
        for expected in [b"abcdef", b"ghijkl"] {
            assert_eq!(video.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!(frame.bytes, expected);
        }
        assert_eq!(video.read(&mut frame).unwrap(), Read::End);
    }

    #[test]
    fn no_file_no_ffmpeg_and_no_video_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("video.mp4");
        let error = |program: &Path| Video::with(program, &video).err().unwrap().to_string();
        assert!(error(Path::new("ffmpeg")).contains("no such file"));
        std::fs::write(&video, b"").unwrap();
        assert!(error(&folder.path().join("none")).contains("not installed; install it"));
        let program = script(folder.path(), "echo 'moov atom not found' >&2; exit 1");
        assert!(error(&program).contains("ffmpeg cannot decode it: moov atom not found"));
    }
}
