//! Hashes of files, as publishers state them.

use std::fmt;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a file's content, whole: a file with a part of it, as the eight digits in the names of PyTorch's files,
/// is found in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest<'a>(&'a str);

impl<'a> Digest<'a> {
    /// From all 64 hexadecimal digits, lower case.
    ///
    /// # Panics
    /// There are not 64 of them: in a constant, that does not compile.
    #[must_use]
    pub const fn sha256(digits: &'a str) -> Self {
        assert!(digits.len() == 64, "a SHA-256 has 64 digits");
        Self(digits)
    }

    /// Its digits.
    #[must_use]
    pub const fn digits(self) -> &'a str {
        self.0
    }

    /// The digits of a stream's hash.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of(mut source: impl Read) -> io::Result<String> {
        let (mut chunk, mut hash) = (vec![0; 1 << 16], Sha256::new());
        loop {
            match source.read(&mut chunk) {
                Ok(0) => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                Ok(count) => hash.update(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether a hash that [`of`](Self::of) gave is the published one.
    #[must_use]
    pub fn matches(self, found: &str) -> bool {
        found == self.0
    }
}

impl fmt::Display for Digest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA-256 {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's example for "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_are_the_standards() {
        let digest = Digest::sha256(ABC);
        assert_eq!(Digest::of(&b"abc"[..]).unwrap(), ABC);
        assert!(digest.matches(ABC));
        assert_eq!(digest.to_string(), format!("SHA-256 {ABC}"));
    }

    #[test]
    fn a_part_of_a_hash_is_no_hash() {
        let digest = Digest::sha256(ABC);
        let mut almost = ABC.to_owned();
        almost.replace_range(8.., &"0".repeat(56));
        assert!(!digest.matches(&almost) && !digest.matches(&ABC[..8]) && !digest.matches(""));
        assert!(std::panic::catch_unwind(|| Digest::sha256("1378be20")).is_err());
    }
}
