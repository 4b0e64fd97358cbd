//! What a file is by its first bytes, whatever its name ends in, so that an error can name what was given instead.
//!
//! Readers of networks decode first and ask here only when that fails: what a file is decides which way out an error names,
//! not whether a network is taken.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use tinception_core::format::MAGIC;

/// So many bytes at a file's start, and at its end, tell its kind. An archive's list of entries lies at its end.
const WINDOW: usize = 64 << 10;

/// What was wanted where a file of another kind was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A float network to compile or to compare with: ONNX.
    Onnx,
    /// A network to run: `.tin` or ONNX.
    Network,
    /// Weights to import.
    Weights,
    /// A file with a picture.
    Picture,
    /// A file of class names.
    Labels,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// No byte at all.
    Empty,
    /// What Git leaves in place of a large file that wasn't fetched.
    LfsPointer,
    /// A page from the web instead of the file.
    WebPage,
    /// A compressed file or an archive that isn't a format of its own.
    Packed(&'static str),
    /// A picture or a video, by its format's name.
    Picture(&'static str),
    /// A network that `tinception quantize` made.
    Tin,
    /// An ONNX network.
    Onnx,
    /// A checkpoint that `torch.save` wrote.
    PyTorch,
    /// A PyTorch program: network and weights.
    TorchScript,
    /// What `torch.export.save` writes.
    TorchExport,
    /// Named weights.
    Safetensors,
    /// TensorFlow Lite.
    TfLite,
    /// TensorFlow's `saved_model.pb`, or a frozen graph.
    TensorFlow,
    /// Keras, in HDF5 or in its own archive.
    Keras,
    /// Another program's network, or a part of one, by its name.
    Foreign(&'static str),
}

impl Kind {
    /// The kind of the file with these bytes; the whole file, or at least its start. `None` for what is not known.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Self::of_ends(&bytes[..bytes.len().min(WINDOW)], &bytes[bytes.len().saturating_sub(WINDOW)..])
    }

    /// The kind of the file at `path`, of which only both ends are read. `None` for what is not known or can't be read.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        // Opening a pipe or a device could wait for ever.
        let length = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
        let mut file = File::open(path).ok()?;
        let mut start = Vec::new();
        file.by_ref().take(WINDOW as u64).read_to_end(&mut start).ok()?;
        let mut end = Vec::new();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW as u64))).ok()?;
        file.take(WINDOW as u64).read_to_end(&mut end).ok()?;
        Self::of_ends(&start, &end)
    }

    /// The kind of a file from its first and its last bytes.
    fn of_ends(start: &[u8], end: &[u8]) -> Option<Self> {
        if start.is_empty() {
            return Some(Self::Empty);
        }
        if start.starts_with(b"PK\x03\x04") {
            return Some(archive(end));
        }
        SIGNATURES
            .iter()
            .find(|(offset, signature, _)| start.get(*offset..).is_some_and(|rest| rest.starts_with(signature)))
            .map(|(_, _, kind)| *kind)
            .or_else(|| boxed_picture(start))
            .or_else(|| safetensors(start))
            .or_else(|| protobuf(start))
            .or_else(|| text(start))
    }

    /// Its name, as a sentence goes on after "this is".
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Empty => "an empty file".into(),
            Self::LfsPointer => "a Git LFS pointer, a short text in place of the file".into(),
            Self::WebPage => "a web page, as a failed download leaves it".into(),
            Self::Packed(name) => format!("packed ({name})"),
            Self::Picture(name) if name.starts_with(['A', 'H']) => format!("an {name} picture"),
            Self::Picture(name) => format!("a {name} picture"),
            Self::Tin => "a .tin file, an int8 network that is compiled already".into(),
            Self::Onnx => "an ONNX network".into(),
            Self::PyTorch => "a PyTorch checkpoint, which holds weights and no network".into(),
            Self::TorchScript => "a TorchScript program".into(),
            Self::TorchExport => "a program that torch.export saved".into(),
            Self::Safetensors => "a safetensors file, which holds weights and no network".into(),
            Self::TfLite => "a TensorFlow Lite network (.tflite)".into(),
            Self::TensorFlow => "a TensorFlow network (.pb)".into(),
            Self::Keras => "a Keras network".into(),
            Self::Foreign(name) => name.into(),
        }
    }

    /// What to say where `wanted` was expected: what the file is, and the way to what is wanted. `None` where this kind
    /// is what is wanted, so that something else must be wrong with it.
    #[must_use]
    pub fn instead_of(self, wanted: Wanted) -> Option<String> {
        Some(format!("this is {}; {}", self.name(), self.way_out(wanted)?))
    }

    fn way_out(self, wanted: Wanted) -> Option<String> {
        let text = match self {
            Self::Empty => "copy or download it again".into(),
            Self::LfsPointer => "fetch the file itself with `git lfs pull` in its repository".into(),
            Self::WebPage => "download the file itself, not the page that shows it".into(),
            Self::Packed(_) => "unpack it and give the file within".into(),
            _ if wanted == Wanted::Picture => match self {
                Self::Picture(_) => return None,
                _ => "give a JPEG, PNG, BMP or WebP picture".into(),
            },
            _ if wanted == Wanted::Labels => "give a text file with one class name a line".into(),
            Self::Picture(_) => match wanted {
                Wanted::Weights => "give the file of weights".into(),
                _ => "give the network's file there".into(),
            },
            _ => self.way_to_network(wanted)?,
        };
        Some(text)
    }

    /// The way from one kind of network or weights to the other.
    fn way_to_network(self, wanted: Wanted) -> Option<String> {
        let state_dict = "save its weights alone: torch.save(net.state_dict(), \"weights.pth\")";
        let export = "export it with torch.onnx.export(net, (picture,), \"model.onnx\")";
        let import = "`tinception import WEIGHTS --arch NAME -o model.onnx` makes a network of the weights of an \
                      architecture it knows; of any other network,";
        Some(match (self, wanted) {
            (Self::Tin | Self::Onnx, Wanted::Network)
            | (Self::Onnx, Wanted::Onnx)
            | (Self::PyTorch | Self::Safetensors, Wanted::Weights) => return None,
            (Self::Tin, _) => "give the float network (.onnx) or the weights it was made from".into(),
            (Self::Onnx, _) => "it needs no import: give it to `tinception quantize`".into(),
            (Self::PyTorch, _) => format!("{import} {export}"),
            (Self::Safetensors, _) => format!("{import} load them in Python and {export}"),
            (Self::TorchScript, Wanted::Weights) => format!("load it in Python (torch.jit.load) and {state_dict}"),
            (Self::TorchScript, _) => format!("load it in Python (torch.jit.load) and {export}"),
            (Self::TorchExport, Wanted::Weights) => format!("load it in Python (torch.export.load) and {state_dict}"),
            (Self::TorchExport, _) => format!("load it in Python (torch.export.load) and {export}"),
            (Self::TfLite, _) => "tinception reads ONNX: convert the float network with `python -m tf2onnx.convert \
                                  --tflite model.tflite --output model.onnx`, or better its SavedModel"
                .into(),
            (Self::TensorFlow, _) => "tinception reads ONNX: convert the folder of the SavedModel with `python -m \
                                      tf2onnx.convert --saved-model FOLDER --output model.onnx`"
                .into(),
            (Self::Keras, _) => "tinception reads ONNX: load it in Python and write model.export(\"model.onnx\", \
                                 format=\"onnx\"), or convert its SavedModel with `python -m tf2onnx.convert`"
                .into(),
            _ => "tinception reads ONNX: go back to the program that made it and export ONNX from the float network \
                  there"
                .into(),
        })
    }
}

