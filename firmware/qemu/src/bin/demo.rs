//! The demo loop, with drawn pictures for a camera. This is the image whose size and panics are checked: see `check`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, OutputPin};
use tinception_core::image::{PixelFormat, Size};
use tinception_core::include_model;
use tinception_demo::{Board, Buffers, Camera, Clock, Demo, Frame, Progress, pick};
use tinception_qemu::drawing::{DRAWINGS, SIDE, draw};
use tinception_qemu::line::Line;
use tinception_qemu::machine::{Memory, Outcome};
use tinception_qemu::program;

static MODEL: &[u8] = include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/artefacts/nano.tin"));
static ARENA: Memory<40_960, u8> = Memory::filled(0);
static FRAME: Memory<{ SIDE * SIDE * 2 }, u8> = Memory::filled(0);
static SCRATCH: Memory<1024, u32> = Memory::filled(0);

/// Pictures that are named.
const PICTURES: u16 = 6;

program!(run);

/// Shows one drawing after the other, each twice.
struct Drawn(usize);

impl Camera for Drawn {
    type Error = Infallible;

    fn frame(&self) -> Frame {
        Frame { size: Size::new(SIDE as u32, SIDE as u32), format: PixelFormat::Rgb565Be }
    }

    fn start(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn poll(&mut self, frame: &mut [u8]) -> Result<bool, Infallible> {
        if let (Some((_, pixel)), Ok(frame)) = (DRAWINGS.get(self.0 / 2 % DRAWINGS.len()), frame.try_into()) {
            draw(*pixel, frame);
        }
        self.0 += 1;
        Ok(true)
    }
}

/// An indicator without an LED.
struct Dark;

impl ErrorType for Dark {
    type Error = Infallible;
}

impl OutputPin for Dark {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Time stands still: QEMU's says nothing.
struct Still;

impl Clock for Still {
    fn now(&mut self) -> u32 {
        0
    }
}

fn run() -> Outcome {
    // A board would read its flash page for the first.
    let model = pick(&[], MODEL).ok_or("no model")?;
    let buffers = Buffers {
        arena: ARENA.take().ok_or("taken")?,
        frame: FRAME.take().ok_or("taken")?,
        scratch: SCRATCH.take().ok_or("taken")?,
    };
    let mut demo = Demo::new(&model, buffers, Board { camera: Drawn(0), led: Dark, clock: Still });
    let demo = demo.as_mut().map_err(|_| "no demo")?;
    let mut named = 0;
    while named < PICTURES {
        let Ok(Progress::Named(report)) = demo.step() else { continue };
        let mut line = Line::new();
        for guess in &report.best {
            line.number(i32::from(guess.class)).text(" ").number(i32::from(guess.probability)).text("  ");
        }
        line.print();
        named += 1;
    }
    Ok(())
}
