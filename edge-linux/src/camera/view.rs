//! Which part of a frame the network looks at, and how: turned, mirrored, cut out and resized.

use std::str::FromStr;

use clap::ValueEnum;
use tinception_core::image::{Picture, PixelFormat, Size};

use super::frame::{BadFrame, RgbFrame};
use crate::preprocess::Preprocessor;
use crate::resize::Resizer;

/// A part of the upright picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// First column, counted from 0 at the left.
    pub(crate) x: u32,
    /// First row, counted from 0 at the top.
    pub(crate) y: u32,
    /// Width and height.
    pub(crate) size: Size,
}

impl Region {
    /// Whether all of it is in a picture of this size.
    pub(crate) fn is_within(&self, picture: Size) -> bool {
        let inside = |first: u32, length: u32, whole: u32| first.checked_add(length).is_some_and(|end| end <= whole);
        inside(self.x, self.size.width, picture.width) && inside(self.y, self.size.height, picture.height)
    }
}

impl FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[x, y, width, height]) if width > 0 && height > 0 => {
                Ok(Self { x, y, size: Size::new(width, height) })
            }
            _ => Err("give four whole numbers X,Y,WIDTH,HEIGHT, in pixels of the upright picture".into()),
        }
    }
}

/// How far a picture is turned clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Turn {
    /// As it comes
    #[default]
    #[value(name = "0")]
    None,
    /// A quarter, clockwise
    #[value(name = "90")]
    Quarter,
    /// Upside down
    #[value(name = "180")]
    Half,
    /// A quarter, anticlockwise
    #[value(name = "270")]
    ThreeQuarters,
}

