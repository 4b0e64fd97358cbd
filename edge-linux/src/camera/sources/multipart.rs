//! The parts of a multipart body (RFC 2046), as network cameras send their pictures: `multipart/x-mixed-replace`.

use std::io::{self, BufRead, Read as _};

use super::LARGEST_FRAME;

/// Longest line of a part's header.
const LONGEST_LINE: u64 = 8192;
/// Most lines of a part's header.
const MOST_LINES: usize = 64;

/// The boundary that a content type names.
pub(super) fn boundary(kind: &str) -> Option<String> {
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    // A semicolon in quotes is part of the value.
    let mut quoted = false;
    let mut parameters = parameters.split(|letter| {
        quoted ^= letter == '"';
        letter == ';' && !quoted
    });
    parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty()).then(|| value.to_owned())
    })
}

/// The parts of a multipart body, one after the other.
pub(super) struct Parts<R> {
    input: R,
    /// Two hyphens and the boundary, without hyphens that some cameras count to the boundary itself.
    delimiter: Vec<u8>,
    /// Whether a delimiter was seen.
    known: bool,
    line: Vec<u8>,
}

impl<R: BufRead> Parts<R> {
    pub(super) fn new(input: R, boundary: &str) -> Self {
        let delimiter = format!("--{}", boundary.trim_start_matches('-')).into_bytes();
        Self { input, delimiter, known: false, line: Vec::new() }
    }

    pub(super) const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads the next part into `bytes`; `false` at the end.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let mut searched = 0;
            while !self.is_delimiter() {
                if !self.next_line()? {
                    return Ok(false);
                }
                if !self.known {
                    self.adopt();
                }
                searched += self.line.len();
                if searched > LARGEST_FRAME {
                    return Err(io::Error::other("no frame begins where one should"));
                }
            }
            self.known = true;
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

    /// Some cameras name another boundary than the one that they send: what stands in front of the first part is right.
    fn adopt(&mut self) {
        let line = self.line.trim_ascii_end();
        if line.len() > 2 && line.starts_with(b"--") && line.iter().all(u8::is_ascii_graphic) {
            let name = line.iter().position(|byte| *byte != b'-').unwrap_or(line.len());
            self.delimiter = [b"--", &line[name..]].concat();
        }
    }

    /// Whether the line that was read last is a delimiter.
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
                && name.trim_end().eq_ignore_ascii_case("content-length")
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
            // Cameras leave out the line's end, too.
            let line = self.line.trim_ascii_end();
            if let Some(data) = line.strip_suffix(&self.delimiter[..])
                && data.ends_with(&[0xFF, 0xD9])
            {
                bytes.extend_from_slice(data);
                self.line = self.delimiter.clone();
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
    use super::*;

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
        assert_eq!(boundary("multipart/x-mixed-replace; charset=utf-8; boundary=\"a;b=c\""), Some("a;b=c".into()));
        assert_eq!(boundary("multipart/x-mixed-replace; boundary="), None);
        assert_eq!(boundary("multipart/x-mixed-replace"), None);
    }

    #[test]
    fn a_boundary_that_is_not_the_one_named() {
        let body = b"--real\r\nContent-Length: 1\r\n\r\nx\r\n--real\r\nContent-Length : 1\r\n\r\ny\r\n--real--\r\n";
        assert_eq!(parts(body, "named"), [b"x", b"y"]);
        let body = b"\r\n--real\n\nab\xFF\xD9--real\n\ncd\xFF\xD9\n--real--\n";
        assert_eq!(parts(body, "named"), [b"ab\xFF\xD9", b"cd\xFF\xD9"]);
    }

    #[test]
    fn the_end_of_a_line_may_be_missing() {
        let body = b"--b\r\nA: b\r\n\r\nx\xFF\xD9--b\r\nA: b\r\n\r\ny\r\n--b\r\n";
        assert_eq!(parts(body, "b"), [&b"x\xFF\xD9"[..], b"y"]);
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
}
