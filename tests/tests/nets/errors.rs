//! Weights that are not the network's: errors that name the tensor.

use tinception_models::nets::{Architecture, NetError};
use tinception_models::weights::{Tensor, Weights};
use tinception_tests::generated;

use crate::float::golden;

fn nano() -> Weights {
    generated::weights("nano.pth", golden(Architecture::Nano).0)
}

fn refused(weights: &Weights) -> NetError {
    Architecture::Nano.build(weights, 32).expect_err("these are not nano's weights")
}

#[test]
fn a_missing_tensor() {
    for tensor in ["inception4a.branch2.1.conv.weight", "conv1.bn.running_var", "fc.bias"] {
        let mut weights = nano();
        weights.tensors.remove(tensor).expect("the network has it");
        let error = refused(&weights);
        assert!(matches!(&error, NetError::Missing { tensor: found, .. } if found == tensor), "{error}");
        assert!(error.to_string().contains("nano.pth: ") && error.to_string().contains(tensor), "{error}");
    }
}

#[test]
fn a_wrong_shape() {
    for (tensor, shape) in [
        ("conv2.conv.weight", vec![32, 16, 5, 5]),
        ("conv2.bn.bias", vec![16]),
        ("fc.weight", vec![10, 99]),
        ("fc.bias", vec![9]),
    ] {
        let mut weights = nano();
        let values = vec![0.0; shape.iter().product()];
        weights.tensors.insert(tensor.into(), Tensor { shape: shape.clone(), values });
        let error = refused(&weights);
        assert!(matches!(&error, NetError::Shape { found, .. } if *found == shape), "{error}");
        assert!(error.to_string().contains(tensor), "{error}");
    }
}

#[test]
fn tensors_without_a_place() {
    let mut weights = nano();
    weights.tensors.insert("inception5a.branch1.conv.weight".into(), Tensor { shape: vec![1], values: vec![0.0] });
    let error = refused(&weights).to_string();
    assert!(error.contains("no place for 1 tensors") && error.contains("inception5a"), "{error}");
    // The weights of one network, taken for another's.
    let error = Architecture::GoogLeNet.build(&nano(), 64).expect_err("nano is no GoogLeNet").to_string();
    assert!(error.contains("'conv1.conv.weight'") && error.contains("[64, 3, 7, 7]"), "{error}");
}

#[test]
fn weights_that_are_no_numbers() {
    for (tensor, value) in [("conv1.conv.weight", f32::NAN), ("conv1.bn.running_var", -1.0)] {
        let mut weights = nano();
        weights.tensors.get_mut(tensor).expect("the network has it").values[3] = value;
        let error = refused(&weights);
        assert!(matches!(&error, NetError::NotFinite { tensor: found, .. } if found == tensor), "{error}");
    }
}

#[test]
fn pictures_too_small_for_the_network() {
    for size in [0, 1 << 20] {
        assert!(matches!(Architecture::Nano.build(&nano(), size), Err(NetError::Size { .. })), "{size}");
    }
    let weights = generated::weights("inception", golden(Architecture::InceptionV3).0);
    let error = Architecture::InceptionV3.build(&weights, 32).expect_err("too small").to_string();
    assert!(error.contains("32 x 32") && error.contains("designed for 299"), "{error}");
}
