//! `tinception camera --config FILE`: options from a TOML file, as a service has them.
//!
//! ```text
//! command line -> the file it names -> the file's keys as options, in front of the command line's own
//! ```
//!
//! The keys are the names of the long options, and `source`. They are read off the command's own definition, so that an
//! option that is added is a key too; one that may be given several times takes a list. What the command line or the environment
//! says is left out of the file.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use crate::files;
use crate::output::file_error;

/// The command that has the option.
const COMMAND: &str = "camera";
/// Largest file that is read: options take a few hundred bytes.
const LARGEST_FILE: u64 = 1 << 20;
/// Of the argument that names the file; no key.
const CONFIG: &str = "config";

/// A command line with the options of a file in it.
pub(crate) struct Expanded {
    /// What clap is to parse.
    pub(crate) line: Vec<OsString>,
    file: PathBuf,
}

impl Expanded {
    /// What the parser has against the file's options, in one line that names the file.
    pub(crate) fn blame(&self, error: &clap::Error) -> anyhow::Error {
        let text = error.to_string();
        // Usage and advice follow after an empty line.
        let what = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(" ");
        file_error(&self.file, what.trim_start_matches("error: "))
    }
}

/// The command line with the options of the file that it names; `None` where it names none.
///
/// # Errors
///
/// A file that can't be read, that is no TOML, or that has a key or a kind of value that the command doesn't know.
pub(crate) fn expand(program: &Command, line: &[OsString]) -> Result<Option<Expanded>> {
    let Some(command) = program.find_subcommand(COMMAND) else { return Ok(None) };
    // The file may say what the command line lacks, so errors of this first look count for nothing.
    let first_look = program.clone().ignore_errors(true).try_get_matches_from(line);
    let Some((COMMAND, given)) = first_look.as_ref().ok().and_then(|matches| matches.subcommand()) else {
        return Ok(None);
    };
    let Some(file) = given.get_one::<PathBuf>(CONFIG) else { return Ok(None) };
    let said = |arg: &Arg| matches!(given.value_source(arg.get_id().as_str()), Some(source) if source != ValueSource::DefaultValue);

    // The program's name and the command's come first: options that stand before a command are none of `camera`.
    let (names, own) = line.split_at(2);
    let mut expanded = names.to_vec();
    for (key, value) in &read(file)? {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_id() != CONFIG && name(arg) == key) else {
            let keys = "keys are the long options of `tinception camera`, and `source`";
            return Err(file_error(file, format_args!("unknown key `{key}`; {keys}")));
        };
        match options(arg, value) {
            Ok(options) if !said(arg) => expanded.extend(options),
            Ok(_) => {}
            Err(kind) => return Err(file_error(file, format_args!("`{key}` must be {kind}"))),
        }
    }
    expanded.extend_from_slice(own);
    Ok(Some(Expanded { line: expanded, file: file.clone() }))
}

fn read(file: &Path) -> Result<Table> {
    let bytes = files::read(file, LARGEST_FILE)?;
    let text = String::from_utf8(bytes).map_err(|_| file_error(file, "is no text in UTF-8"))?;
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        file_error(file, format_args!("line {line}: {}", error.message()))
    })
}

/// The key of an argument.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(arg.get_id().as_str())
}

/// The value as the command line has it, or of what kind it should have been.
fn options(arg: &Arg, value: &Value) -> Result<Vec<OsString>, &'static str> {
    match (arg.get_action(), value) {
        (ArgAction::Append, Value::Array(values)) => {
            let options = values.iter().map(|value| option(arg, value)).collect::<Result<Vec<_>, _>>();
            Ok(options.map_err(|_| "text in quotes, or a list of it")?.into_iter().flatten().collect())
        }
        _ => Ok(option(arg, value)?.into_iter().collect()),
    }
}

/// One value as the command line has it.
fn option(arg: &Arg, value: &Value) -> Result<Option<OsString>, &'static str> {
    let numbers =
        [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>(), TypeId::of::<f64>()];
    let is_number = numbers.iter().any(|number| arg.get_value_parser().type_id() == *number);
    let text = match value {
        Value::Boolean(yes) if matches!(arg.get_action(), ArgAction::SetTrue) => {
            return Ok(yes.then(|| format!("--{}", name(arg)).into()));
        }
        _ if matches!(arg.get_action(), ArgAction::SetTrue) => return Err("true or false"),
        // Some choices are numbers, as degrees are.
        Value::Integer(number) if is_number || !arg.get_possible_values().is_empty() => number.to_string(),
        Value::Float(number) if is_number => number.to_string(),
        _ if is_number => return Err("a number, without quotes"),
        Value::String(text) => text.clone(),
        _ => return Err("text in quotes"),
    };
    Ok(Some(if arg.is_positional() { text.into() } else { format!("--{}={text}", name(arg)).into() }))
}
