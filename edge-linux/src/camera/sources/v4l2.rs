//! Cameras of Linux's Video4Linux: USB cameras, capture cards, and whatever else is a `/dev/video*`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use moq_v4l::buffer::{Flags as BufferFlags, Type};
use moq_v4l::capability::Flags as Capabilities;
use moq_v4l::format::{Colorspace, Quantization};
use moq_v4l::framesize::FrameSizeEnum;
use moq_v4l::io::mmap::Stream;
use moq_v4l::io::traits::CaptureStream;
use moq_v4l::video::Capture;
use moq_v4l::video::capture::Parameters;
use moq_v4l::{Device, Format, FourCC};
use tinception_core::image::Size;

use super::{Read, Source, Wanted};
use crate::camera::colour::{ColourTags, Matrix, Range};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::output::file_error;

/// Size that is asked for where none is wanted: all of a network's input, and cheap.
const USUAL_SIZE: (u32, u32) = (640, 480);

/// The formats that are understood, the cheapest to classify first: 4:2:2 needs no more than a conversion, JPEG takes
/// several times as long as all the rest, grey lacks the colours.
const FORMATS: [([u8; 4], FrameFormat); 12] = [
    (*b"RGB3", FrameFormat::Rgb24),
    (*b"BGR3", FrameFormat::Bgr24),
    (*b"XB24", FrameFormat::Rgbx),
    (*b"XR24", FrameFormat::Bgrx),
    (*b"YUYV", FrameFormat::Yuyv),
    (*b"UYVY", FrameFormat::Uyvy),
    (*b"NV12", FrameFormat::Nv12),
    (*b"YU12", FrameFormat::Yuv420),
    (*b"MJPG", FrameFormat::Mjpeg),
    (*b"JPEG", FrameFormat::Mjpeg),
    (*b"GREY", FrameFormat::Grey),
    (*b"Y800", FrameFormat::Grey),
];

/// Where udev keeps names that follow from a camera's make and serial number.
const BY_ID: &str = "/dev/v4l/by-id";

/// A camera that streams.
pub(super) struct Camera {
    stream: Stream<'static>,
    layout: Layout,
    path: PathBuf,
    silence: Duration,
}

impl Camera {
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        let named = || path.display().to_string();
        let device = open_device(path)?;
        if !device.query_caps().with_context(named)?.capabilities.contains(Capabilities::VIDEO_CAPTURE) {
            return Err(file_error(path, "gives no pictures; `tinception cameras` lists the devices that do"));
        }
        let offered = formats(&device).with_context(named)?;
        let (code, _) = cheapest(&offered, wanted.format).ok_or_else(|| {
            let offered: Vec<_> = offered.iter().map(|code| String::from_utf8_lossy(code)).collect();
            let what = match wanted.format.is_some() {
                true => "does not offer that --format",
                false => "offers no format that this program supports",
            };
            file_error(path, format_args!("the camera {what}; it offers {}", offered.join(", ")))
        })?;
        let (width, height) = wanted.size.unwrap_or(USUAL_SIZE);
        let asked = Format::new(width, height, FourCC::new(&code));
        let given = device.set_format(&asked).map_err(|error| busy(path, error))?;
        let format = understood(given.fourcc.repr).ok_or_else(|| {
            file_error(path, "the camera changed to a format that this program does not support; give another --format")
        })?;
        let size = Size::new(given.width, given.height);
        let stride = Some(given.stride as usize).filter(|stride| *stride > 0 && format != FrameFormat::Mjpeg);
        let layout = Layout::new(format, size, stride).with_context(named)?;
        let layout = layout.with_colours(wanted.colours.or(colours(given.colorspace, given.quantization, format)));
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
        if let Some(wanted_format) = wanted.format
            && wanted_format != format
        {
            return Err(file_error(path, "the camera does not keep to that --format; leave --format out"));
        }
        if let Some(rate) = wanted.rate {
            device.set_params(&Parameters::with_fps(rate)).with_context(named)?;
        }
        let mut stream = Stream::new(&device, Type::VideoCapture).map_err(|error| busy(path, error))?;
        stream.set_timeout(wanted.silence());
        Ok(Self { stream, layout, path: path.to_owned(), silence: wanted.silence() })
    }
}

