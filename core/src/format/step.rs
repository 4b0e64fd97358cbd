//! A step: one operator, the tensors it reads and writes, and its fields.
//!
//! All records have the same size and the same first 20 bytes; what follows depends on the operator:
//!
//! | operator | fields from byte 20 on |
//! | --- | --- |
//! | convolution | window (16 bytes), groups, weights, channel table, transformed weights |
//! | max pool | window |
//! | average pool | window, counted padding (8 bytes), divisor table, its entries |
//! | LRN | size, table, its entries, index shift, output shift |
//! | add | multiplier of the first input, of the second, shift |
//! | rescale | multiplier, shift |
//! | softmax, sigmoid | multiplier, shift, table |
//!
//! Offsets are from the start of the file. The tables are described at the structs that point to them.

use core::num::NonZeroU32;

use super::bytes::{Field, i32_at, u16_at, u32_at};
use crate::EVERY_OPERATOR;
use crate::shape::{Padding, Window};

/// Bytes of a record.
pub const SIZE: usize = 64;

const OPERATOR: usize = 0;
const MIN: usize = 1;
const MAX: usize = 2;
const LINK: usize = 3;
const INPUT: Field = 4..6;
const SECOND_INPUT: Field = 6..8;
const OUTPUT: Field = 8..10;
const NAME: Field = 12..16;
const NAME_LENGTH: Field = 16..18;

const WINDOW: [Field; 8] = [20..22, 22..24, 24..26, 26..28, 28..30, 30..32, 32..34, 34..36];

const GROUPS: Field = 36..40;
const WEIGHTS: Field = 40..44;
const CHANNEL_TABLE: Field = 44..48;
const WINOGRAD: Field = 48..52;

const COUNTED: [Field; 4] = [36..38, 38..40, 40..42, 42..44];
const DIVISOR_TABLE: Field = 44..48;
const DIVISORS: Field = 48..52;

const LRN_SIZE: Field = 20..24;
const LRN_TABLE: Field = 24..28;
const LRN_ENTRIES: Field = 28..32;
const LRN_INDEX_SHIFT: Field = 32..36;
const LRN_SHIFT: Field = 36..40;

const MULTIPLIER: Field = 20..24;
const ADD_SECOND_MULTIPLIER: Field = 24..28;
const ADD_SHIFT: Field = 28..32;
const RESCALE_SHIFT: Field = 24..28;
const SOFTMAX_SHIFT: Field = 24..28;
const SOFTMAX_TABLE: Field = 28..32;

/// A step record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The tensor it reads.
    pub input: u16,
    /// The other tensor an addition reads, else [`NO_TENSOR`](super::NO_TENSOR).
    pub second_input: u16,
    /// The tensor it writes.
    pub output: u16,
    /// Lower end of the fused activation, in output units; -128 where there is none.
    pub min: i8,
    /// Upper end of the fused activation, in output units; 127 where there is none.
    pub max: i8,
    /// Where the step's name starts in the file.
    pub name: u32,
    /// Bytes of the name.
    pub name_length: u16,
    /// How it runs together with the next step.
    pub link: Link,
    /// What it computes.
    pub operator: Operator,
}

/// How a step runs together with the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Link {
    /// The step runs by itself.
    #[default]
    None = 0,
    /// The next step consumes its output while it is made, a few rows or pixels at a time.
    Stream = 1,
    /// The next step reads the same input at the same time.
    Share = 2,
}

/// A number that this version gives no meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Of an operator, or the number of one that this build leaves out.
    Operator(u8),
    /// Of a link.
    Link(u8),
}

/// The operators and their fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Convolution, and a dense layer as the convolution whose kernel covers its input.
    Conv(Conv),
    /// Largest value of a window.
    MaxPool(Window),
    /// Mean over a window.
    AveragePool(AveragePool),
    /// Local response normalisation.
    Lrn(Lrn),
    /// Sum of two tensors.
    Add(Add),
    /// A copy with another scale and zero point, or with an activation of its own.
    Rescale(Rescale),
    /// Probabilities of which one class is true: they sum up to 1.
    Softmax(Softmax),
    /// Probabilities of classes that are true or not, each by itself. Since version 1.2.
    Sigmoid(Softmax),
}

