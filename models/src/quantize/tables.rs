//! The tables of operators that are no straight lines: local response normalisation, softmax, average pooling.
//!
//! Their formulas are part of the format's specification.

use tinception_core::kernels::AverageWindow;
use tinception_core::kernels::softmax::{FRACTION, WHOLE};
use tinception_core::quant::QuantParams;
use tinception_core::shape::Shape;

use super::rules::requantize;
use crate::graph::{AveragePool, Lrn};

/// Most entries of a normalisation's table.
const LRN_ENTRIES: u64 = 2560;

/// The table of a normalisation and how it is indexed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LrnTable {
    /// Factor of each class of sums of squares.
    pub entries: Vec<u16>,
    /// The sum is shifted right by this to index the table.
    pub index_shift: u32,
    /// The product is shifted right by this.
    pub shift: u32,
}

/// `T[i] = round((bias + alpha / size * scale_in^2 * mid)^-beta * scale_in / scale_out * 2^shift)`, `mid` the middle
/// of the sums `i * 2^index_shift ..= (i + 1) * 2^index_shift - 1`.
///
/// `None` where a factor is not a number or too large for a table, as with a negative sum in the brackets.
#[must_use]
pub fn lrn(lrn: &Lrn, channels: u32, input: QuantParams, output: QuantParams) -> Option<LrnTable> {
    let largest = u64::from(lrn.size.min(channels)) * 255 * 255;
    let index_shift = (0..32).find(|shift| (largest >> shift) < LRN_ENTRIES)?;
    let (scale_in, scale_out) = (f64::from(input.scale), f64::from(output.scale));
    let slope = f64::from(lrn.alpha) / f64::from(lrn.size) * scale_in * scale_in;
    let bin = 2_f64.powi(index_shift);
    let factors: Vec<f64> = (0..=largest >> index_shift)
        .map(|index| {
            let mid = index as f64 * bin + (bin - 1.0) / 2.0;
            (f64::from(lrn.bias) + slope * mid).powf(-f64::from(lrn.beta)) * scale_in / scale_out
        })
        .collect();
    let fits = |shift: i32| factors.iter().all(|factor| (factor * 2_f64.powi(shift)).round() <= 65535.0);
    if !factors.iter().all(|factor| *factor >= 0.0) {
        return None;
    }
    let shift = (1..=30).rev().find(|shift| fits(*shift))?;
    let entries = factors.iter().map(|factor| (factor * 2_f64.powi(shift)).round() as u16).collect();
    Some(LrnTable { entries, index_shift: index_shift as u32, shift: shift as u32 })
}

/// The two tables of a softmax or sigmoid, whole powers first: `round(2^30 * exp(-i))`, `round(2^30 * exp(-i / 256))`.
#[must_use]
pub fn softmax() -> Vec<u32> {
    let one = 2_f64.powi(30);
    let whole = (0..WHOLE).map(|i| (one * (-(i as f64)).exp()).round() as u32);
    whole.chain((0..FRACTION).map(|i| (one * (-(i as f64) / 256.0).exp()).round() as u32)).collect()
}

/// `[divisor, multiplier, shift]` of each divisor that occurs over an input and output of these shapes, ascending.
/// `ratio` is the input's scale over the output's.
#[must_use]
pub fn divisors(pool: &AveragePool, input: Shape, output: Shape, ratio: f64) -> Option<Vec<[i32; 3]>> {
    let window = AverageWindow { window: pool.window, counted: pool.counted };
    let columns = |y| (0..output.width).map(move |x| window.divisor(y, x, input.height, input.width));
    let mut found: Vec<u32> = (0..output.height).flat_map(columns).collect();
    found.sort_unstable();
    found.dedup();
    let rule = |divisor: u32| {
        let rule = requantize(ratio / f64::from(divisor))?;
        Some([divisor as i32, rule.multiplier(), rule.shift() as i32])
    };
    found.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use tinception_core::shape::{Padding, Window};

    use super::*;

    const QUANT: QuantParams = QuantParams { scale: 0.5, zero_point: -128 };

    #[test]
    fn an_lrn_table_covers_every_sum() {
        let caffe = Lrn { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 };
        let table = lrn(&caffe, 64, QUANT, QUANT).unwrap();
        assert_eq!((table.index_shift, table.entries.len()), (7, ((5 * 255 * 255) >> 7) + 1));
        // The factors start just below 1, so 2^16 times the first still fits.
        assert_eq!(table.shift, 16);
        // round(2^16 (1 + 5e-6 S)^-0.75) in the middle of each bin: S = 63.5 and so on, every 128.
        assert_eq!([0, 1000, 2540].map(|index| table.entries[index]), [65520, 45215, 31770]);
        for sum in [0_u32, 127, 128, 20_000, 325_125] {
            let exact = (1.0 + 1e-4 / 5.0 * 0.25 * f64::from(sum)).powf(-0.75);
            let entry = f64::from(table.entries[(sum >> 7) as usize]) / 65536.0;
            assert!((entry - exact).abs() < 3e-4, "{sum}: {entry} is not {exact}");
        }
        let narrow = lrn(&caffe, 2, QUANT, QUANT).unwrap();
        assert_eq!(narrow.index_shift, 6, "two channels have sums up to 2 * 255^2");
        assert_eq!(lrn(&Lrn { bias: -1.0, ..caffe }, 64, QUANT, QUANT), None);
    }

    #[test]
    fn softmax_tables_start_at_one() {
        let table = softmax();
        assert_eq!(table.len(), WHOLE + FRACTION);
        assert_eq!((table[0], table[WHOLE]), (1 << 30, 1 << 30));
        assert_eq!(table[1], 395_007_542, "2^30 / e");
        assert_eq!(table[WHOLE + 255], 396_553_558, "2^30 * exp(-255 / 256)");
    }

    #[test]
    fn each_divisor_has_its_rule() {
        let window = Window::square(3, 1).padded(Padding::same(1));
        let shape = Shape::new(5, 4, 8);
        let excluded = AveragePool { window, counted: Padding::NONE, clamp: crate::graph::Clamp::NONE };
        let table = divisors(&excluded, shape, shape, 1.0).unwrap();
        assert_eq!(table.iter().map(|entry| entry[0]).collect::<Vec<_>>(), [4, 6, 9]);
        assert_eq!(table[0][1..], [1 << 30, 32], "a quarter");
        let counted = AveragePool { counted: Padding::same(1), ..excluded };
        assert_eq!(divisors(&counted, shape, shape, 1.0).unwrap().len(), 1);
    }
}
