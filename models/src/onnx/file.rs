//! From a path to a decoded file, with its weights wherever they lie and without what its outputs don't need.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::error::ImportError;
use super::{external, messages};
use crate::budget::{Budget, Resource};
use crate::file::{self, Unread};
use crate::kind::{Kind, Wanted};
use crate::protobuf;

/// No protobuf is larger: 2 GiB.
const LARGEST: u64 = 2 << 30;

/// A file ready to be imported, or run as it is.
pub(crate) struct OnnxFile {
    /// How errors call it.
    pub(crate) name: String,
    /// Its content. Nodes and weights that no output needs are gone.
    pub(crate) model: ModelProto,
    /// What it may still cost.
    pub(crate) budget: Budget,
}

impl OnnxFile {
    /// Reads the file at `path`, and the weights that lie in other files of its folder.
    ///
    /// # Errors
    /// [`ImportError`] names the file and what is wrong with it.
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let (name, bytes) = read(path)?;
        let (mut model, _) = decode(&bytes, &name)?;
        let size = bytes.len() as u64;
        drop(bytes);
        prune(&mut model);
        let folder = path.parent().unwrap_or(Path::new(""));
        let budget = external::load(&mut model, folder, &name, size)?;
        Ok(Self { name, model, budget })
    }

    /// Takes a file from memory; it has no other files beside it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, ImportError> {
        let (mut model, budget) = decode(bytes, name)?;
        prune(&mut model);
        Ok(Self { name: name.to_owned(), model, budget })
    }

    /// Its graph.
    ///
    /// # Errors
    /// [`ImportError::NotOnnx`] where there is none.
    pub(crate) fn graph(&self) -> Result<&GraphProto, ImportError> {
        let no_graph = || ImportError::NotOnnx { file: self.name.clone(), reason: "it has no graph".into() };
        self.model.graph.as_ref().ok_or_else(no_graph)
    }
}

/// A file's display name and bytes.
pub(crate) fn read(path: &Path) -> Result<(String, Vec<u8>), ImportError> {
    let file = path.display().to_string();
    match file::read(path, LARGEST, Wanted::Onnx) {
        Ok(bytes) => Ok((file, bytes)),
        Err(Unread::System(source)) => Err(ImportError::Read { file, source }),
        Err(Unread::Other(what)) => Err(ImportError::OtherKind { file, what }),
    }
}

/// Decodes the protobuf and checks that it can be a model: almost any bytes are some protobuf message.
pub(crate) fn decode(bytes: &[u8], file: &str) -> Result<(ModelProto, Budget), ImportError> {
    let bad = |reason: String| match Kind::of(bytes).and_then(|kind| kind.instead_of(Wanted::Onnx)) {
        Some(what) => ImportError::OtherKind { file: file.to_owned(), what },
        None => ImportError::NotOnnx { file: file.to_owned(), reason },
    };
    let budget = Budget::for_file(bytes.len() as u64);
    let cost = protobuf::cost(bytes, &messages::MODEL).ok_or_else(|| bad("it is no protobuf message".into()))?;
    budget.take(Resource::Memory, cost).map_err(|exceeded| ImportError::Budget {
        place: file.to_owned(),
        what: String::new(),
        exceeded,
    })?;
    let model = ModelProto::decode(bytes).map_err(|error| bad(error.to_string()))?;
    match &model.graph {
        Some(graph) if graph.node.is_empty() => Err(bad("its graph has no nodes".into())),
        Some(_) => Ok((model, budget)),
        None => Err(bad("it has no graph".into())),
    }
}

/// Takes out the nodes and initializers that no output depends on: they are not read, computed or charged.
fn prune(model: &mut ModelProto) {
    let Some(graph) = &mut model.graph else {
        return;
    };
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        node.output.iter().filter(|name| !name.is_empty()).for_each(|name| makers.entry(name).or_default().push(index));
    }
    let mut kept = vec![false; graph.node.len()];
    let mut needed: HashSet<&str> = HashSet::new();
    let mut open: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    while let Some(name) = open.pop() {
        if !needed.insert(name) {
            continue;
        }
        for index in makers.remove(name).unwrap_or_default() {
            if !std::mem::replace(&mut kept[index], true) {
                read_names(&graph.node[index], &mut open);
            }
        }
    }
    let unused: HashSet<String> = graph
        .initializer
        .iter()
        .filter(|tensor| !needed.contains(tensor.name.as_str()))
        .map(|tensor| tensor.name.clone())
        .collect();
    // What is declared of intermediate tensors is never read.
    graph.value_info.clear();
    let mut index = 0;
    graph.node.retain(|_| {
        index += 1;
        kept[index - 1]
    });
    graph.initializer.retain(|tensor| !unused.contains(&tensor.name));
    // Old files list their weights as inputs too.
    graph.input.retain(|input| !unused.contains(&input.name));
}

/// The names that a node reads, its inner graphs included: those see the names around them.
fn read_names<'a>(node: &'a NodeProto, names: &mut Vec<&'a str>) {
    names.extend(node.input.iter().filter(|name| !name.is_empty()).map(String::as_str));
    for attribute in &node.attribute {
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            graph.node.iter().for_each(|node| read_names(node, names));
            names.extend(graph.output.iter().map(|output| output.name.as_str()));
        }
    }
}
