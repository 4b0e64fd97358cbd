//! A convolution, operators on its single elements and a max pool, some rows of the convolution at a time. The rows go
//! into a ring; a row of the pool is made as soon as the last row under it is there.
//!
//! Further threads have rings of their own and begin with the first row under their first row of the pool, so that they
//! meet only at the end: the few rows of the convolution under two threads' rows of the pool are computed twice.

use core::ops::Range;
use core::sync::atomic::AtomicBool;

use super::execute::{Parts, pixels, regions};
use super::{Session, range};
use crate::EVERY_OPERATOR;
use crate::arch::{AnyBackend, Rows};
use crate::executor::{Memory, Out, is_set};
use crate::kernels::conv::{self, Conv};
use crate::kernels::{Pixels, PixelsMut, elementwise, lrn, pool};
use crate::model::{Model, Operator};
use crate::shape::Shape;

/// Which rows of a ring can be made next.
struct Ring {
    /// One past the last row that is wanted.
    end: u32,
    /// Rows that have memory.
    stored: u32,
    /// One past the last row made.
    made: u32,
}

impl Ring {
    /// How many rows to make next, all of them one after the other in memory, none of them over one from row `needed` on.
    /// A multiple of 4, or at least of 2, where there are as many: tiles of pixels come out even, and exact Winograd makes
    /// two rows at a time.
    fn band(&self, needed: u32) -> Option<u32> {
        let free = self.stored.checked_sub(self.made.saturating_sub(needed))?;
        let to_end = self.stored - self.made.checked_rem(self.stored)?;
        let left = self.end - self.made;
        match free.min(to_end).min(left) {
            0 => None,
            band if band == left => Some(band),
            band @ (1 | 2) => Some(band),
            3 => Some(2),
            band => Some(band - band % 4),
        }
    }
}

/// The group, without what is written.
struct Job<'a> {
    model: &'a Model<'a>,
    backend: AnyBackend,
    /// The first step and the last.
    steps: (usize, usize),
    conv: &'a Conv<'a>,
    prepared: Option<&'a [i16]>,
    input: Pixels<'a>,
    /// Shape of the convolution's output, elements between its pixels, and how many rows of it have memory.
    between: (Shape, usize, u32),
    pool: &'a pool::Max,
    pooled: Shape,
    /// Set when the run is to end.
    stop: Option<&'a AtomicBool>,
}

pub(super) fn run(session: &mut Session<'_, '_>, first: usize, length: usize, parts: Option<Parts<'_>>) -> Option<()> {
    let last = first + length - 1;
    let (head, tail) = (session.model.step(first)?, session.model.step(last)?);
    let prepared = session.prepared_weights(&head);
    let Session { model, backend, activations, scratch, workspace, threads, .. } = session;
    let (Operator::Conv(conv), Operator::MaxPool(pool)) = (&head.operator, &tail.operator) else { return None };
    let places = [range(&head.input), range(&head.output), range(&tail.output)];
    let [input, rows, pooled] = regions(activations, places)?;
    let between = (head.output.shape, head.output.pixel_stride as usize, head.output.stored_rows());
    let job = Job {
        model,
        backend: *backend,
        steps: (first, last),
        conv,
        prepared,
        input: pixels(&head.input, input)?,
        between,
        pool,
        pooled: tail.output.shape,
        stop: threads.stop(),
    };
    let memory = Memory { scratch, workspace, rows: bytemuck::cast_slice_mut(rows) };
    let row = tail.output.shape.width as usize * tail.output.pixel_stride as usize;
    let out = Out { values: bytemuck::cast_slice_mut(pooled), stride: row };
    let stride = tail.output.pixel_stride as usize;
    let all = 0..tail.output.shape.height;
    // What is seen as a whole afterwards has to be where the file says.
    if !cfg!(feature = "threads") || parts.is_some() || head.output.is_whole() {
        return job.run(all, (out.values, stride), memory, parts.unwrap_or(&mut |_, _| ()));
    }
    // Rows of the pool are what is cut, into one range for each thread.
    let mut cut = threads.cut(all.end as usize, || (1, super::work::work(&head)));
    cut.ranges = cut.ranges.min(threads.count());
    threads.run(cut, out, memory, |rows, out, memory| {
        let rows = rows.start as u32..rows.end as u32;
        job.run(rows, (out.values, stride), memory, &mut |_, _| ())
    })
}

impl Job<'_> {
    /// The rows of the convolution that the rows `range` of the pool are made from; to the last row where the pool ends.
    fn rows_under(&self, range: &Range<u32>) -> Range<u32> {
        let (Shape { height, .. }, ..) = self.between;
        let under = range.clone().map(|row| self.pool.window.rows(row, height)).filter(|rows| rows.length > 0);
        let start = if range.start == 0 { Some(0) } else { under.clone().map(|rows| rows.start).min() };
        let end = if range.end == self.pooled.height {
            Some(height)
        } else {
            under.map(|rows| rows.start + rows.length).max()
        };
        start.unwrap_or(height)..end.unwrap_or(0)
    }

    /// Makes the rows `range` of the pool, `out` beginning at the first of them.
    fn run(
        &self,
        range: Range<u32>,
        (out, out_stride): (&mut [i8], usize),
        memory: Memory<'_>,
        parts: Parts<'_>,
    ) -> Option<()> {
        let Memory { scratch, workspace, rows } = memory;
        let (first, last) = self.steps;
        let (shape, stride, stored) = self.between;
        let (row, pooled_width) = (shape.width as usize * stride, self.pooled.width as usize);
        let under = self.rows_under(&range);
        let mut ring = Ring { end: under.end, stored, made: under.start };
        let mut next = range.start;
        loop {
            let made = Pixels::ring(rows, shape, stride, stored)?;
            while next < range.end {
                let under = self.pool.window.rows(next, shape.height);
                if under.start + under.length > ring.made {
                    break;
                }
                let pixels = next as usize * pooled_width..(next as usize + 1) * pooled_width;
                let out = out.get_mut((next - range.start) as usize * pooled_width * out_stride..)?;
                pool::max_pixels(self.backend, self.pool, made, self.pooled, pixels, out, out_stride)?;
                next += 1;
            }
            if ring.made >= ring.end {
                return Some(());
            }
            if is_set(self.stop) {
                return None;
            }
            // Once the pool is done, no row is needed any more.
            let needed = if next < range.end { self.pool.window.rows(next, shape.height).start } else { ring.made };
            let count = ring.band(needed)?;
            let band = Shape { height: count, ..shape };
            let place = rows.get_mut(ring.made.checked_rem(stored)? as usize * row..)?;
            let out = Rows { shape, first: ring.made, count, out: &mut *place, stride };
            conv::run_rows(self.backend, self.conv, self.prepared, self.input, out, (&mut *scratch, &mut *workspace))?;
            parts(first, Pixels::new(place, band, stride)?);
            for index in first + 1..last {
                let mut output = PixelsMut::new(place, band, stride)?;
                match &self.model.step(index)?.operator {
                    Operator::Lrn(parameters) if EVERY_OPERATOR => {
                        lrn::run(self.backend, parameters, &mut output, scratch)?
                    }
                    Operator::Rescale(parameters) if EVERY_OPERATOR => elementwise::rescale(parameters, &mut output),
                    _ => return None,
                }
                parts(index, output.as_pixels());
            }
            ring.made += count;
        }
    }
}
