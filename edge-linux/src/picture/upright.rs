//! A whole picture, put together upright from its stored rows: what a camera's frame is.

use std::path::Path;

use anyhow::Result;
use tinception_core::image::Size;

use super::{Budget, Rows, Turn};
use crate::files;

/// A decoded picture: three bytes a pixel, rows from top to bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RgbPicture {
    pub(super) size: Size,
    pub(super) data: Vec<u8>,
}

impl RgbPicture {
    /// Reads a picture file, for a camera.
    ///
    /// # Errors
    /// Those of [`super::read`].
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(&files::read(path, Budget::FRAME.bytes)?, path)
    }

    /// Decodes the bytes of a picture file within [`Budget::FRAME`]; errors name it as `path`.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut rows = Upright::new();
        super::parse(bytes, path, &Budget::FRAME, &mut rows)?;
        Ok(rows.finish())
    }

    /// Width and height.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Red, green, blue of each pixel.
    pub(crate) fn into_pixels(self) -> Vec<u8> {
        self.data
    }
}

/// Rows of a stored picture that are written together where they become columns: less would touch every row of the
/// picture for each of them.
const TOGETHER: usize = 16;

/// Takes rows and puts them where they belong: no copy of the picture is made to turn it.
pub(super) struct Upright {
    picture: RgbPicture,
    stored: Size,
    turn: Turn,
    /// Rows that become columns, and the number of the first one.
    waiting: Vec<u8>,
    first: usize,
}

impl Rows for Upright {
    fn bytes(&self, stored: Size, _: Turn) -> u64 {
        3 * u64::from(stored.width) * u64::from(stored.height)
    }

    fn begin(&mut self, stored: Size, turn: Turn) -> Result<(), String> {
        let Size { width, height } = turn.upright(stored);
        let length = 3 * width as usize * height as usize;
        let mut data = Vec::new();
        data.try_reserve_exact(length).map_err(|_| format!("there is no memory for {width} x {height} pixels"))?;
        data.resize(length, 0);
        let picture = RgbPicture { size: Size::new(width, height), data };
        *self = Self { picture, stored, turn, waiting: Vec::new(), first: 0 };
        Ok(())
    }

    fn row(&mut self, y: u32, rgb: &[u8]) {
        let turn = self.turn;
        if turn.swaps {
            if self.waiting.is_empty() {
                self.first = y as usize;
            }
            self.waiting.extend_from_slice(rgb);
            if self.waiting.len() == TOGETHER * rgb.len() || y + 1 == self.stored.height {
                self.write_columns();
            }
            return;
        }
        let y = if turn.rows_reversed { self.stored.height - 1 - y } else { y };
        let Some(row) = self.picture.data.chunks_exact_mut(rgb.len().max(1)).nth(y as usize) else { return };
        row.copy_from_slice(rgb);
        if turn.pixels_reversed {
            row.as_chunks_mut::<3>().0.reverse();
        }
    }
}

impl Upright {
    /// No picture yet.
    pub(super) fn new() -> Self {
        let none = Size::new(0, 0);
        let picture = RgbPicture { size: none, data: Vec::new() };
        Self { picture, stored: none, turn: Turn::default(), waiting: Vec::new(), first: 0 }
    }

    fn write_columns(&mut self) {
        let turn = self.turn;
        let Size { width, height } = self.stored;
        let (width, height) = (width as usize, height as usize);
        let (pixels, count) = (self.waiting.as_chunks::<3>().0, self.waiting.len() / (3 * width).max(1));
        for (at, row) in self.picture.data.chunks_exact_mut(3 * height).enumerate() {
            let column = if turn.pixels_reversed { width - 1 - at } else { at };
            let row = row.as_chunks_mut::<3>().0;
            for index in 0..count {
                let y = self.first + index;
                row[if turn.rows_reversed { height - 1 - y } else { y }] = pixels[index * width + column];
            }
        }
        self.waiting.clear();
    }

    pub(super) fn finish(self) -> RgbPicture {
        self.picture
    }
}

#[cfg(test)]
mod tests {
    use image::metadata::Orientation;
    use image::{DynamicImage, RgbImage};

    use super::*;

    /// All orientations, of a picture whose pixels all differ, against `image`, which turns a whole picture.
    #[test]
    fn pictures_are_turned_as_a_peer_turns_them() {
        for (width, height) in [(5, 3), (1, 40), (40, 1), (19, 35), (33, 16)] {
            let picture =
                RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8 * 3, y as u8 * 5, (x ^ y) as u8]));
            for orientation in (1..=8).filter_map(Orientation::from_exif) {
                let mut expected = DynamicImage::from(picture.clone());
                expected.apply_orientation(orientation);
                let mut rows = Upright::new();
                let turn = Turn::numbered(orientation.to_exif().into()).unwrap();
                rows.begin(Size::new(width, height), turn).unwrap();
                for (y, row) in (0..).zip(picture.chunks_exact(width as usize * 3)) {
                    rows.row(y, row);
                }
                let upright = rows.finish();
                let size = Size::new(expected.width(), expected.height());
                assert_eq!((upright.size, upright.data), (size, expected.into_rgb8().into_raw()), "{orientation:?}");
            }
        }
    }
}
