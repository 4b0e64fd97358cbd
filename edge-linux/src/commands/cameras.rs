//! `tinception cameras`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::camera::sources::v4l2;
use crate::output::json;

/// Arguments of `cameras`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
`tinception camera` does not support the formats in brackets.\n\n\
Examples:\n  tinception cameras\n  tinception camera v4l2:/dev/video0 --width 1280 --height 720 --format mjpeg")]
pub(crate) struct Args {
    /// Print one JSON document: a list with an object for each device
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<ExitCode> {
    let devices = v4l2::list()?;
    if args.json {
        json(out, &devices)?;
        return Ok(ExitCode::SUCCESS);
    }
    if devices.is_empty() {
        writeln!(
            out,
            "No Video4Linux camera was found. Plug one in; docs/camera.md explains how to use cameras on ribbon cables."
        )?;
    }
    for device in devices {
        writeln!(out, "v4l2:{}  {}", device.device.display(), device.name)?;
        for name in device.names {
            writeln!(out, "  also v4l2:{}", name.display())?;
        }
        for format in device.formats {
            let code = if format.understood { format.code } else { format!("[{}]", format.code) };
            writeln!(out, "  {code:<6}  {}", format.sizes.join(" "))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
