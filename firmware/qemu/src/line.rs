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
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.push(byte);
        }
        self
    }

    /// Adds eight hexadecimal digits.
    #[must_use]
    pub fn hex(mut self, value: u32) -> Self {
        for shift in (0..32).step_by(4).rev() {
            let digit = (value >> shift & 15) as u8;
            self.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        }
        self
    }

    /// Adds a decimal number.
    #[must_use]
    pub fn number(mut self, value: i32) -> Self {
        if value < 0 {
            self.push(b'-');
        }
        let mut rest = value.unsigned_abs();
        let mut digits = [0; 10];
        let mut count = 0;
        for digit in &mut digits {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            count += 1;
            if rest == 0 {
                break;
            }
        }
        for digit in digits.iter().take(count).rev() {
            self.push(*digit);
        }
        self
    }

    /// Prints it with a line end, and leaves it empty.
    pub fn print(mut self) {
        self.push(b'\n');
        machine::print(self.bytes.get(..self.length).unwrap_or_default());
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}
