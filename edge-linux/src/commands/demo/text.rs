//! What `demo` shows people: photos with the answers beside them, or the answers alone, and what to try next.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use terminal_size::{Width, terminal_size_of};
use tinception_core::image::{Channels, Resize, Size};
use tinception_models::artefacts::Photo;

use super::{Seen, Shown};
use crate::output::grouped;
use crate::picture::{self, Budget};
use crate::ranking::{self, Class};
use crate::resize::RowResizer;
use crate::terminal::graphics::{COLUMNS, GAP, Graphics, Picture};
use crate::terminal::plain;

/// Columns of a terminal that says nothing of its width.
const USUAL_WIDTH: usize = 80;
/// Fewer columns than this leave no room for a label beside a picture and its bar.
const NARROWEST: usize = 64;
/// Character cells of the bar for a probability of 1.
const BAR: usize = 12;
const BOLD: &str = "\x1b[1m";
const NORMAL: &str = "\x1b[0m";

/// Writes to standard output, whose control characters `out` would escape where there are pictures.
pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
    /// How pictures are shown, and in how many columns the text beside them has to fit.
    graphics: Option<(Graphics, usize)>,
}

impl<'a> Page<'a> {
    /// With pictures if `graphics` says how, and if the terminal is wide enough.
    pub(super) fn new(out: &'a mut dyn Write, graphics: Option<Graphics>) -> Self {
        let width = terminal_size_of(io::stdout()).map_or(USUAL_WIDTH, |(Width(width), _)| width.into());
        let graphics = graphics.filter(|_| width >= NARROWEST).map(|graphics| (graphics, width - COLUMNS - GAP));
        Self { out, graphics }
    }

    /// What the model is.
    pub(super) fn head(&mut self, shown: &Shown) -> Result<()> {
        let (file, ram) = (grouped(shown.file_bytes as u64), grouped(shown.ram_bytes as u64));
        writeln!(self.out, "{}: {}", shown.model, shown.about)?;
        writeln!(self.out, "{file} bytes in the file, {ram} bytes of RAM, runs on {}\n", shown.backend)?;
        Ok(())
    }

    /// A photo and what is seen on it.
    pub(super) fn photo(&mut self, photo: &Photo, seen: &Seen) -> Result<()> {
        let Some((graphics, width)) = self.graphics else {
            writeln!(self.out, "{}  ({:.2} ms; {})", seen.photo, seen.time_ms, seen.source)?;
            ranking::print(self.out, &seen.top)?;
            writeln!(self.out)?;
            return Ok(());
        };
        // Below what was written so far.
        self.out.flush()?;
        let pixels = square(photo, graphics.side())?;
        let mut stdout = BufWriter::new(io::stdout().lock());
        graphics.show(&mut stdout, &Picture { file: photo.bytes, pixels: &pixels }, &beside(seen, width))?;
        writeln!(stdout)?;
        stdout.flush()?;
        Ok(())
    }
}

/// The middle of a photo, in RGB.
fn square(photo: &Photo, side: u32) -> Result<Vec<u8>> {
    let shorter = Resize::ShorterSide(side.try_into().unwrap_or(u16::MAX));
    let mut rows = RowResizer::new(shorter, Size::new(side, side), Channels::Rgb);
    picture::parse(photo.bytes, Path::new(photo.name), &Budget::FILE, &mut rows)?;
    Ok(rows.finish())
}

/// The lines beside a photo, in so many columns.
fn beside(seen: &Seen, width: usize) -> Vec<String> {
    let mut lines = vec![String::new(), format!("{BOLD}{}{NORMAL}", plain(seen.photo)), String::new()];
    for (rank, class) in seen.top.iter().enumerate() {
        let (percent, bar) = (class.probability * 100.0, bar(class.probability));
        let label = label(class, width.saturating_sub("100.0 %  ".len() + BAR + 2));
        let (bold, normal) = if rank == 0 { (BOLD, NORMAL) } else { ("", "") };
        lines.push(format!("{percent:5.1} %  {bar}  {bold}{label}{normal}"));
    }
    lines.extend([String::new(), format!("{:.2} ms", seen.time_ms), format!("Photo: {}", plain(seen.source))]);
    lines
}

