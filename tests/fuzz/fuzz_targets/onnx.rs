//! Any bytes as an ONNX file: an error, or a graph that the passes and the writer can trust.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tinception_models::kind::{Kind, Wanted};
use tinception_models::onnx::{encode, import_bytes, to_onnx};
use tinception_models::passes::optimise;

fuzz_target!(|bytes: &[u8]| {
    let kind = Kind::of(bytes);
    for wanted in [Wanted::Onnx, Wanted::Network, Wanted::Weights, Wanted::Picture, Wanted::Labels] {
        let _ = kind.and_then(|kind| kind.instead_of(wanted));
    }
    if let Ok(mut graph) = import_bytes(bytes, "any.onnx") {
        let _ = encode(&to_onnx(&graph));
        let _ = optimise(&mut graph);
    }
});