/// What a folder given as a file seems to be, and the way out, as [`Kind::instead_of`] says it for files.
#[must_use]
pub fn folder_instead_of(path: &Path, wanted: Wanted) -> String {
    let kind = if path.join("saved_model.pb").is_file() {
        Some(Kind::TensorFlow)
    } else if path.join("Manifest.json").is_file() && path.join("Data").is_dir() {
        Some(Kind::Foreign(CORE_ML))
    } else {
        None
    };
    match kind.and_then(|kind| kind.instead_of(wanted)) {
        Some(text) => text.replacen("this is", "is the folder of", 1),
        None => "this is a folder; give the file in it".into(),
    }
}

const CORE_ML: &str = "a Core ML network";

/// What stands at an offset.
const SIGNATURES: [(usize, &[u8], Kind); 43] = [
    (0, &MAGIC, Kind::Tin),
    (0, b"version https://git-lfs", Kind::LfsPointer),
    (0, b"version https://hawser", Kind::LfsPointer),
    (4, b"TFL3", Kind::TfLite),
    (4, b"ORTM", Kind::Foreign("a network in ONNX Runtime's own format (.ort)")),
    (4, b"ET12", Kind::Foreign("an ExecuTorch program (.pte)")),
    (0, b"\x89HDF\r\n\x1a\n", Kind::Keras),
    (0, b"\x80\x02\x8a\x0a", Kind::PyTorch),
    (0, b"\x80\x02c", Kind::PyTorch),
    (0, b"\x80\x02}", Kind::PyTorch),
    (0, b"\x80\x03", Kind::PyTorch),
    (0, b"\x80\x04\x95", Kind::PyTorch),
    (0, b"\x80\x05\x95", Kind::PyTorch),
    (0, b"ftrt", Kind::Foreign("a TensorRT engine, built for one kind of GPU")),
    (0, b"ptrt", Kind::Foreign("a TensorRT engine, built for one kind of GPU")),
    (0, b"RKNN", Kind::Foreign("a network for Rockchip's accelerators (.rknn)")),
    (0, b"\x01HEF", Kind::Foreign("a network for Hailo's accelerators (.hef)")),
    (0, b"GGUF", Kind::Foreign("a GGUF file")),
    (0, b"7767517\n", Kind::Foreign("an ncnn network (.param)")),
    (0, b"7767517\r\n", Kind::Foreign("an ncnn network (.param)")),
    (0, b"\xdd\x85\x76\x00", Kind::Foreign("an ncnn network (.param.bin)")),
    (0, b"\x93NUMPY", Kind::Foreign("a NumPy array")),
    (0, b"\x7fELF", Kind::Foreign("a program or library")),
    (0, b"%PDF", Kind::Foreign("a PDF document")),
    (0, b"\x1f\x8b", Kind::Packed("gzip")),
    (0, b"BZh", Kind::Packed("bzip2")),
    (0, b"\xfd7zXZ\0", Kind::Packed("xz")),
    (0, b"\x28\xb5\x2f\xfd", Kind::Packed("zstd")),
    (0, b"7z\xbc\xaf\x27\x1c", Kind::Packed("7z")),
    (0, b"Rar!\x1a\x07", Kind::Packed("rar")),
    (257, b"ustar", Kind::Packed("tar")),
    (0, b"\xff\xd8\xff", Kind::Picture("JPEG")),
    (0, b"\x89PNG\r\n\x1a\n", Kind::Picture("PNG")),
    (0, b"GIF87a", Kind::Picture("GIF")),
    (0, b"GIF89a", Kind::Picture("GIF")),
    (0, b"II*\0", Kind::Picture("TIFF")),
    (0, b"MM\0*", Kind::Picture("TIFF")),
    (0, b"II+\0", Kind::Picture("TIFF")),
    (0, b"MM\0+", Kind::Picture("TIFF")),
    (8, b"WEBPVP8", Kind::Picture("WebP")),
    (0, b"8BPS", Kind::Picture("Photoshop")),
    (0, b"\xff\x0a", Kind::Picture("JPEG XL")),
    (0, b"\0\0\0\x0cJXL ", Kind::Picture("JPEG XL")),
];

