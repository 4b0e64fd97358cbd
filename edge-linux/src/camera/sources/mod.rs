//! Where frames come from.

mod address;
mod ffmpeg;
mod http;
mod images;
mod jpegs;
mod mjpeg;
mod multipart;
mod pace;
mod pipe;
pub(crate) mod v4l2;
mod video;
mod y4m;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;

use self::address::Address;
use super::colour::ColourTags;
use super::frame::{Frame, FrameFormat};

/// A source that is silent for so long is opened anew.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);
/// Largest JPEG frame that is read, in bytes.
const LARGEST_FRAME: usize = 32 << 20;

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
    /// A whole frame.
    Frame,
    /// Something that is no whole frame. Better ones may follow.
    Broken(String),
    /// Nothing more will come.
    End,
}

/// Which source. The addresses among them are shown without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    V4l2(PathBuf),
    Pipe(PathBuf),
    Mjpeg(Address),
    Snapshot(Address),
    Rtsp(Address),
    Y4m(PathBuf),
    Images(PathBuf),
    Video(PathBuf),
}

/// What a source may be.
const KINDS: &str = "v4l2:/dev/video0, pipe:-, mjpeg:http://..., snapshot:http://..., rtsp://..., y4m:FILE, images:DIR or \
                     video:FILE";
/// The schemes of cameras that speak HTTP, and of those that speak RTSP.
const HTTP: [&str; 2] = ["http", "https"];
const RTSP: [&str; 2] = ["rtsp", "rtsps"];

/// Its errors have no word of the text: it may hold a password.
impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let path = || PathBuf::from(rest);
        let named = |error| format!("{kind}: {error}");
        Ok(match kind {
            _ if text.starts_with("/dev/v") => Self::V4l2(text.into()),
            "rtsp" | "rtsps" if rest.starts_with("//") => Self::Rtsp(Address::parse(text, &RTSP).map_err(named)?),
            "http" | "https" if rest.starts_with("//") => {
                return Err(
                    "write mjpeg: in front of the address of a camera's stream, or snapshot: in front of that of \
                            its picture"
                        .into(),
                );
            }
            _ if rest.is_empty() => return Err(format!("give {KINDS}")),
            "v4l2" => Self::V4l2(path()),
            "pipe" => Self::Pipe(path()),
            "mjpeg" => Self::Mjpeg(Address::parse(rest, &HTTP).map_err(named)?),
            "snapshot" => Self::Snapshot(Address::parse(rest, &HTTP).map_err(named)?),
            "rtsp" => Self::Rtsp(Address::parse(rest, &RTSP).map_err(named)?),
            "y4m" => Self::Y4m(path()),
            "images" => Self::Images(path()),
            "video" if rest.starts_with("rtsp") && rest.contains("://") => {
                Self::Rtsp(Address::parse(rest, &RTSP).map_err(named)?)
            }
            "video" if rest.contains("://") => {
                return Err(
                    "video: takes a file, or an address that starts with rtsp:// or rtsps://; for another one pipe \
                            ffmpeg's output into y4m:-"
                        .into(),
                );
            }
            "video" => Self::Video(path()),
            _ => return Err(format!("there is no such source; give {KINDS}")),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, path) = match self {
            Self::V4l2(path) => ("v4l2", path),
            Self::Pipe(path) => ("pipe", path),
            Self::Mjpeg(address) => return write!(formatter, "mjpeg:{address}"),
            Self::Snapshot(address) => return write!(formatter, "snapshot:{address}"),
            Self::Rtsp(address) => return write!(formatter, "{address}"),
            Self::Y4m(path) => ("y4m", path),
            Self::Images(path) => ("images", path),
            Self::Video(path) => ("video", path),
        };
        write!(formatter, "{kind}:{}", path.display())
    }
}

/// Reads a source's name off the command line. clap's own parser would repeat a wrong one in its error, password and all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameParser;

impl TypedValueParser for NameParser {
    type Value = Name;

