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
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// The architecture's name.
        architecture: &'static str,
    },
    /// A layer of another size.
    #[error("{file}: tensor '{tensor}' has the shape {found:?}, and {architecture} has {expected} there")]
    Shape {
        /// The file.
        file: String,
        /// The tensor.
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
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
    },
    /// Tensors that no layer takes.
    #[error(
        "{file}: {architecture} has no place for {count} tensors, '{first}' among them: these are the weights of another network"
    )]
    LeftOver {
        /// The file.
        file: String,
        /// The architecture's name.
        architecture: &'static str,
        /// How many.
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
        /// The file.
        file: String,
        /// The architecture's name.
        architecture: &'static str,
        /// What stands in front of the one's names.
        first: String,
        /// And of another's.
        second: String,
    },
    /// A picture for which a layer has no output.
    #[error(
        "{architecture} does not take pictures of {size} x {size}: {layer} would have nothing left to work on; {way_out}"
    )]
    Size {
        /// The architecture's name.
        architecture: &'static str,
        /// The side.
        size: u32,
        /// The layer.
        layer: String,
        /// What to do.
        way_out: String,
    },
}
