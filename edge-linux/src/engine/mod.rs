//! Networks that rank classes: int8 through tinception-core, float through tract, behind one trait.

mod core;
#[cfg(feature = "serve")]
mod saturation;
mod scores;
#[cfg(feature = "tract")]
mod tract;

use std::path::Path;
#[cfg(feature = "camera")]
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use clap::ValueEnum;
use tinception_core::model::Checksum;
use tinception_models::artefacts;
use tinception_models::compile::Label;
use tinception_models::kind::{Kind, Wanted, folder_instead_of};
use tinception_models::preprocess::Preprocessing;

pub(crate) use self::core::CoreNetwork;
pub(crate) use self::scores::{Classes, Scores};
#[cfg(feature = "tract")]
pub(crate) use self::tract::graph;
use crate::files;
use crate::output::file_error;
use crate::preprocess::{PreprocessArgs, Preprocessor};
use crate::tin;

/// What runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// int8, for .tin files
    Core,
    /// float, for .onnx files
    Tract,
}

impl Engine {
    /// Its name, as the command line spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Tract => "tract",
        }
    }

    /// The engine for a file, by its first bytes and its name's end. `asked` must fit it.
    pub(crate) fn for_file(path: &Path, asked: Option<Self>) -> Result<Self> {
        if path.exists() {
            files::check(path)?;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let found = match extension.as_deref() {
            _ if tin::is_tin(path) => Self::Core,
            Some("tin") => Self::Core,
            Some("onnx") => Self::Tract,
            _ if !path.exists() => {
                return Err(file_error(
                    path,
                    format_args!("there is no such file, and no such model on board ({})", artefacts::names()),
                ));
            }
            _ if path.is_dir() => return Err(file_error(path, folder_instead_of(path, Wanted::Network))),
            _ => match Kind::of_file(path) {
                Some(Kind::Onnx) => Self::Tract,
                kind => {
                    let what = kind.and_then(|kind| kind.instead_of(Wanted::Network));
                    let unknown = || "neither a .tin file nor an ONNX network; give a .tin or an .onnx file".into();
                    return Err(file_error(path, what.unwrap_or_else(unknown)));
                }
            },
        };
        match asked {
            Some(asked) if asked != found => {
                let (kind, other) = if found == Self::Core { (".tin", ".onnx") } else { (".onnx", ".tin") };
                let asked = asked.name();
                Err(file_error(
                    path,
                    format_args!("--engine {asked} runs {other} files, not {kind} files; leave --engine out"),
                ))
            }
            _ => Ok(found),
        }
    }
}

/// A network, loaded. Several threads may use it, each with a worker of its own.
pub(crate) trait Network: Sync {
    /// What runs it.
    fn engine(&self) -> Engine;

    /// How a picture becomes the pixels it takes.
    fn preprocessor(&self) -> &Preprocessor;

    /// What the file calls its classes; empty where it says nothing of it.
    fn labels(&self) -> Vec<Label>;

    /// Whether the network has a single score, which stands for two classes.
    fn has_one_score(&self) -> bool;

    /// The input tensor that these pixels become, NHWC: int8, or little-endian float32.
    fn input_bytes(&self, pixels: &[u8]) -> Result<Vec<u8>>;

    /// Something to run it with.
    fn worker(&self) -> Box<dyn Worker + '_>;
}

/// A network with the memory it runs in.
pub(crate) trait Worker {
    /// Ranks the classes for pixels that the network's preprocessor made.
    fn classify(&mut self, pixels: &[u8]) -> Result<Scores>;

    /// Stops what runs when the flag is set, with an error; only between pictures where the engine knows no other way.
    #[cfg(feature = "camera")]
    fn stop_at(&mut self, stop: &'static AtomicBool) {
        let _ = stop;
    }

    /// As [`classify`](Self::classify), with the share of activations at the end of their range; `None` where they are no
    /// integers. It takes longer.
    #[cfg(feature = "serve")]
    fn classify_watched(&mut self, pixels: &[u8]) -> Result<(Scores, Option<f64>)> {
        Ok((self.classify(pixels)?, None))
    }

    /// As [`classify`](Self::classify), with the hash of each step's output.
    fn classify_hashed(&mut self, pixels: &[u8]) -> Result<(Scores, Vec<StepHash>)>;
}

/// CRC-32 of a step's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepHash {
    /// The step's name.
    pub(crate) name: String,
    /// CRC-32 (ISO 3309) of the elements in NHWC order.
    pub(crate) crc32: u32,
}

/// How to open a network.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenOptions {
    /// The engine that was asked for.
    pub(crate) engine: Option<Engine>,
    /// Preprocessing of an .onnx file; a .tin file holds its own.
    pub(crate) preprocess: PreprocessArgs,
    /// Whether a .tin file's checksum counts.
    pub(crate) checksum: Checksum,
    /// Threads on one picture of a .tin file; 0 and 1 are one.
    pub(crate) threads: usize,
}

/// Loads the network at `path` on the engine that its kind of file needs.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Network>> {
    match Engine::for_file(path, options.engine)? {
        Engine::Core if options.preprocess.is_empty() => {
            Ok(Box::new(CoreNetwork::open(path, options.checksum, options.threads)?))
        }
        Engine::Core => Err(file_error(
            path,
            "a .tin file holds its own preprocessing; leave out --preset and the other options for it",
        )),
        Engine::Tract if options.checksum == Checksum::Skip => {
            Err(file_error(path, "only .tin files have a checksum; leave --skip-checksum out"))
        }
        // Checked first: it costs nothing, and loading takes a second.
        Engine::Tract => require_tract(path).and_then(|()| open_float(path, options.preprocess.resolve(path)?)),
    }
}

/// Loads an .onnx network that sees pictures as `settings` say.
#[cfg(feature = "tract")]
pub(crate) fn open_float(path: &Path, settings: Preprocessing) -> Result<Box<dyn Network>> {
    Ok(Box::new(self::tract::TractNetwork::open(path, settings)?))
}

/// Refuses: the engine isn't built in.
#[cfg(not(feature = "tract"))]
pub(crate) fn open_float(path: &Path, _: Preprocessing) -> Result<Box<dyn Network>> {
    require_tract(path)?;
    anyhow::bail!("tract is missing")
}

/// Whether this program can read .onnx files at all.
pub(crate) fn require_tract(path: &Path) -> Result<()> {
    if cfg!(feature = "tract") {
        return Ok(());
    }
    Err(file_error(
        path,
        "this tinception was built without tract, which .onnx files need; build it with `cargo build -p tinception \
         --features tract`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_go_with_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.onnx");
        std::fs::write(&path, b"x").unwrap();
        assert_eq!(Engine::for_file(&path, None).unwrap(), Engine::Tract);
        let wrong = Engine::for_file(&path, Some(Engine::Core)).unwrap_err().to_string();
        assert!(wrong.contains("--engine core runs .tin files"), "{wrong}");
        std::fs::write(&path, tinception_core::format::MAGIC).unwrap();
        assert_eq!(Engine::for_file(&path, None).unwrap(), Engine::Core);
        assert!(Engine::for_file(&folder.path().join("none"), None).unwrap_err().to_string().contains("no such file"));
    }
}