/// Pictures and videos in boxes (ISO/IEC 14496-12) name their brand behind `ftyp`; a BMP has a header of a known size.
fn boxed_picture(start: &[u8]) -> Option<Kind> {
    if start.starts_with(b"BM") && matches!(start.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])) {
        return Some(Kind::Picture("BMP"));
    }
    let brand = start.get(4..)?.strip_prefix(b"ftyp")?.first_chunk()?;
    Some(match brand {
        b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => Kind::Picture("HEIC"),
        b"avif" | b"avis" => Kind::Picture("AVIF"),
        b"crx " => Kind::Picture("raw"),
        _ => Kind::Foreign("a video"),
    })
}

/// A zip archive, by the entries that the list at its end names.
fn archive(end: &[u8]) -> Kind {
    let holds = |name: &[u8]| end.windows(name.len()).any(|window| window == name);
    // An exported program's example inputs are a checkpoint in it.
    if holds(b"serialized_exported_program.json") || holds(b"/models/model.json") {
        Kind::TorchExport
    } else if holds(b"/constants.pkl") {
        Kind::TorchScript
    } else if holds(b"/data.pkl") {
        Kind::PyTorch
    } else if holds(b"model.weights.h5") {
        Kind::Keras
    } else if holds(b"Manifest.json") && holds(b".mlmodel") {
        Kind::Foreign(CORE_ML)
    } else if holds(b"model.dlc") || holds(b"dlc.metadata") {
        Kind::Foreign("a network for Qualcomm's accelerators (.dlc)")
    } else {
        Kind::Packed("zip")
    }
}

