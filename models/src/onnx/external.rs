//! Weights beside the file: ONNX's external data, which PyTorch's exporter writes by default and every model above 2 GiB
//! needs (<https://onnx.ai/onnx/repo-docs/ExternalData.html>).
//!
//! A tensor names a file, and an offset and a length in it. The file lies in the model's own folder or below: a model that
//! somebody made must not read `/etc/passwd` into its weights.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

use super::error::ImportError;
use super::tensor::element_count;
use crate::budget::{Budget, Resource};
use crate::kind::{Kind, Wanted};

/// The data files' sizes count in the budget up to this: 4 GiB, what a `.tin` file can hold.
const LARGEST: u64 = 4 << 30;

/// Whether a tensor's elements lie in another file.
pub(super) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty()
}

/// Reads the elements of all tensors that lie in other files in `folder`, and returns what the model may still cost. `file`
/// is the model, of `size` bytes.
///
/// # Errors
/// [`ImportError::ExternalData`] names the tensor and the file; [`ImportError::Budget`].
pub(super) fn load(model: &mut ModelProto, folder: &Path, file: &str, size: u64) -> Result<Budget, ImportError> {
    let Some(graph) = &mut model.graph else {
        return Ok(Budget::for_file(size));
    };
    let mut folder = Folder { path: folder, file, open: HashMap::new() };
    // First all files, so that the budget is known before anything is read.
    let mut total = size;
    visit(graph, &mut |tensor| {
        let place = Place::of(tensor).map_err(|what| folder.bad(tensor, what))?;
        let opened = folder.open(tensor, &place.location)?;
        if !std::mem::replace(&mut opened.counted, true) {
            total = total.saturating_add(opened.length).min(size.saturating_add(LARGEST));
        }
        Ok(())
    })?;
    let budget = Budget::for_file(total);
    visit(graph, &mut |tensor| {
        let place = Place::of(tensor).map_err(|what| folder.bad(tensor, what))?;
        let length = length(tensor, &place).map_err(|what| folder.bad(tensor, what))?;
        budget.take(Resource::Memory, length as u64).map_err(|exceeded| ImportError::Budget {
            place: file.to_owned(),
            what: format!("tensor '{}'", tensor.name),
            exceeded,
        })?;
        tensor.raw_data = folder.read(tensor, &place, length)?;
        tensor.external_data.clear();
        tensor.data_location = None;
        Ok(())
    })?;
    Ok(budget)
}

/// The files in which a model's tensors lie, as the model names them, relative to its folder.
pub(super) fn locations(mut model: ModelProto) -> Result<BTreeSet<String>, ImportError> {
    let mut found = BTreeSet::new();
    if let Some(graph) = &mut model.graph {
        visit(graph, &mut |tensor| {
            found.extend(Place::of(tensor).ok().map(|place| place.location));
            Ok(())
        })?;
    }
    Ok(found)
}

type Visit<'v> = &'v mut dyn FnMut(&mut TensorProto) -> Result<(), ImportError>;

/// Calls `each` with every tensor that lies elsewhere: initializers, constants, and those of inner graphs.
fn visit(graph: &mut GraphProto, each: Visit<'_>) -> Result<(), ImportError> {
    graph.initializer.iter_mut().filter(|tensor| is_external(tensor)).try_for_each(&mut *each)?;
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        let tensors = attribute.t.iter_mut().chain(&mut attribute.tensors);
        tensors.filter(|tensor| is_external(tensor)).try_for_each(&mut *each)?;
        for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            visit(inner, each)?;
        }
    }
    Ok(())
}

/// Where a tensor's elements lie.
struct Place {
    location: String,
    offset: u64,
    length: Option<u64>,
}

impl Place {
    fn of(tensor: &TensorProto) -> Result<Self, String> {
        let get = |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        let number = |key: &str| match get(key) {
            None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(format!("its {key} '{text}' is no number of bytes; export the model again")),
            },
        };
        let location = get("location").filter(|location| !location.is_empty());
        let location = location.ok_or("it names no file for its data; export the model again")?;
        Ok(Self { location: location.clone(), offset: number("offset")?.unwrap_or(0), length: number("length")? })
    }
}

