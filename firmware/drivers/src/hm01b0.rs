//! Himax HM01B0: a grey camera of 320x240 for always-on vision, its registers over I2C (HM01B0 datasheet, "Register
//! table"). Pixels come over a parallel or serial bus of their own, which each board reads with what it has (a camera
//! interface, programmable I/O).
//!
//! Registers have 16-bit addresses, high byte first, and 8-bit values.

use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

use crate::retry::retry;

/// The sensor's address.
pub const ADDRESS: u8 = 0x24;

const MODEL_ID_HIGH: u16 = 0x0000;
const MODE_SELECT: u16 = 0x0100;
const ORIENTATION: u16 = 0x0101;
const SOFTWARE_RESET: u16 = 0x0103;
const GROUP_HOLD: u16 = 0x0104;
const INTEGRATION_HIGH: u16 = 0x0202;
const INTEGRATION_LOW: u16 = 0x0203;
const ANALOG_GAIN: u16 = 0x0205;
const READOUT_X: u16 = 0x0383;
const READOUT_Y: u16 = 0x0387;
const BINNING: u16 = 0x0390;
const QVGA_WINDOW: u16 = 0x3010;
const FRAME_COUNT: u16 = 0x3020;
const BIT_CONTROL: u16 = 0x3059;

/// What the model's two registers hold.
const MODEL: u16 = 0x01B0;
const STANDBY: u8 = 0;
const STREAM_COUNTED: u8 = 3;
/// Questions for the end of the reset, a millisecond apart.
const RESET_POLLS: u32 = 10;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The bus, three times in a row.
    I2c(E),
    /// Another chip answers: what its model registers hold.
    WrongChip(u16),
    /// The sensor does not come out of its reset.
    ResetNeverDone,
}

/// How large the pictures are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// 320x240 pixels.
    Qvga,
    /// 160x120 pixels, four pixels summed into one: more light, less noise.
    Qqvga,
}

/// An HM01B0 sensor on an I2C bus.
#[derive(Debug)]
pub struct Hm01b0<I> {
    i2c: I,
}

impl<I: I2c> Hm01b0<I> {
    /// The sensor on this bus; nothing is sent.
    pub const fn new(i2c: I) -> Self {
        Self { i2c }
    }

    /// The bus back.
    pub fn release(self) -> I {
        self.i2c
    }

    /// Resets the sensor and sets it up for pictures of this size, eight bits a pixel in one transfer each.
    pub fn init(&mut self, resolution: Resolution, delay: &mut impl DelayNs) -> Result<(), Error<I::Error>> {
        let model = self.model()?;
        if model != MODEL {
            return Err(Error::WrongChip(model));
        }
        self.write(SOFTWARE_RESET, 0)?;
        let mut polls = 0;
        while self.read(MODE_SELECT)? != STANDBY {
            polls += 1;
            if polls == RESET_POLLS {
                return Err(Error::ResetNeverDone);
            }
            delay.delay_ms(1);
        }
        let (readout, binning) = match resolution {
            Resolution::Qvga => (1, 0),
            Resolution::Qqvga => (3, 3),
        };
        for (register, value) in [
            (QVGA_WINDOW, 1),
            (READOUT_X, readout),
            (READOUT_Y, readout),
            (BINNING, binning),
            (BIT_CONTROL, 2),
            (ORIENTATION, 0),
        ] {
            self.write(register, value)?;
        }
        Ok(())
    }

    /// Integration time in lines, and analog gain as a power of two (0 to 4). Both take effect with the same picture.
    pub fn expose(&mut self, lines: u16, gain: u8) -> Result<(), Error<I::Error>> {
        let [high, low] = lines.to_be_bytes();
        self.write(INTEGRATION_HIGH, high)?;
        self.write(INTEGRATION_LOW, low)?;
        self.write(ANALOG_GAIN, gain.min(4) << 4)?;
        self.write(GROUP_HOLD, 1)
    }

    /// Sends a number of pictures, then goes to standby.
    pub fn stream(&mut self, pictures: u8) -> Result<(), Error<I::Error>> {
        self.write(FRAME_COUNT, pictures)?;
        self.write(MODE_SELECT, STREAM_COUNTED)
    }

    /// Stops sending pictures and puts the sensor on standby.
    pub fn stop(&mut self) -> Result<(), Error<I::Error>> {
        self.write(MODE_SELECT, STANDBY)
    }

    fn model(&mut self) -> Result<u16, Error<I::Error>> {
        Ok(u16::from_be_bytes([self.read(MODEL_ID_HIGH)?, self.read(MODEL_ID_HIGH + 1)?]))
    }

    fn read(&mut self, register: u16) -> Result<u8, Error<I::Error>> {
        let mut value = [0];
        retry(|| self.i2c.write_read(ADDRESS, &register.to_be_bytes(), &mut value)).map_err(Error::I2c)?;
        Ok(value[0])
    }

    fn write(&mut self, register: u16, value: u8) -> Result<(), Error<I::Error>> {
        let [high, low] = register.to_be_bytes();
        retry(|| self.i2c.write(ADDRESS, &[high, low, value])).map_err(Error::I2c)
    }
}
