//! Says what an ArduCAM Mini 2MP sees, over the debug probe.
#![no_std]
#![no_main]
#![warn(linker_messages, reason = "the linker says how much flash and RAM the image takes")]

use core::convert::Infallible;

use defmt_rtt as _;
use embedded_hal::digital::{ErrorType, OutputPin};
use embedded_hal_bus::spi::ExclusiveDevice;
use nrf52840_hal::gpio::{Level, Output, Pin, PushPull, p0, p1};
use nrf52840_hal::pac::{Peripherals, TIMER0};
use nrf52840_hal::timer::Periodic;
use nrf52840_hal::{Timer, spim, twim};
use panic_probe as _;
use static_cell::ConstStaticCell;
use tinception_core::include_model;
use tinception_demo::{Board, Buffers, Clock, run_forever};
use tinception_drivers::arducam::{ArduCam, SIDE};

/// The model that is always there.
static BUILT_IN: &[u8] = include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/artefacts/nano.tin"));
static ARENA: ConstStaticCell<[u8; 40_960]> = ConstStaticCell::new([0; 40_960]);
static FRAME: ConstStaticCell<[u8; (SIDE * SIDE * 2) as usize]> = ConstStaticCell::new([0; (SIDE * SIDE * 2) as usize]);
static SCRATCH: ConstStaticCell<[u32; 1024]> = ConstStaticCell::new([0; 1024]);

/// Counts microseconds.
struct Microseconds(Timer<TIMER0, Periodic>);

impl Clock for Microseconds {
    fn now(&mut self) -> u32 {
        self.0.read()
    }
}

/// The board's LEDs light when their pin is low.
struct Led(Pin<Output<PushPull>>);

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set_high()
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set_low()
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Err(what) = run();
    defmt::error!("{}", what);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Runs for ever, or says why it can't begin.
fn run() -> Result<Infallible, &'static str> {
    let peripherals = Peripherals::take().ok_or("the peripherals are taken")?;
    let port0 = p0::Parts::new(peripherals.P0);
    let port1 = p1::Parts::new(peripherals.P1);
    let led = Led(port0.p0_13.into_push_pull_output(Level::High).degrade());

    let pins = twim::Pins {
        sda: port0.p0_26.into_floating_input().degrade(),
        scl: port0.p0_27.into_floating_input().degrade(),
    };
    let i2c = twim::Twim::new(peripherals.TWIM0, pins, twim::Frequency::K100);
    let pins = spim::Pins {
        sck: Some(port1.p1_15.into_push_pull_output(Level::Low).degrade()),
        miso: Some(port1.p1_14.into_floating_input().degrade()),
        mosi: Some(port1.p1_13.into_push_pull_output(Level::Low).degrade()),
    };
    let bus = spim::Spim::new(peripherals.SPIM2, pins, spim::Frequency::M8, spim::MODE_0, 0);
    let select = port1.p1_12.into_push_pull_output(Level::High);
    let spi = ExclusiveDevice::new_no_delay(bus, select).map_err(|_| "no chip select")?;

    let mut delay = Timer::new(peripherals.TIMER1);
    let mut camera = ArduCam::new(i2c, spi);
    while let Err(error) = camera.init(&mut delay) {
        defmt::error!("camera: {}; again in a second", defmt::Debug2Format(&error));
        embedded_hal::delay::DelayNs::delay_ms(&mut delay, 1000);
    }

    let mut timer = Timer::periodic(peripherals.TIMER0);
    timer.start(u32::MAX);
    let buffers = Buffers {
        arena: ARENA.try_take().ok_or("taken")?,
        frame: FRAME.try_take().ok_or("taken")?,
        scratch: SCRATCH.try_take().ok_or("taken")?,
    };
    run_forever(BUILT_IN, buffers, Board { camera, led, clock: Microseconds(timer) })
}
