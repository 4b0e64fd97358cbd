//! A Caffe model and the ONNX file made from it compile to the same weights. Needs the ONNX file; says so and passes
//! where it is missing.

use prost::Message;
use tinception_core::model::{Model, Operator};
use tinception_models::aligned::Aligned;
use tinception_models::calibrate::calibrate;
use tinception_models::compile::{Options, compile};
use tinception_models::graph::{Graph, Op};
use tinception_models::nets::Architecture;
use tinception_models::passes::optimise;
use tinception_models::weights::{self, Blob, BlobShape, Layer, Net, V1Layer};
use tinception_models::{nets, onnx};
use tinception_tests::{data, generated};

/// The blobs of each layer with weights, in order: filters in `[output][input][ky][kx]`, biases.
fn blobs(graph: &Graph) -> Vec<Vec<(Vec<i64>, Vec<f32>)>> {
    let blobs = |op: &Op| match op {
        Op::Conv(conv) => {
            let area = conv.window.area() as usize;
            let (outputs, depth) = (conv.bias.len(), conv.weights.len() / conv.bias.len() / area);
            let filter = |filter: &[f32]| -> Vec<f32> {
                (0..depth)
                    .flat_map(|c| (0..area).map(move |at| (at, c)))
                    .map(|(at, c)| filter[at * depth + c])
                    .collect()
            };
            let weights = conv.weights.chunks_exact(area * depth).flat_map(filter).collect();
            let (rows, columns) = (i64::from(conv.window.kernel_height), i64::from(conv.window.kernel_width));
            let shape = vec![outputs as i64, depth as i64, rows, columns];
            Some(vec![(shape, weights), (vec![outputs as i64], conv.bias.clone())])
        }
        // The pool in front leaves one pixel, so there is no order to change.
        Op::Dense(dense) => {
            let outputs = dense.bias.len() as i64;
            let shape = vec![outputs, dense.weights.len() as i64 / outputs];
            Some(vec![(shape, dense.weights.clone()), (vec![outputs], dense.bias.clone())])
        }
        _ => None,
    };
    graph.nodes.iter().filter_map(|node| blobs(&node.op)).collect()
}

/// The layers of `bvlc_googlenet` with weights, in its order.
fn layers() -> Vec<String> {
    let parts = ["1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"];
    let modules = ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"];
    let stem = ["conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3"].map(String::from);
    let inner = modules.iter().flat_map(|module| parts.iter().map(move |part| format!("inception_{module}/{part}")));
    stem.into_iter().chain(inner).chain(["loss3/classifier".into()]).collect()
}

/// The layers as a file of either generation, with one of an auxiliary classifier.
fn caffe_model(graph: &Graph, old: bool) -> Vec<u8> {
    let mut layers: Vec<_> = layers().into_iter().zip(blobs(graph)).collect();
    assert_eq!(layers.len(), 58);
    layers.insert(20, ("loss1/conv".into(), vec![(vec![128, 512, 1, 1], vec![0.0; 128 * 512])]));
    let mut net = Net { name: Some("GoogleNet".into()), ..Net::default() };
    for (name, blobs) in layers {
        let name = Some(name);
        if old {
            let blobs = blobs.into_iter().map(|(shape, data)| {
                let mut sizes = [1; 4];
                sizes[4 - shape.len()..].iter_mut().zip(shape).for_each(|(size, given)| *size = given as i32);
                let [num, channels, height, width] = sizes.map(Some);
                Blob { num, channels, height, width, data, ..Blob::default() }
            });
            net.layers.push(V1Layer { name, kind: None, blobs: blobs.collect() });
        } else {
            let blobs =
                blobs.into_iter().map(|(dim, data)| Blob { shape: Some(BlobShape { dim }), data, ..Blob::default() });
            net.layer.push(Layer { name, kind: None, blobs: blobs.collect() });
        }
    }
    net.encode_to_vec()
}

/// Compiles with a calibration on generated pictures.
fn compiled(mut graph: Graph) -> Aligned {
    optimise(&mut graph).expect("the passes know every operator");
    let size = graph.shape(graph.input).elements() as usize;
    let picture: Vec<f32> = generated::uniform("picture", size).into_iter().map(|value| value as f32 * 120.0).collect();
    let calibration = calibrate(&graph, [picture], |_| ()).expect("the graph runs");
    let compiled = compile(&graph, &calibration, &Options::default()).expect("it compiles");
    Aligned::new(&compiled.bytes)
}

fn convolutions(file: &Aligned) -> Vec<(Vec<i8>, Vec<i32>)> {
    let model = Model::new(file).expect("a valid model");
    let weights = model.steps().filter_map(|step| match step.operator {
        Operator::Conv(conv) => Some((conv.weights.to_vec(), conv.table.bias.to_vec())),
        _ => None,
    });
    weights.collect()
}

#[test]
fn the_same_weights_from_both() {
    let Some(path) = data::find("models/googlenet-bvlc.onnx") else { return };
    let graph = onnx::import(path).expect("the model imports");
    let expected = convolutions(&compiled(graph.clone()));
    assert_eq!(expected.len(), 58);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bvlc_googlenet.caffemodel");
    let mut first = None;
    for old in [true, false] {
        std::fs::write(&path, caffe_model(&graph, old)).expect("written");
        let weights = weights::read(&path).expect("it reads");
        let nets::Built { graph, left_out, .. } = Architecture::GoogLeNetCaffe.build(&weights, 224).expect("it builds");
        assert_eq!(left_out, ["loss1/conv.weight"]);
        // Both generations of the format hold the same network, so one is compiled.
        match &first {
            None => {
                assert!(convolutions(&compiled(graph.clone())) == expected, "the weights differ");
                first = Some(graph);
            }
            Some(first) => assert!(*first == graph, "the generations differ"),
        }
    }
}

#[test]
fn truncated_and_wrong_models_are_named() {
    let Some(path) = data::find("models/googlenet-bvlc.onnx") else { return };
    let graph = onnx::import(path).expect("the model imports");
    let whole = caffe_model(&graph, false);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.caffemodel");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    let message = weights::read(&path).expect_err("it is cut").to_string();
    assert!(message.contains("cut.caffemodel: "), "{message}");
    std::fs::write(&path, &whole).expect("written");
    let mut weights = weights::read(&path).expect("it reads");
    weights.tensors.remove("inception_4c/5x5.bias").expect("it is there");
    let message = Architecture::GoogLeNetCaffe.build(&weights, 224).expect_err("a bias is missing").to_string();
    assert!(message.contains("'inception_4c/5x5.bias' is missing"), "{message}");
}
