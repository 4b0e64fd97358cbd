//! A few kilobytes must not cost gigabytes or minutes: each of these is refused within the budget of its size.

use std::time::{Duration, Instant};

use tinception_models::float::FloatEngine;
use tinception_models::onnx::import_bytes;
use tinception_models::passes::optimise;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

use crate::build::{bytes, floats, int, ints, list, model, node};

/// What importing must stay under, in a build without optimisation on a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn refused(name: &str, model: &ModelProto, words: &[&str]) {
    let start = Instant::now();
    let message = import_bytes(&bytes(model), "net.onnx").expect_err(name).to_string();
    assert!(start.elapsed() < SOON, "{name} took {:?}", start.elapsed());
    for word in words {
        assert!(message.contains(word), "{name}: '{word}' is not in: {message}");
    }
    assert!(message.starts_with("net.onnx") && !message.contains("damaged"), "{name}: {message}");
}

/// A network whose convolution reads `w`, which `nodes` make.
fn with_weights(mut nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> ModelProto {
    nodes.push(node("Conv", &["x", "w"], "y", vec![]));
    model(&[1, 3, 8, 8], nodes, initializers)
}

#[test]
fn constants_that_are_only_described_have_a_sum() {
    // 200 tensors of 4 MiB each, all of them read.
    let mut nodes: Vec<NodeProto> =
        (0..200).map(|index| node("ConstantOfShape", &["size"], &format!("c{index}"), vec![])).collect();
    nodes.push(node("Identity", &["c0"], "s0", vec![]));
    for index in 1..200 {
        nodes.push(node("Add", &[&format!("s{}", index - 1), &format!("c{index}")], &format!("s{index}"), vec![]));
    }
    nodes.push(node("Reshape", &["s199", "shape"], "w", vec![]));
    let many = with_weights(nodes, vec![ints("size", &[1 << 20]), ints("shape", &[-1, 4, 1, 1])]);
    refused("constants", &many, &["(ConstantOfShape)", "[1048576]", "64 MiB"]);

    let one =
        |sizes: &[i64]| with_weights(vec![node("ConstantOfShape", &["size"], "w", vec![])], vec![ints("size", sizes)]);
    refused("one", &one(&[1 << 14, 1 << 13]), &["'w' (ConstantOfShape)", "[16384, 8192]", "64 MiB"]);
    refused("impossible", &one(&[i64::MAX, i64::MAX]), &["'w' (ConstantOfShape)", "2^28 elements"]);
    refused("negative", &one(&[-1, 4]), &["'w' (ConstantOfShape)", "[-1, 4]"]);
    refused("axes", &one(&[1; 2000]), &["'w' (ConstantOfShape)", "8 axes"]);
}

#[test]
fn doubling_ends_early() {
    let mut nodes = vec![node("Identity", &["v"], "d0", vec![])];
    for index in 0..60 {
        let before = format!("d{index}");
        nodes.push(node("Concat", &[&before, &before], &format!("d{}", index + 1), vec![int("axis", 0)]));
    }
    nodes.push(node("Identity", &["d60"], "w", vec![]));
    refused("concat", &with_weights(nodes, vec![ints("v", &[1; 64])]), &["(Concat)", "64 MiB"]);

    // The picture's own channels, again and again.
    let mut nodes = vec![node("Identity", &["x"], "d0", vec![])];
    for index in 0..60 {
        let before = format!("d{index}");
        nodes.push(node("Concat", &[&before, &before], &format!("d{}", index + 1), vec![int("axis", 1)]));
    }
    nodes.push(node("Relu", &["d60"], "y", vec![]));
    refused("channels", &model(&[1, 3, 8, 8], nodes, vec![]), &["(Concat)", "channels of the picture", "64 MiB"]);
}

#[test]
fn chains_over_a_large_constant_have_a_sum() {
    let values = vec![0.5; 1 << 20];
    for (operator, attributes) in [
        ("Reshape", vec![]),
        ("Transpose", vec![list("perm", &[1, 0])]),
        ("Cast", vec![int("to", 1)]),
        ("Add", vec![]),
        ("Unsqueeze", vec![]),
    ] {
        let mut nodes = vec![node("Identity", &["v"], "d0", vec![])];
        for index in 0..400 {
            let (before, after) = (format!("d{index}"), format!("d{}", index + 1));
            let second = match operator {
                "Reshape" => "shape",
                "Unsqueeze" => "axis",
                "Add" => "v",
                _ => "",
            };
            nodes.push(node(operator, &[&before, second], &after, attributes.clone()));
            if operator == "Unsqueeze" {
                nodes.push(node("Squeeze", &[&after, second], &format!("s{index}"), vec![]));
                nodes.last_mut().expect("it is there").output = vec![format!("t{index}")];
                nodes.push(node("Identity", &[&format!("t{index}")], &format!("u{index}"), vec![]));
                let last = nodes.len() - 3;
                nodes[last].input[0] = if index == 0 { "d0".into() } else { format!("u{}", index - 1) };
            }
        }
        let end = if operator == "Unsqueeze" { "u399" } else { "d400" };
        nodes.push(node("Identity", &[end], "w", vec![]));
        let initializers = vec![floats("v", &[1024, 1024], &values), ints("shape", &[1024, 1024]), ints("axis", &[0])];
        refused(operator, &with_weights(nodes, initializers), &["of memory"]);
    }
}

#[test]
fn broadcasts_and_picks_are_counted() {
    let row = floats("row", &[1, 1 << 14], &vec![1.0; 1 << 14]);
    let column = floats("column", &[1 << 14, 1], &vec![1.0; 1 << 14]);
    let outer = with_weights(vec![node("Mul", &["row", "column"], "w", vec![])], vec![row, column]);
    refused("broadcast", &outer, &["'w' (Mul)", "[16384, 16384]"]);

    // A million indices, picked a hundred times.
    let mut nodes =
        vec![node("ConstantOfShape", &["size"], "zeros", vec![]), node("Cast", &["zeros"], "i", vec![int("to", 7)])];
    for index in 0..100 {
        nodes.push(node("Gather", &["v", "i"], &format!("g{index}"), vec![]));
    }
    let names: Vec<String> = (0..100).map(|index| format!("g{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    nodes.push(node("Concat", &names, "w", vec![int("axis", 0)]));
    let gathered = with_weights(nodes, vec![ints("size", &[1 << 20]), ints("v", &[3, 4])]);
    refused("gather", &gathered, &["(Gather)", "[1048576]"]);
}

#[test]
fn weights_that_many_layers_share_are_counted_for_each() {
    let mut nodes = vec![node("ConstantOfShape", &["size"], "w", vec![])];
    let mut before = "x".to_owned();
    for index in 0..400 {
        let name = format!("c{index}");
        nodes.push(node("Conv", &[&before, "w"], &name, vec![list("pads", &[1, 1, 1, 1])]));
        before = name;
    }
    nodes.push(node("GlobalAveragePool", &[&before], "y", vec![]));
    let shared = model(&[1, 256, 1, 1], nodes, vec![ints("size", &[256, 256, 3, 3])]);
    refused("shared", &shared, &["(Conv)", "590080 weights", "64 MiB"]);
}

#[test]
fn activations_and_work_are_counted() {
    let filter = |size: &[i64]| floats("w", size, &vec![0.1; size.iter().product::<i64>() as usize]);
    let padded = |pad: i64| {
        let nodes = vec![
            node("Conv", &["x", "w"], "c", vec![list("pads", &[pad; 4])]),
            node("GlobalAveragePool", &["c"], "y", vec![]),
        ];
        model(&[1, 3, 8, 8], nodes, vec![filter(&[2, 3, 1, 1])])
    };
    refused("padding", &padded(60_000), &["'c' (Conv)", "120008 x 120008"]);
    refused("less padding", &padded(4_000), &["'c' (Conv)", "8008 x 8008", "16 million elements"]);

    let pooled = |kernel: i64| {
        let mut nodes = Vec::new();
        for index in 0..3 {
            let before = if index == 0 { "x".to_owned() } else { format!("p{}", index - 1) };
            let attributes = vec![list("kernel_shape", &[kernel; 2]), list("pads", &[kernel / 2; 4])];
            nodes.push(node("MaxPool", &[&before], &format!("p{index}"), attributes));
        }
        nodes.push(node("GlobalAveragePool", &["p2"], "y", vec![]));
        model(&[1, 3, 512, 512], nodes, vec![])
    };
    refused("pool", &pooled(511), &["(MaxPool)", "multiply-accumulates"]);

    let lrn = vec![node("LRN", &["x"], "l", vec![int("size", 65_535)]), node("GlobalAveragePool", &["l"], "y", vec![])];
    refused("lrn", &model(&[1, 1 << 16, 8, 8], lrn, vec![]), &["(LRN)", "multiply-accumulates"]);

    let layers = |count: usize| {
        let mut nodes = vec![node("Relu", &["x"], "r0", vec![])];
        for index in 1..count {
            nodes.push(node("Relu", &[&format!("r{}", index - 1)], &format!("r{index}"), vec![]));
        }
        nodes.push(node("GlobalAveragePool", &[&format!("r{}", count - 1)], "y", vec![]));
        nodes
    };
    refused("sum", &model(&[1, 3, 1024, 1024], layers(100), vec![]), &["(Relu)", "16 million elements"]);
    refused("layers", &model(&[1, 3, 2, 2], layers(20_000), vec![]), &["(Relu)", "2048 layers"]);
    for sizes in [[1, 3, 60_000, 60_000], [1, 1 << 24, 1, 1], [1, 1 << 28, 1, 1], [1, 3, 1 << 13, 1 << 13]] {
        refused("picture", &model(&sizes, layers(1), vec![]), &["input 'x'"]);
    }
}

#[test]
fn long_chains_import_in_time_and_do_not_overflow_the_stack() {
    // As many layers as are taken, each of which a pass takes out again.
    let mut nodes = vec![node("Conv", &["x", "w"], "c", vec![])];
    let mut before = "c".to_owned();
    for index in 0..2_000 {
        let name = format!("r{index}");
        nodes.push(match index % 3 {
            0 => node("Relu", &[&before], &name, vec![]),
            1 => node("Mul", &[&before, "two"], &name, vec![]),
            _ => node("Clip", &[&before], &name, vec![]),
        });
        before = name;
    }
    nodes.push(node("GlobalAveragePool", &[&before], "y", vec![]));
    let initializers = vec![floats("w", &[2, 3, 1, 1], &[0.5; 6]), floats("two", &[], &[1.0])];
    let start = Instant::now();
    let mut graph = import_bytes(&bytes(&model(&[1, 3, 4, 4], nodes, initializers)), "net.onnx").expect("it imports");
    optimise(&mut graph).expect("it is simplified");
    assert!(start.elapsed() < 2 * SOON, "{:?}", start.elapsed());

    // Twenty thousand nodes that fold away.
    let mut nodes = vec![node("Identity", &["v"], "d0", vec![])];
    for index in 0..20_000 {
        nodes.push(node("Identity", &[&format!("d{index}")], &format!("d{}", index + 1), vec![]));
    }
    nodes.push(node("Identity", &["d20000"], "w", vec![]));
    let folded = with_weights(nodes, vec![floats("v", &[2, 3, 1, 1], &[0.5; 6])]);
    let start = Instant::now();
    import_bytes(&bytes(&folded), "net.onnx").expect("it imports");
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn what_no_output_needs_costs_nothing() {
    let mut nodes: Vec<NodeProto> =
        (0..100).map(|index| node("ConstantOfShape", &["size"], &format!("unused{index}"), vec![])).collect();
    nodes.push(node("Tile", &["unused0", "size"], "unknown", vec![]));
    nodes.push(node("Conv", &["x", "w"], "y", vec![]));
    let initializers = vec![floats("w", &[2, 3, 1, 1], &[0.5; 6]), ints("size", &[1 << 27])];
    let graph = import_bytes(&bytes(&model(&[1, 3, 8, 8], nodes, initializers)), "net.onnx").expect("it imports");
    assert_eq!(graph.nodes.len(), 1);
}

#[test]
fn empty_messages_and_deep_ones_are_counted_before_they_are_decoded() {
    // Two bytes each in the file, hundreds in memory.
    let attributes = vec![AttributeProto::default(); 1 << 20];
    let many = model(&[1, 3, 8, 8], vec![node("Relu", &["x"], "y", attributes)], vec![]);
    refused("attributes", &many, &["net.onnx: what is made of the file", "of memory"]);
    let many = model(&[1, 3, 8, 8], vec![NodeProto::default(); 1 << 20], vec![]);
    refused("nodes", &many, &["net.onnx: what is made of the file"]);

    // Graphs in graphs: the decoder would call itself for each.
    let mut inner = model(&[1, 3, 8, 8], vec![node("Relu", &["x"], "y", vec![])], vec![]);
    for _ in 0..200 {
        let attribute = AttributeProto {
            name: "body".into(),
            r#type: AttributeType::Graph as i32,
            g: inner.graph.take(),
            ..AttributeProto::default()
        };
        inner = model(&[1, 3, 8, 8], vec![node("Loop", &["x"], "y", vec![attribute])], vec![]);
    }
    let message = import_bytes(&bytes(&inner), "net.onnx").expect_err("it is too deep").to_string();
    assert!(message.starts_with("net.onnx: not an ONNX model"), "{message}");
}

#[test]
fn tensors_without_elements_do_not_confuse_the_counting() {
    for sizes in [[0, 1 << 27, 1 << 27, 1], [1 << 27, 1, 0, 1], [1 << 27, 3, 0, 0]] {
        let empty = floats("w", &sizes, &[]);
        let message = import_bytes(&bytes(&with_weights(vec![], vec![empty])), "net.onnx").expect_err("empty weights");
        assert!(message.to_string().starts_with("net.onnx"), "{message}");
    }
}

/// What tract runs as it is is counted as well, before tract computes constants.
#[test]
fn files_that_only_tract_takes_are_counted_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net.onnx");
    let load = |nodes: Vec<NodeProto>, initializers: Vec<TensorProto>, side: i64| {
        std::fs::write(&path, bytes(&model(&[1, 3, side, side], nodes, initializers))).expect("written");
        let start = Instant::now();
        let result = FloatEngine::from_onnx(&path).map(drop).map_err(|error| error.to_string());
        assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
        result
    };
    // Added to the picture as its largest element, so that only its making costs anything.
    let largest = |mut nodes: Vec<NodeProto>| {
        nodes.push(node("ReduceMax", &["z"], "m", vec![int("keepdims", 0)]));
        nodes.push(node("Add", &["x", "m"], "c", vec![]));
        nodes.push(node("GlobalAveragePool", &["c"], "y", vec![]));
        nodes
    };
    let one = || floats("one", &[1], &[1.0]);
    let size = || ints("size", &[1 << 28]);
    for (name, nodes, initializers) in [
        ("ConstantOfShape", vec![node("ConstantOfShape", &["size"], "z", vec![])], vec![size()]),
        ("Expand", vec![node("Expand", &["one", "size"], "z", vec![])], vec![one(), size()]),
        ("Tile", vec![node("Tile", &["one", "size"], "z", vec![])], vec![one(), size()]),
        (
            "Range",
            vec![node("Range", &["a", "size", "b"], "z", vec![])],
            vec![ints("a", &[0]), size(), ints("b", &[1])],
        ),
        (
            "ConstantOfShape",
            vec![
                node("Shape", &["x"], "s", vec![]),
                node("Mul", &["s", "s"], "t", vec![]),
                node("ConstantOfShape", &["t"], "z", vec![]),
            ],
            vec![],
        ),
        (
            "MatMul",
            vec![node("MatMul", &["u", "v"], "z", vec![])],
            vec![floats("u", &[5000, 1], &[1.0; 5000]), floats("v", &[1, 5000], &[1.0; 5000])],
        ),
        (
            "Mul",
            vec![node("Mul", &["u", "v"], "z", vec![])],
            vec![floats("u", &[5000, 1], &[1.0; 5000]), floats("v", &[1, 5000], &[1.0; 5000])],
        ),
        ("Resize", vec![node("Resize", &["one", "", "one"], "z", vec![])], vec![one()]),
        ("EyeLike", vec![node("EyeLike", &["one"], "z", vec![])], vec![one()]),
    ] {
        let message = load(largest(nodes), initializers, 8).expect_err(name);
        assert!(message.contains(&format!("({name})")), "{name}: {message}");
    }
    let chain = |operator: &str, count: usize| {
        let mut nodes = vec![node(operator, &["x"], "h0", vec![])];
        for index in 1..count {
            nodes.push(node(operator, &[&format!("h{}", index - 1)], &format!("h{index}"), vec![]));
        }
        nodes.push(node("GlobalAveragePool", &[&format!("h{}", count - 1)], "y", vec![]));
        nodes
    };
    let message = load(chain("HardSwish", 20_000), vec![], 8).expect_err("deep");
    assert!(message.contains("4096 nodes"), "{message}");
    let message = load(chain("HardSwish", 1), vec![], 4096).expect_err("large");
    assert!(message.contains("activations"), "{message}");
    let window = vec![list("kernel_shape", &[511, 511]), list("pads", &[255; 4])];
    let pool = vec![
        node("HardSwish", &["x"], "h", vec![]),
        node("MaxPool", &["h"], "c", window),
        node("GlobalAveragePool", &["c"], "y", vec![]),
    ];
    let message = load(pool, vec![], 256).expect_err("work");
    assert!(message.contains("multiply-accumulates"), "{message}");

    // What the importer doesn't know, and costs little, still runs: an activation, weights that are normalised.
    load(chain("HardSwish", 3), vec![], 8).expect("tract takes it");
    let normalised = vec![
        node("ReduceL2", &["v"], "n", vec![list("axes", &[1, 2, 3]), int("keepdims", 1)]),
        node("Div", &["v", "n"], "u", vec![]),
        node("Mul", &["u", "g"], "w", vec![]),
        node("Conv", &["x", "w"], "c", vec![]),
        node("GlobalAveragePool", &["c"], "y", vec![]),
    ];
    let weights = vec![floats("v", &[96, 3, 7, 7], &[0.5; 96 * 147]), floats("g", &[96, 1, 1, 1], &[1.0; 96])];
    load(normalised, weights, 16).expect("tract takes it");
}
