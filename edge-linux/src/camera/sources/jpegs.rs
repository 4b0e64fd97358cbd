//! JPEG pictures one after the other, told apart by their own markers (ITU-T T.81, annex B): what cameras send that name no
//! boundary, and what programs write into pipes. What lies between the pictures is passed over.

use std::io::{self, BufRead, Read as _};

use super::LARGEST_FRAME;

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;

/// What the stream of pictures had next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A whole picture.
    Picture,
    /// A picture that breaks off where another one starts.
    Broken,
    /// The input ended within a picture.
    Cut,
    /// The input ended.
    End,
}

/// The pictures of an input.
pub(super) struct Jpegs<R> {
    input: R,
    /// Whether the next picture's first marker was read already.
    started: bool,
}

impl<R: BufRead> Jpegs<R> {
    pub(super) const fn new(input: R) -> Self {
        Self { input, started: false }
    }

    pub(super) const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Reads the next picture into `bytes`.
    ///
    /// # Errors
    /// What the input says; a picture without an end; so many bytes that are no picture.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<Next> {
        bytes.clear();
        if !std::mem::take(&mut self.started) && !self.find_start(bytes)? {
            return Ok(Next::End);
        }
        bytes.clear();
        bytes.extend([0xFF, START_OF_IMAGE]);
        loop {
            // What lies in front of the marker is a scan's data.
            let Some(marker) = self.marker(bytes)? else { return Ok(Next::Cut) };
            match marker {
                END_OF_IMAGE => return Ok(Next::Picture),
                START_OF_IMAGE => {
                    self.started = true;
                    return Ok(Next::Broken);
                }
                // A stuffed zero and what else has no length: the scan goes on.
                0x00 | 0x01 | 0xD0..=0xD7 => {}
                _ => {
                    let (Some(high), Some(low)) = (self.byte(bytes)?, self.byte(bytes)?) else {
                        return Ok(Next::Cut);
                    };
                    let length = u64::from(u16::from_be_bytes([high, low])).saturating_sub(2);
                    if self.input.by_ref().take(length).read_to_end(bytes)? as u64 != length {
                        return Ok(Next::Cut);
                    }
                }
            }
        }
    }

    /// Passes over all up to a picture's first marker. `bytes` is for what is passed over.
    fn find_start(&mut self, bytes: &mut Vec<u8>) -> io::Result<bool> {
        let mut passed = 0;
        loop {
            bytes.clear();
            match self.marker(bytes)? {
                Some(START_OF_IMAGE) => return Ok(true),
                Some(_) => passed += bytes.len(),
                None => return Ok(false),
            }
            if passed > LARGEST_FRAME {
                return Err(io::Error::other("there is no JPEG picture in it"));
            }
        }
    }

    /// Reads up to the next marker, with it. `None` at the input's end.
    fn marker(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u8>> {
        let room = (LARGEST_FRAME + 1).saturating_sub(bytes.len());
        self.input.by_ref().take(room as u64).read_until(0xFF, bytes)?;
        if bytes.len() > LARGEST_FRAME {
            return Err(io::Error::other("a JPEG picture has no end"));
        }
        if bytes.last() != Some(&0xFF) {
            return Ok(None);
        }
        loop {
            match self.byte(bytes)? {
                // A fill byte in front of the marker.
                Some(0xFF) if bytes.len() <= LARGEST_FRAME => {}
                marker => return Ok(marker),
            }
        }
    }

    fn byte(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u8>> {
        Ok((self.input.by_ref().take(1).read_to_end(bytes)? == 1).then(|| bytes.last().copied()).flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::testing::jpeg;

    /// What comes of an input that arrives in pieces of some bytes.
    fn all(input: &[u8], piece: usize) -> (Vec<Vec<u8>>, Vec<Next>) {
        let mut jpegs = Jpegs::new(io::BufReader::with_capacity(piece, input));
        let (mut bytes, mut pictures, mut others) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match jpegs.next(&mut bytes).unwrap() {
                Next::Picture => pictures.push(bytes.clone()),
                other => others.push(other),
            }
            if matches!(others.last(), Some(Next::End | Next::Cut)) {
                return (pictures, others);
            }
        }
    }

    #[test]
    fn pictures_come_whole_whatever_lies_between_them() {
        let (one, two) = (jpeg(33, 17), jpeg(64, 48));
        let head = b"--x\r\nContent-Type: image/jpeg\r\nX: \xFF\xFE\xFF\r\n\r\n";
        for between in [&b""[..], b"\r\n", head, b"\xFF", b"\xFF\xFF\xFF"] {
            let input = [between, &one, between, &two, between, &one, between].concat();
            for piece in [1, 7, 4096] {
                let (pictures, others) = all(&input, piece);
                assert_eq!(pictures, [&one[..], &two, &one], "{between:?} in pieces of {piece}");
                assert_eq!(others, [Next::End]);
            }
        }
    }

    /// A photo's thumbnail lies in its header, with markers of its own.
    #[test]
    fn a_picture_within_a_picture_is_none() {
        let (thumbnail, photo) = (jpeg(16, 16), jpeg(40, 30));
        let length = (thumbnail.len() as u16 + 2).to_be_bytes();
        let photo = [&photo[..2], &[0xFF, 0xE1], &length, &thumbnail, &photo[2..]].concat();
        assert_eq!(all(&[&photo[..], &photo].concat(), 64).0, [&photo[..], &photo]);
    }

    #[test]
    fn what_is_cut_is_told() {
        let good = jpeg(33, 17);
        let scan = good.len() - 40;
        assert_eq!(all(&[&good[..scan], &good[..]].concat(), 64), (vec![good.clone()], vec![Next::Broken, Next::End]));
        for length in 2..good.len() {
            assert_eq!(all(&good[..length], 64), (vec![], vec![Next::Cut]), "{length}");
        }
        assert_eq!(all(b"", 64), (vec![], vec![Next::End]));
        assert_eq!(all(b"<html>\xFF</html>", 64), (vec![], vec![Next::End]));
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        let endless = io::BufReader::new(io::Cursor::new([0xFF, 0xD8]).chain(io::repeat(7)));
        assert!(Jpegs::new(endless).next(&mut Vec::new()).is_err());
        for byte in [0, 0xFF] {
            let nothing = io::BufReader::new(io::repeat(byte));
            assert!(Jpegs::new(nothing).next(&mut Vec::new()).is_err(), "{byte}");
        }
    }
}
