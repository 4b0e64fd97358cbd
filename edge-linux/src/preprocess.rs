//! From a picture to the pixels that a network sees: one way for both engines, so that they see the same.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
#[cfg(feature = "camera")]
use tinception_core::error::ImageError;
#[cfg(feature = "camera")]
use tinception_core::image::Picture;
use tinception_core::image::{ColourOrder, Resize, Size};
use tinception_core::shape::Shape;
use tinception_models::preprocess::{self, Preprocessing};

#[cfg(feature = "tract")]
use crate::files;
use crate::output::file_error;
use crate::picture::{self, Budget};
#[cfg(feature = "camera")]
use crate::resize::Resizer;
use crate::resize::RowResizer;

/// How pictures become the input of an .onnx network. A preset, single fields, or a preset with some fields changed.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PreprocessArgs {
    /// Named preprocessing that the network was trained with
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(preprocess::names()))]
    preset: Option<String>,
    /// Order of the network's colour channels
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// Mean to subtract from pixel values of 0 to 255: one number, or one for each channel in the network's order
    #[arg(long, value_name = "A,B,C", allow_hyphen_values = true, value_parser = preprocess::numbers)]
    mean: Option<[f32; 3]>,
    /// Standard deviation to divide by, on the scale of 0 to 255 (torchvision's 0.229 is 58.395)
    #[arg(long, value_name = "A,B,C", value_parser = preprocess::numbers, conflicts_with = "scale")]
    std: Option<[f32; 3]>,
    /// Factor to multiply by; an alternative to --std
    #[arg(long, value_name = "A,B,C", allow_hyphen_values = true, value_parser = preprocess::numbers)]
    scale: Option<[f32; 3]>,
    /// Resize: shorter:N (the shorter side to N pixels, then the centre is cut out), stretch, or central:N (the central N
    /// thousandths, stretched)
    #[arg(long, value_name = "HOW", value_parser = preprocess::resize)]
    resize: Option<Resize>,
}

/// Orders of colour channels, as the command line names them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// Red, green, blue
    Rgb,
    /// Blue, green, red
    Bgr,
    /// One channel of luma
    Grey,
}

impl PreprocessArgs {
    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { preset, order, mean, std, scale, resize } = self;
        let fields = order.is_none() && mean.is_none() && std.is_none() && scale.is_none() && resize.is_none();
        preset.is_none() && fields
    }

    /// The preprocessing they describe for the network in `model`, over what that file says itself.
    ///
    /// # Errors
    /// Neither they nor the file say anything, or a standard deviation is not on the scale of 0 to 255.
    pub(crate) fn resolve(&self, model: &Path) -> Result<Preprocessing> {
        let stated = if self.preset.is_none() { stated(model)? } else { None };
        if self.is_empty() && stated.is_none() {
            return Err(file_error(
                model,
                format_args!(
                    "does not say how pictures become its input; give --preset ({}), or --order, --mean, --std and \
                     --resize",
                    preprocess::names().join(", ")
                ),
            ));
        }
        self.over(stated)
    }

    /// The preprocessing they describe, a preset or else `base` where they leave a field out.
    ///
    /// # Errors
    /// A standard deviation that is not on the scale of 0 to 255.
    pub(crate) fn over(&self, base: Option<Preprocessing>) -> Result<Preprocessing> {
        let mut chosen = match (&self.preset, base) {
            (Some(name), _) => Preprocessing::preset(name).ok_or_else(|| anyhow!("there is no preset {name}"))?,
            (None, Some(base)) => base,
            (None, None) => {
                Preprocessing { order: ColourOrder::Rgb, resize: Resize::Stretch, mean: [0.0; 3], scale: [1.0; 3] }
            }
        };
        if let Some(order) = self.order {
            chosen.order = match order {
                Order::Rgb => ColourOrder::Rgb,
                Order::Bgr => ColourOrder::Bgr,
                Order::Grey => ColourOrder::Grey,
            };
        }
        if let Some(std) = self.std {
            if std.iter().any(|std| *std < 1.0) {
                bail!("--std: pixel values run from 0 to 255; multiply mean and standard deviation by 255");
            }
            chosen.scale = std.map(|std| 1.0 / std);
        }
        chosen.mean = self.mean.unwrap_or(chosen.mean);
        chosen.scale = self.scale.unwrap_or(chosen.scale);
        chosen.resize = self.resize.unwrap_or(chosen.resize);
        chosen.clear_unused();
        Ok(chosen)
    }

    /// The preset's name, for provenance; `custom` where fields were given, `stated` where the file's own was taken.
    #[cfg(feature = "tract")]
    pub(crate) fn name(&self) -> &str {
        let alone = Self { preset: self.preset.clone(), ..Self::default() };
        match &self.preset {
            Some(name) if format!("{alone:?}") == format!("{self:?}") => name,
            None if self.is_empty() => "stated",
            _ => "custom",
        }
    }
}

/// What an .onnx file itself says about its preprocessing.
#[cfg(feature = "tract")]
fn stated(model: &Path) -> Result<Option<Preprocessing>> {
    files::check(model)?;
    Ok(tinception_models::onnx::Metadata::read(model)?.preprocessing)
}

