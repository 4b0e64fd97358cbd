//! What leaves the program: errors, files, tables, JSON, progress.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Exit code for bad input.
pub(crate) const BAD_INPUT: u8 = 2;
/// Exit code for a self-test that fails.
pub(crate) const MISMATCH: u8 = 1;

/// Writes an error to stderr, as one line.
pub(crate) fn report_error(error: &anyhow::Error) {
    let message = format!("{error:#}");
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let _ = writeln!(io::stderr(), "tinception: error: {line}");
}

/// Writes something that is no error to stderr, as one line.
#[cfg(feature = "camera")]
pub(crate) fn notice(message: impl Display) {
    let _ = writeln!(io::stderr(), "tinception: {message}");
}

/// Writes a warning to stderr, as one line: the work was done, but somebody should look at it.
#[cfg(feature = "tract")]
pub(crate) fn warning(message: impl Display) {
    let _ = writeln!(io::stderr(), "tinception: warning: {message}");
}

/// An error about a file: its name, what is wrong and what to do.
pub(crate) fn file_error(path: &Path, message: impl Display) -> anyhow::Error {
    anyhow!("{}: {message}", path.display())
}

/// Writes `value` as one JSON document.
pub(crate) fn json(out: &mut dyn Write, value: &impl Serialize) -> Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)?;
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

/// Checks that a file can be written at `path`, before long work whose result goes there.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    temporary_beside(path).map(drop)
}

/// Writes a file whole or not at all: to a temporary file beside it, which then takes its name.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).with_context(|| cannot_write(path))?;
    file.persist(path).map_err(|failed| failed.error).with_context(|| cannot_write(path))?;
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

fn temporary_beside(path: &Path) -> Result<tempfile::NamedTempFile> {
    if path.is_dir() {
        bail!("{}: is a folder; give a file name", path.display());
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        bail!("{}: its folder does not exist; make it first", path.display());
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tinception-");
    // Temporary files are private by default; this one becomes an ordinary file, subject to the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder).with_context(|| cannot_write(path))
}

/// SHA-256 of a file, in hexadecimal digits.
#[cfg(feature = "tract")]
pub(crate) fn sha256(path: &Path) -> Result<String> {
    use sha2::{Digest, Sha256};

    let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How a table's column stands.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Writes a table in columns as wide as their longest cell.
pub(crate) fn table<const COLUMNS: usize>(
    out: &mut dyn Write,
    columns: [(&str, Align); COLUMNS],
    rows: &[[String; COLUMNS]],
) -> Result<()> {
    let mut widths = columns.map(|(title, _)| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let titles = columns.map(|(title, _)| title.to_owned());
    for row in std::iter::once(&titles).chain(rows) {
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

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_file(&path, b"old").unwrap();
        write_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_file(&folder.path().join("none/file"), b"x").is_err());
        assert!(check_writable(folder.path()).is_err());
    }
}