impl Turn {
    /// Writes the pixels of a picture of this width to `to`, turned.
    fn apply(self, from: &[[u8; 3]], width: usize, to: &mut [[u8; 3]]) {
        let height = from.len().checked_div(width).unwrap_or_default();
        let turned = to.chunks_exact_mut(height.max(1));
        // A row of the turned picture is a column of the other one.
        let column = |x: usize| from[x..].iter().step_by(width);
        match self {
            Self::None => to.copy_from_slice(from),
            Self::Half => to.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from),
            Self::Quarter => {
                for (x, row) in turned.enumerate() {
                    row.iter_mut().rev().zip(column(x)).for_each(|(to, from)| *to = *from);
                }
            }
            Self::ThreeQuarters => {
                for (x, row) in turned.rev().enumerate() {
                    row.iter_mut().zip(column(x)).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

/// What makes a frame upright, in this order: turned, mirrored.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing {
    /// Turned by it.
    pub(crate) turn: Turn,
    /// Left and right change places.
    pub(crate) mirror: bool,
}

/// Brings decoded frames to the network's size. Buffers are used again and again.
#[derive(Debug)]
pub(crate) struct Viewer {
    framing: Framing,
    preprocessor: Preprocessor,
    resizer: Resizer,
    turned: RgbFrame,
}

impl Viewer {
    /// A viewer for a network that sees pictures as `preprocessor` says.
    pub(crate) fn new(framing: Framing, preprocessor: Preprocessor) -> Self {
        Self { framing, preprocessor, resizer: Resizer::default(), turned: RgbFrame::default() }
    }

    /// Turns and mirrors `picture`, in place.
    pub(crate) fn upright(&mut self, picture: &mut RgbFrame) {
        let Framing { turn, mirror } = self.framing;
        if turn != Turn::None {
            let Size { width, height } = picture.size;
            let size = if turn == Turn::Half { picture.size } else { Size::new(height, width) };
            self.turned.resize(size);
            turn.apply(picture.data.as_chunks().0, width as usize, self.turned.data.as_chunks_mut().0);
            std::mem::swap(picture, &mut self.turned);
        }
        if mirror {
            for row in picture.data.as_chunks_mut::<3>().0.chunks_exact_mut(picture.size.width.max(1) as usize) {
                row.reverse();
            }
        }
    }

    /// Writes the pixels that the network sees of a part of an upright picture to `pixels`, exactly those that `classify`
    /// makes of the same part: NHWC, RGB or luma. Without a region it is the whole picture.
    ///
    /// # Errors
    /// The region lies outside the picture, or the picture cannot be resized so.
    pub(crate) fn pixels(
        &mut self,
        picture: &RgbFrame,
        region: Option<Region>,
        pixels: &mut Vec<u8>,
    ) -> Result<(), BadFrame> {
        let Size { width, height } = picture.size;
        let region = region.unwrap_or(Region { x: 0, y: 0, size: picture.size });
        let Region { x, y, size } = region;
        if !region.is_within(picture.size) {
            return Err(BadFrame(format!(
                "--roi reaches beyond the frame of {width} x {height} pixels; choose a smaller part"
            )));
        }
        let unfit = |error| BadFrame(format!("a frame of {width} x {height} cannot be resized: {error}"));
        let first = y as usize * picture.stride() + x as usize * 3;
        let part = picture.data.get(first..).unwrap_or_default();
        let part = Picture::new(PixelFormat::Rgb888, size, picture.stride(), part).map_err(unfit)?;
        self.preprocessor.resize(&part, &mut self.resizer, pixels).map_err(unfit)
    }
}

#[cfg(test)]
mod tests {
    use tinception_core::image::{ColourOrder, Resize};
    use tinception_models::preprocess::Preprocessing;

    use super::*;

    fn viewer(framing: Framing, size: Size, resize: Resize) -> Viewer {
        let settings = Preprocessing { order: ColourOrder::Rgb, resize, mean: [0.0; 3], scale: [1.0; 3] };
        Viewer::new(framing, Preprocessor { settings, size })
    }

    /// Every pixel tells where it was.
    fn numbered(width: u32, height: u32) -> RgbFrame {
        let at = |y: u32, x: u32| [x as u8, y as u8, 7];
        let data = (0..height).flat_map(|y| (0..width).flat_map(move |x| at(y, x))).collect();
        RgbFrame { size: Size::new(width, height), data }
    }

    #[test]
    fn turned_then_mirrored_then_cut_out() {
        // Where the pixel at column x and row y of the result was before, in a picture of 5 x 3.
        type Origin = fn(usize, usize) -> (usize, usize);
        let cases: [(Turn, bool, Origin); 6] = [
            (Turn::None, false, |x, y| (x, y)),
            (Turn::None, true, |x, y| (4 - x, y)),
            (Turn::Quarter, false, |x, y| (y, 2 - x)),
            (Turn::Half, false, |x, y| (4 - x, 2 - y)),
            (Turn::ThreeQuarters, false, |x, y| (4 - y, x)),
            (Turn::Quarter, true, |x, y| (y, x)),
        ];
        for (turn, mirror, origin) in cases {
            let region = Region { x: 1, y: 1, size: Size::new(2, 2) };
            let mut viewer = viewer(Framing { turn, mirror }, Size::new(2, 2), Resize::Stretch);
            let (mut picture, mut pixels) = (numbered(5, 3), Vec::new());
            viewer.upright(&mut picture);
            viewer.pixels(&picture, Some(region), &mut pixels).unwrap();
            for (index, pixel) in pixels.chunks(3).enumerate() {
                let (x, y) = origin(index % 2 + 1, index / 2 + 1);
                assert_eq!(pixel, [x as u8, y as u8, 7], "{turn:?} {mirror} {index}");
            }
        }
    }

    #[test]
    fn a_region_outside_is_an_error() {
        let region: Region = "4,0,2,2".parse().unwrap();
        let mut viewer = viewer(Framing::default(), Size::new(2, 2), Resize::Stretch);
        let error = viewer.pixels(&numbered(5, 3), Some(region), &mut Vec::new()).unwrap_err();
        assert!(error.0.contains("beyond the frame of 5 x 3"), "{error}");
        assert!("1,2,3".parse::<Region>().is_err() && "0,0,0,5".parse::<Region>().is_err());
    }

    /// Frames of changing sizes, and the pixels of each are those of a file with that picture.
    #[test]
    fn the_pixels_are_those_of_classify() {
        let folder = tempfile::tempdir().unwrap();
        let mut viewer = viewer(Framing::default(), Size::new(20, 20), Resize::ShorterSide(24));
        for (width, height) in [(64, 48), (50, 90), (64, 48)] {
            let (picture, mut pixels) = (numbered(width, height), vec![1; 7]);
            viewer.pixels(&picture, None, &mut pixels).unwrap();
            let path = folder.path().join("frame.png");
            image::RgbImage::from_raw(width, height, picture.data.clone()).unwrap().save(&path).unwrap();
            assert_eq!(pixels, viewer.preprocessor.read(&path).unwrap());
        }
    }
}
