//! `.tin` files, loaded and verified. Where no file of that name exists, the name of a model on board stands for it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use tinception_core::error::FormatError;
use tinception_core::format::MAGIC;
use tinception_core::model::{Checksum, Model};
use tinception_models::aligned::Aligned;
use tinception_models::artefacts::{self, Artefact};
use tinception_models::kind::{Kind, Wanted, folder_instead_of};

use crate::files;
use crate::output::file_error;

/// The model on board that `path` names, if there is no such file.
fn on_board(path: &Path) -> Option<&'static Artefact> {
    artefacts::find(path.to_str()?).filter(|_| !path.exists())
}

/// Whether `path` names a model on board, or a file that starts as `.tin` files do.
pub(crate) fn is_tin(path: &Path) -> bool {
    if on_board(path).is_some() {
        return true;
    }
    let mut start = [0; MAGIC.len()];
    // Opening a FIFO would wait for a writer.
    path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
}

/// Loads and verifies a model. Its bytes stay in memory until the program ends: a command loads one or two.
pub(crate) fn load(path: &Path, checksum: Checksum) -> Result<Model<'static>> {
    if let Some(artefact) = on_board(path) {
        return Model::with_checksum(artefact.bytes, checksum).map_err(|error| file_error(path, describe(error)));
    }
    let unreadable = || format!("{}: cannot be read", path.display());
    if path.is_dir() {
        return Err(file_error(path, folder_instead_of(path, Wanted::Network)));
    }
    if files::check(path)?.len() > u64::from(u32::MAX) {
        return Err(file_error(path, "not a .tin file: it is larger than 4 GiB"));
    }
    let file = fs::read(path).with_context(unreadable)?;
    let no_memory = |_| file_error(path, "there is not enough memory to load it");
    let mut copy = Aligned::try_zeroed(file.len()).map_err(no_memory)?;
    copy.copy_from_slice(&file);
    let bytes: &'static [u8] = copy.leak();
    Model::with_checksum(bytes, checksum).map_err(|error| {
        // A file of another kind is named; a `.tin` file that is damaged still starts as one.
        let other = Kind::of(&file).filter(|kind| *kind != Kind::Tin && *kind != Kind::Empty);
        let other = other.map(|kind| (kind, kind.instead_of(Wanted::Network)));
        file_error(
            path,
            match other {
                Some((_, Some(what))) => format!("not a .tin file: {what}"),
                Some((kind, None)) => format!("not a .tin file: this is {}; name it .onnx", kind.name()),
                None => describe(error),
            },
        )
    })
}

/// What is wrong, and what to do about it.
fn describe(error: FormatError) -> String {
    let way_out = match error {
        FormatError::Magic => "give a file made by `tinception quantize`",
        FormatError::Version { .. } | FormatError::Operator { .. } => {
            "update tinception, or compile the network again with this version"
        }
        FormatError::Text | FormatError::Unwritten { .. } | FormatError::Step { .. } => "compile the network again",
        _ => "copy it again, or compile the network again",
    };
    format!("{error}; {way_out}")
}
