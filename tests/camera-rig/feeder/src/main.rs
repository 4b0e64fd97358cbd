//! Runs on the emulated board: shows pictures to its camera, one after another, and tells what the program that watches the
//! camera made of each.
//!
//! `camera-rig-feeder FORMAT PICTURE... -- PROGRAM ARGUMENT...`: FORMAT is V4L2's code of four characters, each picture a file
//! of 1280 x 720 pixels in that format. The program is `tinception camera ... --json --serve 127.0.0.1:8080`. On stdout comes a
//! JSON object a line for each picture and one for the program's last line; the exit code is 2 where something is missing.

mod page;
mod screen;
mod watcher;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use screen::Screen;
use watcher::Watcher;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("feeder: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let usage = || io::Error::other("usage: camera-rig-feeder FORMAT PICTURE... -- PROGRAM ARGUMENT...");
    let mut halves = arguments.splitn(2, |argument| argument == "--");
    let (Some([format, pictures @ ..]), Some([program, rest @ ..])) = (halves.next(), halves.next()) else {
        return Err(usage());
    };
    let format: [u8; 4] = format.as_bytes().try_into().map_err(|_| usage())?;
    let Some(first) = pictures.first() else { return Err(usage()) };
    // The camera has a picture before anyone looks: without a signal it shows noise.
    let mut screen = Screen::new(&format)?;
    screen.show(&fs::read(first)?)?;
    let mut watcher = Watcher::start(program, rest)?;
    for picture in pictures {
        screen.show(&fs::read(picture)?)?;
        let (number, line) = watcher.next_picture()?;
        let event = page::event(number)?;
        let metrics = page::classified()?;
        let health = page::status("/healthz")?;
        let name = Path::new(picture).file_name().unwrap_or_default().to_string_lossy();
        tell(&format!(
            r#"{{"picture":"{name}","line":{line},"number":{number},"event":{event},"metrics":{metrics},"health":{health}}}"#
        ))?;
    }
    tell(&format!(r#"{{"end":{}}}"#, watcher.end()?))
}

/// In one piece, so that nothing else gets between.
fn tell(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
