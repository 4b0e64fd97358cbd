//! What comes with the program: the trained models and the photos of `models/artefacts/`, embedded.

use tinception_core::include_model;

/// A trained network on board.
#[derive(Clone, Copy, Debug)]
pub struct Artefact {
    /// What the command line calls it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The `.tin` file, 16-byte aligned.
    pub bytes: &'static [u8],
    /// Top-1 accuracy in int8, in per cent, and on what it was measured.
    pub top1: (&'static str, &'static str),
    /// Licence of the model, in a few words.
    pub licence: &'static str,
}

/// The models on board; the first is what the program uses if none is named.
pub const MODELS: &[Artefact] = &[
    Artefact {
        name: "googlenet",
        about: "GoogLeNet with BVLC's weights, 224x224, the 1,000 classes of ImageNet",
        bytes: include_model!("../artefacts/googlenet.tin"),
        top1: ("73.25", "400 photos of ImageNet's classes"),
        licence: "released for unrestricted use by BVLC",
    },
    Artefact {
        name: "nano",
        about: "the reduced Inception for microcontrollers, 32x32, the ten classes of CIFAR-10",
        bytes: include_model!("../artefacts/nano.tin"),
        top1: ("87.06", "5,000 test pictures of CIFAR-10"),
        licence: "MIT or Apache-2.0",
    },
];

/// The model that is used if none is named.
pub const DEFAULT: &str = MODELS[0].name;

/// The model of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Artefact> {
    MODELS.iter().find(|artefact| artefact.name == name)
}

/// The models' names, for messages.
#[must_use]
pub fn names() -> String {
    let names: Vec<&str> = MODELS.iter().map(|artefact| artefact.name).collect();
    names.join(", ")
}

/// A photo on board, free of copyright.
#[derive(Clone, Copy, Debug)]
pub struct Photo {
    /// Its file's name.
    pub name: &'static str,
    /// The file: JPEG.
    pub bytes: &'static [u8],
    /// Who took it and how it is licensed.
    pub source: &'static str,
}

/// The photos on board.
pub const PHOTOS: &[Photo] = &[
    Photo {
        name: "cat.jpg",
        bytes: include_bytes!("../artefacts/photos/cat.jpg"),
        source: "Stefan van der Walt, CC0 1.0",
    },
    Photo {
        name: "coffee.jpg",
        bytes: include_bytes!("../artefacts/photos/coffee.jpg"),
        source: "Rachel Michetti, CC0 1.0",
    },
    Photo { name: "dog.jpg", bytes: include_bytes!("../artefacts/photos/dog.jpg"), source: "Snapwire, CC0 1.0" },
    Photo {
        name: "lorikeet.jpg",
        bytes: include_bytes!("../artefacts/photos/lorikeet.jpg"),
        source: "Skitterphoto, CC0 1.0",
    },
    Photo {
        name: "goldfish.jpg",
        bytes: include_bytes!("../artefacts/photos/goldfish.jpg"),
        source: "Skitterphoto, CC0 1.0",
    },
    Photo {
        name: "balloon.jpg",
        bytes: include_bytes!("../artefacts/photos/balloon.jpg"),
        source: "Skitterphoto, CC0 1.0",
    },
    Photo { name: "car.jpg", bytes: include_bytes!("../artefacts/photos/car.jpg"), source: "Pixabay, CC0 1.0" },
    Photo {
        name: "rocket.jpg",
        bytes: include_bytes!("../artefacts/photos/rocket.jpg"),
        source: "SpaceX, public domain",
    },
];

#[cfg(test)]
mod tests {
    use tinception_core::model::Model;

    use super::*;

    #[test]
    fn every_model_on_board_is_whole_and_names_its_classes() {
        for artefact in MODELS {
            let model = Model::new(artefact.bytes).expect(artefact.name);
            let classes = model.logits().expect("scores").shape.channels as usize;
            assert_eq!(model.labels().count(), classes, "{}", artefact.name);
            assert!(model.self_test_seed().is_some() && model.preprocess().is_some(), "{}", artefact.name);
            assert_eq!(find(artefact.name).map(|found| found.name), Some(artefact.name));
        }
        assert_eq!(find(DEFAULT).map(|found| found.name), Some(MODELS[0].name));
        assert!(find("alexnet").is_none());
    }
}
