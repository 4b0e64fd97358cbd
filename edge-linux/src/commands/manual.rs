//! `tinception manual`, hidden: what packages hold beside the program, from the definition of its command line.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;

/// Arguments of `manual`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where manual pages (man/) and completions (bash/, zsh/, fish/) go
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = |name: &str| {
        let folder = args.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        anyhow::Ok(folder)
    };
    let pages = folder("man")?;
    clap_mangen::generate_to(packaged(), &pages)?;
    for page in fs::read_dir(&pages).with_context(|| pages.display().to_string())? {
        let page = page.with_context(|| pages.display().to_string())?.path();
        let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        fs::write(&page, kept_lines(&text)).with_context(|| page.display().to_string())?;
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut packaged(), "tinception", folder(&shell.to_string())?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A manual page in which indented lines, which are commands and lists, stay as they are: `man` would break them where a
/// line is full, and stretch them to it.
fn kept_lines(page: &str) -> String {
    let mut kept = String::with_capacity(page.len() + 64);
    let mut is_kept = false;
    for line in page.lines() {
        if line.starts_with(' ') != is_kept {
            is_kept = !is_kept;
            kept += if is_kept { ".nf\n" } else { ".fi\n" };
        }
        kept += line;
        kept.push('\n');
    }
    if is_kept {
        kept += ".fi\n";
    }
    kept
}

/// The command line of the packages' program, which has no hidden command: completions would offer it.
fn packaged() -> Command {
    let whole = Cli::command();
    let commands: Vec<Command> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    Command::new("tinception")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .about(whole.get_about().cloned().unwrap_or_default())
        .after_help(whole.get_after_help().cloned().unwrap_or_default())
        .subcommands(commands)
}

#[cfg(test)]
mod tests {
    use super::kept_lines;

    #[test]
    fn indented_lines_are_kept_and_sentences_are_not() {
        assert_eq!(
            kept_lines(".SH EXTRA\nSources:\n  a  one\n  b  two\n\nText.\n  last\n"),
            ".SH EXTRA\nSources:\n.nf\n  a  one\n  b  two\n.fi\n\nText.\n.nf\n  last\n.fi\n"
        );
        assert_eq!(kept_lines("Text.\n"), "Text.\n");
    }
}
