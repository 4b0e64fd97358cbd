//! A camera's frame, as it came: bytes in one of the formats that cameras send.

use std::fmt;
use std::time::Instant;

use clap::ValueEnum;
use tinception_core::image::{MAX_SIDE, Size};

use super::colour::{ColourTags, Colours};

/// Most pixels of a frame, whatever a header or an option says: so that sizes fit 32 bits, and memory is there.
pub(crate) const MOST_PIXELS: u64 = 1 << 26;

/// How a frame's pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FrameFormat {
    /// 4:2:2, packed: luma, blue difference, luma, red difference (V4L2's YUYV)
    Yuyv,
    /// The same, differences first: blue difference, luma, red difference, luma (V4L2's UYVY)
    Uyvy,
    /// 4:2:0: a plane of luma, then one of blue and red differences in turn (V4L2's NV12)
    Nv12,
    /// 4:2:0: planes of luma, blue and red differences (I420; V4L2's YU12, rpicam's yuv420)
    #[value(alias = "i420")]
    Yuv420,
    /// Three bytes a pixel: red, green, blue (V4L2's RGB3)
    #[value(alias = "rgb")]
    Rgb24,
    /// Three bytes a pixel: blue, green, red (V4L2's BGR3)
    #[value(alias = "bgr")]
    Bgr24,
    /// Four bytes a pixel: red, green, blue, and one that is passed over (V4L2's XB24)
    #[value(aliases = ["rgb0", "rgba"])]
    Rgbx,
    /// Four bytes a pixel: blue, green, red, and one that is passed over (V4L2's XR24)
    #[value(aliases = ["bgr0", "bgra"])]
    Bgrx,
    /// One byte of luma a pixel, full range (V4L2's GREY)
    #[value(alias = "gray")]
    Grey,
    /// A JPEG picture for each frame (V4L2's MJPG, JPEG)
    Mjpeg,
}

/// Size, format and stride of frames: all that is needed to find their pixels; and what their YUV stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// How the pixels lie in memory.
    pub(crate) format: FrameFormat,
    /// Width and height. A JPEG picture has its own, whatever stands here.
    pub(crate) size: Size,
    /// Bytes from one row's start to the next one's, in the luma plane if there is one.
    pub(crate) stride: usize,
    /// Matrix and range of YUV.
    pub(crate) colours: Colours,
}

/// Why a frame cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadFrame(pub(crate) String);

impl fmt::Display for BadFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for BadFrame {}

impl FrameFormat {
    /// Bytes of a row without padding (of the luma plane, if there is one).
    pub(crate) const fn row_bytes(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Yuyv | Self::Uyvy => width * 2,
            Self::Rgb24 | Self::Bgr24 => width * 3,
            Self::Rgbx | Self::Bgrx => width * 4,
            Self::Nv12 | Self::Yuv420 | Self::Grey => width,
            Self::Mjpeg => 0,
        }
    }
}

impl Layout {
    /// Of frames that are pictures with a layout of their own.
    pub(crate) const JPEG: Self =
        Self { format: FrameFormat::Mjpeg, size: Size::new(0, 0), stride: 0, colours: Colours::BT601 };

