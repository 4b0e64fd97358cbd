//! From a picture to the pixels that a network sees: one way for both engines, so that they see the same.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::{Args, ValueEnum};
use tinception_core::error::ImageError;
use tinception_core::image::{ColourOrder, Geometry, PixelFormat, Resize, Size, resample};
use tinception_core::shape::Shape;
use tinception_models::preprocess::{self, Preprocessing};

use crate::output::file_error;
use crate::picture::RgbPicture;

/// How pictures become the input of an .onnx network. A preset, single fields, or a preset with some fields changed.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PreprocessArgs {
    /// Preprocessing that the network was trained with
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(preprocess::names()))]
    preset: Option<String>,
    /// Order of the network's colour channels
    #[arg(long, value_enum)]
    order: Option<Order>,
    /// Subtracted from pixel values of 0 to 255: one number, or one for each channel in the network's order
    #[arg(long, value_name = "A,B,C", allow_hyphen_values = true, value_parser = triple)]
    mean: Option<[f32; 3]>,
    /// Divides what is left, on the scale of 0 to 255 (torchvision's 0.229 is 58.395)
    #[arg(long, value_name = "A,B,C", value_parser = triple, conflicts_with = "scale")]
    std: Option<[f32; 3]>,
    /// Multiplies what is left: an alternative to --std
    #[arg(long, value_name = "A,B,C", allow_hyphen_values = true, value_parser = triple)]
    scale: Option<[f32; 3]>,
    /// shorter:N (shorter side to N pixels, then the centre), stretch, or central:N (central N thousandths, stretched)
    #[arg(long, value_name = "HOW", value_parser = resize)]
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

    /// The preprocessing they describe for the network in `model`.
    ///
    /// # Errors
    /// Nothing is given, or a standard deviation that is not on the scale of 0 to 255.
    pub(crate) fn resolve(&self, model: &Path) -> Result<Preprocessing> {
        if self.is_empty() {
            return Err(file_error(
                model,
                format_args!(
                    "an .onnx file does not say how pictures become its input; give --preset ({}), or --order, --mean, \
                     --std and --resize",
                    preprocess::names().join(", ")
                ),
            ));
        }
        let mut chosen = match &self.preset {
            Some(name) => Preprocessing::preset(name).ok_or_else(|| anyhow!("there is no preset {name}"))?,
            None => Preprocessing { order: ColourOrder::Rgb, resize: Resize::Stretch, mean: [0.0; 3], scale: [1.0; 3] },
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
        if chosen.order == ColourOrder::Grey {
            for unused in chosen.mean.iter_mut().skip(1).chain(chosen.scale.iter_mut().skip(1)) {
                *unused = 0.0;
            }
        }
        Ok(chosen)
    }

    /// The preset's name, for provenance; `custom` where fields were given.
    #[cfg(feature = "tract")]
    pub(crate) fn name(&self) -> &str {
        let alone = Self { preset: self.preset.clone(), ..Self::default() };
        match &self.preset {
            Some(name) if format!("{alone:?}") == format!("{self:?}") => name,
            _ => "custom",
        }
    }
}

fn triple(text: &str) -> Result<[f32; 3], String> {
    let numbers: Vec<f32> =
        text.split(',').map(|number| number.trim().parse()).collect::<Result<_, _>>().map_err(|_| "not a number")?;
    if numbers.iter().any(|number| !number.is_finite()) {
        return Err("not a finite number".into());
    }
    match numbers[..] {
        [all] => Ok([all; 3]),
        [a, b, c] => Ok([a, b, c]),
        _ => Err("give one number or three, separated by commas".into()),
    }
}

fn resize(text: &str) -> Result<Resize, String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
    match text.split_once(':') {
        None if text == "stretch" => Some(Resize::Stretch),
        Some(("shorter", side)) => number(side).map(Resize::ShorterSide),
        Some(("central", thousandths)) => number(thousandths).filter(|part| *part <= 1000).map(Resize::CentralCrop),
        _ => None,
    }
    .ok_or_else(|| "give shorter:N, stretch or central:N (N up to 1000), as in shorter:256".into())
}

