//! JPEG pictures over HTTP, as network cameras and mjpg-streamer send them: one answer without end, of type
//! `multipart/x-mixed-replace`, whose parts are the frames (RFC 2046).

use std::io::{self, BufRead, BufReader, Read as _};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tinception_core::image::Size;
use ureq::BodyReader;

use super::{Read, Source};
use crate::camera::frame::{Frame, FrameFormat, Layout};

/// Longest line of a part's header.
const LONGEST_LINE: u64 = 8192;
/// Most lines of a part's header.
const MOST_LINES: usize = 64;
/// Largest frame that is read.
const LARGEST_FRAME: usize = 32 << 20;

/// A connection to a camera.
pub(super) struct Stream {
    address: String,
    parts: Parts<BufReader<BodyReader<'static>>>,
}

impl Stream {
    /// Connects. Nothing may take longer than `silence`.
    pub(super) fn open(address: &str, silence: Duration) -> Result<Self> {
        let config = ureq::Agent::config_builder()
            .timeout_resolve(Some(silence))
            .timeout_connect(Some(silence))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .build();
        let named = || address.to_owned();
        let response = ureq::Agent::new_with_config(config).get(address).call().with_context(named)?;
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = boundary(kind).ok_or_else(|| {
            anyhow!(
                "{address}: answers with '{kind}', not with multipart/x-mixed-replace; give the address of its stream"
            )
        })?;
        let reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        Ok(Self {
            address: address.to_owned(),
            parts: Parts::new(BufReader::with_capacity(1 << 16, reader), &boundary),
        })
    }
}

impl Source for Stream {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        frame.layout = Layout { format: FrameFormat::Mjpeg, size: Size::new(0, 0), stride: 0 };
        match self.parts.next(&mut frame.bytes) {
            Ok(true) => Ok(Read::Frame),
            // A camera's stream has no end: it comes back.
            Ok(false) => bail!("{}: the camera ended its stream", self.address),
            Err(error) => Err(error).with_context(|| self.address.clone()),
        }
    }
}

/// The boundary that a content type names.
fn boundary(kind: &str) -> Option<String> {
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty()).then(|| value.to_owned())
    })
}

/// The parts of a multipart body, one after the other.
struct Parts<R> {
    input: R,
    /// Two hyphens and the boundary, without hyphens that some cameras count to the boundary itself.
    delimiter: Vec<u8>,
    line: Vec<u8>,
}

impl<R: BufRead> Parts<R> {
    fn new(input: R, boundary: &str) -> Self {
        let delimiter = format!("--{}", boundary.trim_start_matches('-')).into_bytes();
        Self { input, delimiter, line: Vec::new() }
    }

