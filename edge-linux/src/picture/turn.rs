//! How a photo is turned upright.

use image::metadata::Orientation;
use tinception_core::image::Size;

/// Where an upright picture's pixels lie in the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Whether upright columns are stored rows.
    pub(crate) swaps: bool,
    /// Whether the stored rows come from the last to the first: upright columns if they are swapped, else upright rows.
    pub(crate) rows_reversed: bool,
    /// Whether a stored row's pixels come from the last to the first.
    pub(crate) pixels_reversed: bool,
}

impl Turn {
    /// The turn that brings a stored picture upright (Exif 2.32, tag 0x0112).
    pub(crate) const fn new(orientation: Orientation) -> Self {
        let (swaps, rows_reversed, pixels_reversed) = match orientation {
            Orientation::NoTransforms => (false, false, false),
            Orientation::FlipHorizontal => (false, false, true),
            Orientation::Rotate180 => (false, true, true),
            Orientation::FlipVertical => (false, true, false),
            // The main diagonal, the other one, and the two turns.
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate270FlipH => (true, true, true),
            Orientation::Rotate90 => (true, true, false),
            Orientation::Rotate270 => (true, false, true),
        };
        Self { swaps, rows_reversed, pixels_reversed }
    }

    /// The upright size of a picture of `stored` size.
    pub(crate) const fn upright(self, stored: Size) -> Size {
        if self.swaps { Size::new(stored.height, stored.width) } else { stored }
    }
}
