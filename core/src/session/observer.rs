//! Watching a run: profiles, hashes, deadlines.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::Values;
use crate::format::Crc32;
#[cfg(feature = "alloc")]
use crate::format::tensor::{Stored, Tensor};
use crate::kernels::Pixels;
use crate::model::{GROUP_LIMIT, Step};

/// Watches a run.
///
/// Steps that are linked run together: `before` is called for each of them, then `part` as outputs come that never
/// exist as a whole, then `after` for each of them. [`Hashes`] and, with the feature `alloc`, `Whole` put the parts together.
pub trait Observer {
    /// Called before a step runs.
    fn before(&mut self, index: usize, step: &Step<'_>) {
        let _ = (index, step);
    }

    /// Whether [`part`](Self::part) wants to be called. Where it does not, as by default, steps that run together need
    /// not go through their pixels in order, and several threads can take a part of them each.
    fn takes_parts(&self) -> bool {
        false
    }

    /// If the observer [takes parts](Self::takes_parts): called with the next pixels, in row-major order, of an output that never exists as a whole because the next
    /// step consumes it at once.
    fn part(&mut self, index: usize, pixels: Pixels<'_>) {
        let _ = (index, pixels);
    }

    /// Called after a step has run, with what it wrote; see [`Values::is_whole`]. `Break` ends the run with
    /// [`RunError::Stopped`](crate::error::RunError::Stopped) once the steps linked to this one were shown, too; the
    /// next call of [`Session::step`](super::Session::step) or [`Session::resume`](super::Session::resume) goes on
    /// behind them.
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
    /// Calls `each` for every step; `Break` ends the run as in [`Observer::after`].
    pub const fn new(each: F) -> Self {
        Self { parts: [const { None }; GROUP_LIMIT], each }
    }
}

impl<F: FnMut(usize, &Step<'_>, u32) -> ControlFlow<()>> Observer for Hashes<F> {
    fn before(&mut self, index: usize, _: &Step<'_>) {
        // A run that was given up halfway leaves nothing behind.
        for part in self.parts.iter_mut().filter(|part| part.as_ref().is_some_and(|(of, _)| *of == index)) {
            *part = None;
        }
    }

    fn takes_parts(&self) -> bool {
        true
    }

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

/// Calls a function with the index, the step and all of its output, for every step, even where the output never exists as
/// a whole: its parts are kept until they are all there. Needs the feature `alloc`.
#[cfg(feature = "alloc")]
pub struct Whole<F> {
    parts: Vec<(usize, Vec<u8>)>,
    each: F,
}

#[cfg(feature = "alloc")]
impl<F: FnMut(usize, &Step<'_>, Values<'_>) -> ControlFlow<()>> Whole<F> {
    /// Calls `each` for every step; `Break` ends the run as in [`Observer::after`].
    pub const fn new(each: F) -> Self {
        Self { parts: Vec::new(), each }
    }
}

#[cfg(feature = "alloc")]
impl<F: FnMut(usize, &Step<'_>, Values<'_>) -> ControlFlow<()>> Observer for Whole<F> {
    fn before(&mut self, index: usize, step: &Step<'_>) {
        self.parts.retain(|(of, _)| *of != index);
        if !step.output.is_whole() {
            self.parts.push((index, Vec::new()));
        }
    }

    fn takes_parts(&self) -> bool {
        true
    }

    fn part(&mut self, index: usize, pixels: Pixels<'_>) {
        if let Some((_, bytes)) = self.parts.iter_mut().find(|(of, _)| *of == index) {
            pixels.pixels().for_each(|pixel| bytes.extend_from_slice(bytemuck::cast_slice(pixel)));
        }
    }

    fn after(&mut self, index: usize, step: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        let Some(place) = self.parts.iter().position(|(of, _)| *of == index) else {
            return (self.each)(index, step, output);
        };
        let (_, bytes) = self.parts.swap_remove(place);
        let tensor = Tensor { pixel_stride: step.output.shape.channels, stored: Stored::Whole, ..step.output };
        (self.each)(index, step, Values { tensor, bytes: &bytes })
    }
}
