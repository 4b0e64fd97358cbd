//! Several threads on one step.
//!
//! The pixels of a step's output are cut into ranges, each a slice of its own, so that halving it again and again with
//! `split_at_mut` is all that is needed. Each range is computed from the step's input alone: neither the cuts nor the
//! order in which ranges run change a bit. There are more ranges than threads, so that a late thread is made up for.
//! A range has memory of its own: scratch, workspace, rows in between.

use core::fmt::Debug;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

/// Runs pieces of work on several threads: what a session asks of a thread pool.
pub trait Executor: Sync + Debug {
    /// How many threads there are, the caller's included.
    fn threads(&self) -> usize;

    /// The least work that is worth handing to another thread: nanoseconds that it takes a fast processor.
    fn least_work(&self) -> u64 {
        4_000
    }

    /// Runs both, each once, in any order or at the same time, and returns when both are done. Either may call `join`
    /// again.
    fn join(&self, first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send));
}

/// Work between two looks at whether to stop, in nanoseconds on one thread of a fast processor.
const PART: u64 = 2_000_000;

/// Ranges for each thread.
const RANGES_PER_THREAD: usize = 2;

/// The most ranges that an output is cut into.
pub(crate) const fn most_ranges(threads: usize) -> usize {
    match threads {
        0 | 1 => 1,
        threads => threads.saturating_mul(RANGES_PER_THREAD),
    }
}

/// The pixels of an output, and how they are cut.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    /// The output pixels that are to be computed.
    pub pixels: Range<usize>,
    /// Ranges begin at multiples of this.
    pub unit: usize,
    /// How many ranges, at most as many as there are units.
    pub ranges: usize,
    /// How many pixels are computed between two looks at whether to stop; a multiple of the unit.
    pub part: usize,
}

impl Cut {
    /// The first and the second half.
    fn halves(&self) -> (Self, Self) {
        let units = self.pixels.len().div_ceil(self.unit.max(1));
        let ranges = self.ranges / 2;
        let first = (units * ranges).checked_div(self.ranges).unwrap_or_default() * self.unit;
        let middle = (self.pixels.start + first).min(self.pixels.end);
        (
            Self { pixels: self.pixels.start..middle, ranges, ..*self },
            Self { pixels: middle..self.pixels.end, ranges: self.ranges - ranges, ..*self },
        )
    }
}

/// What has a part for each pixel.
pub(crate) trait Split: Sized + Send {
    /// The first `pixels` pixels and the others.
    fn split(self, pixels: usize) -> Option<(Self, Self)>;
}

/// An output's elements, the first pixel's first.
#[derive(Debug)]
pub(crate) struct Out<'a, T = i8> {
    pub values: &'a mut [T],
    /// Elements from one pixel to the next.
    pub stride: usize,
}

impl<T: Send> Split for Out<'_, T> {
    fn split(self, pixels: usize) -> Option<(Self, Self)> {
        let (first, second) = self.values.split_at_mut_checked(pixels.checked_mul(self.stride)?)?;
        Some((Self { values: first, ..self }, Self { values: second, stride: self.stride }))
    }
}

impl<T: Split, const N: usize> Split for [Option<T>; N] {
    fn split(self, pixels: usize) -> Option<(Self, Self)> {
        let (mut firsts, mut seconds) = ([const { None }; N], [const { None }; N]);
        for ((whole, first), second) in self.into_iter().zip(&mut firsts).zip(&mut seconds) {
            if let Some(whole) = whole {
                let (one, other) = whole.split(pixels)?;
                (*first, *second) = (Some(one), Some(other));
            }
        }
        Some((firsts, seconds))
    }
}

/// The memory that a range is computed with.
#[derive(Debug)]
pub(crate) struct Memory<'a> {
    pub scratch: &'a mut [i8],
    /// What prepared convolutions run with.
    pub workspace: &'a mut [i16],
    /// Rows between two steps that run row by row.
    pub rows: &'a mut [i8],
}

/// The sizes of a range's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemorySizes {
    /// Bytes of scratch for patches.
    pub scratch: usize,
    /// Elements of 16 bits for widened operands.
    pub workspace: usize,
    /// Bytes of rows between two steps that run row by row.
    pub rows: usize,
}

