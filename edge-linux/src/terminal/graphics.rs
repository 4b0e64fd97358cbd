//! Pictures in a terminal, with text beside them.
//!
//! ```text
//! environment -> what the terminal can show -> square of pixels, or the JPEG file -> escape sequences, lines beside them
//! ```
//!
//! kitty's and iTerm2's protocols show a picture in all its pixels. Other terminals get upper half blocks: a character
//! cell is two pixels, one above the other, in its foreground and its background colour. Nothing is asked of the
//! terminal itself: an answer would have to be read from standard input, which may be a pipe or somebody's typing.

use std::io::{self, IsTerminal, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Width of a picture in character cells.
pub(crate) const COLUMNS: usize = 28;
/// Its height in character cells, which are about twice as high as they are wide.
const ROWS: usize = COLUMNS / 2;
/// Blank columns between a picture and the text beside it.
pub(crate) const GAP: usize = 2;
/// Bytes of base64 in one of kitty's escape sequences at most, as its protocol says.
const KITTY_CHUNK: usize = 4096;

/// How a terminal shows pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Graphics {
    /// kitty's graphics protocol, also spoken by Ghostty.
    Kitty,
    /// iTerm2's inline images, also spoken by WezTerm, mintty, Warp and Rio.
    Iterm,
    /// Half blocks in these colours.
    Blocks(Colours),
}

/// Colours of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// 24 bits.
    True,
    /// xterm's 256 colours.
    Palette,
}

/// A picture as [`Graphics::show`] takes it.
pub(crate) struct Picture<'a> {
    /// The JPEG file.
    pub(crate) file: &'a [u8],
    /// RGB of a square with sides of [`Graphics::side`] pixels, row by row.
    pub(crate) pixels: &'a [u8],
}

impl Graphics {
    /// What standard output can show; `None` where it is no terminal, or one without colours.
    pub(crate) fn of_stdout() -> Option<Self> {
        io::stdout().is_terminal().then(|| Self::of(|name| std::env::var(name).ok())).flatten()
    }

    /// What a terminal with these environment variables can show.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name| variable(name).unwrap_or_default();
        let is_set = |name| !variable(name).is_empty();
        let (term, program) = (variable("TERM"), variable("TERM_PROGRAM"));
        if is_set("NO_COLOR") || term.is_empty() || term == "dumb" {
            return None;
        }
        // tmux and screen pass no pictures on, and leave the variables of the terminal around them as they are.
        let is_multiplexed = ["TMUX", "STY", "ZELLIJ"].into_iter().any(is_set)
            || ["tmux", "screen"].iter().any(|name| term.starts_with(name));
        if !is_multiplexed {
            match (term.as_str(), program.as_str()) {
                ("xterm-kitty" | "xterm-ghostty", _) | (_, "ghostty") => return Some(Self::Kitty),
                (_, "iTerm.app" | "WezTerm" | "mintty" | "WarpTerminal" | "rio") => return Some(Self::Iterm),
                // A program that kitty started, such as an editor with a terminal of its own, inherits the variable.
                (_, "") if is_set("KITTY_WINDOW_ID") => return Some(Self::Kitty),
                // ssh passes variables of this kind on.
                (_, "") if variable("LC_TERMINAL") == "iTerm2" => return Some(Self::Iterm),
                _ => {}
            }
        }
        match variable("COLORTERM").as_str() {
            "truecolor" | "24bit" => Some(Self::Blocks(Colours::True)),
            _ if term.ends_with("-direct") => Some(Self::Blocks(Colours::True)),
            _ if term.contains("256color") => Some(Self::Blocks(Colours::Palette)),
            _ => None,
        }
    }

    /// How many pixels a side of the square has that [`Self::show`] takes.
    pub(crate) const fn side(self) -> u32 {
        match self {
            Self::Kitty | Self::Iterm => 224,
            Self::Blocks(_) => COLUMNS as u32,
        }
    }

    /// Writes a picture and lines of text to its right. The lines must be free of what a terminal obeys, but for colours.
    pub(crate) fn show(self, out: &mut dyn Write, picture: &Picture<'_>, lines: &[String]) -> io::Result<()> {
        match self {
            Self::Kitty => self.over(out, &kitty(picture.pixels, self.side()), lines),
            Self::Iterm => self.over(out, &iterm(picture.file), lines),
            Self::Blocks(colours) => {
                for row in 0..ROWS.max(lines.len()) {
                    let cells = blocks(picture.pixels, row, colours);
                    let line = lines.get(row).map_or("", String::as_str);
                    writeln!(out, "{}", format!("{cells}{:GAP$}{line}", "").trim_end())?;
                }
                Ok(())
            }
        }
    }

    /// Writes the escape sequence of a whole picture, then the lines from its first row on.
    fn over(self, out: &mut dyn Write, picture: &str, lines: &[String]) -> io::Result<()> {
        // Room first, as a terminal that scrolled while it drew would lose the row that the lines start from. The cursor is
        // put back, since terminals differ in where they leave it after a picture.
        write!(out, "{}\x1b[{ROWS}A\x1b7{picture}\x1b8", "\n".repeat(ROWS))?;
        for row in 0..ROWS.max(lines.len()) {
            match lines.get(row).filter(|line| !line.is_empty()) {
                Some(line) => writeln!(out, "\x1b[{}C{line}", COLUMNS + GAP)?,
                None => writeln!(out)?,
            }
        }
        Ok(())
    }
}