/// Fields of a convolution.
///
/// Weights: for each group `[oc/4][k/4][4 oc][4 k]`, int8 in -127..=127, zero padded. A depthwise convolution, where
/// groups, input and output channels are equal and more than 1, has `[ky][kx][channel]` instead. The channel table is
/// four arrays of little-endian i32, each as long as the output channels rounded up to 4 within each group (depthwise:
/// within the whole): bias, multiplier, shift, weight sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Groups of channels.
    pub groups: u32,
    /// Start of the weights; 16-byte aligned.
    pub weights: u32,
    /// Start of the channel table; 16-byte aligned.
    pub channel_table: u32,
    /// Start of the weights, transformed for [`kernels::winograd`](crate::kernels::winograd), where there are any;
    /// 16-byte aligned. Files of version 1.0 have none.
    pub winograd: Option<NonZeroU32>,
}

/// Fields of an average pool. Its table has entries of three little-endian i32, ascending by the first: divisor,
/// multiplier, shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AveragePool {
    /// Kernel, stride, padding.
    pub window: Window,
    /// The part of the padding that counts in the divisor.
    pub counted: Padding,
    /// Start of the divisor table; 4-byte aligned.
    pub divisor_table: u32,
    /// Entries of the divisor table.
    pub divisors: u32,
}

/// Fields of a local response normalisation. Its table has u16 entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lrn {
    /// Channels in the sum.
    pub size: u32,
    /// Start of the table; 4-byte aligned.
    pub table: u32,
    /// Entries of the table.
    pub entries: u32,
    /// The sum of squares is shifted right by this to index the table.
    pub index_shift: u32,
    /// The product is shifted right by this.
    pub shift: u32,
}

/// Fields of an addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// Multiplier of each input.
    pub multipliers: [i32; 2],
    /// Right shift of the sum of both products.
    pub shift: u32,
}

/// Fields of a rescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescale {
    /// Multiplier of `q - zero_point`.
    pub multiplier: i32,
    /// Right shift of the product.
    pub shift: u32,
}

/// Fields of a softmax and of a sigmoid. The table is the little-endian u32 of the two tables of
/// [`kernels::softmax`](crate::kernels::softmax), whole powers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Multiplier that brings a difference of logits to 1/256; a sigmoid's logits differ from 0.
    pub multiplier: i32,
    /// Right shift of that product.
    pub shift: u32,
    /// Start of the table; 4-byte aligned.
    pub table: u32,
}

impl Step {
    /// Reads a record.
    pub fn parse(record: &[u8; SIZE]) -> Result<Self, Unknown> {
        let operator = match record[OPERATOR] {
            left_out @ (3..=5 | 7) if !EVERY_OPERATOR => return Err(Unknown::Operator(left_out)),
            0 => Operator::Conv(Conv {
                window: parse_window(record),
                groups: u32_at(record, GROUPS),
                weights: u32_at(record, WEIGHTS),
                channel_table: u32_at(record, CHANNEL_TABLE),
                winograd: NonZeroU32::new(u32_at(record, WINOGRAD)),
            }),
            1 => Operator::MaxPool(parse_window(record)),
            2 => Operator::AveragePool(AveragePool {
                window: parse_window(record),
                counted: parse_padding(record, &COUNTED),
                divisor_table: u32_at(record, DIVISOR_TABLE),
                divisors: u32_at(record, DIVISORS),
            }),
            3 => Operator::Lrn(Lrn {
                size: u32_at(record, LRN_SIZE),
                table: u32_at(record, LRN_TABLE),
                entries: u32_at(record, LRN_ENTRIES),
                index_shift: u32_at(record, LRN_INDEX_SHIFT),
                shift: u32_at(record, LRN_SHIFT),
            }),
            4 => Operator::Add(Add {
                multipliers: [i32_at(record, MULTIPLIER), i32_at(record, ADD_SECOND_MULTIPLIER)],
                shift: u32_at(record, ADD_SHIFT),
            }),
            5 => Operator::Rescale(Rescale {
                multiplier: i32_at(record, MULTIPLIER),
                shift: u32_at(record, RESCALE_SHIFT),
            }),
            6 => Operator::Softmax(parse_softmax(record)),
            7 => Operator::Sigmoid(parse_softmax(record)),
            unknown => return Err(Unknown::Operator(unknown)),
        };
        let link = match record[LINK] {
            0 => Link::None,
            1 => Link::Stream,
            2 => Link::Share,
            unknown => return Err(Unknown::Link(unknown)),
        };
        Ok(Self {
            link,
            input: u16_at(record, INPUT),
            second_input: u16_at(record, SECOND_INPUT),
            output: u16_at(record, OUTPUT),
            min: record[MIN] as i8,
            max: record[MAX] as i8,
            name: u32_at(record, NAME),
            name_length: u16_at(record, NAME_LENGTH),
            operator,
        })
    }