impl MemorySizes {
    /// Elements of 16 bits in all, a multiple of a cache line of 64 bytes.
    pub(crate) fn total(&self) -> usize {
        let all = self.scratch.div_ceil(2).saturating_add(self.workspace).saturating_add(self.rows.div_ceil(2));
        all.checked_next_multiple_of(32).unwrap_or(usize::MAX)
    }

    /// A range's memory, and what is left for others.
    fn take<'a>(&self, memory: &'a mut [i16]) -> Option<(Memory<'a>, &'a mut [i16])> {
        let (memory, others) = memory.split_at_mut_checked(self.total())?;
        let (scratch, memory) = memory.split_at_mut_checked(self.scratch.div_ceil(2))?;
        let (workspace, rows) = memory.split_at_mut_checked(self.workspace)?;
        let scratch: &mut [i8] = bytemuck::cast_slice_mut(scratch);
        let rows: &mut [i8] = bytemuck::cast_slice_mut(rows);
        Some((
            Memory { scratch: scratch.get_mut(..self.scratch)?, workspace, rows: rows.get_mut(..self.rows)? },
            others,
        ))
    }
}

/// The threads of a session, if it has more than its own.
#[derive(Debug, Default)]
pub(crate) struct Threads<'a> {
    executor: Option<&'a dyn Executor>,
    sizes: MemorySizes,
    /// The memory of all ranges but the first.
    memory: &'a mut [i16],
    /// Set when a run is to end.
    stop: Option<&'a AtomicBool>,
}

