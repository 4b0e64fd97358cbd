//! Lines of output without `core::fmt`, which brings panicking code and kilobytes.

use crate::machine;

/// A line that is put together and printed. What does not fit is left out.
#[derive(Debug)]
pub struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 160], length: 0 }
    }
}

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes() {
            self.push(byte);
        }
        self
    }

    /// Adds eight hexadecimal digits.
    pub fn hex(&mut self, value: u32) -> &mut Self {
        for shift in (0..32).step_by(4).rev() {
            let digit = (value >> shift & 15) as u8;
            self.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
        self
    }

    /// Adds a decimal number.
    pub fn number(&mut self, value: i32) -> &mut Self {
        if value < 0 {
            self.push(b'-');
        }
        let value = value.unsigned_abs();
        let mut unit = 1_000_000_000;
        while unit > 0 {
            if unit == 1 || value >= unit {
                self.push(b'0' + (value / unit % 10) as u8);
            }
            unit /= 10;
        }
        self
    }

    /// Prints it with a line end, and leaves it empty.
    pub fn print(&mut self) {
        self.push(b'\n');
        machine::print(self.bytes.get(..self.length).unwrap_or_default());
        self.length = 0;
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}