/// kitty's sequences for a square of RGB pixels: placed at the cursor, which stays, and answered by nothing.
fn kitty(pixels: &[u8], side: u32) -> String {
    let encoded = STANDARD.encode(pixels);
    let mut sequences = String::with_capacity(encoded.len() + encoded.len() / 64);
    let mut keys = format!("a=T,f=24,s={side},v={side},c={COLUMNS},r={ROWS},C=1,q=2,");
    let mut rest = encoded.as_str();
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(KITTY_CHUNK));
        let more = u8::from(!after.is_empty());
        sequences += &format!("\x1b_G{keys}m={more};{chunk}\x1b\\");
        if after.is_empty() {
            return sequences;
        }
        keys.clear();
        rest = after;
    }
}

/// iTerm2's sequence for a file, which the terminal decodes itself.
fn iterm(file: &[u8]) -> String {
    let size = file.len();
    let encoded = STANDARD.encode(file);
    format!("\x1b]1337;File=inline=1;size={size};width={COLUMNS};height={ROWS};preserveAspectRatio=1:{encoded}\x07")
}

/// A row of character cells; blanks below the picture.
fn blocks(pixels: &[u8], row: usize, colours: Colours) -> String {
    let pixel = |x: usize, y: usize| pixels.get(3 * (y * COLUMNS + x)..)?.first_chunk::<3>().copied();
    let mut cells = String::new();
    let mut drawn = None;
    for x in 0..COLUMNS {
        let (Some(upper), Some(lower)) = (pixel(x, 2 * row), pixel(x, 2 * row + 1)) else {
            return " ".repeat(COLUMNS);
        };
        if drawn != Some((upper, lower)) {
            cells += &match colours {
                Colours::True => {
                    let ([r, g, b], [s, h, c]) = (upper, lower);
                    format!("\x1b[38;2;{r};{g};{b};48;2;{s};{h};{c}m")
                }
                Colours::Palette => format!("\x1b[38;5;{};48;5;{}m", palette(upper), palette(lower)),
            };
            drawn = Some((upper, lower));
        }
        cells.push('\u{2580}');
    }
    cells + "\x1b[0m"
}

