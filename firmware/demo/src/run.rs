//! What every board does once its parts are set up.

use core::convert::Infallible;
use core::fmt::Debug;

use embedded_hal::digital::OutputPin;

use crate::{Board, Buffers, Camera, Clock, Demo, Progress, pick};

/// Names what the camera sees, for ever, and logs it; or says why it can't begin. `built_in` is a `.tin` file.
pub fn run_forever<C, L, K>(
    built_in: &[u8],
    buffers: Buffers<'_>,
    board: Board<C, L, K>,
) -> Result<Infallible, &'static str>
where
    C: Camera<Error: Debug>,
    L: OutputPin,
    K: Clock,
{
    // A page of flash that is written in the field would be the first.
    let model = pick(&[], built_in).ok_or("no model runs")?;
    let mut demo = Demo::new(&model, buffers, board).map_err(|_| "the memory is too small for this model")?;
    loop {
        match demo.step() {
            Ok(Progress::Named(report)) => report.log(model.labels()),
            Ok(_) => {}
            Err(error) => defmt::warn!("{}", defmt::Debug2Format(&error)),
        }
    }
}