    /// A layout of frames whose rows lie `stride` bytes apart, or without padding. Nothing is said of their colours.
    ///
    /// # Errors
    /// A size that no picture has, an odd width where two pixels share a difference in one word (YUYV, UYVY), or a stride
    /// shorter than a row.
    pub(crate) fn new(format: FrameFormat, size: Size, stride: Option<usize>) -> Result<Self, BadFrame> {
        let Size { width, height } = size;
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
            return Err(BadFrame(format!(
                "a frame cannot have {width} x {height} pixels; each side must have 1 to {MAX_SIDE}"
            )));
        }
        if u64::from(width) * u64::from(height) > MOST_PIXELS {
            return Err(BadFrame(format!("{width} x {height} pixels are too many, {MOST_PIXELS} are the limit")));
        }
        if matches!(format, FrameFormat::Yuyv | FrameFormat::Uyvy) && !width.is_multiple_of(2) {
            return Err(BadFrame(format!("a YUYV or UYVY frame has an even width, not {width}; check --width")));
        }
        let row = format.row_bytes(width);
        let stride = stride.unwrap_or(row);
        if stride < row {
            return Err(BadFrame(format!(
                "a row of {width} pixels needs a stride of {row} bytes, not {stride}; check --stride"
            )));
        }
        if stride as u64 * u64::from(height) > 8 * MOST_PIXELS {
            return Err(BadFrame(format!("a stride of {stride} bytes is too long; check --stride")));
        }
        Ok(Self { format, size, stride, colours: ColourTags::default().resolve(format, size) })
    }

    /// The same layout, with what is said of the colours.
    pub(crate) fn with_colours(self, tags: ColourTags) -> Self {
        Self { colours: tags.resolve(self.format, self.size), ..self }
    }

    /// Bytes of a whole frame, the padding of its last row among them. A JPEG picture has none of its own.
    pub(crate) const fn frame_bytes(&self) -> usize {
        let height = self.size.height as usize;
        match self.format {
            FrameFormat::Nv12 => self.stride * height + self.difference_stride() * height.div_ceil(2),
            FrameFormat::Yuv420 => self.stride * height + 2 * self.difference_stride() * height.div_ceil(2),
            FrameFormat::Mjpeg => 0,
            _ => self.stride * height,
        }
    }

    /// Bytes of the plane of luma; of the whole frame, where there is one plane only.
    pub(crate) const fn luma_bytes(&self) -> usize {
        self.stride * self.size.height as usize
    }

    /// Bytes from row to row in a plane of differences: half the luma's where there is a plane for each, else as many;
    /// one more where that would cut a value or a pair off.
    pub(crate) const fn difference_stride(&self) -> usize {
        match self.format {
            FrameFormat::Yuv420 => self.stride.div_ceil(2),
            _ => self.stride.next_multiple_of(2),
        }
    }
}

/// A frame. Its buffer is used again and again.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Where the pixels lie in `bytes`.
    pub(crate) layout: Layout,
    /// The pixels. Longer than needed is fine: drivers round up.
    pub(crate) bytes: Vec<u8>,
    /// How many frames the source gave before it.
    pub(crate) number: u64,
    /// When the last of its bytes had come.
    pub(crate) captured: Instant,
}

impl Default for Frame {
    fn default() -> Self {
        Self { layout: Layout::JPEG, bytes: Vec::new(), number: 0, captured: Instant::now() }
    }
}

/// A decoded frame: three bytes a pixel, rows from top to bottom without padding. Its buffer is used again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RgbFrame {
    /// Width and height.
    pub(crate) size: Size,
    /// Red, green, blue.
    pub(crate) data: Vec<u8>,
}

impl Default for RgbFrame {
    fn default() -> Self {
        Self { size: Size::new(0, 0), data: Vec::new() }
    }
}

impl RgbFrame {
    /// Makes room for a picture of `size`. What it held is of no use then.
    pub(crate) fn resize(&mut self, size: Size) {
        self.size = size;
        self.data.resize(size.width as usize * size.height as usize * 3, 0);
    }

    /// Bytes of a row.
    pub(crate) const fn stride(&self) -> usize {
        self.size.width as usize * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_too_large_are_refused() {
        let layout = |width, height, stride| Layout::new(FrameFormat::Yuv420, Size::new(width, height), stride);
        assert!(layout(8192, 8192, None).is_ok());
        assert!(layout(8192, 8193, None).unwrap_err().0.contains("too many"));
        assert!(layout(32_767, 32_767, None).unwrap_err().0.contains("too many"));
        assert!(layout(640, 480, Some(2_000_000)).unwrap_err().0.contains("too long"));
    }

    #[test]
    fn frames_have_the_bytes_of_their_planes() {
        let bytes = |format, stride| Layout::new(format, Size::new(5, 3), stride).map(|layout| layout.frame_bytes());
        assert_eq!(bytes(FrameFormat::Yuv420, None), Ok(5 * 3 + 2 * 3 * 2));
        assert_eq!(bytes(FrameFormat::Yuv420, Some(64)), Ok(64 * 3 + 2 * 32 * 2));
        assert_eq!(bytes(FrameFormat::Nv12, None), Ok(5 * 3 + 6 * 2));
        assert_eq!(bytes(FrameFormat::Rgb24, Some(16)), Ok(16 * 3));
    }
}
