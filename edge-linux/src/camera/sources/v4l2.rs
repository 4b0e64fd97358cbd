//! Cameras of Linux's Video4Linux: USB cameras, capture cards, and whatever else is a `/dev/video*`.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use linuxvideo::format::{FrameSizes, PixFormat};
use linuxvideo::stream::ReadStream;
use linuxvideo::{BufType, CapabilityFlags, Device, Fract};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tinception_core::image::Size;

use super::{Read, Source, Wanted};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::output::file_error;

/// Size that is asked for where none is wanted: all of a network's input, and cheap.
const USUAL_SIZE: (u32, u32) = (640, 480);

/// The formats that are understood, the cheapest to classify first: 4:2:2 needs no more than a conversion, JPEG takes
/// several times as long as all the rest, grey lacks the colours.
const FORMATS: [([u8; 4], FrameFormat); 8] = [
    (*b"RGB3", FrameFormat::Rgb24),
    (*b"YUYV", FrameFormat::Yuyv),
    (*b"NV12", FrameFormat::Nv12),
    (*b"YU12", FrameFormat::Yuv420),
    (*b"MJPG", FrameFormat::Mjpeg),
    (*b"JPEG", FrameFormat::Mjpeg),
    (*b"GREY", FrameFormat::Grey),
    (*b"Y800", FrameFormat::Grey),
];

/// A camera that streams.
pub(super) struct Camera {
    stream: ReadStream,
    layout: Layout,
    path: PathBuf,
    silence: Duration,
}

impl Camera {
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        let named = || path.display().to_string();
        let device = open_device(path)?;
        if !device.capabilities().with_context(named)?.device_capabilities().contains(CapabilityFlags::VIDEO_CAPTURE) {
            return Err(file_error(path, "gives no pictures; `tinception cameras` lists the devices that do"));
        }
        let offered: Vec<_> = formats(&device).collect::<io::Result<_>>().with_context(named)?;
        let (code, _) = cheapest(&offered, wanted.format).ok_or_else(|| {
            let offered: Vec<_> = offered.iter().map(|code| String::from_utf8_lossy(code)).collect();
            let what = if wanted.format.is_some() { "not in that --format" } else { "in none that is understood" };
            file_error(path, format_args!("gives pictures {what}, but in {}", offered.join(", ")))
        })?;
        let (width, height) = wanted.size.unwrap_or(USUAL_SIZE);
        let asked = PixFormat::new(width, height, linuxvideo::format::PixelFormat::from_fourcc(code));
        let camera = device.video_capture(asked).map_err(|error| busy(path, error))?;
        let given = camera.format();
        let format = understood(given.pixel_format().as_fourcc())
            .ok_or_else(|| file_error(path, "changed to a format that is not understood; give another --format"))?;
        let size = Size::new(given.width(), given.height());
        let stride = Some(given.bytes_per_line() as usize).filter(|stride| *stride > 0 && format != FrameFormat::Mjpeg);
        let layout = Layout::new(format, size, stride).with_context(named)?;
        if let Some(wanted_size) = wanted.size
            && wanted_size != (size.width, size.height)
        {
            bail!(
                "{}: gives {} x {}, not {width} x {height}; `tinception cameras` lists its sizes",
                path.display(),
                size.width,
                size.height
            );
        }
        if let Some(rate) = wanted.rate {
            camera.set_frame_interval(Fract::new(1, rate)).with_context(named)?;
        }
        let stream = camera.into_stream().map_err(|error| busy(path, error))?;
        Ok(Self { stream, layout, path: path.to_owned(), silence: wanted.silence() })
    }
}

/// The error of a device that does not start.
fn busy(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::ResourceBusy => file_error(path, "is in use by another program; end that"),
        _ => file_error(path, format_args!("cannot be set up ({error}); try another --format or size")),
    }
}

fn open_device(path: &Path) -> Result<Device> {
    Device::open(path).map_err(|error| {
        let way_out = match error.kind() {
            io::ErrorKind::NotFound => "there is no such device; `tinception cameras` lists what there is",
            io::ErrorKind::PermissionDenied => "may not be opened; join the group video (sudo usermod -aG video $USER)",
            _ => "is no camera; `tinception cameras` lists what there is",
        };
        file_error(path, format_args!("{way_out} ({error})"))
    })
}

/// The codes of all formats that a device offers.
fn formats(device: &Device) -> impl Iterator<Item = io::Result<[u8; 4]>> {
    device.formats(BufType::VIDEO_CAPTURE).map(|format| Ok(format?.pixel_format().as_fourcc()))
}

fn understood(code: [u8; 4]) -> Option<FrameFormat> {
    FORMATS.iter().find(|(known, _)| *known == code).map(|(_, format)| *format)
}