/// A class's label in at most so many characters: the first of its names where not all of them fit.
fn label(class: &Class, width: usize) -> String {
    let fits = |text: &str| text.chars().count() <= width;
    let whole = plain(&class.label);
    let first = whole.split(',').next().unwrap_or_default();
    match [&*whole, first].into_iter().find(|text| fits(text)) {
        Some(text) => text.to_owned(),
        None => first.chars().take(width.saturating_sub(3)).chain("...".chars()).collect(),
    }
}

/// A bar as long as a probability is large, to an eighth of a character.
fn bar(probability: f64) -> String {
    const PARTS: [&str; 8] = ["", "\u{258f}", "\u{258e}", "\u{258d}", "\u{258c}", "\u{258b}", "\u{258a}", "\u{2589}"];
    let eighths = (probability.clamp(0.0, 1.0) * (8 * BAR) as f64).round() as usize;
    format!("{:BAR$}", "\u{2588}".repeat(eighths / 8) + PARTS[eighths % 8])
}

/// Three commands that go on from here, after a look at the model of that name.
pub(super) fn next_commands(model: &str, out: &mut dyn Write) -> Result<()> {
    let program = program(std::env::args().next().as_deref());
    let camera = match cfg!(feature = "serve") {
        true => ("camera --serve".to_owned(), "what a camera sees, on a live page"),
        false => ("zoo".to_owned(), "the models that are part of the program"),
    };
    let commands = [
        ("classify photo.jpg".to_owned(), "what is on a photo of yours"),
        camera,
        (format!("bench --model {model}"), "how fast this machine is, layer by layer"),
    ];
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    writeln!(out, "Try next:\n")?;
    for (command, what) in commands {
        writeln!(out, "  {program} {command:width$}  # {what}")?;
    }
    Ok(())
}

/// How this program was started, as a shell takes it.
fn program(started: Option<&str>) -> String {
    let started = started.filter(|name| !name.is_empty()).unwrap_or("tinception");
    match started.contains(|letter: char| !letter.is_ascii_alphanumeric() && !"/._-+".contains(letter)) {
        true => format!("'{}'", started.replace('\'', "'\\''")),
        false => started.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(label: &str, probability: f64) -> Class {
        Class { class: 0, label: label.into(), id: None, probability, logit: None, independent: false }
    }

    #[test]
    fn bars_are_as_long_as_probabilities_are_large() {
        for (probability, expected) in [
            (0.0, "            "),
            (0.01, "\u{258f}           "),
            (0.5, "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}      "),
            (0.99, "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2589}"),
            (1.0, "\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}"),
        ] {
            assert_eq!(bar(probability), expected, "{probability}");
        }
    }

    #[test]
    fn labels_keep_within_their_columns() {
        let shark = class("great white shark, white shark, man-eater", 0.5);
        for (width, expected) in
            [(60, "great white shark, white shark, man-eater"), (40, "great white shark"), (12, "great whi...")]
        {
            assert_eq!(label(&shark, width), expected);
        }
    }

    #[test]
    fn lines_beside_a_photo_fit_in_eighty_columns() {
        let top = vec![class(&"a very long name ".repeat(9), 0.974), class("cat", 0.026)];
        let seen = Seen { photo: "cat.jpg", source: "somebody, CC0 1.0", time_ms: 12.345, top };
        let lines = beside(&seen, 50);
        let bare = |line: &String| line.replace(BOLD, "").replace(NORMAL, "");
        assert!(lines.iter().all(|line| bare(line).chars().count() <= 50), "{lines:?}");
        assert!(bare(&lines[3]).starts_with(" 97.4 %  \u{2588}") && bare(&lines[3]).ends_with("..."), "{lines:?}");
        assert!(bare(&lines[4]).ends_with("  cat") && lines[4] == bare(&lines[4]), "{lines:?}");
    }

    #[test]
    fn the_program_is_called_as_it_was_started() {
        for (started, expected) in [
            (None, "tinception"),
            (Some(""), "tinception"),
            (Some("tinception"), "tinception"),
            (Some("target/release/tinception"), "target/release/tinception"),
            (Some("/my files/it's/tinception"), "'/my files/it'\\''s/tinception'"),
        ] {
            assert_eq!(program(started), expected);
        }
    }
}