    /// Reads the next part into `bytes`; `false` at the end.
    fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let mut searched = 0;
            while !self.is_delimiter() {
                if !self.next_line()? {
                    return Ok(false);
                }
                searched += self.line.len();
                if searched > LARGEST_FRAME {
                    return Err(io::Error::other("no frame begins where one should"));
                }
            }
            match self.header()? {
                None => return Ok(false),
                Some(Some(length)) if length > LARGEST_FRAME => {
                    return Err(io::Error::other(format!("a frame of {length} bytes is too large")));
                }
                Some(Some(length)) if length > 0 => {
                    bytes.resize(length, 0);
                    self.input.read_exact(bytes)?;
                }
                Some(_) => self.up_to_delimiter(bytes)?,
            }
            if !bytes.is_empty() {
                return Ok(true);
            }
        }
    }

    fn next_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut limited = self.input.by_ref().take(LONGEST_LINE);
        Ok(limited.read_until(b'\n', &mut self.line)? > 0)
    }

    /// Whether the line that was read last is, or ends in, a delimiter.
    fn is_delimiter(&self) -> bool {
        let line = self.line.trim_ascii_end();
        let hyphens = line.iter().take_while(|byte| **byte == b'-').count();
        let name = self.delimiter.get(2..).unwrap_or_default();
        hyphens >= 2 && line.get(hyphens..).is_some_and(|rest| rest.starts_with(name))
    }

    /// Reads a part's header: the length that it states, if it does; `None` where the body ends.
    fn header(&mut self) -> io::Result<Option<Option<usize>>> {
        let mut length = None;
        for _ in 0..MOST_LINES {
            if !self.next_line()? {
                return Ok(None);
            }
            let line = self.line.trim_ascii();
            if line.is_empty() {
                return Ok(Some(length));
            }
            let line = String::from_utf8_lossy(line);
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        Err(io::Error::other("a frame's header has no end"))
    }

    /// Reads up to the next delimiter, where no length is stated.
    fn up_to_delimiter(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        bytes.clear();
        while self.next_line()? {
            if self.is_delimiter() {
                // The line's end in front of the delimiter belongs to the delimiter.
                let end = if bytes.ends_with(b"\r\n") { 2 } else { 1 };
                bytes.truncate(bytes.len().saturating_sub(end));
                return Ok(());
            }
            if bytes.len() + self.line.len() > LARGEST_FRAME {
                return Err(io::Error::other("a frame has no end"));
            }
            bytes.extend_from_slice(&self.line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::camera::testing::jpeg;

    fn parts(body: &[u8], boundary: &str) -> Vec<Vec<u8>> {
        let mut parts = Parts::new(body, boundary);
        let (mut bytes, mut all) = (Vec::new(), Vec::new());
        while parts.next(&mut bytes).unwrap() {
            all.push(bytes.clone());
        }
        all
    }

    #[test]
    fn parts_with_and_without_a_length() {
        let with = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\na\n--b\r\n--b\r\ncontent-length:2\r\n\r\ncd\r\n--b--\r\n";
        assert_eq!(parts(with, "b"), [&b"a\n--b"[..], b"cd"]);
        let without = b"\r\n--b\r\nContent-Type: image/jpeg\r\n\r\na\nb\r\n\r\n--b\r\n\r\nc\r\n--b\r\n";
        assert_eq!(parts(without, "b"), [&b"a\nb\r\n"[..], b"c"]);
    }

    #[test]
    fn cameras_that_count_the_hyphens_to_the_boundary() {
        let body = b"--myboundary\r\nContent-Length: 1\r\n\r\nx\r\n--myboundary\r\nContent-Length: 1\r\n\r\ny\r\n";
        assert_eq!(parts(body, "--myboundary"), [b"x", b"y"]);
        assert_eq!(boundary("multipart/x-mixed-replace; boundary=\"a b\""), Some("a b".into()));
        assert_eq!(boundary("Multipart/x-mixed-replace;Boundary=--q"), Some("--q".into()));
        assert_eq!(boundary("image/jpeg"), None);
    }

    #[test]
    fn hostile_streams_end_in_errors() {
        let huge = b"--b\r\nContent-Length: 99999999999\r\n\r\nx";
        assert!(Parts::new(&huge[..], "b").next(&mut Vec::new()).is_err());
        let endless = [&b"--b\r\n"[..], &b"a: b\r\n".repeat(100)].concat();
        assert!(Parts::new(&endless[..], "b").next(&mut Vec::new()).is_err());
        let cut = b"--b\r\nContent-Length: 10\r\n\r\nx";
        assert!(Parts::new(&cut[..], "b").next(&mut Vec::new()).is_err());
    }

    fn answer(connection: &mut TcpStream, frames: usize) {
        let mut request = [0; 1024];
        let _ = io::Read::read(connection, &mut request).unwrap();
        let header = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";
        connection.write_all(header.as_bytes()).unwrap();
        for _ in 0..frames {
            let picture = jpeg(32, 24);
            write!(connection, "--frame\r\nContent-Length: {}\r\n\r\n", picture.len()).unwrap();
            connection.write_all(&picture).unwrap();
            connection.write_all(b"\r\n").unwrap();
        }
    }

    #[test]
    fn a_camera_that_falls_silent_is_an_error_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/stream", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            answer(&mut connection, 2);
            // Silent, until the other side gives up.
            let _ = io::Read::read(&mut connection, &mut [0]);
        });
        let mut stream = Stream::open(&address, Duration::from_millis(300)).unwrap();
        let mut frame = Frame::default();
        for _ in 0..2 {
            assert_eq!(stream.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!(frame.bytes, jpeg(32, 24));
        }
        let start = Instant::now();
        let error = format!("{:#}", stream.read(&mut frame).unwrap_err());
        assert!(error.starts_with(&address), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(stream);
        server.join().unwrap();
    }
}
