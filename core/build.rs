//! Tells the crate whether the target has ARM's DSP instructions on 32-bit registers (SXTB16, SMLAD): rustc lists no
//! feature for them. They are part of ARMv7E-M (Cortex-M4, M7), of ARMv7-A, and an option of ARMv8-M (Cortex-M33) that
//! a build asks for by its processor: `-C target-cpu=cortex-m33`.

use std::env::var;

/// ARMv8-M processors whose name promises the option to the compiler.
const WITH_DSP: [&str; 5] = ["cortex-m33", "cortex-m35p", "cortex-m52", "cortex-m55", "cortex-m85"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(arm_dsp, arm_dsp_only, arm_dsp_option)");
    let target = var("TARGET").unwrap_or_default();
    let always = ["thumbv7em-", "armv7-", "thumbv7neon-"].iter().any(|family| target.starts_with(family));
    let option = target.starts_with("thumbv8m.main-") && asked_for();
    if always || option {
        println!("cargo::rustc-cfg=arm_dsp");
        // A microcontroller always has them: no program on it asks which backend to take.
        if var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "none") {
            println!("cargo::rustc-cfg=arm_dsp_only");
        }
    }
    if option {
        println!("cargo::rustc-cfg=arm_dsp_option");
    }
}

/// Whether the flags name such a processor.
fn asked_for() -> bool {
    let flags = var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut words = flags.split(['\x1f', ' ', '=', ',']);
    words.any(|word| WITH_DSP.contains(&word) || word == "+dsp")
}
