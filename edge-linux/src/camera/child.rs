//! Programs that the camera starts.

use std::process::Command;

/// The variables that hold secrets of this program: the page's token, the broker's password.
const SECRETS: [&str; 2] = ["TINCEPTION_TOKEN", "TINCEPTION_MQTT_PASSWORD"];

/// Keeps this program's secrets out of the environment of another one.
pub(crate) fn without_secrets(command: &mut Command) -> &mut Command {
    for secret in SECRETS {
        command.env_remove(secret);
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Whatever the command line takes from the environment without showing it.
    #[test]
    fn every_hidden_variable_is_known() {
        let program = crate::cli::Cli::command();
        let camera = program.find_subcommand("camera").unwrap();
        for arg in camera.get_arguments().filter(|arg| arg.is_hide_env_values_set()) {
            let variable = arg.get_env().unwrap().to_str().unwrap();
            assert!(SECRETS.contains(&variable), "{variable}");
        }
    }
}
