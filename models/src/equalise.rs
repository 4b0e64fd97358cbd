//! Equalisation between layers: a channel that is far louder than its neighbours is made quieter, and the layers that
//! read it listen harder.
//!
//! A tensor has one scale. Where one of its channels reaches a thousand times as far as the others, they are left a
//! handful of its 256 steps, though the next layer may multiply that channel by a thousandth. ReLU and pools don't care
//! about positive factors: `f(s x) = s f(x)`. So a convolution's output channel is divided by `s`, and the weights that
//! read it are multiplied by `s` (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
//! Correction", section 4.1). Weights have a scale for each output channel, so what is balanced here is the activation's
//! channels against the columns of weights that read them (Xiao et al. 2023, "SmoothQuant", equation 4 with its exponent at
//! a half).
//!
//! Factors are powers of two: the float network computes the same bits as before. It is done only around layers whose
//! input is estimated to be lost without it ([`Estimate`]), so that other networks stay what they are.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::calibrate::Calibration;
use crate::compile::{CompileError, Options, scales};
use crate::graph::{Clamp, Graph, Node, Op, ValueId};
use crate::quantize::sharing;

/// A layer whose estimate is below this many dB is worth the change.
const LOST: f64 = 15.0;
/// Estimates must rise by this many dB together, or the graph stays as it is.
const GAIN: f64 = 3.0;
/// Exponents below this are not worth a line in the file.
const LEAST: i32 = 2;
/// Exponents are cut here: far from where a float's own exponent ends.
const MOST: i32 = 30;
/// A column of weights counts as this large at least, beside the largest of its rows.
const SMALLEST_COLUMN: f64 = 1e-6;

/// The factors of one layer's output channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Factors {
    /// The layer's name.
    pub node: String,
    /// Exponents by channel, ascending: the channel is divided by two to this power. Others stay as they are.
    pub exponents: BTreeMap<usize, i32>,
}

/// `3:10 17:-2 of NAME`, as a file's provenance has it.
impl fmt::Display for Factors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (channel, exponent) in &self.exponents {
            write!(f, "{channel}:{exponent} ")?;
        }
        write!(f, "of {}", self.node)
    }
}

impl FromStr for Factors {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (list, node) = text.split_once("of ").ok_or(())?;
        let pair = |text: &str| {
            let (channel, exponent) = text.split_once(':')?;
            let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() <= MOST)?;
            Some((channel.parse().ok()?, exponent))
        };
        let exponents = list.split_whitespace().map(|text| pair(text).ok_or(())).collect::<Result<_, _>>()?;
        Ok(Self { node: node.trim().to_owned(), exponents })
    }
}

/// The key of the provenance's lines.
pub const PROVENANCE: &str = "equalised";

/// How well a layer is estimated to get along with its int8 input and weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The layer's name.
    pub node: String,
    /// Signal to quantisation noise ratio in dB of its sums, from the mean squares of its input's channels, the step of
    /// its input and those of its weights, all taken as independent.
    pub sqnr_db: f64,
    input: ValueId,
}

/// An output channel of a node.
type Channel = (usize, usize);

/// Which output channels a graph's values consist of, and what can be done to them.
struct Flow {
    /// For each channel of each value, the output channel that it is, through pools and concatenations; `None` for the
    /// picture's.
    origins: Vec<Vec<Option<Channel>>>,
    /// The layers and their input's channels that read an output channel; `None` where something reads it, or makes it,
    /// that a factor doesn't pass through.
    readers: BTreeMap<Channel, Option<Vec<Channel>>>,
}

/// Whether positive factors pass through an activation.
fn passes_factors(clamp: Clamp) -> bool {
    [clamp.min, clamp.max].iter().all(|end| *end == 0.0 || end.is_infinite())
}

/// Whether a node's output channels are its input's, but for a factor that passes through.
fn is_transparent(op: &Op) -> bool {
    match op {
        Op::MaxPool(_) | Op::Flatten | Op::Identity | Op::Concat => true,
        Op::AveragePool(pool) => passes_factors(pool.clamp),
        Op::Clamp(clamp) => passes_factors(*clamp),
        _ => false,
    }
}

