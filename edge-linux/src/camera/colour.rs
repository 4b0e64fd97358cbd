//! Which YUV a frame is, and the way from it to RGB: matrix and range, as ITU-T H.273 and Video4Linux name them.

use clap::ValueEnum;
use tinception_core::image::Size;

use super::frame::FrameFormat;

/// How luma and colour differences were made of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Matrix {
    /// Standard definition, webcams, JPEG
    Bt601,
    /// High definition
    Bt709,
    /// Ultra-high definition (non-constant luminance)
    Bt2020,
    /// Early high definition (SMPTE 240M)
    Smpte240m,
}

/// Which values stand for black, white and the strongest colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Range {
    /// Luma from 16 to 235, differences from 16 to 240
    Limited,
    /// From 0 to 255
    Full,
}

/// Matrix and range of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colours {
    /// Without a meaning for RGB and grey.
    pub(crate) matrix: Matrix,
    /// Without a meaning for RGB.
    pub(crate) range: Range,
}

/// What a source's tags say of its frames, or the command line in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColourTags {
    /// `None` where nothing is said.
    pub(crate) matrix: Option<Matrix>,
    /// `None` where nothing is said.
    pub(crate) range: Option<Range>,
}

impl ColourTags {
    /// These tags, and those of `other` where these say nothing.
    pub(crate) const fn or(self, other: Self) -> Self {
        let matrix = if self.matrix.is_some() { self.matrix } else { other.matrix };
        let range = if self.range.is_some() { self.range } else { other.range };
        Self { matrix, range }
    }

    /// Matrix and range of frames of this format and size. Where nothing is said:
    ///
    /// - YUV has the limited range; grey has the full one, as ffmpeg and Video4Linux have it.
    /// - Full-range YUV is BT.601, as JPEG has it (JFIF).
    /// - Limited-range YUV is BT.709 from 1280 columns or 720 rows on, and BT.601 below: what rpicam-vid, GStreamer and
    ///   players take it for.
    pub(crate) fn resolve(self, format: FrameFormat, size: Size) -> Colours {
        let usual_range = if format == FrameFormat::Grey { Range::Full } else { Range::Limited };
        let range = self.range.unwrap_or(usual_range);
        let high_definition = size.width >= 1280 || size.height >= 720;
        let usual_matrix = if high_definition && range == Range::Limited { Matrix::Bt709 } else { Matrix::Bt601 };
        Colours { matrix: self.matrix.unwrap_or(usual_matrix), range }
    }
}

/// Factors of the way from YUV to RGB, in 20 fractional bits: as many as keep the sums within an `i32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factors {
    /// The luma that stands for black.
    black: i32,
    luma: i32,
    red_of_red: i32,
    green_of_blue: i32,
    green_of_red: i32,
    blue_of_blue: i32,
}

impl Colours {
    /// BT.601 with the limited range, which microcontrollers know too.
    pub(crate) const BT601: Self = Self { matrix: Matrix::Bt601, range: Range::Limited };

    /// With `Kr`, `Kb` and `Kg = 1 - Kr - Kb` of the matrix, red is `luma + 2 (1 - Kr) * red difference`, blue likewise,
    /// and green loses `Kr / Kg` and `Kb / Kg` of these parts; a range's width scales luma and differences.
    pub(super) fn factors(self) -> Factors {
        // ITU-T H.273, table 4.
        let (red, blue) = match self.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
            Matrix::Smpte240m => (0.212, 0.087),
        };
        let green: f64 = 1.0 - red - blue;
        let (black, luma_width, difference_width) = match self.range {
            Range::Limited => (16, 219.0, 224.0),
            Range::Full => (0, 255.0, 255.0),
        };
        let fixed = |value: f64| (value * f64::from(1 << 20)).round() as i32;
        let (luma, difference) = (255.0 / luma_width, 255.0 / difference_width);
        let (of_red, of_blue) = (2.0 * (1.0 - red) * difference, 2.0 * (1.0 - blue) * difference);
        Factors {
            black,
            luma: fixed(luma),
            red_of_red: fixed(of_red),
            green_of_blue: fixed(of_blue * blue / green),
            green_of_red: fixed(of_red * red / green),
            blue_of_blue: fixed(of_blue),
        }
    }
}

impl Factors {
    /// Luma, blue difference and red difference to RGB, rounded once.
    #[inline(always)]
    pub(super) fn to_rgb(self, [luma, blue, red]: [u8; 3]) -> [u8; 3] {
        let luma = (i32::from(luma) - self.black) * self.luma + (1 << 19);
        let blue = i32::from(blue) - 128;
        let red = i32::from(red) - 128;
        [
            luma + self.red_of_red * red,
            luma - self.green_of_blue * blue - self.green_of_red * red,
            luma + self.blue_of_blue * blue,
        ]
        .map(|sum| (sum >> 20).clamp(0, 255) as u8)
    }
}