    /// Writes what [`parse`](Self::parse) reads.
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn emit(&self) -> [u8; SIZE] {
        use super::bytes::put;
        let mut record = [0; SIZE];
        match self.operator {
            Operator::Conv(conv) => {
                record[OPERATOR] = 0;
                emit_window(&mut record, &conv.window);
                put(&mut record, GROUPS, &conv.groups.to_le_bytes());
                put(&mut record, WEIGHTS, &conv.weights.to_le_bytes());
                put(&mut record, CHANNEL_TABLE, &conv.channel_table.to_le_bytes());
                put(&mut record, WINOGRAD, &conv.winograd.map_or(0, NonZeroU32::get).to_le_bytes());
            }
            Operator::MaxPool(window) => {
                record[OPERATOR] = 1;
                emit_window(&mut record, &window);
            }
            Operator::AveragePool(pool) => {
                record[OPERATOR] = 2;
                emit_window(&mut record, &pool.window);
                emit_padding(&mut record, &COUNTED, &pool.counted);
                put(&mut record, DIVISOR_TABLE, &pool.divisor_table.to_le_bytes());
                put(&mut record, DIVISORS, &pool.divisors.to_le_bytes());
            }
            Operator::Lrn(lrn) => {
                record[OPERATOR] = 3;
                put(&mut record, LRN_SIZE, &lrn.size.to_le_bytes());
                put(&mut record, LRN_TABLE, &lrn.table.to_le_bytes());
                put(&mut record, LRN_ENTRIES, &lrn.entries.to_le_bytes());
                put(&mut record, LRN_INDEX_SHIFT, &lrn.index_shift.to_le_bytes());
                put(&mut record, LRN_SHIFT, &lrn.shift.to_le_bytes());
            }
            Operator::Add(add) => {
                record[OPERATOR] = 4;
                put(&mut record, MULTIPLIER, &add.multipliers[0].to_le_bytes());
                put(&mut record, ADD_SECOND_MULTIPLIER, &add.multipliers[1].to_le_bytes());
                put(&mut record, ADD_SHIFT, &add.shift.to_le_bytes());
            }
            Operator::Rescale(rescale) => {
                record[OPERATOR] = 5;
                put(&mut record, MULTIPLIER, &rescale.multiplier.to_le_bytes());
                put(&mut record, RESCALE_SHIFT, &rescale.shift.to_le_bytes());
            }
            Operator::Softmax(softmax) => {
                record[OPERATOR] = 6;
                emit_softmax(&mut record, &softmax);
            }
            Operator::Sigmoid(sigmoid) => {
                record[OPERATOR] = 7;
                emit_softmax(&mut record, &sigmoid);
            }
        }
        put(&mut record, INPUT, &self.input.to_le_bytes());
        put(&mut record, SECOND_INPUT, &self.second_input.to_le_bytes());
        put(&mut record, OUTPUT, &self.output.to_le_bytes());
        record[MIN] = self.min as u8;
        record[MAX] = self.max as u8;
        record[LINK] = self.link as u8;
        put(&mut record, NAME, &self.name.to_le_bytes());
        put(&mut record, NAME_LENGTH, &self.name_length.to_le_bytes());
        record
    }
}

/// The tensor that the step of this record writes.
pub(crate) const fn output(record: &[u8; SIZE]) -> u16 {
    u16_at(record, OUTPUT)
}

impl Operator {
    /// The operator's name, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conv(_) => "conv",
            Self::MaxPool(_) => "max pool",
            Self::AveragePool(_) => "average pool",
            Self::Lrn(_) => "lrn",
            Self::Add(_) => "add",
            Self::Rescale(_) => "rescale",
            Self::Softmax(_) => "softmax",
            Self::Sigmoid(_) => "sigmoid",
        }
    }
}

fn parse_window(record: &[u8; SIZE]) -> Window {
    let at = |index: usize| u32::from(u16_at(record, WINDOW[index].clone()));
    let padding = Padding { top: at(4), left: at(5), bottom: at(6), right: at(7) };
    Window { kernel_height: at(0), kernel_width: at(1), stride_height: at(2), stride_width: at(3), padding }
}

fn parse_padding(record: &[u8; SIZE], fields: &[Field; 4]) -> Padding {
    let at = |side: usize| u32::from(u16_at(record, fields[side].clone()));
    Padding { top: at(0), left: at(1), bottom: at(2), right: at(3) }
}

