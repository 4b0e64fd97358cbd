//! YUV4MPEG2 files, as ffmpeg and many tools for raw video write them: a line that describes the video, then for each
//! frame a line and the planes of luma, blue and red differences, without padding.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tinception_core::image::Size;

use super::{Read, Source, pipe};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::output::file_error;

/// Longest line that is read.
const LONGEST_LINE: u64 = 4096;

/// A YUV4MPEG2 stream, from a file or from a program's output.
pub(super) struct Y4m<R = BufReader<File>> {
    input: R,
    path: PathBuf,
    layout: Layout,
}

impl Y4m {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Self::new(BufReader::new(pipe::open(path)?), path)
    }
}

impl<R: BufRead> Y4m<R> {
    /// Reads the description. `path` is what errors name.
    pub(super) fn new(mut input: R, path: &Path) -> Result<Self> {
        let header = line(&mut input).with_context(|| format!("{}: cannot be read", path.display()))?;
        let layout = header
            .strip_prefix("YUV4MPEG2 ")
            .ok_or_else(|| {
                file_error(path, "not a YUV4MPEG2 file; `ffmpeg -i VIDEO -pix_fmt yuv420p FILE.y4m` makes one")
            })
            .and_then(|parameters| self::layout(parameters).map_err(|error| file_error(path, error)))?;
        Ok(Self { input, path: path.to_owned(), layout })
    }
}

/// A line without its end. What follows a very long one is part of the next.
fn line(input: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// What the first line says.
fn layout(parameters: &str) -> Result<Layout, String> {
    let value = |tag: char| parameters.split(' ').find_map(|parameter| parameter.strip_prefix(tag));
    let side = |tag| value(tag).and_then(|side| side.parse().ok());
    let (Some(width), Some(height)) = (side('W'), side('H')) else {
        return Err("its first line gives no width and height; write it again".into());
    };
    let format = match value('C') {
        None | Some("420" | "420jpeg" | "420mpeg2" | "420paldv") => FrameFormat::Yuv420,
        Some("mono") => FrameFormat::Grey,
        Some(other) => return Err(format!("colour format {other}; write it as 4:2:0 with 8 bits (-pix_fmt yuv420p)")),
    };
    Layout::new(format, Size::new(width, height), None).map_err(|error| error.0)
}

impl<R: BufRead + Send> Source for Y4m<R> {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        let unreadable = || format!("{}: cannot be read", self.path.display());
        let header = line(&mut self.input).with_context(unreadable)?;
        if header.is_empty() {
            return Ok(Read::End);
        }
        if !header.starts_with("FRAME") {
            return Err(file_error(&self.path, "damaged: a frame does not start where it should; write it again"));
        }
        frame.layout = self.layout;
        let needed = self.layout.frame_bytes();
        frame.bytes.resize(needed, 0);
        let came = pipe::fill(&mut self.input, &mut frame.bytes).with_context(unreadable)?;
        Ok(if came < needed {
            Read::Broken(format!("the video ended within a frame, after {came} of {needed} bytes"))
        } else {
            Read::Frame
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<Y4m<&[u8]>> {
        Y4m::new(bytes, Path::new("test.y4m"))
    }

    #[test]
    fn an_odd_size_has_planes_rounded_up() {
        // 3 x 3: nine values of luma, four of each difference.
        let mut bytes = b"YUV4MPEG2 W3 H3 F25:1 Ip A1:1 C420jpeg XSOMETHING\nFRAME\n".to_vec();
        bytes.extend(0..17);
        bytes.extend(b"FRAME Ip\n");
        bytes.extend(100..117);
        bytes.extend(b"FRAME\nabc");
        let mut video = open(&bytes).unwrap();
        let mut frame = Frame::default();
        for first in [0, 100] {
            assert_eq!(video.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!(frame.layout, Layout { format: FrameFormat::Yuv420, size: Size::new(3, 3), stride: 3 });
            assert_eq!(frame.bytes, (first..first + 17).collect::<Vec<u8>>());
        }
        assert!(matches!(video.read(&mut frame).unwrap(), Read::Broken(_)));
        assert_eq!(video.read(&mut frame).unwrap(), Read::End);
    }

    #[test]
    fn what_it_cannot_read_it_says() {
        for (bytes, expected) in [
            (&b"RIFF...."[..], "not a YUV4MPEG2 file"),
            (b"YUV4MPEG2 F25:1\n", "no width and height"),
            (b"YUV4MPEG2 W4 H4 C444\n", "colour format 444"),
            (b"YUV4MPEG2 W0 H4\n", "0 x 4 is no size"),
            (b"YUV4MPEG2 W99999 H4\n", "99999 x 4 is no size"),
        ] {
            let error = open(bytes).err().unwrap().to_string();
            assert!(error.starts_with("test.y4m: ") && error.contains(expected), "{error}");
        }
        let error = open(b"YUV4MPEG2 W2 H2\nFRAMx").unwrap().read(&mut Frame::default()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
