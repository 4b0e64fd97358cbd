//! YUV4MPEG2 files, as ffmpeg and many tools for raw video write them: a line that describes the video, then for each
//! frame a line and the planes of luma, blue and red differences, without padding.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tinception_core::image::Size;

use super::{Read, Source, Wanted, pipe};
use crate::camera::colour::{ColourTags, Range};
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
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        Self::new(BufReader::new(pipe::open(path)?), path, wanted.colours)
    }
}

impl<R: BufRead> Y4m<R> {
    /// Reads the description. `path` is what errors name; `wanted` counts more than what the description says of colours.
    pub(super) fn new(mut input: R, path: &Path, wanted: ColourTags) -> Result<Self> {
        let header = line(&mut input).with_context(|| format!("{}: cannot be read", path.display()))?;
        let layout = header
            .strip_prefix("YUV4MPEG2 ")
            .ok_or_else(|| {
                file_error(path, "not a YUV4MPEG2 file; `ffmpeg -i VIDEO -pix_fmt yuv420p FILE.y4m` makes one")
            })
            .and_then(|parameters| self::layout(parameters, wanted).map_err(|error| file_error(path, error)))?;
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
fn layout(parameters: &str, wanted: ColourTags) -> Result<Layout, String> {
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
    let layout = Layout::new(format, Size::new(width, height), None).map_err(|error| error.0)?;
    // ffmpeg's addition to the format. There is none for the matrix.
    let range = parameters.split(' ').find_map(|parameter| match parameter.strip_prefix("XCOLORRANGE=")? {
        "FULL" => Some(Range::Full),
        "LIMITED" => Some(Range::Limited),
        _ => None,
    });
    Ok(layout.with_colours(wanted.or(ColourTags { matrix: None, range })))
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
        if came < needed {
            let message = format_args!("the video ended within a frame, after {came} of {needed} bytes");
            return Err(file_error(&self.path, message));
        }
        Ok(Read::Frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: &[u8]) -> Result<Y4m<&[u8]>> {
        Y4m::new(bytes, Path::new("test.y4m"), ColourTags::default())
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
            assert_eq!(Ok(frame.layout), Layout::new(FrameFormat::Yuv420, Size::new(3, 3), None));
            assert_eq!(frame.bytes, (first..first + 17).collect::<Vec<u8>>());
        }
        let error = video.read(&mut frame).unwrap_err().to_string();
        assert_eq!(error, "test.y4m: the video ended within a frame, after 3 of 17 bytes");
    }

    #[test]
    fn the_range_is_what_the_first_line_says() {
        for (parameters, range) in [
            ("W4 H4", Range::Limited),
            ("W4 H4 C420jpeg XYSCSS=420JPEG", Range::Limited),
            ("W4 H4 XCOLORRANGE=LIMITED", Range::Limited),
            ("W4 H4 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL", Range::Full),
            ("XCOLORRANGE=FULL H4 W4 F25:1", Range::Full),
            ("W4 H4 XCOLORRANGE=NONE", Range::Limited),
            ("W4 H4 Cmono", Range::Full),
            ("W4 H4 Cmono XCOLORRANGE=LIMITED", Range::Limited),
        ] {
            assert_eq!(layout(parameters, ColourTags::default()).unwrap().colours.range, range, "{parameters}");
        }
        let wanted = ColourTags { matrix: None, range: Some(Range::Limited) };
        assert_eq!(layout("W4 H4 XCOLORRANGE=FULL", wanted).unwrap().colours.range, Range::Limited);
    }

    #[test]
    fn what_it_cannot_read_it_says() {
        for (bytes, expected) in [
            (&b"RIFF...."[..], "not a YUV4MPEG2 file"),
            (b"YUV4MPEG2 F25:1\n", "no width and height"),
            (b"YUV4MPEG2 W4 H4 C444\n", "colour format 444"),
            (b"YUV4MPEG2 W0 H4\n", "cannot have 0 x 4 pixels"),
            (b"YUV4MPEG2 W99999 H4\n", "cannot have 99999 x 4 pixels"),
        ] {
            let error = open(bytes).err().unwrap().to_string();
            assert!(error.starts_with("test.y4m: ") && error.contains(expected), "{error}");
        }
        let error = open(b"YUV4MPEG2 W2 H2\nFRAMx").unwrap().read(&mut Frame::default()).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
