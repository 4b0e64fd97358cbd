//! Runs a model and prints the CRC-32 of each step's output: what tests/bits/run compares between machines.
//!
//! Usage: hash_steps MODEL.tin [INPUT.bin]
//!
//! INPUT.bin holds the network's int8 input, dense NHWC; without it, or with `test`, the self-test's is used. Every
//! backend of the machine runs, with the file's weights and with prepared ones, named on stderr; exit code 1 if two runs
//! differ, 2 if there is nothing to run.

use std::ops::ControlFlow;
use std::process::ExitCode;

use tinception_core::arch::{AnyBackend, Backend, available};
use tinception_core::model::Model;
use tinception_core::selftest::fill_input;
use tinception_core::session::{Hashes, Session};

/// A file's bytes with room in front, and where they start: at a multiple of 16 in memory.
fn read_aligned(path: &str) -> Result<(Vec<u8>, usize), String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let mut buffer = vec![0; bytes.len() + 16];
    let start = (buffer.as_ptr() as usize).wrapping_neg() % 16;
    buffer.truncate(start + bytes.len());
    buffer[start..].copy_from_slice(&bytes);
    Ok((buffer, start))
}

/// The int8 input: of a file, or the self-test's.
fn input_values(model: &Model<'_>, path: &str) -> Result<Vec<i8>, String> {
    let shape = model.input().ok_or("the model has no input")?.shape;
    let length = shape.elements() as usize;
    if path == "test" {
        let seed = model.self_test_seed().ok_or("the model has no self-test")?;
        let mut values = vec![0; length];
        fill_input(seed, shape, &mut values);
        return Ok(values);
    }
    let values = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    if values.len() != length {
        return Err(format!("{path} has {} bytes, the model takes {length}", values.len()));
    }
    Ok(values.into_iter().map(|value| value as i8).collect())
}

/// The lines of one run, with prepared weights or without.
fn lines(model: &Model<'_>, input: &[i8], backend: AnyBackend, prepare: bool) -> Result<Vec<String>, String> {
    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::with_backend(model, &mut arena, backend).map_err(|error| error.to_string())?;
    let mut memory = vec![0; if prepare { session.prepared_size() } else { 0 }];
    if !memory.is_empty() {
        session.prepare(&mut memory).map_err(|error| error.to_string())?;
    }
    session.input_mut().copy_from_slice(input);
    let mut lines = Vec::new();
    let mut hashes = Hashes::new(|index, step, crc| {
        lines.push(format!("{index} {crc:08x} {} {}", step.operator_name(), step.name()));
        ControlFlow::Continue(())
    });
    session.run_observed(&mut hashes).map_err(|error| error.to_string())?;
    Ok(lines)
}

/// Whether all backends agree.
fn run(path: &str, input: &str) -> Result<bool, String> {
    let (buffer, start) = read_aligned(path)?;
    let model = Model::new(&buffer[start..]).map_err(|error| format!("{path}: {error}"))?;
    let input = input_values(&model, input)?;
    let (mut first, mut agree) = (None, true);
    for (backend, prepare) in available().flat_map(|backend| [(backend, false), (backend, true)]) {
        let lines = lines(&model, &input, backend, prepare)?;
        let expected = first.get_or_insert_with(|| lines.clone());
        let different = lines.iter().zip(expected.iter()).find(|(line, expected)| line != expected);
        match different {
            None if prepare => eprintln!("{}: {} steps, prepared", backend.name(), lines.len()),
            None => eprintln!("{}: {} steps", backend.name(), lines.len()),
            Some((line, expected)) => eprintln!("{}: {line}, but before: {expected}", backend.name()),
        }
        agree &= different.is_none();
    }
    first.unwrap_or_default().iter().for_each(|line| println!("{line}"));
    Ok(agree)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<&str>>()[..] {
        [model] => run(model, "test"),
        [model, input] => run(model, input),
        _ => Err("usage: hash_steps MODEL.tin [INPUT.bin]".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