impl<'a> Threads<'a> {
    /// Who runs the ranges: nobody where the build has one thread, so that the code for more is left out.
    fn executor(&self) -> Option<&'a dyn Executor> {
        if cfg!(feature = "threads") { self.executor } else { None }
    }

    /// Takes threads, with the memory that [`others`](Self::others) asks for.
    #[cfg(feature = "threads")]
    pub(crate) fn set_executor(&mut self, executor: &'a dyn Executor, sizes: MemorySizes, memory: &'a mut [i16]) {
        *self = Self { executor: Some(executor), sizes, memory, stop: self.stop };
    }

    /// Takes a flag that is set when a run is to end.
    #[cfg(feature = "threads")]
    pub(crate) fn stop_at(&mut self, stop: &'a AtomicBool) {
        self.stop = Some(stop);
    }

    /// The flag that is set when a run is to end, if there is one.
    pub(crate) fn stop(&self) -> Option<&'a AtomicBool> {
        if cfg!(feature = "threads") { self.stop } else { None }
    }

    /// Elements of memory for the ranges of `threads` threads, but for the first one's.
    #[cfg(feature = "threads")]
    pub(crate) fn others(threads: usize, sizes: &MemorySizes) -> usize {
        (most_ranges(threads) - 1).saturating_mul(sizes.total())
    }

    /// How many threads there are.
    pub(crate) fn count(&self) -> usize {
        self.executor().map_or(1, |executor| executor.threads().max(1))
    }

    /// How to cut `pixels` pixels for these threads. Asks `unit_and_work` where ranges may begin and what all of them
    /// cost, in nanoseconds on a fast processor, if there are threads to share the work or somebody may stop it.
    pub(crate) fn cut(&self, pixels: usize, unit_and_work: impl FnOnce() -> (usize, u64)) -> Cut {
        let (mut unit, mut ranges, mut part) = (1, 1, pixels);
        let (executor, stop) = (self.executor(), self.stop());
        if executor.is_none() && stop.is_none() {
            return Cut { pixels: 0..pixels, unit, ranges, part };
        }
        let (multiple, work) = unit_and_work();
        unit = multiple.max(1);
        if stop.is_some() {
            let parts = usize::try_from(work / PART).unwrap_or(usize::MAX).saturating_add(1);
            part = pixels.div_ceil(parts).checked_next_multiple_of(unit).unwrap_or(pixels);
        }
        if let Some(executor) = executor {
            let worthwhile = work.checked_div(executor.least_work()).unwrap_or(u64::MAX);
            let worthwhile = usize::try_from(worthwhile).unwrap_or(usize::MAX);
            let (threads, most) = (executor.threads().max(1), most_ranges(executor.threads()));
            ranges = most.min(worthwhile).min(pixels.div_ceil(unit));
            // As many for each thread, if there is one for each.
            ranges = if ranges > threads { ranges - ranges % threads } else { ranges.max(1) };
        }
        Cut { pixels: 0..pixels, unit, ranges, part }
    }

    /// Calls `work` for each range of `cut` with its pixels, its part of `output` and memory; the first range's is
    /// `memory`. `None` where one of the calls returns it, or the run is to end.
    pub(crate) fn run<O: Split>(
        &mut self,
        cut: Cut,
        output: O,
        memory: Memory<'_>,
        work: impl Fn(Range<usize>, O, Memory<'_>) -> Option<()> + Sync,
    ) -> Option<()> {
        let stop = self.stop();
        match self.executor() {
            Some(executor) if cut.ranges > 1 => {
                run_halves((executor, &self.sizes, stop, &work), &cut, output, memory, &mut *self.memory)
            }
            _ => in_parts(stop, &cut, output, memory, work),
        }
    }

    /// As [`run`](Self::run), on this thread, in order.
    pub(crate) fn run_here<O: Split>(
        &self,
        cut: &Cut,
        output: O,
        memory: Memory<'_>,
        work: impl FnMut(Range<usize>, O, Memory<'_>) -> Option<()>,
    ) -> Option<()> {
        in_parts(self.stop(), cut, output, memory, work)
    }
}

/// Whether a run is to end.
pub(crate) fn is_set(stop: Option<&AtomicBool>) -> bool {
    stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
}

/// Calls `work` for the pixels of `cut`: for all of them, or for a part at a time where a flag may be set in between.
fn in_parts<O: Split>(
    stop: Option<&AtomicBool>,
    cut: &Cut,
    output: O,
    mut memory: Memory<'_>,
    mut work: impl FnMut(Range<usize>, O, Memory<'_>) -> Option<()>,
) -> Option<()> {
    let (mut rest, mut output) = (cut.pixels.clone(), output);
    let part = cut.part.max(1);
    if stop.is_some() {
        while rest.len() > part {
            if is_set(stop) {
                return None;
            }
            let (first, others) = output.split(part)?;
            let Memory { scratch, workspace, rows } = &mut memory;
            work(rest.start..rest.start + part, first, Memory { scratch, workspace, rows })?;
            (rest.start, output) = (rest.start + part, others);
        }
    }
    if is_set(stop) { None } else { work(rest, output, memory) }
}

/// What all ranges share: who runs them, the sizes of their memory, what ends them, and what is done.
type Shared<'a, W> = (&'a dyn Executor, &'a MemorySizes, Option<&'a AtomicBool>, &'a W);

fn run_halves<O: Split, W: Fn(Range<usize>, O, Memory<'_>) -> Option<()> + Sync>(
    shared: Shared<'_, W>,
    cut: &Cut,
    output: O,
    memory: Memory<'_>,
    others: &mut [i16],
) -> Option<()> {
    let (executor, sizes, stop, work) = shared;
    if cut.ranges <= 1 {
        return in_parts(stop, cut, output, memory, work);
    }
    let (first, second) = cut.halves();
    let (output, second_output) = output.split(first.pixels.len())?;
    let (others, rest) = others.split_at_mut_checked((first.ranges - 1).checked_mul(sizes.total())?)?;
    let (second_memory, second_others) = sizes.take(rest)?;
    let mut first_half = Some((output, memory, others));
    let mut second_half = Some((second_output, second_memory, second_others));
    let (mut first_done, mut second_done) = (None, None);
    executor.join(
        &mut || {
            let half = first_half.take();
            first_done = half.and_then(|(output, memory, others)| run_halves(shared, &first, output, memory, others));
        },
        &mut || {
            let half = second_half.take();
            second_done = half.and_then(|(output, memory, others)| run_halves(shared, &second, output, memory, others));
        },
    );
    first_done.and(second_done)
}