/// What a driver's colour space and quantization say, by the rules of Video4Linux where one is left to the other. The binding
/// doesn't give `ycbcr_enc`, which few drivers set to another matrix than the colour space's own; --matrix is there for them.
fn colours(space: Colorspace, quantization: Quantization, format: FrameFormat) -> ColourTags {
    let matrix = match space {
        Colorspace::Rec709 | Colorspace::DCIP3 => Matrix::Bt709,
        Colorspace::Rec2020 => Matrix::Bt2020,
        Colorspace::SMPTE240M => Matrix::Smpte240m,
        _ => Matrix::Bt601,
    };
    let range = match (quantization, space) {
        (Quantization::FullRange, _) | (Quantization::Default, Colorspace::JPEG) => Some(Range::Full),
        (Quantization::LimitedRange, _) => Some(Range::Limited),
        // Grey is told as YUV, but cameras give it with the full range.
        (Quantization::Default, _) if format == FrameFormat::Grey => None,
        (Quantization::Default, _) => Some(Range::Limited),
    };
    ColourTags { matrix: Some(matrix), range }
}

/// The error of a device that does not start.
fn busy(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::ResourceBusy => file_error(path, "is in use by another program; end that program"),
        _ => file_error(path, format_args!("cannot be set up ({error}); try another --format or size")),
    }
}

fn open_device(path: &Path) -> Result<Device> {
    Device::with_path(path).and_then(|device| device.query_caps().map(|_| device)).map_err(|error| {
        let way_out = match error.kind() {
            io::ErrorKind::NotFound => "there is no such device; `tinception cameras` lists what there is",
            io::ErrorKind::PermissionDenied => "may not be opened; join the group video (sudo usermod -aG video $USER)",
            _ => "is no camera; `tinception cameras` lists what there is",
        };
        file_error(path, format_args!("{way_out} ({error})"))
    })
}

/// The codes of all formats that a device offers.
fn formats(device: &Device) -> io::Result<Vec<[u8; 4]>> {
    Ok(device.enum_formats()?.into_iter().map(|format| format.fourcc.repr).collect())
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
        // It waits no longer than that: a camera that hangs, or was unplugged while it slept, would block for ever.
        let (bytes, about) = match stream.next() {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                bail!("{}: no picture for {} s", path.display(), silence.as_secs_f64())
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        frame.layout = *layout;
        frame.bytes.clear();
        frame.bytes.extend_from_slice(bytes.get(..about.bytesused as usize).unwrap_or(bytes));
        Ok(if about.flags.contains(BufferFlags::ERROR) {
            Read::Broken("the driver marks the picture as damaged".into())
        } else {
            Read::Frame
        })
    }
}

/// A device that gives pictures.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Listed {
    /// Path of its device file.
    pub(crate) device: PathBuf,
    /// Names of its file that stay when cameras are plugged in another order: below `/dev/v4l/by-id`.
    pub(crate) names: Vec<PathBuf>,
    /// What its driver calls it.
    pub(crate) name: String,
    /// Formats in which it gives pictures.
    pub(crate) formats: Vec<ListedFormat>,
}

/// A format of a device.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct ListedFormat {
    /// V4L2's code of four characters.
    pub(crate) code: String,
    /// Whether `tinception camera` understands it.
    pub(crate) understood: bool,
    /// Sizes: `640x480`, or a range, `32x32...1920x1080`.
    pub(crate) sizes: Vec<String>,
}

/// All devices that give pictures, sorted by their files.
pub(crate) fn list() -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    let names = links(Path::new(BY_ID));
    let Ok(folder) = std::fs::read_dir("/dev") else { return Ok(listed) };
    for entry in folder {
        let path = entry?.path();
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("video")) {
            continue;
        }
        match describe(&path) {
            Ok(Some(device)) => {
                let own = names.iter().filter(|(_, file)| *file == device.device);
                listed.push(Listed { names: own.map(|(link, _)| link.clone()).collect(), ..device });
            }
            Ok(None) => {}
            Err(error) => crate::output::report_error(&error),
        }
    }
    listed.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(listed)
}

/// The links in a folder, and the files they lead to, sorted.
fn links(folder: &Path) -> Vec<(PathBuf, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let links = entries.flatten().map(|entry| entry.path());
    let mut links: Vec<_> = links.filter_map(|link| link.canonicalize().ok().map(|file| (link, file))).collect();
    links.sort();
    links
}