/// The nearest of xterm's colours: of its cube with sides of 6, or of its 24 greys. The first 16 are what a user likes.
fn palette(rgb: [u8; 3]) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |other: [u8; 3]| -> u32 {
        rgb.iter().zip(other).map(|(value, other)| u32::from(value.abs_diff(other)).pow(2)).sum()
    };
    let nearest = |value: u8| (0..6).min_by_key(|level| LEVELS[*level].abs_diff(value)).unwrap_or_default();
    let cube = rgb.map(nearest);
    let mean = rgb.iter().copied().map(u32::from).sum::<u32>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    if distance([8 + 10 * grey; 3]) < distance(cube.map(|level| LEVELS[level])) {
        232 + grey
    } else {
        (16 + 36 * cube[0] + 6 * cube[1] + cube[2]) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Graphics> {
        let find = |name: &str| variables.iter().find(|(other, _)| *other == name);
        Graphics::of(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn terminals_are_known_by_what_they_set() {
        const TRUE: Option<Graphics> = Some(Graphics::Blocks(Colours::True));
        const PALETTE: Option<Graphics> = Some(Graphics::Blocks(Colours::Palette));
        let xterm = ("TERM", "xterm-256color");
        let colours = ("COLORTERM", "truecolor");
        for (variables, expected) in [
            (&[("TERM", "xterm-kitty"), ("KITTY_WINDOW_ID", "1"), colours][..], Some(Graphics::Kitty)),
            (&[xterm, ("KITTY_WINDOW_ID", "1"), colours], Some(Graphics::Kitty)),
            (&[xterm, ("KITTY_WINDOW_ID", "1"), ("TERM_PROGRAM", "vscode"), colours], TRUE),
            (&[("TERM", "xterm-ghostty"), colours], Some(Graphics::Kitty)),
            (&[xterm, ("TERM_PROGRAM", "iTerm.app"), colours], Some(Graphics::Iterm)),
            (&[xterm, ("TERM_PROGRAM", "WezTerm"), colours], Some(Graphics::Iterm)),
            (&[xterm, ("LC_TERMINAL", "iTerm2")], Some(Graphics::Iterm)),
            (&[xterm, colours], TRUE),
            (&[xterm, ("COLORTERM", "24bit")], TRUE),
            (&[("TERM", "xterm-direct")], TRUE),
            (&[xterm, ("TERM_PROGRAM", "Apple_Terminal")], PALETTE),
            (&[xterm], PALETTE),
            // Within tmux and screen, whatever terminal is around them.
            (&[xterm, ("TMUX", "/tmp/tmux"), ("KITTY_WINDOW_ID", "1"), colours], TRUE),
            (&[("TERM", "tmux-256color"), ("TERM_PROGRAM", "iTerm.app")], PALETTE),
            (&[("TERM", "screen-256color"), ("LC_TERMINAL", "iTerm2")], PALETTE),
            (&[("TERM", "screen"), ("STY", "1.pts"), ("KITTY_WINDOW_ID", "1")], None),
            (&[("TERM", "xterm-kitty"), ("NO_COLOR", "1")], None),
            (&[("TERM", "xterm-kitty"), ("NO_COLOR", "")], Some(Graphics::Kitty)),
            (&[("TERM", "dumb"), colours], None),
            (&[("TERM", "linux")], None),
            (&[colours], None),
            (&[], None),
        ] {
            assert_eq!(of(variables), expected, "{variables:?}");
        }
    }

    /// The colours of each cell of a line, above and below, as a terminal would take them from it.
    fn cells(line: &str) -> Vec<([u8; 3], [u8; 3])> {
        let (mut cells, mut colours) = (Vec::new(), ([0; 3], [0; 3]));
        for part in line.split('\x1b').skip(1) {
            let (numbers, text) = part.strip_prefix('[').and_then(|part| part.split_once('m')).expect("a colour");
            let numbers: Vec<u8> = numbers.split(';').map(|number| number.parse().expect("a number")).collect();
            if let [38, 2, upper @ .., 48, 2, _, _, _] = numbers.as_slice() {
                colours = (upper.try_into().expect("three"), numbers[7..].try_into().expect("three"));
            }
            cells.extend(text.chars().filter(|character| *character == '\u{2580}').map(|_| colours));
        }
        cells
    }

    #[test]
    fn blocks_have_every_pixel_in_its_place() {
        let pixels: Vec<u8> =
            (0..COLUMNS * COLUMNS).flat_map(|at| [at as u8, (at / 256) as u8, (at / 3) as u8]).collect();
        let lines = ["first".to_owned(), String::new(), "third".to_owned()];
        let mut out = Vec::new();
        let picture = Picture { file: &[], pixels: &pixels };
        Graphics::Blocks(Colours::True).show(&mut out, &picture, &lines).expect("written");
        let text = String::from_utf8(out).expect("UTF-8");
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 14);
        assert!(
            rows[0].ends_with("\x1b[0m  first") && rows[2].ends_with("\x1b[0m  third") && rows[1].ends_with("\x1b[0m")
        );
        for (row, line) in rows.iter().enumerate() {
            let cells = cells(line);
            assert_eq!(cells.len(), 28, "row {row}");
            for (x, (upper, lower)) in cells.into_iter().enumerate() {
                for (y, colour) in [(2 * row, upper), (2 * row + 1, lower)] {
                    assert_eq!(colour, pixels[3 * (y * 28 + x)..][..3], "{x}, {y}");
                }
            }
        }
    }

    #[test]
    fn text_that_is_longer_than_the_picture_goes_on_below_it() {
        let lines: Vec<String> = (0..20).map(|line| format!("line {line}")).collect();
        let pixels = [9; 3 * 28 * 28];
        for graphics in [Graphics::Blocks(Colours::Palette), Graphics::Iterm, Graphics::Kitty] {
            let mut out = Vec::new();
            graphics.show(&mut out, &Picture { file: b"jpeg", pixels: &pixels }, &lines).expect("written");
            let text = String::from_utf8(out).expect("UTF-8");
            let shown: Vec<&str> = text.lines().filter(|row| row.contains("line ")).collect();
            assert_eq!(shown.len(), 20, "{graphics:?}");
            let last = shown[19];
            assert!(last == format!("{:30}line 19", "") || last == "\x1b[30Cline 19", "{graphics:?}: {last:?}");
        }
    }

    #[test]
    fn colours_of_the_palette_are_near() {
        // Corners of the cube, a grey between its greys, and one of the cube's own colours.
        for (rgb, colour) in [
            ([0, 0, 0], 16),
            ([255, 255, 255], 231),
            ([255, 0, 0], 196),
            ([0, 0, 255], 21),
            ([128, 128, 128], 244),
            ([95, 135, 215], 68),
            ([100, 130, 210], 68),
        ] {
            assert_eq!(palette(rgb), colour, "{rgb:?}");
        }
    }

    #[test]
    fn kitty_gets_all_pixels_in_chunks() {
        let pixels: Vec<u8> = (0..3 * 224 * 224_u32).map(|at| (at * 7) as u8).collect();
        let sequences = kitty(&pixels, 224);
        let chunks: Vec<(&str, &str)> = sequences
            .split_terminator("\x1b\\")
            .map(|sequence| sequence.strip_prefix("\x1b_G").and_then(|rest| rest.split_once(';')).expect("a chunk"))
            .collect();
        assert_eq!(chunks[0].0, "a=T,f=24,s=224,v=224,c=28,r=14,C=1,q=2,m=1");
        assert!(chunks.iter().all(|(_, chunk)| chunk.len() <= 4096 && chunk.len() % 4 == 0));
        let (last, others) = chunks.split_last().expect("chunks");
        assert!(others[1..].iter().all(|(keys, _)| *keys == "m=1") && last.0 == "m=0");
        let encoded: String = chunks.iter().map(|(_, chunk)| *chunk).collect();
        assert_eq!(STANDARD.decode(encoded).expect("base64"), pixels);
        // A small one is one sequence.
        assert!(kitty(&[1, 2, 3], 1).ends_with("q=2,m=0;AQID\x1b\\"));
    }

    #[test]
    fn iterm_gets_the_file_as_it_is() {
        let sequence = iterm(b"Hello");
        assert!(sequence.starts_with("\x1b]1337;File=inline=1;size=5;width=28;height=14;"), "{sequence:?}");
        assert!(sequence.ends_with(":SGVsbG8=\x07"), "{sequence:?}");
    }
}
