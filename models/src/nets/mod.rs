//! The architectures this project is about, built from files of named weights.
//!
//! [`Architecture::build`] takes the tensors it needs by torchvision's names (or Caffe's), checks each one's shape and
//! returns a [`Graph`]. Weights of auxiliary classifiers, which only training uses, are recognised and left out; any
//! other tensor without a place is an error, as one that is missing.
//!
//! Training programs put a network into wrappers, each of which puts a name in front of all others: Lightning `model.`,
//! `torch.compile` `_orig_mod.`, several devices `module.`. Whatever stands in front of the name of the first layer's
//! weights is taken off all names.

mod builder;
mod caffe;
mod error;
mod googlenet;
mod inception_v3;
mod nano;

pub use error::NetError;
use tinception_core::image::{ColourOrder, Resize};
use tinception_core::shape::Shape;

use self::builder::Builder;
use crate::graph::Graph;
use crate::preprocess::Preprocessing;
use crate::weights::Weights;

/// The same mean and scale for red, green and blue.
fn rgb(mean: f32, scale: f32) -> Preprocessing {
    Preprocessing { order: ColourOrder::Rgb, resize: Resize::Stretch, mean: [mean; 3], scale: [scale; 3] }
}

/// A network without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// The reduced Inception for microcontrollers (`models/train/nets/nano.py`).
    Nano,
    /// The book's network: nine modules over 32x32 pictures, the 5x5 as two 3x3, a head of 4096 inputs.
    Book,
    /// GoogLeNet with batch normalisation and true 5x5 convolutions (`models/train/nets/googlenet.py`).
    GoogLeNet,
    /// [`Architecture::GoogLeNet`] for small pictures: the pool in front of the module 3a keeps the resolution.
    GoogLeNetFine,
    /// torchvision's GoogLeNet: batch normalisation, and a 3x3 where the 5x5 should be.
    GoogLeNetTorchvision,
    /// Caffe's GoogLeNet (BVLC): local response normalisation, true 5x5, no batch normalisation.
    GoogLeNetCaffe,
    /// torchvision's Inception v3.
    InceptionV3,
}

