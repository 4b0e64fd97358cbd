//! Caffe models: a protobuf of layers, each with its blobs of weights and biases.

use prost::Message;

use super::caffe_messages::{self, Blob, Net};
use super::error::WeightsError;
use super::{Weights, charge, tensor};
use crate::budget::{Budget, Resource};
use crate::protobuf;

/// What a layer's first blobs are; a batch normalisation's third is kept as well.
const PARTS: [&str; 3] = ["weight", "bias", "2"];

/// Reads a file's content. Almost any bytes are some protobuf message, so one without weights is no Caffe model.
pub(super) fn read(bytes: &[u8], file: &str, budget: &Budget) -> Result<Weights, WeightsError> {
    let unknown = |reason: String| WeightsError::Unknown { file: file.to_owned(), reason };
    let cost = protobuf::cost(bytes, &caffe_messages::NET).ok_or_else(|| unknown("no protobuf message".into()))?;
    budget.take(Resource::Memory, cost).map_err(|exceeded| WeightsError::Budget {
        file: file.to_owned(),
        part: "as a Caffe model".into(),
        exceeded,
    })?;
    let net = Net::decode(bytes).map_err(|error| unknown(error.to_string()))?;
    let old = net.layers.into_iter().map(|layer| (layer.name, layer.blobs));
    let new = net.layer.into_iter().map(|layer| (layer.name, layer.blobs));
    let mut weights = Weights { file: file.to_owned(), ..Weights::default() };
    for (layer, blobs) in old.chain(new) {
        let layer = layer.unwrap_or_default();
        for (index, blob) in blobs.into_iter().enumerate() {
            let part = PARTS.get(index).map_or_else(|| index.to_string(), |part| (*part).to_owned());
            let name = format!("{layer}.{part}");
            let read = read_blob(file, &name, blob, budget)?;
            if weights.tensors.insert(name.clone(), read).is_some() {
                let reason = "two layers have this name".into();
                return Err(WeightsError::Tensor { file: file.to_owned(), tensor: name, reason });
            }
        }
    }
    match weights.tensors.is_empty() {
        true => Err(unknown("as a Caffe model it has no layers with weights".into())),
        false => Ok(weights),
    }
}

fn read_blob(file: &str, name: &str, blob: Blob, budget: &Budget) -> Result<super::Tensor, WeightsError> {
    let sizes: Vec<i64> = match blob.shape {
        Some(shape) => shape.dim,
        None => [blob.num, blob.channels, blob.height, blob.width].map(|size| i64::from(size.unwrap_or(0))).into(),
    };
    let shape: Option<Vec<usize>> = sizes.iter().map(|size| usize::try_from(*size).ok()).collect();
    let shape = shape.ok_or_else(|| WeightsError::Tensor {
        file: file.to_owned(),
        tensor: name.to_owned(),
        reason: format!("its shape {sizes:?} is impossible"),
    })?;
    let values = match blob.data.is_empty() {
        true => {
            charge(budget, file, name, &[blob.double_data.len()])?;
            blob.double_data.iter().map(|value| *value as f32).collect()
        }
        false => blob.data,
    };
    tensor(file, name, shape, Some(values))
}

#[cfg(test)]
mod tests {
    use super::super::{BlobShape, Layer, V1Layer};
    use super::*;

    fn blob(sizes: [i32; 4], data: Vec<f32>) -> Blob {
        let [num, channels, height, width] = sizes.map(Some);
        Blob { num, channels, height, width, data, ..Blob::default() }
    }

    #[test]
    fn both_generations_of_layers_are_read() {
        let shape = Some(BlobShape { dim: vec![2] });
        let net = Net {
            name: None,
            layers: vec![V1Layer {
                name: Some("old".into()),
                kind: Some(4),
                blobs: vec![blob([1, 1, 1, 2], vec![1.0, 2.0])],
            }],
            layer: vec![Layer {
                name: Some("new".into()),
                kind: Some("Convolution".into()),
                blobs: vec![
                    blob([1, 1, 1, 1], vec![5.0]),
                    Blob { shape, double_data: vec![3.0, 4.0], ..Blob::default() },
                ],
            }],
        };
        let read = read(&net.encode_to_vec(), "net", &Budget::for_file(0)).unwrap();
        let found: Vec<_> =
            read.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect();
        assert_eq!(found, [("new.bias", &[2][..]), ("new.weight", &[1, 1, 1, 1]), ("old.weight", &[1, 1, 1, 2])]);
        assert_eq!(read.tensors["new.bias"].values, [3.0, 4.0]);
    }

    #[test]
    fn blobs_that_do_not_fill_their_shape_are_named() {
        let layer = |blob| Layer { name: Some("conv".into()), kind: None, blobs: vec![blob] };
        let message = |layers: Vec<Layer>| {
            let net = Net { layer: layers, ..Net::default() };
            read(&net.encode_to_vec(), "net", &Budget::for_file(0)).unwrap_err().to_string()
        };
        assert!(message(vec![layer(blob([2, 2, 1, 1], vec![0.0]))]).contains("net: tensor 'conv.weight'"));
        assert!(message(vec![layer(blob([-1, 2, 1, 1], vec![0.0]))]).contains("impossible"));
        let twice = vec![layer(blob([1; 4], vec![0.0])), layer(blob([1; 4], vec![0.0]))];
        assert!(message(twice).contains("two layers have this name"));
    }
}
