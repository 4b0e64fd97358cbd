//! A model in external memory, as the full GoogLeNet needs it: its self-test, and an input from the host.
//!
//! Arguments: MODEL LENGTH [INPUT]. On the machine the MODEL has been loaded already, LENGTH bytes at 0x60000000; INPUT is a
//! file of int8 values.
#![cfg_attr(target_os = "none", no_std, no_main)]

use tinception_core::model::Model;
use tinception_qemu::machine::{Arguments, Memory, Outcome, external, read};
use tinception_qemu::{network, program};

static ARENA: Memory<1_572_864, u8> = Memory::filled(0);

program!(run);

fn run() -> Outcome {
    let arguments = Arguments::get();
    let path = arguments.nth(0).ok_or("no model")?;
    let length = arguments.nth(1).and_then(|length| length.parse().ok()).ok_or("no length")?;
    let model = external(path, length).ok_or("the model cannot be read")?;
    let model = Model::new(model).map_err(|_| "the model is damaged")?;
    let mut session = network::session(&model, ARENA.take().ok_or("taken")?)?;
    network::self_test(&mut session)?;
    let Some(input) = arguments.nth(2) else { return Ok(()) };
    if !read(input, 0, bytemuck::cast_slice_mut(session.input_mut())) {
        return Err("the input cannot be read");
    }
    network::run("input", &mut session)
}
