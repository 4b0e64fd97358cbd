//! ArduCAM Mini 2MP: an OV2640 whose registers are written over I2C, and a frame buffer that is read over SPI.
//!
//! The sensor works in its SVGA mode, 800x600; its signal processor takes the square in the middle, halves it twice
//! and scales it to 96x96 pixels of RGB565, high byte first (OV2640 datasheet, "Register table", device control
//! registers for `0xFF = 00` and `0xFF = 01`). The frame buffer's registers are those of the "ArduChip" (ArduCAM Mini
//! hardware application note): a picture is asked for, a bit says when it is there, then its bytes come in bursts.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use embedded_hal::spi::{Operation, SpiDevice};
use tinception_core::image::{PixelFormat, Size};
use tinception_demo::{Camera, Frame};

use crate::retry::retry;

/// The sensor's address.
pub const ADDRESS: u8 = 0x30;

/// Width and height of the pictures.
pub const SIDE: u32 = 96;

/// The sensor's registers.
mod sensor {
    /// Which bank the other addresses mean.
    pub(super) const BANK: u8 = 0xFF;
    pub(super) const PRODUCT_HIGH: u8 = 0x0A;
    pub(super) const PRODUCT_LOW: u8 = 0x0B;
    pub(super) const COMMON_7: u8 = 0x12;
    pub(super) const RESET: u8 = 0x80;
    pub(super) const DSP: u8 = 0;
    pub(super) const SENSOR: u8 = 1;

    /// SVGA timing and window in the sensor's bank; then, in the processor's, held in reset meanwhile: the array's size,
    /// the square window 600x600 from column 100, two halvings each way, 96x96 out, RGB565.
    pub(super) const SETTINGS: [(u8, u8); 31] = [
        (BANK, SENSOR),
        (0x11, 0x00),
        (COMMON_7, 0x40),
        (0x03, 0x0A),
        (0x32, 0x09),
        (0x17, 0x11),
        (0x18, 0x43),
        (0x19, 0x00),
        (0x1A, 0x4B),
        (0x4F, 0xCA),
        (0x50, 0xA8),
        (0x13, 0xE5),
        (0x14, 0x48),
        (BANK, DSP),
        (0xE0, 0x04),
        (0xC0, 100),
        (0xC1, 75),
        (0x8C, 0x00),
        (0x86, 0x3D),
        (0x50, 0x12),
        (0x51, 150),
        (0x52, 150),
        (0x53, 100),
        (0x54, 0x00),
        (0x55, 0x00),
        (0x57, 0x00),
        (0x5A, 24),
        (0x5B, 24),
        (0x5C, 0x00),
        (0xDA, 0x08),
        (0xE0, 0x00),
    ];
}

/// The frame buffer's registers.
mod buffer {
    pub(super) const TEST: u8 = 0x00;
    pub(super) const FRAMES: u8 = 0x01;
    pub(super) const CONTROL: u8 = 0x04;
    pub(super) const CLEAR_DONE: u8 = 0x01;
    pub(super) const START: u8 = 0x02;
    pub(super) const RESET_READ: u8 = 0x10;
    pub(super) const RESET_WRITE: u8 = 0x20;
    pub(super) const BURST: u8 = 0x3C;
    pub(super) const STATUS: u8 = 0x41;
    pub(super) const DONE: u8 = 0x08;
    pub(super) const LENGTH: [u8; 3] = [0x42, 0x43, 0x44];
    pub(super) const WRITE: u8 = 0x80;
}

/// Questions for a picture before it counts as lost. At 15 pictures in a second and a main loop that asks every
/// millisecond this is some fifteen times what it takes.
pub const MAX_POLLS: u32 = 1000;

/// Bytes that a call of `poll` fetches.
pub const CHUNK: usize = 1024;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<I, S> {
    /// The sensor's bus, three times in a row.
    I2c(I),
    /// The frame buffer's bus.
    Spi(S),
    /// Nothing, or something else, answers on SPI: what the test register gave back.
    NoBuffer(u8),
    /// Another sensor answers: its product number.
    WrongChip(u16),
    /// The picture never came.
    NeverDone,
    /// The picture is too short: its bytes.
    TooShort(u32),
}

/// Where a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Waiting(u32),
    Reading(usize),
}

/// An ArduCAM Mini 2MP on an I2C and an SPI bus.
#[derive(Debug)]
pub struct ArduCam<I, S> {
    i2c: I,
    spi: S,
    state: State,
}

impl<I: I2c, S: SpiDevice> ArduCam<I, S> {
    /// The camera on these buses; nothing is sent. SPI mode 0, at most 8 MHz.
    pub const fn new(i2c: I, spi: S) -> Self {
        Self { i2c, spi, state: State::Idle }
    }

