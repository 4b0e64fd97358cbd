//! Where pictures come from.

use tinception_core::image::{PixelFormat, Size};

/// What a camera's pictures look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width and height.
    pub size: Size,
    /// How a pixel is written.
    pub format: PixelFormat,
}

impl Frame {
    /// Bytes of a row; there is nothing between rows.
    #[must_use]
    pub const fn row_bytes(&self) -> usize {
        self.size.width as usize * self.format.bytes_per_pixel()
    }

    /// Bytes of a picture.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.row_bytes() * self.size.height as usize
    }
}

/// A camera that is asked again and again until the picture is there.
pub trait Camera {
    /// What can go wrong.
    type Error;

    /// What its pictures look like.
    fn frame(&self) -> Frame;

    /// Asks for a picture.
    fn start(&mut self) -> Result<(), Self::Error>;

    /// Fetches a part of the picture into `frame`, which has [`Frame::bytes`] bytes and holds the parts fetched before;
    /// `true` once it is complete. Must not wait for long, and must end in an error if the picture never comes.
    fn poll(&mut self, frame: &mut [u8]) -> Result<bool, Self::Error>;
}
