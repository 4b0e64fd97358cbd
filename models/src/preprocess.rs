//! How a picture becomes the network's input, for the float engine and as the int8 table of a file.

use std::fmt;
use std::str::FromStr;

use tinception_core::format::preprocess::{Preprocess, TABLE_ENTRIES};
use tinception_core::image::{ColourOrder, Resize};
use tinception_core::quant::QuantParams;

use crate::graph::Affine;

/// What is done to a picture before a network sees it: brought to size, its channels ordered, and
/// `x = (pixel - mean) * scale` for pixel values of 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// The order of the network's channels.
    pub order: ColourOrder,
    /// How a picture of any size comes to the input's size.
    pub resize: Resize,
    /// Subtracted from each channel, in the network's order; unused channels are 0.
    pub mean: [f32; 3],
    /// Then multiplied with each channel, in the network's order; unused channels are 0.
    pub scale: [f32; 3],
}

const CAFFE: Preprocessing = Preprocessing::CAFFE_IMAGENET;

/// torchvision's `ImageClassification` transform: resize 256, centre crop, ImageNet's mean and standard deviation.
const TORCHVISION: Preprocessing = Preprocessing {
    order: ColourOrder::Rgb,
    resize: Resize::ShorterSide(256),
    mean: [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0],
    scale: [1.0 / (0.229 * 255.0), 1.0 / (0.224 * 255.0), 1.0 / (0.225 * 255.0)],
};

/// TensorFlow's `inception_preprocessing` for evaluation: the central 87.5 %, values from -1 to 1.
const TENSORFLOW: Preprocessing = Preprocessing {
    order: ColourOrder::Rgb,
    resize: Resize::CentralCrop(875),
    mean: [127.5; 3],
    scale: [1.0 / 127.5; 3],
};

const PRESETS: [(&str, Preprocessing); 3] =
    [("caffe-imagenet", CAFFE), ("torchvision-imagenet", TORCHVISION), ("tensorflow-inception", TENSORFLOW)];

/// Names of the presets.
#[must_use]
pub fn names() -> [&'static str; 3] {
    PRESETS.map(|(name, _)| name)
}

impl Preprocessing {
    /// BVLC's ImageNet models (Caffe's `classify.py` with the mean of each channel).
    pub const CAFFE_IMAGENET: Self = Self {
        order: ColourOrder::Bgr,
        resize: Resize::ShorterSide(256),
        mean: [104.0, 117.0, 123.0],
        scale: [1.0; 3],
    };

