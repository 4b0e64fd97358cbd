//! What is said to the sensor, byte by byte, and what happens when it does not answer as it should.

use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use tinception_drivers::hm01b0::{ADDRESS, Error, Hm01b0, Resolution};

fn read(register: u16, value: u8) -> Transaction {
    Transaction::write_read(ADDRESS, register.to_be_bytes().to_vec(), vec![value])
}

fn write(register: u16, value: u8) -> Transaction {
    let [high, low] = register.to_be_bytes();
    Transaction::write(ADDRESS, vec![high, low, value])
}

const NAK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);

/// Runs `talk` with a sensor that says just this.
fn with<T>(transactions: &[Transaction], talk: impl FnOnce(&mut Hm01b0<Mock>) -> T) -> T {
    let mut sensor = Hm01b0::new(Mock::new(transactions));
    let result = talk(&mut sensor);
    sensor.release().done();
    result
}

#[test]
fn a_reset_and_the_settings() {
    let mut expected = vec![read(0x0000, 0x01), read(0x0001, 0xB0), write(0x0103, 0)];
    expected.extend([read(0x0100, 1), read(0x0100, 0)]);
    expected.extend([write(0x3010, 1), write(0x0383, 3), write(0x0387, 3), write(0x0390, 3)]);
    expected.extend([write(0x3059, 2), write(0x0101, 0)]);
    assert_eq!(with(&expected, |sensor| sensor.init(Resolution::Qqvga, &mut NoopDelay::new())), Ok(()));
}

#[test]
fn exposure_and_streaming() {
    let expected = [write(0x0202, 0x01), write(0x0203, 0x80), write(0x0205, 0x20), write(0x0104, 1)];
    assert_eq!(with(&expected, |sensor| sensor.expose(0x180, 2)), Ok(()));
    let expected = [write(0x3020, 1), write(0x0100, 3), write(0x0100, 0)];
    assert_eq!(with(&expected, |sensor| sensor.stream(1).and_then(|()| sensor.stop())), Ok(()));
}

#[test]
fn another_chip_is_refused() {
    let expected = [read(0x0000, 0x26), read(0x0001, 0x42)];
    let result = with(&expected, |sensor| sensor.init(Resolution::Qvga, &mut NoopDelay::new()));
    assert_eq!(result, Err(Error::WrongChip(0x2642)));
}

#[test]
fn a_missing_acknowledge_is_tried_again() {
    let once = [write(0x0100, 0).with_error(NAK), write(0x0100, 0)];
    assert_eq!(with(&once, Hm01b0::stop), Ok(()));
    let always = [0; 3].map(|_| write(0x0100, 0).with_error(NAK));
    assert_eq!(with(&always, Hm01b0::stop), Err(Error::I2c(NAK)));
}

#[test]
fn a_reset_that_never_ends_is_an_error() {
    let mut expected = vec![read(0x0000, 0x01), read(0x0001, 0xB0), write(0x0103, 0)];
    expected.extend((0..10).map(|_| read(0x0100, 1)));
    let result = with(&expected, |sensor| sensor.init(Resolution::Qvga, &mut NoopDelay::new()));
    assert_eq!(result, Err(Error::ResetNeverDone));
}
