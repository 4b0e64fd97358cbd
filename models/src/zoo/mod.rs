//! Public weights: what they are, where they lie, and how to know that a file is the published one.
//!
//! Nothing here is part of this project; [`fetch()`] brings a file from its publisher or a mirror.

mod digest;
mod error;
mod fetch;

pub use digest::Digest;
pub use error::FetchError;
pub use fetch::{Fetched, Progress, fetch};

use crate::nets::Architecture;

/// A published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download<'a> {
    /// The name it is kept under.
    pub file: &'a str,
    /// Where it lies: tried in this order.
    pub urls: &'a [&'a str],
    /// The hash of its content.
    pub digest: Digest<'a>,
    /// More bytes than these are not taken: its size where that is known, else a little more.
    pub most: u64,
}

/// A file of public weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Which file it is, where it comes from and its hash.
    pub download: Download<'static>,
    /// Its size in megabytes (10^6 bytes), rounded.
    pub megabytes: u32,
    /// What the publisher says about its use.
    pub licence: &'static str,
    /// The architecture to import it with; `None` for an ONNX file, which needs no import.
    pub architecture: Option<Architecture>,
    /// How an ONNX file wants pictures, as a preset's name.
    pub preset: Option<&'static str>,
    /// The order of its classes.
    pub labels: &'static str,
}

const SYNSETS: &str = "1000 classes in the order of ILSVRC 2012's synset_words.txt";
const TORCHVISION_LICENCE: &str = "torchvision is BSD-3-Clause; for the weights ImageNet's terms may apply";

/// All public weights that are known here.
pub const ENTRIES: [Entry; 4] = [
    Entry {
        name: "googlenet-torchvision",
        about: "torchvision's GoogLeNet, IMAGENET1K_V1",
        download: Download {
            file: "googlenet-1378be20.pth",
            urls: &[
                "https://download.pytorch.org/models/googlenet-1378be20.pth",
                "https://s3.amazonaws.com/pytorch/models/googlenet-1378be20.pth",
            ],
            digest: Digest::sha256("1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef"),
            most: 52_200_000,
        },
        megabytes: 52,
        licence: TORCHVISION_LICENCE,
        architecture: Some(Architecture::GoogLeNetTorchvision),
        preset: None,
        labels: SYNSETS,
    },
    Entry {
        name: "inception-v3",
        about: "torchvision's Inception v3, IMAGENET1K_V1",
        download: Download {
            file: "inception_v3_google-0cc3c7bd.pth",
            urls: &[
                "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
                "https://s3.amazonaws.com/pytorch/models/inception_v3_google-0cc3c7bd.pth",
            ],
            digest: Digest::sha256("0cc3c7bd75056d25e46cba549dc184522069b81e9787eff6df84f397bd52a5ef"),
            most: 108_949_747,
        },
        megabytes: 109,
        licence: TORCHVISION_LICENCE,
        architecture: Some(Architecture::InceptionV3),
        preset: None,
        labels: SYNSETS,
    },
    Entry {
        name: "googlenet-caffe",
        about: "BVLC's GoogLeNet for Caffe",
        download: Download {
            file: "bvlc_googlenet.caffemodel",
            urls: &[
                "https://storage.openvinotoolkit.org/repositories/open_model_zoo/public/2022.1/googlenet-v1/bvlc_googlenet.caffemodel",
                "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
            ],
            // As Intel's Open Model Zoo states it for this address.
            digest: Digest::sha256("6f7101e3a2183738a7125a0c5021ba82a1feb4228c5ca0924d991b6daf6f6fad"),
            most: 53_533_754,
        },
        megabytes: 54,
        licence: "released for unrestricted use",
        architecture: Some(Architecture::GoogLeNetCaffe),
        preset: None,
        labels: SYNSETS,
    },
    Entry {
        name: "googlenet-onnx",
        about: "the ONNX model zoo's GoogLeNet, BVLC's weights, opset 12",
        download: Download {
            file: "googlenet-12.onnx",
            urls: &[
                "https://huggingface.co/onnxmodelzoo/googlenet-12/resolve/main/googlenet-12.onnx",
                "https://github.com/onnx/models/raw/main/validated/vision/classification/inception_and_googlenet/googlenet/model/googlenet-12.onnx",
            ],
            digest: Digest::sha256("c99c507058eaf41de8723408fdda7db8325cb57f0a89f2ee07a716d6e963e14e"),
            most: 30_000_000,
        },
        megabytes: 28,
        licence: "Apache-2.0",
        architecture: None,
        preset: Some("caffe-imagenet"),
        labels: SYNSETS,
    },
];

/// The weights of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Preprocessing;

    #[test]
    fn every_entry_can_be_found_fetched_and_used() {
        for entry in &ENTRIES {
            let Download { file, urls, digest, most } = entry.download;
            assert_eq!(find(entry.name), Some(entry));
            assert!(urls.len() >= 2, "{} has a mirror", entry.name);
            assert!(urls.iter().all(|url| url.starts_with("http") && url.ends_with(file)), "{urls:?}");
            assert!(entry.architecture.is_some() != file.ends_with(".onnx"), "{file}");
            assert!(digest.digits().bytes().all(|digit| b"0123456789abcdef".contains(&digit)));
            // torchvision puts the first eight digits of the SHA-256 into the name.
            assert!(!file.ends_with(".pth") || file.contains(&format!("-{}.", &digest.digits()[..8])), "{file}");
            let size = u64::from(entry.megabytes) * 1_000_000;
            assert!(most.abs_diff(size) < 2_500_000, "{}: at most {most} bytes", entry.name);
            assert!(entry.preset.is_none_or(|name| Preprocessing::preset(name).is_some()));
        }
        assert_eq!(find("alexnet"), None);
    }
}
