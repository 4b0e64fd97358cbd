//! The live page's answers, as a program on the board gets them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::watcher::number;

const ADDRESS: &str = "127.0.0.1:8080";
/// An emulated processor takes seconds for a frame of a large network.
const PATIENCE: Duration = Duration::from_secs(120);

fn get(path: &str) -> io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
    Ok(BufReader::new(stream))
}

/// The update that tells of the frame `classified`, or of a later one, as JSON.
pub(crate) fn event(classified: u64) -> io::Result<String> {
    for line in get("/events")?.lines() {
        if let Some(update) = line?.strip_prefix("data: ")
            && number(update, "classified")? >= classified
        {
            return Ok(update.to_owned());
        }
    }
    Err(io::Error::other("/events ended"))
}

/// How many frames were classified, as Prometheus is told.
pub(crate) fn classified() -> io::Result<u64> {
    let mut text = String::new();
    get("/metrics")?.read_to_string(&mut text)?;
    let value = text.lines().find_map(|line| line.strip_prefix("tinception_frames_classified_total "));
    value.and_then(|value| value.trim().parse().ok()).ok_or_else(|| io::Error::other(format!("/metrics says {text}")))
}

/// The status code of a path.
pub(crate) fn status(path: &str) -> io::Result<u16> {
    let mut line = String::new();
    get(path)?.read_line(&mut line)?;
    let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.ok_or_else(|| io::Error::other(format!("{path} answers {line}")))
}
