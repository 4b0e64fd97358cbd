//! What can go wrong: one small enum per layer, without strings, so that errors cost a device nothing.

use core::fmt;

/// Why a picture can't become a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// A picture or an output without rows or without columns.
    Empty,
    /// A side of the picture, of the output or of the resized picture is longer than this version computes with.
    TooLarge,
    /// A YUYV picture of odd width: its pixels come in pairs.
    OddWidth,
    /// The stride is shorter than a row of pixels, which has `needed` bytes.
    StrideTooShort {
        /// Bytes in a row of pixels.
        needed: usize,
    },
    /// The data ends before the picture does, which has `needed` bytes (`usize::MAX` where even that overflows).
    DataTooShort {
        /// Bytes from the first pixel to the last one.
        needed: usize,
    },
    /// A resize to nothing: a shorter side of 0, or a central crop outside 1 to 1000 thousandths.
    BadResize,
    /// The output is larger than the resized picture it should be cut from.
    CropOutside,
    /// The picture's size isn't the one the geometry was planned for.
    PictureMismatch,
    /// The scratch has fewer than `needed` words.
    ScratchTooSmall {
        /// Words the resampling needs.
        needed: usize,
    },
    /// The output buffer doesn't have the `needed` bytes.
    OutputLength {
        /// Bytes in the output: height times width times channels.
        needed: usize,
    },
    /// The pixels to quantise aren't a whole number of pixels.
    PartialPixel,
    /// The tables don't have the `needed` entries: 256 per channel.
    TableLength {
        /// Entries in all tables together.
        needed: usize,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the picture or the output has no pixels"),
            Self::TooLarge => f.write_str("a side of the picture or of its resized form is too long"),
            Self::OddWidth => f.write_str("a YUYV picture needs an even width"),
            Self::StrideTooShort { needed } => write!(f, "the stride is shorter than a row of {needed} bytes"),
            Self::DataTooShort { needed } => write!(f, "the picture's data is shorter than its {needed} bytes"),
            Self::BadResize => f.write_str("the resize leaves nothing, or keeps more than the whole picture"),
            Self::CropOutside => f.write_str("the output is larger than the resized picture"),
            Self::PictureMismatch => f.write_str("the picture has another size than the geometry was planned for"),
            Self::ScratchTooSmall { needed } => write!(f, "the resampling needs {needed} words of scratch"),
            Self::OutputLength { needed } => write!(f, "the output buffer must have {needed} bytes"),
            Self::PartialPixel => f.write_str("the buffer doesn't hold a whole number of pixels"),
            Self::TableLength { needed } => write!(f, "the quantisation tables must have {needed} entries"),
        }
    }
}

impl core::error::Error for ImageError {}