/// A preprocessing as the command line would spell it.
pub(crate) fn describe(preprocessing: &Preprocessing) -> [(&'static str, String); 4] {
    let channels = preprocessing.order.channels().count();
    let numbers = |numbers: [f32; 3]| numbers.iter().take(channels).map(f32::to_string).collect::<Vec<_>>().join(",");
    let order = match preprocessing.order {
        ColourOrder::Rgb => "rgb",
        ColourOrder::Bgr => "bgr",
        ColourOrder::Grey => "grey",
    };
    let resize = match preprocessing.resize {
        Resize::ShorterSide(side) => format!("shorter:{side}"),
        Resize::Stretch => "stretch".into(),
        Resize::CentralCrop(thousandths) => format!("central:{thousandths}"),
    };
    [
        ("order", order.into()),
        ("mean", numbers(preprocessing.mean)),
        ("scale", numbers(preprocessing.scale)),
        ("resize", resize),
    ]
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
                    "the network takes {} channels, the preprocessing gives {channels}; choose another --order",
                    input.channels
                ),
            ));
        }
        Ok(Self { settings, size: Size::new(input.width, input.height) })
    }

    /// The pixels that the network sees: NHWC, RGB or luma, `size.height * size.width` of them.
    pub(crate) fn pixels(&self, picture: &RgbPicture) -> Result<Vec<u8>, ImageError> {
        let picture = picture.view()?;
        let geometry = Geometry::plan(self.settings.resize, picture.size(), self.size)?;
        let channels = self.settings.order.channels();
        let mut scratch = vec![0; geometry.scratch_len(PixelFormat::Rgb888, channels)];
        let mut pixels = vec![0; geometry.output_len(channels)];
        resample(&picture, &geometry, channels, &mut scratch, &mut pixels)?;
        Ok(pixels)
    }

    /// Reads a picture file and brings it to the network's size.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.pixels(&RgbPicture::read(path)?).map_err(|error| {
            let Size { width, height } = self.size;
            file_error(
                path,
                format_args!("cannot become a picture of {width} x {height}: {error}; choose another --resize"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> &'static Path {
        Path::new("net.onnx")
    }

    #[test]
    fn fields_change_a_preset() {
        let args = PreprocessArgs {
            preset: Some("caffe-imagenet".into()),
            std: Some([2.0; 3]),
            resize: Some(Resize::Stretch),
            ..PreprocessArgs::default()
        };
        let settings = args.resolve(model()).unwrap();
        assert_eq!(settings.order, ColourOrder::Bgr);
        assert_eq!(settings.mean, [104.0, 117.0, 123.0]);
        assert_eq!(settings.scale, [0.5; 3]);
        assert_eq!(settings.resize, Resize::Stretch);
    }

    #[test]
    fn what_is_missing_or_on_the_wrong_scale_is_said() {
        let nothing = PreprocessArgs::default().resolve(model()).unwrap_err().to_string();
        assert!(nothing.starts_with("net.onnx: ") && nothing.contains("--preset"), "{nothing}");
        let unit = PreprocessArgs { std: Some([0.229, 0.224, 0.225]), ..PreprocessArgs::default() };
        assert!(unit.resolve(model()).unwrap_err().to_string().contains("multiply mean and standard deviation by 255"));
    }

    #[test]
    fn the_command_line_spells_numbers_and_resizes() {
        assert_eq!(triple("127.5"), Ok([127.5; 3]));
        assert_eq!(triple("-1, 2,3e1"), Ok([-1.0, 2.0, 30.0]));
        assert!(triple("1,2").is_err() && triple("1,x,2").is_err() && triple("inf").is_err());
        assert_eq!(resize("shorter:256"), Ok(Resize::ShorterSide(256)));
        assert_eq!(resize("central:875"), Ok(Resize::CentralCrop(875)));
        assert_eq!(resize("stretch"), Ok(Resize::Stretch));
        for wrong in ["shorter", "shorter:0", "central:1001", "stretch:3", "256", "shorter:70000"] {
            assert!(resize(wrong).is_err(), "{wrong}");
        }
    }
}