/// Bytes of a tensor's elements, which its dimensions and its type say; `length` in the file must agree.
fn length(tensor: &TensorProto, place: &Place) -> Result<usize, String> {
    let count = element_count(&tensor.dims)
        .ok_or_else(|| format!("its dimensions {:?} are impossible or too large", tensor.dims))?;
    let element = match DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined) {
        DataType::Float | DataType::Int32 => 4,
        DataType::Double | DataType::Int64 => 8,
        DataType::Float16 => 2,
        DataType::Int8 | DataType::Uint8 | DataType::Bool => 1,
        other => return Err(format!("its type {} is not supported; export float32 weights", other.as_str_name())),
    };
    let bytes = count * element;
    match place.length {
        Some(length) if length != bytes as u64 => Err(format!(
            "its dimensions {:?} take {bytes} bytes, and it is said to have {length}; export the model again",
            tensor.dims
        )),
        _ => Ok(bytes),
    }
}

/// The model's folder and what is open in it.
struct Folder<'a> {
    path: &'a Path,
    file: &'a str,
    open: HashMap<String, Opened>,
}

struct Opened {
    file: File,
    length: u64,
    counted: bool,
}

impl Folder<'_> {
    fn bad(&self, tensor: &TensorProto, what: impl Into<String>) -> ImportError {
        ImportError::ExternalData { file: self.file.to_owned(), tensor: tensor.name.clone(), what: what.into() }
    }

    /// The data file of this name, opened once.
    fn open(&mut self, tensor: &TensorProto, location: &str) -> Result<&mut Opened, ImportError> {
        if !self.open.contains_key(location) {
            let path = self.resolve(location).map_err(|what| self.bad(tensor, what))?;
            let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (length, file) = opened
                .map_err(|error| self.bad(tensor, format!("its data file '{location}' cannot be read: {error}")))?;
            self.open.insert(location.to_owned(), Opened { file, length, counted: false });
        }
        let missing = self.bad(tensor, format!("its data file '{location}' cannot be read"));
        self.open.get_mut(location).ok_or(missing)
    }

    /// The regular file that a location means, which lies in the model's folder after all links are followed.
    fn resolve(&self, location: &str) -> Result<PathBuf, String> {
        let outside = |how: &str| {
            format!(
                "its data file '{location}' {how}: weights are read from the model's own folder only; put the file there, \
                 and save the model with that name (onnx.save with save_as_external_data=True, location=NAME)"
            )
        };
        let relative = Path::new(location);
        if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(outside("lies outside of the model's folder"));
        }
        let unreadable = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!(
                "its data file '{location}' is missing beside the model; copy it there, both are one network (or save the \
                 model with its weights inside: onnx.save with save_as_external_data=False)"
            ),
            _ => format!("its data file '{location}' cannot be read: {error}"),
        };
        let folder = if self.path.as_os_str().is_empty() { Path::new(".") } else { self.path };
        let folder = folder.canonicalize().map_err(unreadable)?;
        let path = folder.join(relative).canonicalize().map_err(unreadable)?;
        if !path.starts_with(&folder) {
            return Err(outside("is a link out of the model's folder"));
        }
        match path.is_file() {
            true => Ok(path),
            false => Err(format!("its data file '{location}' is no regular file; copy the weights there")),
        }
    }

    /// A tensor's bytes.
    fn read(&mut self, tensor: &TensorProto, place: &Place, length: usize) -> Result<Vec<u8>, ImportError> {
        let location = &place.location;
        let opened = self.open(tensor, location)?;
        let end = place.offset.checked_add(length as u64).filter(|end| *end <= opened.length);
        let found = opened.length;
        let Some(_) = end else {
            let kind = self.resolve(location).ok().and_then(|path| Kind::of_file(&path));
            let pointer = kind.filter(|kind| matches!(kind, Kind::LfsPointer | Kind::WebPage | Kind::Empty));
            let what = match pointer.and_then(|kind| kind.instead_of(Wanted::Onnx)) {
                Some(what) => format!("of its data file '{location}': {what}"),
                None => format!(
                    "its data file '{location}' is too short: it has {found} bytes, and the tensor's {length} start at {}; \
                     copy it again, or export the model again",
                    place.offset
                ),
            };
            return Err(self.bad(tensor, what));
        };
        let mut bytes = Vec::new();
        let read = bytes.try_reserve_exact(length).map_err(io::Error::from).and_then(|()| {
            opened.file.seek(SeekFrom::Start(place.offset))?;
            opened.file.by_ref().take(length as u64).read_to_end(&mut bytes)
        });
        match read {
            Ok(count) if count == length => Ok(bytes),
            Ok(_) => Err(self.bad(tensor, format!("its data file '{location}' became shorter while it was read"))),
            Err(error) => Err(self.bad(tensor, format!("its data file '{location}' cannot be read: {error}"))),
        }
    }
}
