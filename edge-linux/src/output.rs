//! What leaves the program: errors, tables, JSON, progress.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

#[cfg(feature = "tract")]
use anyhow::Context as _;
use anyhow::{Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::terminal::{plain, plain_json};

/// Exit code for bad input.
pub(crate) const BAD_INPUT: u8 = 2;
/// Exit code for a self-test that fails.
pub(crate) const MISMATCH: u8 = 1;

/// Writes an error to stderr, as one line.
pub(crate) fn report_error(error: &anyhow::Error) {
    let message = format!("{error:#}");
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let _ = writeln!(io::stderr(), "tinception: error: {}", plain(&line));
}

/// Writes something that is no error to stderr, as one line.
pub(crate) fn notice(message: impl Display) {
    let _ = writeln!(io::stderr(), "tinception: {}", plain(&message.to_string()));
}

/// Writes a warning to stderr, as one line: the work was done, but somebody should look at it.
#[cfg(feature = "tract")]
pub(crate) fn warning(message: impl Display) {
    let _ = writeln!(io::stderr(), "tinception: warning: {}", plain(&message.to_string()));
}

/// Whether the system had no memory or no descriptor left, which is no fault of the input: the same may succeed later.
pub(crate) fn is_shortage(error: &anyhow::Error) -> bool {
    /// ENOMEM, ENFILE and EMFILE, as Linux numbers them on all processors.
    const SHORTAGES: [i32; 3] = [12, 23, 24];
    let code = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
    code.is_some_and(|code| SHORTAGES.contains(&code))
}

/// An error about a file: its name, what is wrong and what to do.
pub(crate) fn file_error(path: &Path, message: impl Display) -> anyhow::Error {
    anyhow!("{}: {message}", path.display())
}

/// Writes `value` as one JSON document.
pub(crate) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    let document = serde_json::to_string_pretty(value)?;
    writeln!(out, "{}", plain_json(&document))?;
    Ok(())
}

/// Writes `value` as a line of JSON.
#[cfg(feature = "camera")]
pub(crate) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    let document = serde_json::to_string(value)?;
    writeln!(out, "{}", plain_json(&document))?;
    Ok(())
}

/// Whether somebody watches stderr.
pub(crate) fn shows_progress() -> bool {
    io::stderr().is_terminal()
}

/// A progress bar on stderr for `length` pieces of work, shown only on a terminal and unless `quiet`.
pub(crate) fn progress(length: usize, what: &'static str, quiet: bool) -> ProgressBar {
    if quiet || !shows_progress() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(length as u64).with_message(what);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// SHA-256 of a file, in hexadecimal digits.
#[cfg(feature = "tract")]
pub(crate) fn sha256(path: &Path) -> Result<String> {
    use sha2::{Digest, Sha256};

    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// On which side the cells of a column are aligned.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    /// On the left, as text does.
    Left,
    /// On the right, as numbers do.
    Right,
}

/// Writes a table in columns as wide as their longest cell.
pub(crate) fn table<const COLUMNS: usize>(
    out: &mut dyn Write,
    columns: [(&str, Align); COLUMNS],
    rows: &[[String; COLUMNS]],
) -> Result<()> {
    let mut widths = columns.map(|(title, _)| title.chars().count());
    // What is escaped is longer.
    let rows: Vec<[String; COLUMNS]> =
        rows.iter().map(|row| row.each_ref().map(|cell| plain(cell).into_owned())).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let titles = columns.map(|(title, _)| title.to_owned());
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::from(" ");
        for ((cell, width), (_, align)) in row.iter().zip(widths).zip(columns) {
            line += &match align {
                Align::Left => format!(" {cell:<width$}"),
                Align::Right => format!(" {cell:>width$}"),
            };
            line.push(' ');
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A whole number with commas between the thousands.
pub(crate) fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [(0_u64, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let rows = [["a".into(), "10".into()], ["long".into(), "7".into()]];
        table(&mut out, [("name", Align::Left), ("n", Align::Right)], &rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "  name   n\n  a     10\n  long   7\n");
    }
}
