//! Says what an ArduCAM Mini 2MP sees, over the debug probe.
#![no_std]
#![no_main]
#![warn(linker_messages, reason = "the linker says how much flash and RAM the image takes")]

use core::convert::Infallible;

use defmt_rtt as _;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::MODE_0;
use embedded_hal_bus::spi::ExclusiveDevice;
use panic_probe as _;
use rp235x_hal::clocks::{Clock as _, init_clocks_and_plls};
use rp235x_hal::fugit::RateExtU32;
use rp235x_hal::gpio::{FunctionSpi, Pins};
use rp235x_hal::pac::Peripherals;
use rp235x_hal::timer::{CopyableTimer0, Timer};
use rp235x_hal::{I2C, Sio, Spi, Watchdog};
use static_cell::ConstStaticCell;
use tinception_core::include_model;
use tinception_demo::{Board, Buffers, Clock, run_forever};
use tinception_drivers::arducam::{ArduCam, SIDE};

/// What the boot ROM looks for: a program for the ARM cores, in secure state.
#[allow(unsafe_code, reason = "the section is what the linker script places")]
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE: rp235x_hal::block::ImageDef = rp235x_hal::block::ImageDef::secure_exe();

/// The board's crystal, in hertz.
const CRYSTAL: u32 = 12_000_000;

/// The model that is always there.
static BUILT_IN: &[u8] = include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../models/artefacts/nano.tin"));
static ARENA: ConstStaticCell<[u8; 40_960]> = ConstStaticCell::new([0; 40_960]);
static FRAME: ConstStaticCell<[u8; (SIDE * SIDE * 2) as usize]> = ConstStaticCell::new([0; (SIDE * SIDE * 2) as usize]);
static SCRATCH: ConstStaticCell<[u32; 1024]> = ConstStaticCell::new([0; 1024]);

/// Counts microseconds.
struct Microseconds(Timer<CopyableTimer0>);

impl Clock for Microseconds {
    fn now(&mut self) -> u32 {
        self.0.get_counter_low()
    }
}

#[rp235x_hal::entry]
fn main() -> ! {
    let Err(what) = run();
    defmt::error!("{}", what);
    loop {
        cortex_m::asm::wfi();
    }
}

/// Runs for ever, or says why it can't begin.
fn run() -> Result<Infallible, &'static str> {
    let mut peripherals = Peripherals::take().ok_or("the peripherals are taken")?;
    let resets = &mut peripherals.RESETS;
    let mut watchdog = Watchdog::new(peripherals.WATCHDOG);
    let (xosc, sys, usb) = (peripherals.XOSC, peripherals.PLL_SYS, peripherals.PLL_USB);
    let clocks = init_clocks_and_plls(CRYSTAL, xosc, peripherals.CLOCKS, sys, usb, resets, &mut watchdog)
        .map_err(|_| "the clocks do not start")?;
    let mut timer = Timer::new_timer0(peripherals.TIMER0, resets, &clocks);
    let sio = Sio::new(peripherals.SIO);
    let pins = Pins::new(peripherals.IO_BANK0, peripherals.PADS_BANK0, sio.gpio_bank0, resets);
    let led = pins.gpio25.into_push_pull_output();

    let (sda, scl) = (pins.gpio4.reconfigure(), pins.gpio5.reconfigure());
    let i2c = I2C::i2c0(peripherals.I2C0, sda, scl, 100.kHz(), resets, clocks.system_clock.freq());
    let lines = (
        pins.gpio19.into_function::<FunctionSpi>(),
        pins.gpio16.into_function::<FunctionSpi>(),
        pins.gpio18.into_function::<FunctionSpi>(),
    );
    let bus = Spi::<_, _, _, 8>::new(peripherals.SPI0, lines);
    let bus = bus.init(resets, clocks.peripheral_clock.freq(), 8.MHz(), MODE_0);
    let mut select = pins.gpio17.into_push_pull_output();
    select.set_high().map_err(|_| "no chip select")?;
    let spi = ExclusiveDevice::new_no_delay(bus, select).map_err(|_| "no chip select")?;

    let mut camera = ArduCam::new(i2c, spi);
    while let Err(error) = camera.init(&mut timer) {
        defmt::error!("camera: {}; again in a second", defmt::Debug2Format(&error));
        timer.delay_ms(1000);
    }

    let buffers = Buffers {
        arena: ARENA.try_take().ok_or("taken")?,
        frame: FRAME.try_take().ok_or("taken")?,
        scratch: SCRATCH.try_take().ok_or("taken")?,
    };
    run_forever(BUILT_IN, buffers, Board { camera, led, clock: Microseconds(timer) })
}