/// Of the offered formats the cheapest, or the wanted one.
fn cheapest(offered: &[[u8; 4]], wanted: Option<FrameFormat>) -> Option<([u8; 4], FrameFormat)> {
    let fits = |format: FrameFormat| wanted.is_none_or(|wanted| wanted == format);
    FORMATS.into_iter().find(|(code, format)| offered.contains(code) && fits(*format))
}

impl Source for Camera {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        let Self { stream, layout, path, silence } = self;
        let named = || path.display().to_string();
        // A camera that hangs, or was unplugged while it slept, would block for ever.
        let timeout = Timespec { tv_sec: silence.as_secs() as i64, tv_nsec: silence.subsec_nanos().into() };
        let mut ready = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)];
        match poll(&mut ready, Some(&timeout)) {
            Ok(0) => bail!("{}: no picture for {} s", path.display(), silence.as_secs_f64()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error)).with_context(named),
        }
        frame.layout = *layout;
        let whole = stream
            .dequeue(|view| {
                frame.bytes.clear();
                frame.bytes.extend_from_slice(&view);
                Ok(!view.is_error())
            })
            .with_context(named)?;
        Ok(if whole { Read::Frame } else { Read::Broken("the driver marks the picture as damaged".into()) })
    }
}

/// A device that gives pictures.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Listed {
    /// Its file.
    pub(crate) device: PathBuf,
    /// What its driver calls it.
    pub(crate) name: String,
    /// Its formats.
    pub(crate) formats: Vec<ListedFormat>,
}

/// A format of a device.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct ListedFormat {
    /// V4L2's code of four characters.
    pub(crate) code: String,
    /// Whether `tinception camera` understands it.
    pub(crate) understood: bool,
    /// Sizes, as `640x480`, or from `32x32` to `1920x1080`.
    pub(crate) sizes: Vec<String>,
}

/// All devices that give pictures, sorted by their files.
pub(crate) fn list() -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    let Ok(folder) = std::fs::read_dir("/dev") else { return Ok(listed) };
    for entry in folder {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("video")) {
            continue;
        }
        match describe(&path) {
            Ok(Some(device)) => listed.push(device),
            Ok(None) => {}
            Err(error) => crate::output::report_error(&error),
        }
    }
    listed.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(listed)
}

/// What a device offers; `None` for one that gives no pictures.
fn describe(path: &Path) -> Result<Option<Listed>> {
    let device = open_device(path)?;
    let named = || path.display().to_string();
    let capabilities = device.capabilities().with_context(named)?;
    if !capabilities.device_capabilities().contains(CapabilityFlags::VIDEO_CAPTURE) {
        return Ok(None);
    }
    let mut listed = Vec::new();
    for code in formats(&device) {
        let code = code.with_context(named)?;
        let sizes = match device.frame_sizes(linuxvideo::format::PixelFormat::from_fourcc(code)) {
            Ok(FrameSizes::Discrete(sizes)) => {
                sizes.iter().map(|size| format!("{}x{}", size.width(), size.height())).collect()
            }
            Ok(range) => vec![
                format!("{}x{}", range.min_width(), range.min_height()),
                "...".into(),
                format!("{}x{}", range.max_width(), range.max_height()),
            ],
            // Capture cards have the size of their signal.
            Err(_) => Vec::new(),
        };
        let text = String::from_utf8_lossy(&code).trim_end().to_owned();
        listed.push(ListedFormat { code: text, understood: understood(code).is_some(), sizes });
    }
    Ok(Some(Listed { device: path.to_owned(), name: capabilities.card().to_owned(), formats: listed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_format_is_chosen_unless_one_is_wanted() {
        let webcam = [*b"MJPG", *b"YUYV", *b"H264"];
        assert_eq!(cheapest(&webcam, None), Some((*b"YUYV", FrameFormat::Yuyv)));
        assert_eq!(cheapest(&webcam, Some(FrameFormat::Mjpeg)), Some((*b"MJPG", FrameFormat::Mjpeg)));
        assert_eq!(cheapest(&webcam, Some(FrameFormat::Nv12)), None);
        assert_eq!(cheapest(&[*b"GREY", *b"JPEG"], None), Some((*b"JPEG", FrameFormat::Mjpeg)));
        assert_eq!(cheapest(&[*b"BA81"], None), None);
    }

    #[test]
    fn what_is_no_camera_is_said() {
        let error = |path: &str| Camera::open(Path::new(path), &Wanted::default()).err().unwrap().to_string();
        assert!(error("/dev/video-none").contains("no such device"), "{}", error("/dev/video-none"));
        assert!(error("/dev/null").starts_with("/dev/null: is no camera"), "{}", error("/dev/null"));
    }
}
