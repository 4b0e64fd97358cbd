//! Any bytes as a file of weights: an error, or tensors whose values fill their shapes.

#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tinception_models::nets::Architecture;
use tinception_models::weights;

/// The reader takes a path: checkpoints are read piece by piece.
static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("tinception-fuzz-{}.pth", std::process::id())));

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).expect("the folder for temporary files takes it");
    if let Ok(weights) = weights::read(&*FILE) {
        for tensor in weights.tensors.values() {
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
        }
        let _ = Architecture::Nano.build(&weights, 32);
    }
});
