//! Why weights don't make a network.

/// Why weights don't make a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A layer without weights.
    #[error(
        "{file}: tensor '{tensor}' is missing: these are not all the weights of {architecture}, or those of another network"
    )]
    Missing {
        /// Path of the file of weights.
        file: String,
        /// Name of the tensor in the file.
        tensor: String,
        /// The architecture's name.
        architecture: &'static str,
    },
    /// A layer of another size.
    #[error("{file}: tensor '{tensor}' has the shape {found:?}, and {architecture} has {expected} there")]
    Shape {
        /// Path of the file of weights.
        file: String,
        /// Name of the tensor in the file.
        tensor: String,
        /// The architecture's name.
        architecture: &'static str,
        /// What would fit.
        expected: String,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A weight that is no number.
    #[error(
        "{file}: tensor '{tensor}' holds infinities or NaN, or a variance that is negative: train or download it again"
    )]
    NotFinite {
        /// Path of the file of weights.
        file: String,
        /// Name of the tensor in the file.
        tensor: String,
    },
    /// Tensors that no layer takes.
    #[error(
        "{file}: {architecture} has no place for {count} tensors, '{first}' among them: these are the weights of another network"
    )]
    LeftOver {
        /// Path of the file of weights.
        file: String,
        /// The architecture's name.
        architecture: &'static str,
        /// Number of tensors that no layer takes.
        count: usize,
        /// The first by name.
        first: String,
    },
    /// Several networks in one file.
    #[error(
        "{file}: holds {architecture} several times, with '{first}' and with '{second}' in front of its tensors' names; \
         save the state dict of the one that is meant alone"
    )]
    Several {
        /// Path of the file of weights.
        file: String,
        /// The architecture's name.
        architecture: &'static str,
        /// What stands in front of the names of one of them.
        first: String,
        /// What stands in front of the names of another one.
        second: String,
    },
    /// A picture for which a layer has no output.
    #[error(
        "{architecture} does not take pictures of {size} x {size}: {layer} would have nothing left to work on; {way_out}"
    )]
    Size {
        /// The architecture's name.
        architecture: &'static str,
        /// Side of the pictures in pixels.
        size: u32,
        /// Name of the layer that would have no output.
        layer: String,
        /// What to do.
        way_out: String,
    },
}
