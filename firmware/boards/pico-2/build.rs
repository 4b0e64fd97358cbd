//! Puts the memory map where the linker finds it, and has the linker say how much of it the image takes.

use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=memory.x");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo::rustc-link-arg-bins=--print-memory-usage");
    println!("cargo::rustc-link-search={}", out.display());
    Ok(())
}
