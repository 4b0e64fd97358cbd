//! The program that watches the camera, and its lines.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// More frames than the camera's queue, the program's mailbox and its network hold together: a frame so many behind one that
/// was captured before a picture was shown shows that picture.
const UNDER_WAY: u64 = 8;

/// The program at work.
pub(crate) struct Watcher {
    child: Child,
    lines: Receiver<String>,
    taken: u64,
}

impl Watcher {
    /// Starts it.
    pub(crate) fn start(program: &str, arguments: &[String]) -> io::Result<Self> {
        let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the program has no stdout"))?;
        let (sender, lines) = mpsc::channel();
        // Lines are taken from the pipe as they come, so that those from before a picture can be told from those after it.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines, taken: 0 })
    }

    /// The first line about a frame that was certainly captured after this was called, and how many lines came up to it.
    pub(crate) fn next_picture(&mut self) -> io::Result<(u64, String)> {
        self.taken += self.lines.try_iter().count() as u64;
        // A line may have been on its way; the one behind it was written after the call.
        self.line()?;
        let seen = number(&self.line()?, "captured")?;
        loop {
            let line = self.line()?;
            if number(&line, "frame")? >= seen + UNDER_WAY {
                return Ok((self.taken, line));
            }
        }
    }

    /// Ends the program as systemd does, and returns its last line.
    pub(crate) fn end(mut self) -> io::Result<String> {
        let status = Command::new("/bin/busybox").args(["kill", "-TERM", &self.child.id().to_string()]).status()?;
        if !status.success() {
            return Err(io::Error::other("the program had ended before its time"));
        }
        let last = self.lines.iter().last();
        match self.child.wait()? {
            status if status.success() => last.ok_or_else(|| io::Error::other("the program gave no account")),
            status => Err(io::Error::other(format!("the program ended with {status}"))),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let Ok(line) = self.lines.recv() else {
            return Err(io::Error::other(format!("the program ended with {}", self.child.wait()?)));
        };
        self.taken += 1;
        Ok(line)
    }
}

/// The number that stands behind a name in a JSON object, where the name stands last: the page's updates have rates of the
/// same names in front of the counts.
pub(crate) fn number(json: &str, name: &str) -> io::Result<u64> {
    let key = format!("\"{name}\":");
    let digits = json.rsplit_once(&key).map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| io::Error::other(format!("no {name} in {json}")))
}
