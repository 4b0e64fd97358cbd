//! Says what an ArduCAM Mini 2MP sees, over the debug probe.
#![no_std]
#![no_main]
#![warn(linker_messages, reason = "the linker says how much flash and RAM the image takes")]

use core::convert::Infallible;

use defmt_rtt as _;
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::i2c::{self, I2c};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, HSIPrescaler, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::spi::{self, Spi};
use embassy_stm32::time::Hertz;
use embassy_time::{Delay, Instant};
use embedded_hal::delay::DelayNs;
use embedded_hal_bus::spi::ExclusiveDevice;
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
struct Microseconds;

impl Clock for Microseconds {
    fn now(&mut self) -> u32 {
        Instant::now().as_micros() as u32
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

/// 400 MHz for the core, 200 and 100 for its buses, from the internal oscillator of 64 MHz.
fn clocks() -> embassy_stm32::Config {
    let mut config = embassy_stm32::Config::default();
    let rcc = &mut config.rcc;
    rcc.hsi = Some(HSIPrescaler::DIV1);
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        // For SPI1.
        divq: Some(PllDiv::DIV8),
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.voltage_scale = VoltageScale::Scale1;
    config
}

/// Runs for ever, or says why it can't begin.
fn run() -> Result<Infallible, &'static str> {
    let mut core = cortex_m::Peripherals::take().ok_or("the core's peripherals are taken")?;
    core.SCB.enable_icache();
    let peripherals = embassy_stm32::init(clocks());
    let led = Output::new(peripherals.PB0, Level::Low, Speed::Low);

    let mut config = i2c::Config::default();
    config.frequency = Hertz::khz(100);
    let i2c = I2c::new_blocking(peripherals.I2C1, peripherals.PB8, peripherals.PB9, config);
    let mut config = spi::Config::default();
    config.frequency = Hertz::mhz(8);
    let bus = Spi::new_blocking(peripherals.SPI1, peripherals.PA5, peripherals.PB5, peripherals.PA6, config);
    let select = Output::new(peripherals.PD14, Level::High, Speed::High);
    let spi = ExclusiveDevice::new_no_delay(bus, select).map_err(|_| "no chip select")?;

    let mut camera = ArduCam::new(i2c, spi);
    while let Err(error) = camera.init(&mut Delay) {
        defmt::error!("camera: {}; again in a second", defmt::Debug2Format(&error));
        Delay.delay_ms(1000);
    }

    let buffers = Buffers {
        arena: ARENA.try_take().ok_or("taken")?,
        frame: FRAME.try_take().ok_or("taken")?,
        scratch: SCRATCH.try_take().ok_or("taken")?,
    };
    run_forever(BUILT_IN, buffers, Board { camera, led, clock: Microseconds })
}