    /// The preset of this name; see [`names`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        PRESETS.iter().find(|(known, _)| *known == name).map(|(_, preset)| *preset)
    }

    /// What a file's record says.
    #[must_use]
    pub fn from_record(record: &Preprocess) -> Self {
        Self { order: record.order, resize: record.resize, mean: record.mean, scale: record.scale }
    }

    /// The record of a file whose pixel table starts at `table`.
    #[must_use]
    pub fn to_record(&self, table: u32) -> Preprocess {
        Preprocess { order: self.order, resize: self.resize, mean: self.mean, scale: self.scale, table }
    }

    /// Channels of the network's input.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.order.channels().count()
    }

    /// Its fields as text: order, mean, scale and resize.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, String); 4] {
        let channels = self.channels();
        let numbers =
            |numbers: [f32; 3]| numbers.iter().take(channels).map(f32::to_string).collect::<Vec<_>>().join(",");
        let order = match self.order {
            ColourOrder::Rgb => "rgb",
            ColourOrder::Bgr => "bgr",
            ColourOrder::Grey => "grey",
        };
        let resize = match self.resize {
            Resize::ShorterSide(side) => format!("shorter:{side}"),
            Resize::Stretch => "stretch".into(),
            Resize::CentralCrop(thousandths) => format!("central:{thousandths}"),
        };
        [("order", order.into()), ("mean", numbers(self.mean)), ("scale", numbers(self.scale)), ("resize", resize)]
    }

    /// Makes mean and scale of channels that the colour order doesn't have zero.
    pub fn clear_unused(&mut self) {
        let channels = self.channels();
        for unused in self.mean.iter_mut().skip(channels).chain(self.scale.iter_mut().skip(channels)) {
            *unused = 0.0;
        }
    }

    /// The network's float input, NHWC, from resampled pixels: RGB, or luma for a grey network, row by row
    /// ([`resample`](tinception_core::image::resample) makes them).
    #[must_use]
    pub fn to_float(&self, pixels: &[u8]) -> Vec<f32> {
        let normalise = |channel: usize, value: u8| (f32::from(value) - self.mean[channel]) * self.scale[channel];
        match self.order {
            ColourOrder::Grey => pixels.iter().map(|value| normalise(0, *value)).collect(),
            ColourOrder::Rgb => {
                pixels.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| normalised(normalise, [*r, *g, *b])).collect()
            }
            ColourOrder::Bgr => {
                pixels.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| normalised(normalise, [*b, *g, *r])).collect()
            }
        }
    }

    /// The map from a pixel value to what the network's first layer sees: this normalisation, then what the network
    /// itself does to its input.
    #[must_use]
    pub fn composed(&self, input_affine: &Affine) -> Affine {
        let channels = self.channels();
        let shift = self.mean.iter().zip(&self.scale).map(|(mean, scale)| -mean * scale).take(channels).collect();
        Affine { scale: self.scale[..channels].to_vec(), shift }.then(input_affine)
    }

    /// The int8 input of each pixel value: 256 entries for each channel, in the network's order, as
    /// [`quantize_pixels`](tinception_core::image::quantize_pixels) takes them.
    #[must_use]
    pub fn pixel_table(&self, input_affine: &Affine, quant: QuantParams) -> Vec<i8> {
        let affine = self.composed(input_affine);
        let channels = affine.scale.iter().zip(&affine.shift);
        channels
            .flat_map(|(scale, shift)| {
                (0..TABLE_ENTRIES).map(move |value| {
                    let real = value as f64 * f64::from(*scale) + f64::from(*shift);
                    crate::quantize::quantize(real, quant)
                })
            })
            .collect()
    }
}

/// `order=rgb mean=104,117,123 scale=1,1,1 resize=shorter:256`, the fields in the network's order of channels.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields();
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&fields.join(" "))
    }
}

impl FromStr for Preprocessing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut order, mut mean, mut scale, mut how) = (None, None, None, None);
        for field in text.split_whitespace() {
            match field.split_once('=') {
                Some(("order", value)) => {
                    let known = [("rgb", ColourOrder::Rgb), ("bgr", ColourOrder::Bgr), ("grey", ColourOrder::Grey)];
                    order = known.iter().find(|(name, _)| *name == value).map(|(_, order)| *order);
                }
                Some(("mean", value)) => mean = Some(numbers(value)?),
                Some(("scale", value)) => scale = Some(numbers(value)?),
                Some(("resize", value)) => how = Some(resize(value)?),
                _ => return Err(format!("'{field}' is no field of a preprocessing")),
            }
        }
        match (order, mean, scale, how) {
            (Some(order), Some(mean), Some(scale), Some(resize)) => {
                let mut read = Self { order, resize, mean, scale };
                read.clear_unused();
                Ok(read)
            }
            _ => Err("it must have order, mean, scale and resize".into()),
        }
    }
}

/// One number for all channels, or three separated by commas.
///
/// # Errors
/// Says what is wrong with them.
pub fn numbers(text: &str) -> Result<[f32; 3], String> {
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

/// `shorter:N`, `stretch` or `central:N`.
///
/// # Errors
/// Says what would be understood.
pub fn resize(text: &str) -> Result<Resize, String> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0);
    match text.split_once(':') {
        None if text == "stretch" => Some(Resize::Stretch),
        Some(("shorter", side)) => number(side).map(Resize::ShorterSide),
        Some(("central", thousandths)) => number(thousandths).filter(|part| *part <= 1000).map(Resize::CentralCrop),
        _ => None,
    }
    .ok_or_else(|| "give shorter:N, stretch or central:N (N up to 1000), as in shorter:256".into())
}

fn normalised(normalise: impl Fn(usize, u8) -> f32, [first, second, third]: [u8; 3]) -> [f32; 3] {
    [normalise(0, first), normalise(1, second), normalise(2, third)]
}

