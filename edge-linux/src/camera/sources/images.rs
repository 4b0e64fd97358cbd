//! Pictures in a folder, over and over again.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tinception_core::image::Size;

use super::pace::Pace;
use super::{Read, Source, Wanted};
use crate::camera::frame::{Frame, FrameFormat, Layout};
use crate::files;
use crate::output::{file_error, is_shortage};
use crate::picture::RgbPicture;

/// How often a picture is tried again that could not be opened for lack of descriptors or memory, and the pause before.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// A folder of pictures, in the order of their names.
pub(super) struct Images {
    folder: PathBuf,
    paths: Vec<PathBuf>,
    next: usize,
    /// Pictures in this round that could be read.
    good: usize,
    /// How often the next picture was tried in vain, through no fault of its own.
    tries: u32,
    pace: Option<Pace>,
}

impl Images {
    pub(super) fn open(folder: &Path, wanted: &Wanted) -> Result<Self> {
        let paths = files::pictures(folder)?;
        Ok(Self { folder: folder.to_owned(), paths, next: 0, good: 0, tries: 0, pace: wanted.rate.map(Pace::new) })
    }
}

impl Source for Images {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        if self.next == self.paths.len() {
            if self.good == 0 {
                return Err(file_error(&self.folder, "none of its pictures can be read"));
            }
            (self.next, self.good) = (0, 0);
        }
        let Some(path) = self.paths.get(self.next) else { return Ok(Read::End) };
        let picture = match RgbPicture::read(path) {
            Ok(picture) => picture,
            Err(error) if is_shortage(&error) && self.tries < TRIES => {
                self.tries += 1;
                thread::sleep(PAUSE);
                return Ok(Read::Broken(format!("{error:#}; trying again")));
            }
            Err(error) if is_shortage(&error) => return Err(error),
            Err(error) => {
                self.next += 1;
                return Ok(Read::Broken(format!("{error:#}")));
            }
        };
        self.next += 1;
        self.good += 1;
        self.tries = 0;
        if let Some(pace) = &mut self.pace {
            pace.wait();
        }
        let Size { width, height } = picture.size();
        frame.layout = Layout::new(FrameFormat::Rgb24, Size::new(width, height), None)?;
        frame.bytes = picture.into_pixels();
        Ok(Read::Frame)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use rustix::io::Errno;

    #[test]
    fn pictures_come_round_and_damaged_ones_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        for (name, red) in [("a.png", 10), ("c.png", 30)] {
            image::RgbImage::from_pixel(2, 1, image::Rgb([red, 0, 0])).save(path(name)).unwrap();
        }
        std::fs::write(path("b.png"), b"no picture").unwrap();
        let mut images = Images::open(folder.path(), &Wanted::default()).unwrap();
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
    fn where_no_picture_can_be_read_it_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.png"), b"no picture").unwrap();
        let mut images = Images::open(folder.path(), &Wanted::default()).unwrap();
        assert!(matches!(images.read(&mut Frame::default()).unwrap(), Read::Broken(_)));
        let error = images.read(&mut Frame::default()).unwrap_err().to_string();
        assert!(error.ends_with("none of its pictures can be read"), "{error}");
    }

    #[test]
    fn a_folder_that_vanishes_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::new(2, 1).save(folder.path().join("a.png")).unwrap();
        let mut images = Images::open(folder.path(), &Wanted::default()).unwrap();
        assert_eq!(images.read(&mut Frame::default()).unwrap(), Read::Frame);
        drop(folder);
        assert!(matches!(images.read(&mut Frame::default()).unwrap(), Read::Broken(_)));
        assert!(images.read(&mut Frame::default()).is_err());
    }

    #[test]
    fn lack_of_descriptors_is_no_fault_of_a_picture() {
        for (code, shortage) in
            [(Errno::MFILE, true), (Errno::NFILE, true), (Errno::NOENT, false), (Errno::ACCESS, false)]
        {
            let error = anyhow::Error::from(io::Error::from(code)).context("a.png: cannot be read");
            assert_eq!(is_shortage(&error), shortage, "{code}");
        }
    }

    #[test]
    fn pictures_come_at_the_wanted_rate() {
        let folder = tempfile::tempdir().unwrap();
        image::RgbImage::new(2, 1).save(folder.path().join("a.png")).unwrap();
        let wanted = Wanted { rate: Some(20), ..Wanted::default() };
        let mut images = Images::open(folder.path(), &wanted).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..5 {
            assert_eq!(images.read(&mut Frame::default()).unwrap(), Read::Frame);
        }
        assert!(start.elapsed() >= Duration::from_millis(200), "four intervals of a twentieth of a second");
    }
}