/// What a device offers; `None` for one that gives no pictures.
fn describe(path: &Path) -> Result<Option<Listed>> {
    let device = open_device(path)?;
    let named = || path.display().to_string();
    let about = device.query_caps().with_context(named)?;
    if !about.capabilities.contains(Capabilities::VIDEO_CAPTURE) {
        return Ok(None);
    }
    let mut listed = Vec::new();
    for code in formats(&device).with_context(named)? {
        // Capture cards have the size of their signal, and list none.
        let sizes = device.enum_framesizes(FourCC::new(&code)).unwrap_or_default();
        let sizes = sizes.into_iter().map(|size| match size.size {
            FrameSizeEnum::Discrete(size) => format!("{}x{}", size.width, size.height),
            FrameSizeEnum::Stepwise(range) => {
                format!("{}x{}...{}x{}", range.min_width, range.min_height, range.max_width, range.max_height)
            }
        });
        let text = String::from_utf8_lossy(&code).trim_end().to_owned();
        listed.push(ListedFormat { code: text, understood: understood(code).is_some(), sizes: sizes.collect() });
    }
    Ok(Some(Listed { device: path.to_owned(), names: Vec::new(), name: about.card, formats: listed }))
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

    /// The rules are V4L2_MAP_YCBCR_ENC_DEFAULT's and V4L2_MAP_QUANTIZATION_DEFAULT's in the kernel's videodev2.h.
    #[test]
    fn the_drivers_fields_say_what_the_colours_are() {
        use Colorspace::{DCIP3, Default, JPEG, Rec709, Rec2020, SMPTE170M, SMPTE240M, SRGB};
        use Quantization::{FullRange, LimitedRange};
        for (space, quantization, matrix, range) in [
            (Default, Quantization::Default, Matrix::Bt601, Range::Limited),
            (SRGB, Quantization::Default, Matrix::Bt601, Range::Limited),
            (SMPTE170M, Quantization::Default, Matrix::Bt601, Range::Limited),
            (JPEG, Quantization::Default, Matrix::Bt601, Range::Full),
            (JPEG, LimitedRange, Matrix::Bt601, Range::Limited),
            (SRGB, FullRange, Matrix::Bt601, Range::Full),
            (Rec709, Quantization::Default, Matrix::Bt709, Range::Limited),
            (Rec709, FullRange, Matrix::Bt709, Range::Full),
            (DCIP3, Quantization::Default, Matrix::Bt709, Range::Limited),
            (Rec2020, Quantization::Default, Matrix::Bt2020, Range::Limited),
            (SMPTE240M, Quantization::Default, Matrix::Smpte240m, Range::Limited),
        ] {
            // A size that would be BT.709 if the driver said nothing.
            let found =
                colours(space, quantization, FrameFormat::Yuyv).resolve(FrameFormat::Yuyv, Size::new(1280, 720));
            assert_eq!((found.matrix, found.range), (matrix, range), "{space:?} {quantization:?}");
        }
        let grey = colours(SRGB, Quantization::Default, FrameFormat::Grey);
        assert_eq!(grey.resolve(FrameFormat::Grey, Size::new(640, 480)).range, Range::Full);
    }

    #[test]
    fn names_lead_to_devices() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().canonicalize().unwrap().join(name);
        std::fs::write(path("video0"), "").unwrap();
        std::fs::create_dir(path("by-id")).unwrap();
        for (name, target) in [("usb-b", "../video0"), ("usb-a", "../video0"), ("usb-gone", "../video9")] {
            std::os::unix::fs::symlink(target, path("by-id").join(name)).unwrap();
        }
        let expected = ["by-id/usb-a", "by-id/usb-b"].map(|name| (path(name), path("video0")));
        assert_eq!(links(&path("by-id")), expected);
        assert_eq!(links(&path("none")), []);
    }

    #[test]
    fn what_is_no_camera_is_said() {
        let error = |path: &str| Camera::open(Path::new(path), &Wanted::default()).err().unwrap().to_string();
        assert!(error("/dev/video-none").contains("no such device"), "{}", error("/dev/video-none"));
        assert!(error("/dev/null").starts_with("/dev/null: is no camera"), "{}", error("/dev/null"));
    }
}
