//! Shapes and windows, and the arithmetic that joins them.
//!
//! All tensors are NHWC with a batch of one, so a shape is height, width and channels. A [`Window`] is what a
//! convolution or a pool slides over its input. Ceil-mode pools of ONNX and Caffe have no flag of their own: the
//! importer turns them into extra padding below and to the right, after which the floor formula gives their size.

/// Height, width and channels of a tensor, in elements. Layout is NHWC, the batch is always one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Number of rows.
    pub height: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Values in a pixel.
    pub channels: u32,
}

impl Shape {
    /// A shape of `height` x `width` pixels of `channels` values.
    #[must_use]
    pub const fn new(height: u32, width: u32, channels: u32) -> Self {
        Self { height, width, channels }
    }

    /// Pixels: height times width.
    #[must_use]
    pub const fn pixels(self) -> u64 {
        // Of two factors of 32 bits: it cannot overflow.
        self.height as u64 * self.width as u64
    }

    /// Elements: pixels times channels. Saturates instead of wrapping, so that a hostile shape stays large.
    #[must_use]
    pub const fn elements(self) -> u64 {
        self.pixels().saturating_mul(self.channels as u64)
    }
}

/// Rows and columns added around an input. A convolution reads its input's zero point there; a pool ignores them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Padding {
    /// Rows above the input.
    pub top: u32,
    /// Columns to the left of the input.
    pub left: u32,
    /// Rows below the input.
    pub bottom: u32,
    /// Columns to the right of the input.
    pub right: u32,
}

impl Padding {
    /// No padding at all.
    pub const NONE: Self = Self { top: 0, left: 0, bottom: 0, right: 0 };

    /// The same padding on all four sides.
    #[must_use]
    pub const fn same(all: u32) -> Self {
        Self { top: all, left: all, bottom: all, right: all }
    }
}

/// A sliding window: kernel, stride and padding, each given for height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Rows of the kernel.
    pub kernel_height: u32,
    /// Columns of the kernel.
    pub kernel_width: u32,
    /// Rows the window moves down per output row.
    pub stride_height: u32,
    /// Columns the window moves right per output column.
    pub stride_width: u32,
    /// Padding around the input.
    pub padding: Padding,
}

impl Window {
    /// A square window without padding.
    #[must_use]
    pub const fn square(kernel: u32, stride: u32) -> Self {
        Self {
            kernel_height: kernel,
            kernel_width: kernel,
            stride_height: stride,
            stride_width: stride,
            padding: Padding::NONE,
        }
    }

    /// The same window with `padding` around its input.
    #[must_use]
    pub const fn padded(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// The window that covers an input of `height` x `width` once: a global pool.
    #[must_use]
    pub const fn global(height: u32, width: u32) -> Self {
        Self { kernel_height: height, kernel_width: width, stride_height: 1, stride_width: 1, padding: Padding::NONE }
    }

    /// Positions in the kernel: height times width.
    #[must_use]
    pub const fn area(&self) -> u64 {
        self.kernel_height as u64 * self.kernel_width as u64
    }

    /// Output height and width over an input of `height` x `width`:
    /// `floor((input + padding - kernel) / stride) + 1` each way (ONNX `Conv`, `ceil_mode` 0).
    ///
    /// `None` where the kernel or stride is zero, the kernel is larger than the padded input, or a sum overflows.
    #[must_use]
    pub const fn output(&self, height: u32, width: u32) -> Option<(u32, u32)> {
        let pad = &self.padding;
        let rows = positions(height, pad.top, pad.bottom, self.kernel_height, self.stride_height);
        let columns = positions(width, pad.left, pad.right, self.kernel_width, self.stride_width);
        match (rows, columns) {
            (Some(rows), Some(columns)) => Some((rows, columns)),
            _ => None,
        }
    }

    /// The input rows that output row `y` covers, clipped to `0..height`. Empty where all of it is padding.
    #[must_use]
    pub const fn rows(&self, y: u32, height: u32) -> Span {
        Span::clipped(y, self.stride_height, self.padding.top, self.kernel_height, height)
    }

    /// The input columns that output column `x` covers, clipped to `0..width`. Empty where all of it is padding.
    #[must_use]
    pub const fn columns(&self, x: u32, width: u32) -> Span {
        Span::clipped(x, self.stride_width, self.padding.left, self.kernel_width, width)
    }
}

/// The part of a window that lies inside its input, along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First input position inside.
    pub start: u32,
    /// Positions inside; 0 where the window lies in the padding.
    pub length: u32,
    /// Kernel positions in front of `start` that lie in the padding.
    pub skipped: u32,
}

impl Span {
    const fn clipped(output: u32, stride: u32, padding: u32, kernel: u32, size: u32) -> Self {
        // From the padding's edge. Windows that fit their input end below 2^32.
        let first = output.saturating_mul(stride);
        let start = first.saturating_sub(padding);
        let end = first.saturating_add(kernel).saturating_sub(padding);
        let stop = if end > size { size } else { end };
        if stop <= start {
            return Self { start: 0, length: 0, skipped: kernel };
        }
        Self { start, length: stop - start, skipped: padding.saturating_sub(first) }
    }
}

const fn positions(size: u32, before: u32, after: u32, kernel: u32, stride: u32) -> Option<u32> {
    // In 32 bits: a division of 64 is a function of nearly a kilobyte on a microcontroller.
    let Some(padded) = size.checked_add(before) else { return None };
    let Some(padded) = padded.checked_add(after) else { return None };
    if kernel == 0 || stride == 0 || padded < kernel {
        return None;
    }
    ((padded - kernel) / stride).checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googlenet_sizes_follow_the_paper() {
        // Szegedy et al. 2014, table 1: 224 -> 112 -> 56 -> 28, the pools in ceil mode.
        let stem = Window::square(7, 2).padded(Padding::same(3));
        assert_eq!(stem.output(224, 224), Some((112, 112)));
        let pool = Window::square(3, 2).padded(Padding { bottom: 1, right: 1, ..Padding::NONE });
        assert_eq!(pool.output(112, 112), Some((56, 56)));
        assert_eq!(pool.output(56, 56), Some((28, 28)));
        assert_eq!(Window::global(7, 7).output(7, 7), Some((1, 1)));
    }

    #[test]
    fn impossible_windows_have_no_output() {
        assert_eq!(Window::square(3, 0).output(8, 8), None);
        assert_eq!(Window::square(0, 1).output(8, 8), None);
        assert_eq!(Window::square(9, 1).output(8, 8), None);
        assert_eq!(Window::square(1, 1).padded(Padding::same(u32::MAX)).output(8, 8), None);
    }

    #[test]
    fn spans_are_what_a_loop_over_the_kernel_finds() {
        for (kernel, stride, before, size) in [(3, 1, 1, 5), (7, 2, 3, 10), (2, 3, 0, 9), (5, 1, 4, 2)] {
            let window = Window::square(kernel, stride).padded(Padding { top: before, ..Padding::NONE });
            for y in 0..6 {
                let inside: std::vec::Vec<u32> = (0..kernel)
                    .filter(|k| {
                        let at = i64::from(y * stride) + i64::from(*k) - i64::from(before);
                        (0..i64::from(size)).contains(&at)
                    })
                    .collect();
                let span = window.rows(y, size);
                assert_eq!(span.length as usize, inside.len());
                if let Some(first) = inside.first() {
                    assert_eq!(span.skipped, *first);
                    assert_eq!(span.start, y * stride + first - before);
                }
            }
        }
    }
}
