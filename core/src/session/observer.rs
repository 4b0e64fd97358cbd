//! Watching a run: profiles, hashes, deadlines.

use core::ops::ControlFlow;

use super::Values;
use crate::format::Crc32;
use crate::kernels::Pixels;
use crate::model::{GROUP_LIMIT, Step};

/// Watches a run.
///
/// Steps that are linked run together: `before` is called for each of them, then `part` as their outputs come, then
/// `after` for each of them.
pub trait Observer {
    /// Called before a step runs.
    fn before(&mut self, index: usize, step: &Step<'_>) {
        let _ = (index, step);
    }

    /// Called with the next pixels, in row-major order, of an output that never exists as a whole because the next
    /// step consumes it at once.
    fn part(&mut self, index: usize, pixels: Pixels<'_>) {
        let _ = (index, pixels);
    }

    /// Called after a step has run, with what it wrote; see [`Values::is_whole`]. `Break` ends the run with
    /// [`RunError::Stopped`](crate::error::RunError::Stopped); the next call of [`Session::step`](super::Session::step)
    /// or [`Session::resume`](super::Session::resume) goes on behind the steps that have run.
    fn after(&mut self, index: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        let _ = (index, step, output);
        ControlFlow::Continue(())
    }
}

/// Watches nothing.
impl Observer for () {}

/// Calls a function with the index, the step and the CRC-32 of its output, for every step.
pub struct Hashes<F> {
    parts: [Option<(usize, Crc32)>; GROUP_LIMIT],
    each: F,
}

impl<F: FnMut(usize, &Step<'_>, u32) -> ControlFlow<()>> Hashes<F> {
    /// Calls `each` for every step; `Break` ends the run.
    pub const fn new(each: F) -> Self {
        Self { parts: [const { None }; GROUP_LIMIT], each }
    }
}

impl<F: FnMut(usize, &Step<'_>, u32) -> ControlFlow<()>> Observer for Hashes<F> {
    fn part(&mut self, index: usize, pixels: Pixels<'_>) {
        let is_its = |part: &Option<(usize, Crc32)>| part.as_ref().is_some_and(|(of, _)| *of == index);
        let slot = self.parts.iter().position(is_its).or_else(|| self.parts.iter().position(Option::is_none));
        if let Some(part) = slot.and_then(|slot| self.parts.get_mut(slot)) {
            let (_, crc) = part.get_or_insert_with(|| (index, Crc32::new()));
            pixels.pixels().for_each(|pixel| crc.update(bytemuck::cast_slice(pixel)));
        }
    }

    fn after(&mut self, index: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        if output.is_whole() {
            return (self.each)(index, step, output.crc32());
        }
        let part = self.parts.iter_mut().find(|part| part.as_ref().is_some_and(|(of, _)| *of == index));
        let crc = part.and_then(Option::take).map_or_else(Crc32::new, |(_, crc)| crc);
        (self.each)(index, step, crc.finish())
    }
}
