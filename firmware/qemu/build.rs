//! Puts the memory map of the target's machine where the linker finds it.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=memory");
    println!("cargo::rerun-if-changed=build.rs");
    let machine = match env::var("TARGET")?.as_str() {
        "thumbv6m-none-eabi" => "microbit",
        "thumbv7m-none-eabi" | "thumbv7em-none-eabihf" => "mps2",
        "thumbv8m.main-none-eabihf" => "an505",
        "riscv32imac-unknown-none-elf" => "riscv",
        // The host needs none.
        _ => return Ok(()),
    };
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy(format!("memory/{machine}.x"), out.join("memory.x"))?;
    // The runtime asks for the interrupts' names: none has a handler of its own.
    fs::write(out.join("device.x"), "")?;
    println!("cargo::rustc-link-search={}", out.display());
    Ok(())
}
