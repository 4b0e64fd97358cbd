//! What is said to the sensor and to the frame buffer, and what happens when they do not answer as they should.

use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::{i2c, spi};
use tinception_demo::Camera;
use tinception_drivers::arducam::{ADDRESS, ArduCam, CHUNK, Error, MAX_POLLS};

type Mocked = ArduCam<i2c::Mock, spi::Mock<u8>>;
type Failure = Error<ErrorKind, embedded_hal::spi::ErrorKind>;

const NAK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);

/// One transfer of the frame buffer, with its chip select.
fn transfer(operations: Vec<spi::Transaction<u8>>) -> Vec<spi::Transaction<u8>> {
    let mut all = vec![spi::Transaction::transaction_start()];
    all.extend(operations);
    all.push(spi::Transaction::transaction_end());
    all
}

fn write(register: u8, value: u8) -> Vec<spi::Transaction<u8>> {
    transfer(vec![spi::Transaction::write_vec(vec![register | 0x80, value])])
}

fn read(register: u8, value: u8) -> Vec<spi::Transaction<u8>> {
    transfer(vec![spi::Transaction::write_vec(vec![register]), spi::Transaction::read_vec(vec![value])])
}

fn set(register: u8, value: u8) -> i2c::Transaction {
    i2c::Transaction::write(ADDRESS, vec![register, value])
}

fn get(register: u8, value: u8) -> [i2c::Transaction; 2] {
    [i2c::Transaction::write(ADDRESS, vec![register]), i2c::Transaction::read(ADDRESS, vec![value])]
}

/// Runs `talk` with chips that say just this.
fn with<T>(
    sensor: &[i2c::Transaction],
    buffer: &[Vec<spi::Transaction<u8>>],
    talk: impl FnOnce(&mut Mocked) -> T,
) -> T {
    let mut camera = ArduCam::new(i2c::Mock::new(sensor), spi::Mock::new(buffer.iter().flatten()));
    let result = talk(&mut camera);
    let (mut i2c, mut spi) = camera.release();
    i2c.done();
    spi.done();
    result
}

/// A length in pixels as a register counts it.
fn units(pixels: u16, unit: u16) -> u8 {
    (pixels / unit).try_into().unwrap()
}

/// Asks for a picture.
fn start() -> Vec<Vec<spi::Transaction<u8>>> {
    vec![write(0x04, 0x01), write(0x04, 0x30), write(0x04, 0x02)]
}

#[test]
fn both_chips_are_found_and_the_sensor_is_set_up() {
    let mut sensor = vec![set(0xFF, 1)];
    sensor.extend(get(0x0A, 0x26));
    sensor.extend(get(0x0B, 0x42));
    sensor.push(set(0x12, 0x80));
    // SVGA, a square of 600 from column 100, in units of four, halved twice, to 96x96 of RGB565.
    let (timing, window) = (
        [(0xFF, 1), (0x11, 0), (0x12, 0x40), (0x03, 0x0A), (0x32, 0x09), (0x17, 0x11), (0x18, 0x43), (0x19, 0)],
        [
            (0xC0, units(800, 8)),
            (0xC1, units(600, 8)),
            (0x8C, 0),
            (0x86, 0x3D),
            (0x50, 2 << 3 | 2),
            (0x51, units(600, 4)),
        ],
    );
    sensor.extend(timing.map(|(register, value)| set(register, value)));
    sensor.extend([(0x1A, 0x4B), (0x4F, 0xCA), (0x50, 0xA8), (0x13, 0xE5), (0x14, 0x48)].map(|(r, v)| set(r, v)));
    sensor.extend([set(0xFF, 0), set(0xE0, 4)]);
    sensor.extend(window.map(|(register, value)| set(register, value)));
    sensor.extend([(0x52, units(600, 4)), (0x53, 100), (0x54, 0), (0x55, 0), (0x57, 0)].map(|(r, v)| set(r, v)));
    sensor.extend(
        [(0x5A, units(96, 4)), (0x5B, units(96, 4)), (0x5C, 0), (0xDA, 0x08), (0xE0, 0)].map(|(r, v)| set(r, v)),
    );
    let buffer = [write(0x00, 0x55), read(0x00, 0x55), write(0x01, 0)];
    assert_eq!(with(&sensor, &buffer, |camera| camera.init(&mut NoopDelay::new())), Ok(()));
}