/// Without tract no .onnx file can be read.
#[cfg(not(feature = "tract"))]
fn stated(_: &Path) -> Result<Option<Preprocessing>> {
    Ok(None)
}

/// A preprocessing with the size of the network's input.
#[derive(Clone, Debug)]
pub(crate) struct Preprocessor {
    /// Colour order, resize, mean and scale.
    pub(crate) settings: Preprocessing,
    /// Width and height of the network's input.
    pub(crate) size: Size,
}

impl Preprocessor {
    /// The preprocessing for a network with this input.
    ///
    /// # Errors
    /// The input has another number of channels than the colour order.
    pub(crate) fn new(settings: Preprocessing, input: Shape, model: &Path) -> Result<Self> {
        let channels = settings.order.channels().count();
        if input.channels as usize != channels {
            return Err(file_error(
                model,
                format_args!(
                    "the network takes {} channels, but the preprocessing gives {channels}; choose another --order",
                    input.channels
                ),
            ));
        }
        let least = input.width.min(input.height);
        if let Resize::ShorterSide(side) = settings.resize
            && u32::from(side) < least
        {
            let Shape { width, height, .. } = input;
            // As 256 is to 224, which presets have.
            let usual = (least * 8).div_ceil(7);
            return Err(file_error(
                model,
                format_args!(
                    "the network takes {width} x {height} pixels, which cannot be cut out of pictures whose shorter side \
                     is resized to {side}; add --resize shorter:{usual} (its centre), --resize \
                     shorter:{least} or --resize stretch (the whole picture, distorted)"
                ),
            ));
        }
        Ok(Self { settings, size: Size::new(input.width, input.height) })
    }

    /// Writes the pixels that the network sees of a frame to `pixels`: NHWC, RGB or luma.
    #[cfg(feature = "camera")]
    pub(crate) fn resize(
        &self,
        picture: &Picture<'_>,
        resizer: &mut Resizer,
        pixels: &mut Vec<u8>,
    ) -> Result<(), ImageError> {
        resizer.resize(picture, self.settings.resize, self.size, self.settings.order.channels(), pixels)
    }

    /// Reads a picture file and brings it to the network's size, row by row: NHWC, RGB or luma.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        let mut rows = self.rows();
        picture::read(path, &Budget::FILE, &mut rows)?;
        Ok(rows.finish())
    }

    /// The same for the bytes of a picture file; errors name it as `path`.
    pub(crate) fn parse(&self, bytes: &[u8], path: &Path, budget: &Budget) -> Result<Vec<u8>> {
        let mut rows = self.rows();
        picture::parse(bytes, path, budget, &mut rows)?;
        Ok(rows.finish())
    }

    const fn rows(&self) -> RowResizer {
        RowResizer::new(self.settings.resize, self.size, self.settings.order.channels())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_change_a_preset() {
        let args = PreprocessArgs {
            preset: Some("caffe-imagenet".into()),
            std: Some([2.0; 3]),
            resize: Some(Resize::Stretch),
            ..PreprocessArgs::default()
        };
        let settings = args.over(None).unwrap();
        assert_eq!(settings.order, ColourOrder::Bgr);
        assert_eq!(settings.mean, [104.0, 117.0, 123.0]);
        assert_eq!(settings.scale, [0.5; 3]);
        assert_eq!(settings.resize, Resize::Stretch);
    }

    #[test]
    fn what_a_network_says_is_taken_where_nothing_else_is_given() {
        let base = Preprocessing::preset("caffe-imagenet").unwrap();
        assert_eq!(PreprocessArgs::default().over(Some(base)).unwrap(), base);
        let args = PreprocessArgs { order: Some(Order::Rgb), ..PreprocessArgs::default() };
        assert_eq!(args.over(Some(base)).unwrap(), Preprocessing { order: ColourOrder::Rgb, ..base });
    }

    #[test]
    fn a_preset_that_cannot_give_the_size_is_refused_with_those_that_can() {
        let settings = Preprocessing::preset("torchvision-imagenet").unwrap();
        let network = Path::new("inception.onnx");
        let error = Preprocessor::new(settings, Shape::new(299, 299, 3), network).unwrap_err().to_string();
        // torchvision's own resize for Inception v3 is 342.
        for word in ["inception.onnx", "299 x 299", "256", "shorter:342", "shorter:299", "stretch"] {
            assert!(error.contains(word), "{word} is missing in: {error}");
        }
        for (resize, size) in [(settings.resize, 224), (settings.resize, 256), (Resize::ShorterSide(342), 299)] {
            let settings = Preprocessing { resize, ..settings };
            assert!(Preprocessor::new(settings, Shape::new(size, size, 3), network).is_ok(), "{resize:?} {size}");
        }
    }

    #[test]
    fn what_is_on_the_wrong_scale_is_said() {
        let unit = PreprocessArgs { std: Some([0.229, 0.224, 0.225]), ..PreprocessArgs::default() };
        assert!(unit.over(None).unwrap_err().to_string().contains("multiply mean and standard deviation by 255"));
    }
}
