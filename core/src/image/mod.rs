//! Camera pixels to network input, in integers and without allocation.
//!
//! ```text
//! bytes -> Picture (checked once) -> resample (Geometry: crop, resize, crop) -> quantize_pixels -> int8 input
//! ```
//!
//! A [`Picture`] is a view of a camera's frame. A [`Geometry`] says which part of it becomes the network's input, and
//! how; it depends on sizes alone, so one plan serves a whole video. [`resample`] follows it, one source row at a
//! time, and agrees with Pillow's antialiased `BILINEAR`. [`quantize_pixels`] then turns those bytes into the network's
//! input, in place, by a table per channel that the compiler computed from mean, scale and the input's quantisation.
//!
//! Every function here checks what it is given and returns an [`ImageError`](crate::error::ImageError); none panics.

mod geometry;
mod picture;
mod quantize;
mod resample;

pub use geometry::{COEFFICIENT_BITS, Geometry, MAX_RESIZED, Position, Resize};
pub use picture::{MAX_SIDE, Picture, PixelFormat, yuv_to_rgb};
pub use quantize::quantize_pixels;
pub use resample::resample;

/// Width and height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Number of rows.
    pub height: u32,
}

impl Size {
    /// `width` x `height` pixels.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

/// How many values a resampled pixel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// One: luma. Colour pictures are converted before they are resized, by Pillow's `convert("L")`:
    /// `(19595 r + 38470 g + 7471 b + 32768) >> 16` (ITU-R BT.601).
    Grey,
    /// Three: red, green, blue. A grey picture gives three equal values.
    Rgb,
}

impl Channels {
    /// Bytes in a resampled pixel.
    #[must_use]
    pub const fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Which colour each input channel of a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColourOrder {
    /// Red, green, blue: PyTorch's and TensorFlow's networks.
    Rgb,
    /// Blue, green, red: Caffe's networks.
    Bgr,
    /// One channel of luma.
    Grey,
}

impl ColourOrder {
    /// What [`resample`] must give for a network of this order.
    #[must_use]
    pub const fn channels(self) -> Channels {
        match self {
            Self::Rgb | Self::Bgr => Channels::Rgb,
            Self::Grey => Channels::Grey,
        }
    }
}