/// A convolution or dense layer: weights, bias, groups and the activation.
fn layer(op: &Op) -> Option<(&[f32], &[f32], usize, Clamp)> {
    match op {
        Op::Conv(conv) => Some((&conv.weights, &conv.bias, conv.groups.max(1), conv.clamp)),
        Op::Dense(dense) => Some((&dense.weights, &dense.bias, 1, dense.clamp)),
        _ => None,
    }
}

impl Flow {
    fn new(graph: &Graph) -> Self {
        let channels = |value: ValueId| graph.shape(value).channels as usize;
        let mut origins: Vec<Vec<Option<Channel>>> = vec![Vec::new(); graph.values.len()];
        origins[graph.input.0] = vec![None; channels(graph.input)];
        let mut readers = BTreeMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let made: Vec<Option<Channel>> = if is_transparent(&node.op) {
                let inputs: Vec<_> = node.inputs.iter().flat_map(|input| origins[input.0].clone()).collect();
                // A flattened picture has its channels again and again.
                (0..channels(node.output)).map(|channel| inputs[channel % inputs.len().max(1)]).collect()
            } else {
                let scalable = layer(&node.op).is_some_and(|(.., clamp)| passes_factors(clamp));
                let made = (0..channels(node.output)).map(|channel| (index, channel));
                made.map(|channel| {
                    readers.insert(channel, scalable.then(Vec::new));
                    Some(channel)
                })
                .collect()
            };
            origins[node.output.0] = made;
        }
        let mut flow = Self { origins, readers };
        for (index, node) in graph.nodes.iter().enumerate().filter(|(_, node)| !is_transparent(&node.op)) {
            for input in &node.inputs {
                flow.read(*input, layer(&node.op).map(|_| index));
            }
        }
        flow.read(graph.output, None);
        flow
    }

    /// Notes that a layer reads a value, or something else, by which its channels are bound.
    fn read(&mut self, value: ValueId, layer: Option<usize>) {
        for (column, origin) in self.origins[value.0].iter().enumerate() {
            let Some(readers) = origin.and_then(|origin| self.readers.get_mut(&origin)) else { continue };
            match layer {
                Some(index) => readers.iter_mut().for_each(|readers| readers.push((index, column))),
                None => *readers = None,
            }
        }
    }

    /// Whether an output channel may have a factor.
    fn is_free(&self, channel: Channel) -> bool {
        self.readers.get(&channel).is_some_and(Option::is_some)
    }
}

/// A layer's weights as columns: one for each channel of its input.
struct Columns<'a> {
    weights: &'a [f32],
    /// Weights of one output channel.
    row: usize,
    /// Input channels of a group.
    depth: usize,
    /// Output channels of a group.
    outputs: usize,
}

impl<'a> Columns<'a> {
    fn new(op: &'a Op, channels: usize) -> Option<Self> {
        let (weights, bias, groups, _) = layer(op)?;
        let row = weights.len().checked_div(bias.len())?;
        let (depth, outputs) = (channels / groups, bias.len() / groups);
        (row > 0 && depth > 0 && outputs > 0).then_some(Self { weights, row, depth, outputs })
    }

    /// The input channel that a weight reads.
    fn column(&self, at: usize) -> usize {
        at / self.row / self.outputs * self.depth + at % self.row % self.depth
    }

    fn row_peaks(&self) -> Vec<f64> {
        let peak = |row: &[f32]| row.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs())).into();
        self.weights.chunks_exact(self.row).map(peak).collect()
    }

    /// Of each column, the largest share that one of its weights has of the largest weight in its row.
    fn shares(&self, channels: usize) -> Vec<f64> {
        let (peaks, mut shares) = (self.row_peaks(), vec![0.0_f64; channels]);
        for (at, weight) in self.weights.iter().enumerate() {
            let peak = peaks.get(at / self.row).copied().unwrap_or_default();
            if let Some(share) = shares.get_mut(self.column(at)).filter(|_| peak > 0.0) {
                *share = share.max(f64::from(weight.abs()) / peak);
            }
        }
        shares
    }

    /// Signal to noise ratio of the sums, from the mean squares of the input's channels and the input's scale.
    fn sqnr_db(&self, squares: &[f32], scale: f64) -> f64 {
        let (mut signal, mut noise) = (0.0, 0.0);
        let rounding = scale * scale / 12.0;
        let peaks = self.row_peaks();
        for (at, weight) in self.weights.iter().enumerate() {
            let square = f64::from(squares.get(self.column(at)).copied().unwrap_or_default());
            let step = peaks.get(at / self.row).copied().unwrap_or_default() / 127.0;
            let power = f64::from(*weight).powi(2);
            signal += power * square;
            noise += step * step / 12.0 * square;
            // A channel that is always zero is always exact.
            noise += if square > 0.0 { power * rounding } else { 0.0 };
        }
        if signal > 0.0 { 10.0 * (signal / noise).log10() } else { f64::INFINITY }
    }
}

