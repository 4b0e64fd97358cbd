//! Raw frames or JPEG pictures, one after the other, from standard input, a named pipe or a file: `rpicam-vid`, GStreamer, ffmpeg.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tinception_core::image::Size;

use super::jpegs::{Jpegs, Next};
use super::{Read, Source, Wanted};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::output::file_error;

/// A pipe of frames: raw ones of one layout, or JPEG pictures.
pub(super) struct Pipe {
    frames: Frames,
    path: PathBuf,
}

enum Frames {
    Raw { input: File, layout: Layout },
    Jpegs(Jpegs<BufReader<File>>),
}

impl Pipe {
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        let path = path.to_owned();
        if wanted.format == Some(FrameFormat::Mjpeg) {
            if wanted.size.is_some() || wanted.stride.is_some() {
                bail!("pipe: JPEG pictures have a size of their own; leave --width, --height and --stride out");
            }
            let input = BufReader::with_capacity(1 << 16, open(&path)?);
            return Ok(Self { frames: Frames::Jpegs(Jpegs::new(input)), path });
        }
        let (Some((width, height)), Some(format)) = (wanted.size, wanted.format) else {
            bail!("pipe: raw frames don't say what they are; give --width, --height and --format");
        };
        let layout = Layout::new(format, Size::new(width, height), wanted.stride).context("pipe")?;
        let layout = layout.with_colours(wanted.colours);
        Ok(Self { frames: Frames::Raw { input: open(&path)?, layout }, path })
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
        let unreadable = || format!("{}: cannot be read", self.path.display());
        match &mut self.frames {
            Frames::Raw { input, layout } => {
                frame.layout = *layout;
                let needed = layout.frame_bytes();
                frame.bytes.resize(needed, 0);
                match fill(input, &mut frame.bytes).with_context(unreadable)? {
                    0 => Ok(Read::End),
                    came if came < needed => Err(file_error(
                        &self.path,
                        format_args!("the pipe ended within a frame, after {came} of {needed} bytes"),
                    )),
                    _ => Ok(Read::Frame),
                }
            }
            Frames::Jpegs(jpegs) => {
                frame.layout = Layout::JPEG;
                match jpegs.next(&mut frame.bytes).with_context(unreadable)? {
                    Next::Picture => Ok(Read::Frame),
                    Next::Broken => Ok(Read::Broken("the JPEG picture is truncated".into())),
                    Next::Cut => Err(file_error(&self.path, "the pipe ended within a JPEG picture")),
                    Next::End => Ok(Read::End),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::testing::jpeg;

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
        let error = pipe.read(&mut frame).unwrap_err().to_string();
        assert!(error.ends_with("frames: the pipe ended within a frame, after 11 of 12 bytes"), "{error}");
    }

    #[test]
    fn jpeg_pictures_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames");
        let picture = jpeg(32, 24);
        std::fs::write(&path, [&picture[..], &picture, &picture[..40]].concat()).unwrap();
        let wanted = Wanted { format: Some(FrameFormat::Mjpeg), ..Wanted::default() };
        let mut pipe = Pipe::open(&path, &wanted).unwrap();
        let mut frame = Frame::default();
        for _ in 0..2 {
            assert_eq!(pipe.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!((frame.layout, &frame.bytes), (Layout::JPEG, &picture));
        }
        let error = pipe.read(&mut frame).unwrap_err().to_string();
        assert!(error.ends_with("frames: the pipe ended within a JPEG picture"), "{error}");
        let sized = Wanted { size: Some((32, 24)), ..wanted };
        assert!(Pipe::open(&path, &sized).err().unwrap().to_string().contains("leave --width"));
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