#[cfg(test)]
mod tests {
    use tinception_core::image::yuv_to_rgb;

    use super::*;

    #[test]
    fn bt601_is_what_microcontrollers_have() {
        let factors = Colours::BT601.factors();
        for luma in (0..=255).step_by(5) {
            for blue in 0..=255 {
                for red in (0..=255).step_by(3) {
                    assert_eq!(factors.to_rgb([luma, blue, red]), yuv_to_rgb([luma, blue, red]));
                }
            }
        }
    }

    /// The values that ITU-R BT.709-6 and BT.2020-2 (8 bits) and JFIF 1.02 give for pure colours.
    #[test]
    fn pure_colours_come_back() {
        use Matrix::{Bt601, Bt709, Bt2020, Smpte240m};
        use Range::{Full, Limited};
        for (matrix, range, yuv, rgb) in [
            (Bt601, Limited, [81, 90, 240], [255, 0, 0]),
            (Bt601, Limited, [145, 54, 34], [0, 255, 0]),
            (Bt601, Full, [76, 85, 255], [255, 0, 0]),
            (Bt601, Full, [150, 44, 21], [0, 255, 0]),
            (Bt601, Full, [29, 255, 107], [0, 0, 255]),
            (Bt709, Limited, [63, 102, 240], [255, 0, 0]),
            (Bt709, Limited, [173, 42, 26], [0, 255, 0]),
            (Bt709, Limited, [32, 240, 118], [0, 0, 255]),
            (Bt709, Full, [54, 99, 255], [255, 0, 0]),
            (Bt2020, Limited, [74, 97, 240], [255, 0, 0]),
            (Bt2020, Full, [67, 92, 255], [255, 0, 0]),
            (Smpte240m, Limited, [62, 102, 240], [255, 0, 0]),
        ] {
            let found = Colours { matrix, range }.factors().to_rgb(yuv);
            let far = found.iter().zip(rgb).map(|(found, expected)| found.abs_diff(expected)).max().unwrap();
            assert!(far <= 3, "{matrix:?} {range:?} {yuv:?}: {found:?}, not {rgb:?}");
        }
    }

    #[test]
    fn black_and_white_are_black_and_white_in_every_matrix() {
        for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020, Matrix::Smpte240m] {
            for (range, black, white) in [(Range::Limited, 16, 235), (Range::Full, 0, 255)] {
                let factors = Colours { matrix, range }.factors();
                assert_eq!(factors.to_rgb([black, 128, 128]), [0; 3]);
                assert_eq!(factors.to_rgb([white, 128, 128]), [255; 3]);
            }
        }
        // The extremes stay within an i32: debug builds would panic.
        for extreme in [[0, 0, 0], [0, 255, 255], [255, 0, 255], [255, 255, 0], [255; 3]] {
            for matrix in [Matrix::Bt601, Matrix::Bt709, Matrix::Bt2020, Matrix::Smpte240m] {
                Colours { matrix, range: Range::Limited }.factors().to_rgb(extreme);
            }
        }
    }

    #[test]
    fn what_is_not_said_follows_from_size_and_range() {
        let none = ColourTags::default();
        let full = ColourTags { range: Some(Range::Full), ..none };
        let bt2020 = ColourTags { matrix: Some(Matrix::Bt2020), ..none };
        for (tags, width, height, matrix, range) in [
            (none, 640, 480, Matrix::Bt601, Range::Limited),
            (none, 720, 576, Matrix::Bt601, Range::Limited),
            (none, 1280, 720, Matrix::Bt709, Range::Limited),
            (none, 720, 1280, Matrix::Bt709, Range::Limited),
            (none, 3840, 2160, Matrix::Bt709, Range::Limited),
            (full, 1920, 1080, Matrix::Bt601, Range::Full),
            (bt2020, 320, 240, Matrix::Bt2020, Range::Limited),
        ] {
            let found = tags.resolve(FrameFormat::Nv12, Size::new(width, height));
            assert_eq!(found, Colours { matrix, range }, "{tags:?} {width} x {height}");
        }
        assert_eq!(none.resolve(FrameFormat::Grey, Size::new(1920, 1080)).range, Range::Full);
        let limited = ColourTags { range: Some(Range::Limited), ..none };
        assert_eq!(
            limited.or(full).or(bt2020),
            ColourTags { matrix: Some(Matrix::Bt2020), range: Some(Range::Limited) }
        );
    }
}