    fn parse_ref(&self, command: &clap::Command, _: Option<&clap::Arg>, value: &OsStr) -> Result<Name, clap::Error> {
        let name = value.to_str().ok_or_else(|| "it must be UTF-8".to_owned()).and_then(str::parse);
        name.map_err(|why| clap::Error::raw(ErrorKind::ValueValidation, format!("SOURCE: {why}\n")).with_cmd(command))
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
    /// What the frames' colours are, whatever the source says.
    pub(crate) colours: ColourTags,
    /// Set when nobody wants more of the source.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Wanted {
    fn silence(&self) -> Duration {
        self.silence.unwrap_or(SILENCE)
    }

    /// Refuses what the source doesn't take.
    fn refuse(&self, source: &Name) -> Result<()> {
        let Self { size, stride, format, rate, colours, .. } = self;
        let given = [
            ("--width and --height", size.is_some()),
            ("--stride", stride.is_some()),
            ("--format", format.is_some()),
            ("--rate", rate.is_some()),
            ("--matrix", colours.matrix.is_some()),
            ("--range", colours.range.is_some()),
        ];
        let taken: &[&str] = match source {
            Name::V4l2(_) => &["--width and --height", "--format", "--rate", "--matrix", "--range"],
            Name::Pipe(_) => &["--width and --height", "--stride", "--format", "--matrix", "--range"],
            Name::Y4m(_) => &["--matrix", "--range"],
            Name::Video(_) | Name::Rtsp(_) => &["--matrix"],
            Name::Mjpeg(_) | Name::Snapshot(_) | Name::Images(_) => &["--rate"],
        };
        match given.iter().find(|(name, given)| *given && !taken.contains(name)) {
            Some((name, _)) => anyhow::bail!("{source}: {name} has no effect on this kind of source; leave {name} out"),
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
            Self::Mjpeg(address) | Self::Snapshot(address) => Box::new(mjpeg::Stream::open(address, wanted)?),
            Self::Rtsp(address) => Box::new(video::Video::connect(address, wanted)?),
            Self::Y4m(path) => Box::new(y4m::Y4m::open(path, wanted)?),
            Self::Images(path) => Box::new(images::Images::open(path, wanted)?),
            Self::Video(path) => Box::new(video::Video::open(path, wanted)?),
        })
    }

    /// Whether its frames come when they come. The others wait until they are asked for, so that none need be dropped.
    pub(crate) fn is_live(&self) -> bool {
        match self {
            Self::V4l2(_) | Self::Pipe(_) | Self::Mjpeg(_) | Self::Snapshot(_) | Self::Rtsp(_) => true,
            Self::Y4m(path) => path == Path::new("-"),
            Self::Images(_) | Self::Video(_) => false,
        }
    }

    /// Whether it may come back after it broke.
    pub(crate) fn comes_back(&self) -> bool {
        matches!(self, Self::V4l2(_) | Self::Mjpeg(_) | Self::Snapshot(_) | Self::Rtsp(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for text in [
            "v4l2:/dev/video2",
            "pipe:-",
            "mjpeg:http://cam.local:8080/stream",
            "snapshot:https://cam.local/snap.jpg",
            "rtsp://cam.local:554/live",
            "rtsps://cam.local/live",
            "y4m:a b.y4m",
            "images:x",
            "video:a:b.mp4",
        ] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
        for path in ["/dev/video0", "/dev/v4l/by-id/usb-x-video-index0"] {
            assert_eq!(path.parse(), Ok(Name::V4l2(path.into())));
        }
        for text in ["video:rtsp://cam/x", "rtsp:rtsp://cam/x", "rtsp://cam/x"] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), "rtsp://cam/x");
        }
        for text in ["", "pipe", "pipe:", "mjpeg:cam.local", "webcam:0", "rtsp:cam", "video:udp://cam"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn passwords_are_in_no_error() {
        for text in [
            "mjpg:http://u:secret@cam/",
            "http://u:secret@cam/",
            "mjpeg:ftp://u:secret@cam/",
            "mjpeg:http://u:secret@cam:port/",
            "u:secret@cam",
            "secret@cam",
            "snapshot:u:secret@cam",
            "video:http://u:secret@cam/",
            "rtsp://u:secret@/",
            "rtmp://u:secret@cam",
        ] {
            let error = text.parse::<Name>().unwrap_err();
            assert!(!error.contains("secret") && !error.contains("u:"), "{text}: {error}");
        }
        let name: Name = "mjpeg:http://u:secret@cam/".parse().unwrap();
        assert_eq!((name.to_string(), format!("{name:?}")), ("mjpeg:http://cam/".into(), "Mjpeg(http://cam/)".into()));
    }

    #[test]
    fn what_a_source_does_not_take_is_refused() {
        let wanted = Wanted { rate: Some(30), ..Wanted::default() };
        let error = Name::Pipe("-".into()).open(&wanted).err().unwrap().to_string();
        assert_eq!(error, "pipe:-: --rate has no effect on this kind of source; leave --rate out");
    }
}