/// What int8 is estimated to leave of each convolution's and dense layer's input.
///
/// # Errors
/// A calibration of another graph.
pub fn estimates(graph: &Graph, calibration: &Calibration, options: &Options) -> Result<Vec<Estimate>, CompileError> {
    let quant = scales(graph, calibration, options)?;
    let estimate = |node: &Node| {
        let input = node.inputs[0];
        let columns = Columns::new(&node.op, graph.shape(input).channels as usize)?;
        let squares = &calibration.get(input)?.channel_mean_square;
        Some(Estimate {
            node: node.name.clone(),
            sqnr_db: columns.sqnr_db(squares, quant[input.0].scale.into()),
            input,
        })
    };
    Ok(graph.nodes.iter().filter_map(estimate).collect())
}

/// Whether a graph got better: its estimates rose by enough where they were bad.
#[must_use]
pub fn is_better(before: &[Estimate], after: &[Estimate]) -> bool {
    let missing = |estimates: &[Estimate]| estimates.iter().map(|of| (LOST - of.sqnr_db).max(0.0)).sum::<f64>();
    missing(after) + GAIN <= missing(before)
}

/// Factors for the layers around those that are estimated to be lost; none where no layer is, or nothing can be done.
#[must_use]
pub fn factors(graph: &Graph, calibration: &Calibration, estimates: &[Estimate]) -> Vec<Factors> {
    let lost: Vec<ValueId> = estimates.iter().filter(|of| of.sqnr_db < LOST).map(|of| of.input).collect();
    if lost.is_empty() {
        return Vec::new();
    }
    let (flow, representatives) = (Flow::new(graph), sharing(graph));
    let shares: Vec<Vec<f64>> = graph.nodes.iter().map(|node| column_shares(graph, node)).collect();
    let mut sets: Vec<ValueId> = lost.iter().map(|value| representatives[value.0]).collect();
    sets.sort_unstable();
    sets.dedup();
    let mut chosen: BTreeMap<usize, BTreeMap<usize, i32>> = BTreeMap::new();
    for set in sets {
        let mut channels = BTreeMap::new();
        let mut bound = 0.0_f64;
        for (value, origins) in flow.origins.iter().enumerate().filter(|(value, _)| representatives[*value] == set) {
            let Some(statistics) = calibration.get(ValueId(value)) else { continue };
            for (origin, largest) in origins.iter().zip(&statistics.channel_largest) {
                let largest = f64::from(*largest);
                match origin.filter(|origin| flow.is_free(*origin)) {
                    Some(origin) => {
                        let known = channels.entry(origin).or_insert(0.0_f64);
                        *known = known.max(largest);
                    }
                    None => bound = bound.max(largest),
                }
            }
        }
        for ((node, channel), exponent) in balanced(&flow, &shares, &channels, bound) {
            chosen.entry(node).or_default().insert(channel, exponent);
        }
    }
    let named = |(node, exponents): (usize, _)| Factors { node: graph.nodes[node].name.clone(), exponents };
    chosen.into_iter().map(named).collect()
}

/// A node's columns as shares; empty where it is no layer, or has one column for each row: then the weights' own scales
/// take in any factor.
fn column_shares(graph: &Graph, node: &Node) -> Vec<f64> {
    let channels = node.inputs.first().map_or(0, |input| graph.shape(*input).channels as usize);
    let columns = Columns::new(&node.op, channels).filter(|columns| columns.depth > 1);
    columns.map_or_else(Vec::new, |columns| columns.shares(channels))
}

