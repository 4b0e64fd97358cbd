//! Hashes of files, as publishers state them.

use std::fmt;
use std::io::{self, Read};

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What a publisher says about a file's content, in lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest<'a> {
    /// SHA-256, whole or its first digits.
    Sha256(&'a str),
    /// SHA-1, whole.
    Sha1(&'a str),
}

impl Digest<'_> {
    /// The digits of a stream's hash, of the same kind.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of(self, mut source: impl Read) -> io::Result<String> {
        let mut chunk = vec![0; 1 << 16];
        let mut feed = |update: &mut dyn FnMut(&[u8])| -> io::Result<()> {
            loop {
                match source.read(&mut chunk) {
                    Ok(0) => return Ok(()),
                    Ok(count) => update(&chunk[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        };
        Ok(match self {
            Self::Sha256(_) => {
                let mut hash = Sha256::new();
                feed(&mut |bytes| hash.update(bytes))?;
                hexadecimal(&hash.finalize())
            }
            Self::Sha1(_) => {
                let mut hash = Sha1::new();
                feed(&mut |bytes| hash.update(bytes))?;
                hexadecimal(&hash.finalize())
            }
        })
    }

    /// Whether a hash that [`of`](Self::of) gave is the published one.
    #[must_use]
    pub fn matches(self, found: &str) -> bool {
        match self {
            Self::Sha256(digits) => !digits.is_empty() && found.starts_with(digits),
            Self::Sha1(digits) => found == digits,
        }
    }
}

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digits) if digits.len() < 64 => write!(f, "SHA-256 {digits}..."),
            Self::Sha256(digits) => write!(f, "SHA-256 {digits}"),
            Self::Sha1(digits) => write!(f, "SHA-1 {digits}"),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_standards() {
        // FIPS 180-4's examples for "abc".
        let sha256 = Digest::Sha256("ba7816bf");
        let found = sha256.of(&b"abc"[..]).unwrap();
        assert_eq!(found, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(sha256.matches(&found) && !Digest::Sha256("ba7816be").matches(&found));
        assert!(!Digest::Sha256("").matches(&found));
        let sha1 = Digest::Sha1("a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(sha1.matches(&sha1.of(&b"abc"[..]).unwrap()));
        assert!(!Digest::Sha1("a9993e36").matches(&sha1.of(&b"abc"[..]).unwrap()));
        assert_eq!(sha256.to_string(), "SHA-256 ba7816bf...");
    }
}
