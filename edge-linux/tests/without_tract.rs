//! Built without tract, the program says so wherever an .onnx file comes in.
#![cfg(not(feature = "tract"))]

use std::process::Command;

#[test]
fn onnx_files_ask_for_a_program_with_tract() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model.onnx");
    std::fs::write(&model, "").expect("written");
    for arguments in [
        "quantize MODEL --calibration x --preset caffe-imagenet -o y.tin",
        "classify x.jpg --model MODEL --preset caffe-imagenet",
        "eval --model MODEL --images x --preset caffe-imagenet",
        "compare MODEL y.tin --images x",
        "bench --model MODEL",
        "import x.pth --arch nano -o MODEL",
    ] {
        let arguments =
            arguments.split(' ').map(|word| if word == "MODEL" { model.as_os_str() } else { word.as_ref() });
        let output = Command::new(env!("CARGO_BIN_EXE_tinception")).args(arguments).output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("model.onnx: ") && error.contains("--features tract"), "{error}");
    }
}