#[cfg(test)]
mod tests {
    use tinception_core::image::quantize_pixels;

    use super::*;

    #[test]
    fn presets_are_the_published_ones() {
        assert_eq!(names().len(), 3);
        assert!(names().iter().all(|name| Preprocessing::preset(name).is_some()));
        assert_eq!(Preprocessing::preset("imagenet"), None);
        // Red 255, green 117, blue 0 of Caffe's: blue first, minus the means.
        assert_eq!(CAFFE.to_float(&[255, 117, 0]), [-104.0, 0.0, 132.0]);
        // torchvision: (1 - 0.485) / 0.229 and so on.
        let white = TORCHVISION.to_float(&[255; 3]);
        for (value, expected) in white.iter().zip([2.248_908_3, 2.428_571_4, 2.64]) {
            assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
        }
        assert_eq!(TENSORFLOW.to_float(&[0, 255, 0]), [-1.0, 1.0, -1.0]);
    }

    #[test]
    fn grey_has_one_channel() {
        let grey = Preprocessing { order: ColourOrder::Grey, mean: [8.0, 0.0, 0.0], scale: [0.5, 0.0, 0.0], ..CAFFE };
        assert_eq!(grey.to_float(&[10, 8, 0]), [1.0, 0.0, -4.0]);
        assert_eq!(grey.pixel_table(&Affine::identity(1), QuantParams { scale: 1.0, zero_point: 0 }).len(), 256);
    }

    #[test]
    fn the_table_quantises_what_the_float_engine_gets() {
        // The network's own affine comes after the preprocessing, for both engines.
        let affine = Affine { scale: vec![0.5, 2.0, 1.0], shift: vec![0.0, 1.0, -3.0] };
        let quant = QuantParams { scale: 1.25, zero_point: -7 };
        let mut pixels: Vec<u8> = (0..=254).collect();
        let float = CAFFE.to_float(&pixels);
        let table = CAFFE.pixel_table(&affine, quant);
        let input = quantize_pixels(&mut pixels, ColourOrder::Bgr, &table).unwrap();
        for (index, (quantised, x)) in input.iter().zip(float).enumerate() {
            let real = x * affine.scale[index % 3] + affine.shift[index % 3];
            let expected = ((real / quant.scale).round() as i32 - 7).clamp(-128, 127);
            assert!((i32::from(*quantised) - expected).abs() <= i32::from((real / quant.scale).fract().abs() == 0.5));
        }
    }

    #[test]
    fn text_says_it_all() {
        for name in names() {
            let preset = Preprocessing::preset(name).unwrap();
            assert_eq!(preset.to_string().parse(), Ok(preset), "{preset}");
        }
        assert_eq!(CAFFE.to_string(), "order=bgr mean=104,117,123 scale=1,1,1 resize=shorter:256");
        let grey: Preprocessing = "order=grey mean=8 scale=0.5 resize=central:875".parse().unwrap();
        assert_eq!((grey.mean, grey.scale), ([8.0, 0.0, 0.0], [0.5, 0.0, 0.0]));
        assert_eq!(grey.to_string().parse(), Ok(grey));
        let parse = |text: &str| text.parse::<Preprocessing>().unwrap_err();
        assert!(parse("order=rgb mean=1").contains("must have"));
        assert!(parse("colour=rgb").contains("'colour=rgb' is no field"));
    }

    #[test]
    fn numbers_and_resizes_are_spelt() {
        assert_eq!(numbers("127.5"), Ok([127.5; 3]));
        assert_eq!(numbers("-1, 2,3e1"), Ok([-1.0, 2.0, 30.0]));
        assert!(numbers("1,2").is_err() && numbers("1,x,2").is_err() && numbers("inf").is_err());
        assert_eq!(resize("shorter:256"), Ok(Resize::ShorterSide(256)));
        assert_eq!(resize("central:875"), Ok(Resize::CentralCrop(875)));
        assert_eq!(resize("stretch"), Ok(Resize::Stretch));
        for wrong in ["shorter", "shorter:0", "central:1001", "stretch:3", "256", "shorter:70000"] {
            assert!(resize(wrong).is_err(), "{wrong}");
        }
    }
}
