//! The report on the reduced Inception, against what QEMU has counted.

use std::process::Command;

use serde_json::Value;

fn report(target: &str) -> Value {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/artefacts/nano.tin");
    let arguments = ["firmware-report", model, "--target", target, "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_tinception")).args(arguments).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn fitting(report: &Value) -> Vec<&str> {
    let boards = report["boards"].as_array().expect("boards");
    boards.iter().filter(|board| board["fits"] == true).filter_map(|board| board["name"].as_str()).collect()
}

#[test]
fn instructions_are_near_what_was_counted() {
    let report = report("thumbv7em-none-eabihf");
    // As `firmware/qemu/measure m4` counts them.
    for (name, counted) in [("/network/conv1/conv/Conv", 848_733.0), ("/network/conv2/conv/Conv", 1_290_750.0)] {
        let steps = report["steps"].as_array().expect("steps");
        let step = steps.iter().find(|step| step["name"] == name).expect("the network begins with it");
        let estimate = step["instructions"].as_f64().expect("a number");
        assert!((estimate / counted - 1.0).abs() < 0.1, "{name}: {estimate} instead of {counted}");
    }
    let total = report["instructions"].as_f64().expect("a number");
    assert!((total / 13_402_003.0 - 1.0).abs() < 0.03, "{total}");
    assert_eq!(fitting(&report), ["nRF52840-DK", "Arduino Nano 33 BLE", "Nucleo-F446RE", "Nucleo-H743ZI2"]);
}

#[test]
fn a_small_chip_is_too_small_and_what_was_not_counted_is_not_guessed() {
    let report = report("thumbv6m-none-eabi");
    assert_eq!(fitting(&report), ["Raspberry Pi Pico"]);
    assert!(report["instructions"].is_null() && report["steps"][0]["instructions"].is_null());
    assert!(report["macs"].as_u64().is_some_and(|macs| macs > 10_000_000));
}
