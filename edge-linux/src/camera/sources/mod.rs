//! Where frames come from.

mod images;
mod mjpeg;
mod pipe;
pub(crate) mod v4l2;
mod video;
mod y4m;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;

use super::frame::{Frame, FrameFormat};

/// A source that is silent for so long is opened anew.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// Something that gives frames.
pub(crate) trait Source: Send {
    /// Waits for the next frame and writes its layout and bytes into `frame`.
    ///
    /// # Errors
    /// The source is broken: unplugged, disconnected, silent. It must be opened anew to give more.
    fn read(&mut self, frame: &mut Frame) -> Result<Read>;
}

/// What came from a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A frame.
    Frame,
    /// Something that is no whole frame. Better ones may follow.
    Broken(String),
    /// Nothing more will come.
    End,
}

/// Which source: `v4l2:/dev/video0`, `pipe:-`, `mjpeg:http://...`, `y4m:FILE`, `images:DIR` or `video:FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    V4l2(PathBuf),
    Pipe(PathBuf),
    Mjpeg(String),
    Y4m(PathBuf),
    Images(PathBuf),
    Video(PathBuf),
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let path = || PathBuf::from(rest);
        Ok(match kind {
            _ if text.starts_with("/dev/video") => Self::V4l2(text.into()),
            _ if rest.is_empty() => {
                return Err(
                    "give v4l2:/dev/video0, pipe:-, mjpeg:http://..., y4m:FILE, images:DIR or video:FILE".into()
                );
            }
            "v4l2" => Self::V4l2(path()),
            "pipe" => Self::Pipe(path()),
            "mjpeg" if rest.starts_with("http://") || rest.starts_with("https://") => Self::Mjpeg(rest.to_owned()),
            "mjpeg" => return Err("mjpeg: takes an address that starts with http:// or https://".into()),
            "y4m" => Self::Y4m(path()),
            "images" => Self::Images(path()),
            "video" => Self::Video(path()),
            _ => {
                return Err(format!("there is no source {kind}; v4l2, pipe, mjpeg, y4m, images and video are there"));
            }
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path) = match self {
            Self::V4l2(path) => ("v4l2", path),
            Self::Pipe(path) => ("pipe", path),
            Self::Mjpeg(address) => return write!(formatter, "mjpeg:{address}"),
            Self::Y4m(path) => ("y4m", path),
            Self::Images(path) => ("images", path),
            Self::Video(path) => ("video", path),
        };
        write!(formatter, "{kind}:{}", path.display())
    }
}

/// What is asked of a source that can be asked, and what must be said of one that does not say it itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Width and height in pixels.
    pub(crate) size: Option<(u32, u32)>,
    /// Bytes from row to row.
    pub(crate) stride: Option<usize>,
    /// How pixels lie in memory.
    pub(crate) format: Option<FrameFormat>,
    /// Frames a second.
    pub(crate) rate: Option<u32>,
    /// How long a source may be silent; [`SILENCE`] where it isn't said.
    pub(crate) silence: Option<Duration>,
}

impl Wanted {
    fn silence(&self) -> Duration {
        self.silence.unwrap_or(SILENCE)
    }

    /// Refuses what the source doesn't take.
    fn refuse(&self, source: &Name) -> Result<()> {
        let Self { size, stride, format, rate, .. } = self;
        let given = [
            ("--width and --height", size.is_some()),
            ("--stride", stride.is_some()),
            ("--format", format.is_some()),
            ("--rate", rate.is_some()),
        ];
        let taken: &[&str] = match source {
            Name::V4l2(_) => &["--width and --height", "--format", "--rate"],
            Name::Pipe(_) => &["--width and --height", "--stride", "--format"],
            Name::Mjpeg(_) | Name::Y4m(_) | Name::Images(_) | Name::Video(_) => &[],
        };
        match given.iter().find(|(name, given)| *given && !taken.contains(name)) {
            Some((name, _)) => anyhow::bail!("{source}: has its own, leave {name} out"),
            None => Ok(()),
        }
    }
}

impl Name {
    /// Opens the source.
    pub(crate) fn open(&self, wanted: &Wanted) -> Result<Box<dyn Source>> {
        wanted.refuse(self)?;
        Ok(match self {
            Self::V4l2(path) => Box::new(v4l2::Camera::open(path, wanted)?),
            Self::Pipe(path) => Box::new(pipe::Pipe::open(path, wanted)?),
            Self::Mjpeg(address) => Box::new(mjpeg::Stream::open(address, wanted.silence())?),
            Self::Y4m(path) => Box::new(y4m::Y4m::open(path)?),
            Self::Images(path) => Box::new(images::Images::open(path)?),
            Self::Video(path) => Box::new(video::Video::open(path)?),
        })
    }

    /// Whether its frames come when they come. The others wait until they are asked for, so that none need be dropped.
    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::V4l2(_) | Self::Pipe(_) | Self::Mjpeg(_) => true,
            Self::Y4m(path) => path == Path::new("-"),
            Self::Images(_) | Self::Video(_) => false,
        }
    }

    /// Whether it may come back after it broke.
    pub(crate) fn comes_back(&self) -> bool {
        matches!(self, Self::V4l2(_) | Self::Mjpeg(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in ["v4l2:/dev/video2", "pipe:-", "mjpeg:http://cam.local:8080/stream", "y4m:a b.y4m", "images:x"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        assert_eq!("/dev/video0".parse(), Ok(Name::V4l2("/dev/video0".into())));
        for text in ["", "pipe", "pipe:", "mjpeg:cam.local", "webcam:0"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_source_does_not_take_is_refused() {
        let wanted = Wanted { rate: Some(30), ..Wanted::default() };
        let error = Name::Pipe("-".into()).open(&wanted).err().unwrap().to_string();
        assert_eq!(error, "pipe:-: has its own, leave --rate out");
    }
}
