//! Raw frames, one after the other, from standard input, a named pipe or a file: `rpicam-vid`, GStreamer, ffmpeg.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tinception_core::image::Size;

use super::{Read, Source, Wanted};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::output::file_error;

/// A pipe of frames of one layout.
pub(super) struct Pipe {
    input: File,
    path: PathBuf,
    layout: Layout,
}

impl Pipe {
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        let (Some((width, height)), Some(format)) = (wanted.size, wanted.format) else {
            bail!("pipe: raw frames don't say what they are; give --width, --height and --format");
        };
        if format == FrameFormat::Mjpeg {
            return Err(file_error(path, "a pipe takes raw frames; give --format yuv420, nv12, rgb24, yuyv or grey"));
        }
        let layout = Layout::new(format, Size::new(width, height), wanted.stride).context("pipe")?;
        Ok(Self { input: open(path)?, path: path.to_owned(), layout })
    }
}

/// The file at `path`, or standard input for `-`.
pub(super) fn open(path: &Path) -> Result<File> {
    if path == Path::new("-") {
        return Ok(io::stdin().as_fd().try_clone_to_owned().context("standard input cannot be read")?.into());
    }
    File::open(path).with_context(|| format!("{}: cannot be read", path.display()))
}

/// Reads until `bytes` is full or the input ends. How many came.
pub(super) fn fill(input: &mut impl io::Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl Source for Pipe {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        frame.layout = self.layout;
        let needed = self.layout.frame_bytes();
        frame.bytes.resize(needed, 0);
        let came = fill(&mut self.input.by_ref(), &mut frame.bytes)
            .with_context(|| format!("{}: cannot be read", self.path.display()))?;
        Ok(match came {
            0 => Read::End,
            came if came < needed => {
                Read::Broken(format!("the pipe ended within a frame, after {came} of {needed} bytes"))
            }
            _ => Read::Frame,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_with_padding_then_a_part_of_one_then_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames");
        // Two rows of 4 pixels, 6 bytes apart; the second frame lacks a byte.
        let bytes: Vec<u8> = (0..23).collect();
        std::fs::write(&path, &bytes).unwrap();
        let wanted =
            Wanted { size: Some((4, 2)), stride: Some(6), format: Some(FrameFormat::Grey), ..Wanted::default() };
        let mut pipe = Pipe::open(&path, &wanted).unwrap();
        let mut frame = Frame::default();
        assert_eq!(pipe.read(&mut frame).unwrap(), Read::Frame);
        assert_eq!((frame.layout.stride, &frame.bytes[..]), (6, &bytes[..12]));
        let broken = pipe.read(&mut frame).unwrap();
        assert_eq!(broken, Read::Broken("the pipe ended within a frame, after 11 of 12 bytes".into()));
        assert_eq!(pipe.read(&mut frame).unwrap(), Read::End);
    }

    #[test]
    fn what_must_be_said_is_asked_for() {
        let none = Pipe::open(Path::new("-"), &Wanted::default()).err().unwrap().to_string();
        assert!(none.contains("--width, --height and --format"), "{none}");
        let narrow =
            Wanted { size: Some((8, 2)), stride: Some(7), format: Some(FrameFormat::Nv12), ..Wanted::default() };
        let error = format!("{:#}", Pipe::open(Path::new("-"), &narrow).err().unwrap());
        assert!(error.contains("stride of 8 bytes, not 7"), "{error}");
    }
}