    /// The buses back.
    pub fn release(self) -> (I, S) {
        (self.i2c, self.spi)
    }

    /// Looks for both chips, resets the sensor and sets it up.
    pub fn init(&mut self, delay: &mut impl DelayNs) -> Result<(), Error<I::Error, S::Error>> {
        self.write(buffer::TEST, 0x55)?;
        let answer = self.read(buffer::TEST)?;
        if answer != 0x55 {
            return Err(Error::NoBuffer(answer));
        }
        self.set(sensor::BANK, sensor::SENSOR)?;
        let product = u16::from_be_bytes([self.get(sensor::PRODUCT_HIGH)?, self.get(sensor::PRODUCT_LOW)?]);
        // 0x2640 to 0x2642, by revision.
        if !(0x2640..=0x2642).contains(&product) {
            return Err(Error::WrongChip(product));
        }
        self.set(sensor::COMMON_7, sensor::RESET)?;
        delay.delay_ms(100);
        for (register, value) in sensor::SETTINGS {
            self.set(register, value)?;
        }
        self.write(buffer::FRAMES, 0)?;
        self.state = State::Idle;
        Ok(())
    }

    fn get(&mut self, register: u8) -> Result<u8, Error<I::Error, S::Error>> {
        let mut value = [0];
        // SCCB has no repeated start: two transfers.
        retry(|| {
            self.i2c.write(ADDRESS, &[register])?;
            self.i2c.read(ADDRESS, &mut value)
        })
        .map_err(Error::I2c)?;
        Ok(value[0])
    }

    fn set(&mut self, register: u8, value: u8) -> Result<(), Error<I::Error, S::Error>> {
        retry(|| self.i2c.write(ADDRESS, &[register, value])).map_err(Error::I2c)
    }

    fn read(&mut self, register: u8) -> Result<u8, Error<I::Error, S::Error>> {
        let mut value = [0];
        self.spi.transaction(&mut [Operation::Write(&[register]), Operation::Read(&mut value)]).map_err(Error::Spi)?;
        Ok(value[0])
    }

    fn write(&mut self, register: u8, value: u8) -> Result<(), Error<I::Error, S::Error>> {
        self.spi.write(&[register | buffer::WRITE, value]).map_err(Error::Spi)
    }

    /// Bytes in the frame buffer.
    fn length(&mut self) -> Result<u32, Error<I::Error, S::Error>> {
        let mut length = 0;
        for (byte, register) in (0..).zip(buffer::LENGTH) {
            length |= u32::from(self.read(register)?) << (8 * byte);
        }
        Ok(length & 0x7F_FFFF)
    }

    /// The next part of the picture; `true` when it was the last.
    fn fetch(&mut self, frame: &mut [u8]) -> Result<bool, Error<I::Error, S::Error>> {
        match self.state {
            // Nothing has been asked for.
            State::Idle => Err(Error::NeverDone),
            State::Waiting(MAX_POLLS) => Err(Error::NeverDone),
            State::Waiting(polls) => {
                if self.read(buffer::STATUS)? & buffer::DONE == 0 {
                    self.state = State::Waiting(polls + 1);
                    return Ok(false);
                }
                let length = self.length()?;
                if (length as usize) < frame.len() {
                    return Err(Error::TooShort(length));
                }
                self.state = State::Reading(0);
                Ok(false)
            }
            State::Reading(start) => {
                let end = frame.len().min(start + CHUNK);
                let part = frame.get_mut(start..end).unwrap_or_default();
                self.spi
                    .transaction(&mut [Operation::Write(&[buffer::BURST]), Operation::Read(part)])
                    .map_err(Error::Spi)?;
                self.state = if end == frame.len() { State::Idle } else { State::Reading(end) };
                Ok(end == frame.len())
            }
        }
    }
}

impl<I: I2c, S: SpiDevice> Camera for ArduCam<I, S> {
    type Error = Error<I::Error, S::Error>;

    fn frame(&self) -> Frame {
        Frame { size: Size::new(SIDE, SIDE), format: PixelFormat::Rgb565Be }
    }

    fn start(&mut self) -> Result<(), Self::Error> {
        self.state = State::Idle;
        self.write(buffer::CONTROL, buffer::CLEAR_DONE)?;
        self.write(buffer::CONTROL, buffer::RESET_READ | buffer::RESET_WRITE)?;
        self.write(buffer::CONTROL, buffer::START)?;
        self.state = State::Waiting(0);
        Ok(())
    }

    fn poll(&mut self, frame: &mut [u8]) -> Result<bool, Self::Error> {
        let result = self.fetch(frame);
        if result.is_err() {
            self.state = State::Idle;
        }
        result
    }
}
