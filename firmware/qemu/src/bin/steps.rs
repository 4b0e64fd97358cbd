//! Runs the reduced Inception's first steps some times on the self-test's input, to be counted from outside. Arguments:
//! STEPS RUNS; without them, the steps' names and products. Steps that run together count as one, with the first one's name.
#![cfg_attr(target_os = "none", no_std, no_main)]

use tinception_core::include_model;
use tinception_core::model::{Model, Operator, Step};
use tinception_core::selftest::fill_input;
use tinception_core::session::Session;
use tinception_qemu::line::Line;
use tinception_qemu::machine::{Arguments, Memory, Outcome};
use tinception_qemu::program;

static MODEL: &[u8] = include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/artefacts/nano.tin"));
static ARENA: Memory<65_536, u8> = Memory::filled(0);

program!(run);

fn run() -> Outcome {
    let arguments = Arguments::get();
    let model = Model::new(MODEL).map_err(|_| "the model is damaged")?;
    let mut numbers = [0, 1].map(|index| arguments.nth(index).and_then(|number| number.parse::<usize>().ok()));
    let [Some(steps), Some(runs)] = &mut numbers else {
        for (first, group) in model.groups() {
            let Some(step) = model.step(first) else { continue };
            let products = model.steps().skip(first).take(group.length).map(|step| macs(&step)).sum::<u64>();
            let mut line = Line::new();
            line.text(step.operator_name()).text(" ").text(step.name()).text(" ").number(products as i32).print();
        }
        return Ok(());
    };
    let mut session = Session::new(&model, ARENA.take().ok_or("taken")?).map_err(|_| "the arena is too small")?;
    fill_input(1, model.input().ok_or("no input")?.shape, session.input_mut());
    for _ in 0..*runs {
        // The first step next; what its input holds matters to no count.
        session.input_mut();
        for _ in 0..*steps {
            session.step().map_err(|_| "a step failed")?;
        }
    }
    Ok(())
}

/// Multiply-accumulates of a step.
fn macs(step: &Step<'_>) -> u64 {
    let Operator::Conv(conv) = &step.operator else { return 0 };
    let depth = conv.window.area() * u64::from(step.input.shape.channels) / (conv.groups as u64).max(1);
    step.output.shape.elements() * depth
}