/// A safetensors file starts with the length of a JSON text.
fn safetensors(start: &[u8]) -> Option<Kind> {
    let length = u64::from_le_bytes(*start.first_chunk()?);
    (length < 1 << 32 && start.get(8) == Some(&b'{')).then_some(Kind::Safetensors)
}

/// Networks in protobuf have no signature, but their first fields differ.
fn protobuf(start: &[u8]) -> Option<Kind> {
    match start {
        // The version of the format, then what is not a string where ONNX has its producer's name: TensorFlow's
        // MetaGraphDef and Core ML's FeatureDescription.
        [0x08, 1..=32, 0x12, rest @ ..] => {
            let (_, message) = length(rest)?;
            let Some(message) = message.strip_prefix(b"\x0a") else {
                return Some(Kind::Onnx);
            };
            let (_, inner) = length(message)?;
            Some(if inner.first() == Some(&0x0a) { Kind::Foreign(CORE_ML) } else { Kind::TensorFlow })
        }
        [0x08, 1..=32, 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42 | 0x72, ..] => Some(Kind::Onnx),
        // A frozen graph: a node, its name, its operator, which starts with a capital.
        [0x0a, rest @ ..] => {
            let (_, node) = length(rest)?;
            let (name, node) = length(node.strip_prefix(b"\x0a")?)?;
            let (_, operator) = length(node.get(name..)?.strip_prefix(b"\x12")?)?;
            operator.first().is_some_and(u8::is_ascii_uppercase).then_some(Kind::TensorFlow)
        }
        _ => None,
    }
}