fn parse_softmax(record: &[u8; SIZE]) -> Softmax {
    Softmax {
        multiplier: i32_at(record, MULTIPLIER),
        shift: u32_at(record, SOFTMAX_SHIFT),
        table: u32_at(record, SOFTMAX_TABLE),
    }
}

#[cfg(feature = "alloc")]
fn emit_softmax(record: &mut [u8; SIZE], softmax: &Softmax) {
    use super::bytes::put;
    put(record, MULTIPLIER, &softmax.multiplier.to_le_bytes());
    put(record, SOFTMAX_SHIFT, &softmax.shift.to_le_bytes());
    put(record, SOFTMAX_TABLE, &softmax.table.to_le_bytes());
}

#[cfg(feature = "alloc")]
fn emit_window(record: &mut [u8; SIZE], window: &Window) {
    let Window { kernel_height, kernel_width, stride_height, stride_width, padding } = *window;
    let Padding { top, left, bottom, right } = padding;
    let values = [kernel_height, kernel_width, stride_height, stride_width, top, left, bottom, right];
    for (field, value) in WINDOW.into_iter().zip(values) {
        super::bytes::put(record, field, &(value as u16).to_le_bytes());
    }
}

#[cfg(feature = "alloc")]
fn emit_padding(record: &mut [u8; SIZE], fields: &[Field; 4], padding: &Padding) {
    let values = [padding.top, padding.left, padding.bottom, padding.right];
    for (field, value) in fields.iter().cloned().zip(values) {
        super::bytes::put(record, field, &(value as u16).to_le_bytes());
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    fn step(operator: Operator) -> Step {
        let link = Link::Stream;
        Step { input: 1, second_input: 0xFFFF, output: 2, min: -5, max: 6, name: 0x80, name_length: 7, link, operator }
    }

    #[test]
    fn bytes_lie_where_the_layout_says() {
        let window = Window {
            kernel_height: 7,
            kernel_width: 6,
            stride_height: 2,
            stride_width: 1,
            padding: Padding { top: 3, left: 2, bottom: 1, right: 0x104 },
        };
        let winograd = NonZeroU32::new(0x3040);
        let conv = Conv { window, groups: 2, weights: 0x1000, channel_table: 0x2000, winograd };
        let record = step(Operator::Conv(conv)).emit();
        assert_eq!(record[..4], [0, 0xFB, 6, 1]);
        assert_eq!(record[4..10], [1, 0, 0xFF, 0xFF, 2, 0]);
        assert_eq!(record[12..18], [0x80, 0, 0, 0, 7, 0]);
        assert_eq!(record[20..36], [7, 0, 6, 0, 2, 0, 1, 0, 3, 0, 2, 0, 1, 0, 4, 1]);
        assert_eq!(record[36..52], [2, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x20, 0, 0, 0x40, 0x30, 0, 0]);
    }

    #[test]
    fn every_operator_survives_the_round_trip() {
        let window = Window::square(3, 2).padded(Padding::same(1));
        let counted = Padding { top: 1, left: 0, bottom: 1, right: 2 };
        let operators = [
            Operator::Conv(Conv { window, groups: 4, weights: 160, channel_table: 320, winograd: None }),
            Operator::MaxPool(window),
            Operator::AveragePool(AveragePool { window, counted, divisor_table: 16, divisors: 3 }),
            Operator::Lrn(Lrn { size: 5, table: 48, entries: 1271, index_shift: 8, shift: 16 }),
            Operator::Add(Add { multipliers: [1 << 29, 3], shift: 40 }),
            Operator::Rescale(Rescale { multiplier: 77, shift: 33 }),
            Operator::Softmax(Softmax { multiplier: 1 << 30, shift: 50, table: 64 }),
            Operator::Sigmoid(Softmax { multiplier: 3 << 29, shift: 51, table: 1216 }),
        ];
        for (number, operator) in operators.into_iter().enumerate() {
            let record = step(operator).emit();
            assert_eq!(record[0] as usize, number);
            assert_eq!(Step::parse(&record), Ok(step(operator)));
        }
        let winograd = NonZeroU32::new(48);
        let transformed = step(Operator::Conv(Conv { window, groups: 1, weights: 16, channel_table: 32, winograd }));
        assert_eq!(Step::parse(&transformed.emit()), Ok(transformed));
        let mut unknown = step(operators[1]).emit();
        unknown[0] = 8;
        assert_eq!(Step::parse(&unknown), Err(Unknown::Operator(8)));
        unknown[0] = 1;
        unknown[3] = 3;
        assert_eq!(Step::parse(&unknown), Err(Unknown::Link(3)));
    }
}
