//! Runs a model some times on the self-test's input, and prints the backend: what tests/instructions/run counts.
//!
//! Usage: repeat MODEL.tin RUNS|steps [BACKEND]
//!
//! With `steps` for RUNS it runs once and prints a line before and after each step, at once, so that what is executed
//! between two lines can be counted from outside.

use std::ops::ControlFlow;
use std::process::ExitCode;

use tinception_core::arch::{self, Backend};
use tinception_core::model::{Model, Step};
use tinception_core::selftest::fill_input;
use tinception_core::session::{Observer, Session, Values};

/// Prints each step's operator, multiply-accumulates and name in front of it, and a short line behind it.
struct Lines;

impl Observer for Lines {
    fn before(&mut self, _: usize, step: &Step<'_>) {
        println!("before\t{}\t{}\t{}", step.operator_name(), step.macs(), step.name());
    }

    fn after(&mut self, _: usize, _: &Step<'_>, _: Values<'_>) -> ControlFlow<()> {
        println!("after");
        ControlFlow::Continue(())
    }
}

fn run(path: &str, runs: &str, backend: Option<&str>) -> Result<(), String> {
    let runs: Option<u32> = match runs {
        "steps" => None,
        number => Some(number.parse().map_err(|error| format!("{number}: {error}"))?),
    };
    let backend = match backend {
        Some(name) => arch::by_name(name).ok_or_else(|| format!("this machine has no backend {name}"))?,
        None => arch::detect(),
    };
    let file = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    // A model begins at a multiple of 16 in memory.
    let mut buffer = vec![0; file.len() + 16];
    let start = (buffer.as_ptr() as usize).wrapping_neg() % 16;
    buffer[start..start + file.len()].copy_from_slice(&file);
    let model = Model::new(&buffer[start..start + file.len()]).map_err(|error| format!("{path}: {error}"))?;
    let shape = model.input().ok_or("the model has no input")?.shape;

    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::with_backend(&model, &mut arena, backend).map_err(|error| error.to_string())?;
    let mut memory = vec![0; session.prepared_size()];
    session.prepare(&mut memory).map_err(|error| error.to_string())?;
    // The input once, and a copy of it for each run: the steps reuse its memory.
    let mut input = vec![0; shape.elements() as usize];
    fill_input(model.self_test_seed().unwrap_or_default(), shape, &mut input);
    for _ in 0..runs.unwrap_or(1) {
        session.input_mut().copy_from_slice(&input);
        let result = if runs.is_some() { session.run() } else { session.run_observed(&mut Lines) };
        result.map_err(|error| error.to_string())?;
    }
    println!("{}", backend.name());
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<&str>>()[..] {
        [path, runs] => run(path, runs, None),
        [path, runs, backend] => run(path, runs, Some(backend)),
        _ => Err("usage: repeat MODEL.tin RUNS|steps [BACKEND]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