/// A length at the front (a varint), and what follows.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// Texts: pages, and the readable halves of other programs' networks.
fn text(start: &[u8]) -> Option<Kind> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let text = String::from_utf8_lossy(&start[..start.len().min(4096)]).to_ascii_lowercase();
    if text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head") {
        return Some(Kind::WebPage);
    }
    if text.starts_with("/annex/objects/") || text.starts_with("../.git/annex/objects/") {
        return Some(Kind::Foreign("a git-annex pointer, a short text in place of the file (`git annex get`)"));
    }
    if text.starts_with('<') {
        return if text.contains("<net ") {
            Some(Kind::Foreign("an OpenVINO network (.xml)"))
        } else if text.contains("<html") || text.contains("<error>") || text.contains("<code>") {
            Some(Kind::WebPage)
        } else {
            None
        };
    }
    if text.starts_with('{') {
        return if text.contains("\"modeltopology\"") || text.contains("layers-model") || text.contains("graph-model") {
            Some(Kind::Foreign("a TensorFlow.js network"))
        } else if text.contains("\"class_name\"") {
            Some(Kind::Keras)
        } else if text.contains("\"nodes\"") {
            Some(Kind::Foreign("an MXNet network"))
        } else if text.contains("\"message\"") || text.contains("\"error\"") {
            Some(Kind::WebPage)
        } else {
            None
        };
    }
    if text.starts_with("[net]") {
        return Some(Kind::Foreign("a Darknet network (.cfg)"));
    }
    let layers = text.contains("layer {") || text.contains("layers {") || text.contains("layer{");
    (layers && text.contains("type:"))
        .then_some(Kind::Foreign("the description of a Caffe network (.prototxt), which holds no weights"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First bytes as the formats' specifications and the programs that write them have them.
    const STARTS: [(&[u8], &str); 34] = [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 28310016\n", "Git LFS pointer"),
        (b"\n\n<!DOCTYPE html>\n<html>404</html>", "web page"),
        (b"\xef\xbb\xbf<HTML><body>", "web page"),
        (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "web page"),
        (b"<?xml version=\"1.0\"?>\n<net name=\"m\" version=\"11\">", "OpenVINO"),
        (b"{\"message\": \"Not Found\"}", "web page"),
        (b"{\"format\": \"layers-model\", \"generatedBy\": \"keras\"}", "TensorFlow.js"),
        (b"{\"nodes\": [{\"op\": \"null\"}]}", "MXNet"),
        (b"{\"class_name\": \"Functional\", \"config\": {}}", "Keras"),
        (b"7767517\n75 83\nInput data 0 1", "ncnn"),
        (b"[net]\nwidth=224", "Darknet"),
        (b"name: \"net\"\nlayer {\n  name: \"data\"\n  type: \"Input\"", "prototxt"),
        (b"\x1c\0\0\0TFL3\x14\0 \0", "TensorFlow Lite"),
        (b"\x18\0\0\0ORTM", "ONNX Runtime"),
        (b"\x89HDF\r\n\x1a\n\0\0", "Keras"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "PyTorch"),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0", "PyTorch"),
        (b"ftrt\0\0\0", "TensorRT"),
        (b"\x1f\x8b\x08\0", "packed (gzip)"),
        (b"BZh91AY", "packed (bzip2)"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "an HEIC picture"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "a video"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "a BMP picture"),
        (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "safetensors"),
        (b"\x08\x08\x12\x07pytorch\x1a\x032.9", "an ONNX network"),
        (b"\x08\x0a\x3a\x80\x01", "an ONNX network"),
        // saved_model_schema_version, then a MetaGraphDef whose MetaInfoDef starts with its list of operators.
        (b"\x08\x01\x12\xd0\x21\x0a\xb5\x21\x12\x90\x21", "TensorFlow network"),
        // A GraphDef's node "input", a Placeholder.
        (b"\x0a\x20\x0a\x05input\x12\x0bPlaceholder", "TensorFlow network"),
        // specificationVersion 4, then the description of the input "image".
        (b"\x08\x04\x12\x30\x0a\x10\x0a\x05image", "Core ML"),
        (b"\x7fELF\x02", "program"),
    ];

    #[test]
    fn first_bytes_tell_the_kind() {
        for (bytes, name) in STARTS {
            let kind = Kind::of(bytes).unwrap_or_else(|| panic!("{name} is not known"));
            assert!(kind.name().contains(name), "{name}: {}", kind.name());
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("file"), bytes).unwrap();
            assert_eq!(Kind::of_file(&folder.path().join("file")), Some(kind));
        }
        assert_eq!(Kind::of(&MAGIC), Some(Kind::Tin));
        let mut tar = vec![0; 512];
        tar[..5].copy_from_slice(b"a.txt");
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(Kind::of(&tar), Some(Kind::Packed("tar")));
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        // A Caffe model starts with its network's name.
        for bytes in [&b"tench\ngoldfish\n"[..], b"\x0a\x09GoogleNet\x12\x05data", b"\x12\x34\x56\x78", b"<svg>"] {
            assert_eq!(Kind::of(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn archives_are_told_apart_by_their_entries() {
        for (entry, kind) in [
            ("net/data.pkl", Kind::PyTorch),
            ("net/constants.pkl net/data.pkl", Kind::TorchScript),
            ("model.weights.h5", Kind::Keras),
            ("archive/data.pkl archive/models/model.json", Kind::TorchExport),
            ("notes.txt", Kind::Packed("zip")),
        ] {
            let mut bytes = b"PK\x03\x04".to_vec();
            bytes.resize(3 * WINDOW, 0);
            bytes.extend(entry.as_bytes());
            assert_eq!(Kind::of(&bytes), Some(kind), "{entry}");
        }
    }

    #[test]
    fn the_way_out_fits_what_was_wanted() {
        let says = |kind: Kind, wanted, words: &str| {
            let text = kind.instead_of(wanted).unwrap_or_default();
            assert!(text.contains(words), "{kind:?} for {wanted:?}: {text}");
        };
        says(Kind::LfsPointer, Wanted::Picture, "git lfs pull");
        says(Kind::PyTorch, Wanted::Onnx, "tinception import");
        says(Kind::TfLite, Wanted::Onnx, "tf2onnx");
        says(Kind::Tin, Wanted::Onnx, "compiled already");
        says(Kind::Onnx, Wanted::Weights, "tinception quantize");
        says(Kind::TorchScript, Wanted::Weights, "state_dict");
        says(Kind::Picture("PNG"), Wanted::Network, "a PNG picture");
        says(Kind::Onnx, Wanted::Picture, "JPEG, PNG");
        says(Kind::Picture("PNG"), Wanted::Labels, "one class name a line");
        for (kind, wanted) in [
            (Kind::Tin, Wanted::Network),
            (Kind::Onnx, Wanted::Network),
            (Kind::Onnx, Wanted::Onnx),
            (Kind::PyTorch, Wanted::Weights),
            (Kind::Picture("PNG"), Wanted::Picture),
        ] {
            assert_eq!(kind.instead_of(wanted), None);
        }
    }

    #[test]
    fn folders_of_networks_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(folder_instead_of(folder.path(), Wanted::Onnx).contains("give the file in it"));
        std::fs::write(folder.path().join("saved_model.pb"), "").unwrap();
        let text = folder_instead_of(folder.path(), Wanted::Onnx);
        assert!(text.contains("TensorFlow") && text.contains("tf2onnx"), "{text}");
    }
}