/// Exponents that bring the output channels of one scale into balance; `bound` is the largest magnitude of those that
/// can't be changed.
fn balanced(flow: &Flow, shares: &[Vec<f64>], channels: &BTreeMap<Channel, f64>, bound: f64) -> Vec<(Channel, i32)> {
    // What a channel should reach, but for a common factor: the mean of how far it reaches and how hard it is listened
    // to. `None` where any will do.
    let wanted = |channel: &Channel, largest: f64| {
        let readers = flow.readers.get(channel).and_then(Option::as_ref)?;
        let shares = readers.iter().filter_map(|(node, column)| shares[*node].get(*column));
        let share = shares.copied().reduce(f64::max)?;
        Some((largest * share.max(SMALLEST_COLUMN)).sqrt())
    };
    let alive: Vec<(Channel, f64, Option<f64>)> = channels
        .iter()
        .filter(|(_, largest)| **largest > 0.0)
        .map(|(channel, largest)| (*channel, *largest, wanted(channel, *largest)))
        .collect();
    let most = alive.iter().filter_map(|(.., wanted)| *wanted).fold(0.0, f64::max);
    let common = if bound > 0.0 {
        bound / most
    } else {
        // Most channels stay as they are.
        median(alive.iter().filter_map(|(_, largest, wanted)| Some(largest / (*wanted)?)))
    };
    let reach = match (bound > 0.0, most > 0.0) {
        (true, _) => bound,
        (false, true) => common * most,
        (false, false) => median(alive.iter().map(|(_, largest, _)| *largest)),
    };
    let exponent = |(channel, largest, wanted): (Channel, f64, Option<f64>)| {
        let goal = wanted.map_or(reach, |wanted| common * wanted);
        let exponent = (largest / goal).log2().round().clamp(-f64::from(MOST), f64::from(MOST)) as i32;
        (exponent.abs() >= LEAST).then_some((channel, exponent))
    };
    alive.into_iter().filter_map(exponent).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(1.0)
}

/// Divides the output channels of layers by their factors and multiplies what reads them. Factors of layers that the
/// graph doesn't have, or that can't have them, change nothing.
pub fn apply(graph: &mut Graph, factors: &[Factors]) {
    let flow = Flow::new(graph);
    let one_line = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut columns: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for Factors { node, exponents } in factors {
        let Some(index) = graph.nodes.iter().position(|other| one_line(&other.name) == one_line(node)) else {
            continue;
        };
        for (channel, exponent) in exponents {
            let Some(Some(readers)) = flow.readers.get(&(index, *channel)) else { continue };
            let factor = 2.0_f32.powi(*exponent);
            scale_row(&mut graph.nodes[index].op, *channel, factor.recip());
            for (reader, column) in readers {
                let channels = graph.shape(graph.nodes[*reader].inputs[0]).channels as usize;
                columns.entry(*reader).or_insert_with(|| vec![1.0; channels])[*column] *= factor;
            }
        }
    }
    for (reader, factors) in columns {
        scale_columns(&mut graph.nodes[reader].op, &factors);
    }
}

/// The graph that a file was compiled from, as its provenance says: the imported one with these factors.
#[must_use]
pub fn as_compiled(graph: &Graph, provenance: &str) -> Graph {
    let lines = provenance.lines().filter_map(|line| line.split_once(": "));
    let factors: Vec<Factors> =
        lines.filter(|(key, _)| *key == PROVENANCE).filter_map(|(_, value)| value.parse().ok()).collect();
    let mut graph = graph.clone();
    apply(&mut graph, &factors);
    graph
}

fn scale_row(op: &mut Op, channel: usize, factor: f32) {
    let (weights, bias) = match op {
        Op::Conv(conv) => (&mut conv.weights, &mut conv.bias),
        Op::Dense(dense) => (&mut dense.weights, &mut dense.bias),
        _ => return,
    };
    let row = weights.len() / bias.len().max(1);
    weights.chunks_exact_mut(row.max(1)).skip(channel).take(1).flatten().for_each(|weight| *weight *= factor);
    bias.iter_mut().skip(channel).take(1).for_each(|bias| *bias *= factor);
}

fn scale_columns(op: &mut Op, factors: &[f32]) {
    let Some(columns) = Columns::new(op, factors.len()) else { return };
    let by_weight: Vec<f32> = (0..columns.weights.len()).map(|at| factors[columns.column(at)]).collect();
    let weights = match op {
        Op::Conv(conv) => &mut conv.weights,
        Op::Dense(dense) => &mut dense.weights,
        _ => return,
    };
    weights.iter_mut().zip(by_weight).for_each(|(weight, factor)| *weight *= factor);
}