/// What [`Architecture::build`] makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// The network, batch normalisations not yet folded. Its output are the logits.
    pub graph: Graph,
    /// Names of tensors of auxiliary classifiers, which are not part of it.
    pub left_out: Vec<String>,
    /// What stands in front of all its tensors' names in the file, such as `model.`; empty for most files.
    pub prefix: String,
    /// Names of tensors without that prefix, which belong to something else: a loss, a metric.
    pub passed_over: Vec<String>,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nano,
        Self::Book,
        Self::GoogLeNet,
        Self::GoogLeNetFine,
        Self::GoogLeNetTorchvision,
        Self::GoogLeNetCaffe,
        Self::InceptionV3,
    ];

    /// Its name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nano => "nano",
            Self::Book => "book",
            Self::GoogLeNet => "googlenet",
            Self::GoogLeNetFine => "googlenet-fine",
            Self::GoogLeNetTorchvision => "googlenet-torchvision",
            Self::GoogLeNetCaffe => "googlenet-caffe",
            Self::InceptionV3 => "inception-v3",
        }
    }

    /// The architecture of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.name() == name)
    }

    /// The side of the pictures it was designed for, in pixels.
    #[must_use]
    pub const fn size(self) -> u32 {
        match self {
            Self::Nano | Self::Book => 32,
            Self::GoogLeNetFine => 64,
            Self::GoogLeNet | Self::GoogLeNetTorchvision | Self::GoogLeNetCaffe => 224,
            Self::InceptionV3 => 299,
        }
    }

    /// How pictures become its input of `size` x `size`: for the published weights where there are some, else as this
    /// project trains it. The part of the picture that is seen is the same for every size.
    ///
    /// torchvision's pretrained networks normalise with ImageNet's mean and deviation, and then undo it inside
    /// (`transform_input`): together that is `(pixel - 127.5) / 127.5`.
    #[must_use]
    pub fn preprocessing(self, size: u32) -> Preprocessing {
        // The shorter side of a picture for a network of the size it was designed for.
        let (shorter, mut chosen) = match self {
            Self::Nano | Self::Book | Self::GoogLeNet | Self::GoogLeNetFine => (self.size(), rgb(128.0, 1.0 / 64.0)),
            Self::GoogLeNetTorchvision => (256, rgb(127.5, 1.0 / 127.5)),
            Self::InceptionV3 => (342, rgb(127.5, 1.0 / 127.5)),
            Self::GoogLeNetCaffe => (256, Preprocessing::CAFFE_IMAGENET),
        };
        let shorter = (size * shorter).div_ceil(self.size());
        chosen.resize = Resize::ShorterSide(u16::try_from(shorter).unwrap_or(u16::MAX));
        chosen
    }

    /// Builds the network for pictures of `size` x `size` from its weights; the number of classes is that of the
    /// classifier's weights.
    ///
    /// # Errors
    /// [`NetError`] names the file and the tensor that is missing, has a wrong shape or belongs nowhere, and a file that
    /// holds the network several times.
    pub fn build(self, weights: &Weights, size: u32) -> Result<Built, NetError> {
        let mut builder = Builder::new(self, weights, self.prefix(weights)?, Shape::new(size, size, 3))?;
        match self {
            Self::Nano => nano::build(&mut builder)?,
            Self::Book => googlenet::build_book(&mut builder)?,
            Self::GoogLeNet => googlenet::build(&mut builder, googlenet::Five::True, googlenet::HALVING)?,
            Self::GoogLeNetFine => googlenet::build(&mut builder, googlenet::Five::True, googlenet::KEEPING)?,
            Self::GoogLeNetTorchvision => googlenet::build(&mut builder, googlenet::Five::Three, googlenet::HALVING)?,
            Self::GoogLeNetCaffe => caffe::build(&mut builder)?,
            Self::InceptionV3 => inception_v3::build(&mut builder)?,
        }
        builder.finish()
    }

    /// The weights of its first layer, which every file of its weights has.
    const fn first_tensor(self) -> &'static str {
        match self {
            Self::GoogLeNetCaffe => "conv1/7x7_s2.weight",
            Self::InceptionV3 => "Conv2d_1a_3x3.conv.weight",
            _ => "conv1.conv.weight",
        }
    }

    /// What stands in front of the names of its tensors.
    fn prefix(self, weights: &Weights) -> Result<&str, NetError> {
        let front = |name: &'_ String| -> Option<usize> {
            let front = name.strip_suffix(self.first_tensor())?;
            (front.is_empty() || front.ends_with(['.', '/'])).then_some(front.len())
        };
        let mut found = weights.tensors.keys().filter_map(|name| Some(&name[..front(name)?]));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(NetError::Several {
                file: weights.file.clone(),
                architecture: self.name(),
                first: one.to_owned(),
                second: other.to_owned(),
            }),
            (one, _) => Ok(one.unwrap_or("")),
        }
    }

    /// Whether a tensor of this name belongs to an auxiliary classifier.
    fn is_auxiliary(self, name: &str) -> bool {
        let starts: &[&str] = match self {
            Self::InceptionV3 => &["AuxLogits."],
            Self::GoogLeNetCaffe => &["loss1/", "loss2/"],
            _ => &["aux1.", "aux2."],
        };
        starts.iter().any(|start| name.starts_with(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again() {
        for architecture in Architecture::ALL {
            assert_eq!(Architecture::from_name(architecture.name()), Some(architecture));
        }
        assert_eq!(Architecture::from_name("alexnet"), None);
    }

    #[test]
    fn torchvisions_two_normalisations_are_one() {
        // torchvision: ToTensor, Normalize(mean, std), then transform_input's x * (std / 0.5) + (mean - 0.5) / 0.5.
        let expected = |pixel: u8, mean: f64, std: f64| {
            let normalised = (f64::from(pixel) / 255.0 - mean) / std;
            normalised * (std / 0.5) + (mean - 0.5) / 0.5
        };
        let settings = Architecture::InceptionV3.preprocessing(299);
        assert_eq!(settings.resize, Resize::ShorterSide(342));
        assert_eq!(Architecture::GoogLeNet.preprocessing(64).resize, Resize::ShorterSide(64));
        for pixel in 0..=255 {
            let found = settings.to_float(&[pixel; 3]);
            for (x, (mean, std)) in found.iter().zip([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]) {
                assert!((f64::from(*x) - expected(pixel, mean, std)).abs() < 1e-6);
            }
        }
    }
}
