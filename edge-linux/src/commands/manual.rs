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
    clap_mangen::generate_to(packaged(), folder("man")?)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut packaged(), "tinception", folder(&shell.to_string())?)?;
    }
    Ok(ExitCode::SUCCESS)
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
