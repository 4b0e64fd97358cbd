//! Runs a page's blocks one after the other, in a folder with the files that they assume.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{pages, prepared};

/// Programs found before those of the machine; each says in its first lines what it does.
const STAND_INS: [(&str, &str); 5] = [
    ("tinception", include_str!("stand-ins/tinception")),
    ("cargo", include_str!("stand-ins/cargo")),
    ("curl", include_str!("stand-ins/curl")),
    ("rpicam-vid", include_str!("stand-ins/rpicam-vid")),
    ("gst-launch-1.0", include_str!("stand-ins/gst-launch-1.0")),
];
/// A block that runs for longer hangs, in seconds.
const LIMIT: &str = "120";

/// Where a page's blocks run.
pub(crate) struct Shell {
    folder: TempDir,
    tools: TempDir,
    /// What the last block printed, standard error included.
    pub(crate) printed: String,
}

impl Shell {
    /// A folder with all that the pages assume.
    pub(crate) fn new() -> Self {
        let (folder, tools) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        prepared::fill(folder.path());
        for (name, text) in STAND_INS {
            let path = tools.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        }
        // The program that `cargo demo` has built.
        fs::create_dir_all(folder.path().join("target/release")).expect("made");
        symlink(tools.path().join("tinception"), folder.path().join("target/release/tinception")).expect("linked");
        Self { folder, tools, printed: String::new() }
    }

    /// Runs a block of shell commands, of which none may fail.
    pub(crate) fn run(&mut self, commands: &str) -> Result<(), String> {
        let path = std::env::var("PATH").expect("a path");
        let script = format!("exec 2>&1\n{commands}");
        let output = Command::new("timeout")
            .args(["--kill-after=5", LIMIT, "bash", "-euo", "pipefail", "-c", &script])
            .current_dir(&self.folder)
            .env_remove("TINCEPTION_TOKEN")
            .env("PATH", format!("{}:{path}", self.tools.path().display()))
            .env("DOCUMENTED_PATH", path)
            .env("DOCUMENTED_PROGRAM", env!("CARGO_BIN_EXE_tinception"))
            .env("DOCUMENTED_PHOTOS", self.folder.path().join("photos"))
            .env("DOCUMENTED_ROOT", pages::root())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("timeout: {error}"))?;
        self.printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{}\n{}", output.status, self.printed)) }
    }

    /// Has the program read a file of the camera's options, and run with them.
    pub(crate) fn run_with_options(&mut self, options: &str) -> Result<(), String> {
        fs::write(self.folder.path().join("options.toml"), options).expect("written");
        self.run("tinception camera --config options.toml --serve")
    }

    /// Whether the last block printed these lines, in this order. `...` stands for anything, other lines may lie between,
    /// and the width of gaps doesn't count, nor do the figures of an example.
    pub(crate) fn has_printed(&self, lines: &str, is_example: bool) -> Result<(), String> {
        let plain = |line| if is_example { without_figures(&gaps_of_one(line)) } else { gaps_of_one(line) };
        let mut printed = self.printed.lines().map(plain);
        for line in lines.lines().map(plain) {
            if !printed.any(|printed| is_like(&printed, &line)) {
                return Err(format!("{line:?} is not in what was printed, or not in this order:\n{}", self.printed));
            }
        }
        Ok(())
    }
}

/// The line with one space for each run of spaces.
fn gaps_of_one(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line with one 0 for each number.
fn without_figures(line: &str) -> String {
    let mut plain = String::new();
    for sign in line.chars() {
        let goes_on = plain.ends_with('0') && (sign.is_ascii_digit() || ",.".contains(sign));
        if !goes_on {
            plain.push(if sign.is_ascii_digit() { '0' } else { sign });
        }
    }
    plain
}

/// Whether `line` is `pattern`, in which `...` stands for anything.
fn is_like(line: &str, pattern: &str) -> bool {
    let Some((front, rest)) = pattern.split_once("...") else { return line == pattern };
    let Some(line) = line.strip_prefix(front) else { return false };
    (0..=line.len()).filter(|&end| line.is_char_boundary(end)).any(|end| is_like(&line[end..], rest))
}

#[test]
fn figures_of_an_example_do_not_count() {
    assert_eq!(without_figures("about 13,296,761: 3 of 40.5 %, a"), "about 0: 0 of 0 %, a");
}

#[test]
fn dots_stand_for_anything() {
    assert!(is_like("cat 93.1 % in 2 ms", "cat ... % in ... ms") && is_like("cat", "cat") && is_like("cat", "..."));
    assert!(
        !is_like("cat 93.1 % in 2 ms", "cat ... % in ... s") && !is_like("a cat", "cat...") && !is_like("cats", "cat")
    );
}