#[test]
fn a_picture_comes_in_bursts() {
    let mut buffer = start();
    buffer.push(read(0x41, 0x00));
    buffer.push(read(0x41, 0x08));
    // 96 * 96 * 2 and 8 bytes more, low byte first.
    buffer.extend([read(0x42, 0x08), read(0x43, 0x48), read(0x44, 0x80)]);
    let picture: Vec<u8> = (0..96 * 96 * 2_u32).map(|at| ((at * 31) >> 3) as u8).collect();
    for part in picture.chunks(CHUNK) {
        let operations = vec![spi::Transaction::write_vec(vec![0x3C]), spi::Transaction::read_vec(part.to_vec())];
        buffer.push(transfer(operations));
    }
    let mut frame = vec![0; picture.len()];
    with(&[], &buffer, |camera| {
        assert_eq!(camera.frame().bytes(), frame.len());
        camera.start().unwrap();
        let mut polls = 0;
        while !camera.poll(&mut frame).unwrap() {
            polls += 1;
        }
        // Not there, there, then 18 bursts of which the last ends it.
        assert_eq!(polls, 2 + 18 - 1);
    });
    assert_eq!(frame, picture);
}

#[test]
fn a_picture_that_never_comes_is_an_error_and_the_next_may_come() {
    let mut buffer = start();
    buffer.extend((0..MAX_POLLS).map(|_| read(0x41, 0)));
    buffer.extend(start());
    let mut frame = vec![0; 96 * 96 * 2];
    with(&[], &buffer, |camera| {
        camera.start().unwrap();
        for _ in 0..MAX_POLLS {
            assert_eq!(camera.poll(&mut frame), Ok(false));
        }
        assert_eq!(camera.poll(&mut frame), Err(Error::NeverDone));
        assert_eq!(camera.start(), Ok(()));
    });
}

#[test]
fn a_short_picture_is_an_error() {
    let mut buffer = start();
    buffer.push(read(0x41, 0x08));
    buffer.extend([read(0x42, 0xFF), read(0x43, 0x47), read(0x44, 0)]);
    let mut frame = vec![0; 96 * 96 * 2];
    let result = with(&[], &buffer, |camera| {
        camera.start().unwrap();
        camera.poll(&mut frame)
    });
    assert_eq!(result, Err(Error::TooShort(0x47FF)));
}

#[test]
fn wrong_chips_are_refused() {
    let mut sensor = vec![set(0xFF, 1)];
    sensor.extend(get(0x0A, 0x77));
    sensor.extend(get(0x0B, 0x21));
    let found = [write(0x00, 0x55), read(0x00, 0x55)];
    let init = |camera: &mut Mocked| -> Result<(), Failure> { camera.init(&mut NoopDelay::new()) };
    assert_eq!(with(&sensor, &found, init), Err(Error::WrongChip(0x7721)));
    let nothing = [write(0x00, 0x55), read(0x00, 0xFF)];
    assert_eq!(with(&[], &nothing, init), Err(Error::NoBuffer(0xFF)));
}

#[test]
fn a_missing_acknowledge_is_tried_again() {
    let found = [write(0x00, 0x55), read(0x00, 0x55)];
    let init = |camera: &mut Mocked| -> Result<(), Failure> { camera.init(&mut NoopDelay::new()) };
    let always = [0; 3].map(|_| set(0xFF, 1).with_error(NAK));
    assert_eq!(with(&always, &found, init), Err(Error::I2c(NAK)));
    // Twice it fails, then another chip answers.
    let mut twice = vec![set(0xFF, 1).with_error(NAK), set(0xFF, 1).with_error(NAK), set(0xFF, 1)];
    twice.extend(get(0x0A, 0));
    twice.extend(get(0x0B, 0));
    assert_eq!(with(&twice, &found, init), Err(Error::WrongChip(0)));
}
