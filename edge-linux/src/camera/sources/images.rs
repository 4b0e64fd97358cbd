//! Pictures in a folder, over and over again.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tinception_core::image::Size;

use super::{Read, Source};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::files;
use crate::picture::RgbPicture;

/// A folder of pictures, in the order of their names.
pub(super) struct Images {
    paths: Vec<PathBuf>,
    next: usize,
    /// Pictures in this round that could be read.
    good: usize,
}

impl Images {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Ok(Self { paths: files::pictures(folder)?, next: 0, good: 0 })
    }
}

impl Source for Images {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        if self.next == self.paths.len() {
            if self.good == 0 {
                return Ok(Read::End);
            }
            (self.next, self.good) = (0, 0);
        }
        let Some(path) = self.paths.get(self.next) else { return Ok(Read::End) };
        self.next += 1;
        let picture = match RgbPicture::read(path) {
            Ok(picture) => picture,
            Err(error) => return Ok(Read::Broken(format!("{error:#}"))),
        };
        self.good += 1;
        let Size { width, height } = picture.size();
        frame.layout = Layout::new(FrameFormat::Rgb24, Size::new(width, height), None)?;
        frame.bytes = picture.into_pixels();
        Ok(Read::Frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_round_and_damaged_ones_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        for (name, red) in [("a.png", 10), ("c.png", 30)] {
            image::RgbImage::from_pixel(2, 1, image::Rgb([red, 0, 0])).save(path(name)).unwrap();
        }
        std::fs::write(path("b.png"), b"no picture").unwrap();
        let mut images = Images::open(folder.path()).unwrap();
        let mut frame = Frame::default();
        for _ in 0..2 {
            assert_eq!(images.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!(frame.bytes, [10, 0, 0, 10, 0, 0]);
            assert!(matches!(images.read(&mut frame).unwrap(), Read::Broken(why) if why.contains("b.png")));
            assert_eq!(images.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!(frame.bytes, [30, 0, 0, 30, 0, 0]);
        }
    }

    #[test]
    fn where_no_picture_can_be_read_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.png"), b"no picture").unwrap();
        let mut images = Images::open(folder.path()).unwrap();
        assert!(matches!(images.read(&mut Frame::default()).unwrap(), Read::Broken(_)));
        assert_eq!(images.read(&mut Frame::default()).unwrap(), Read::End);
    }
}
