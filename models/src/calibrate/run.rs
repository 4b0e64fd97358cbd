//! The float engine's part of a calibration: pictures go in one by one.

use super::{Calibration, CalibrationError, Histogram, ValueStatistics};
use crate::float::FloatEngine;
use crate::graph::{Graph, ValueId};

/// Takes pictures one by one.
#[derive(Debug)]
pub struct Calibrator {
    engine: FloatEngine,
    values: Vec<Running>,
    value_count: usize,
    /// The index in `values` of the graph's output.
    output: usize,
    samples: usize,
    held_out: usize,
}

/// What is summed up of a value.
#[derive(Debug)]
struct Running {
    id: ValueId,
    name: String,
    pixels: u64,
    all: Tally,
    /// What is in `all` from pictures that are held out.
    held_out: Tally,
}

/// Sums over pictures. The histograms of a value's two tallies hold different pictures: they merge exactly. Sums of floats
/// depend on their order, so those of all pictures are kept in their own.
#[derive(Debug)]
struct Tally {
    histogram: Histogram,
    channels: Vec<Channel>,
}

/// Sums over a channel's elements.
#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    sum: f64,
    squares: f64,
    largest: f32,
}

impl Tally {
    fn new(channels: usize) -> Self {
        Self { histogram: Histogram::new(), channels: vec![Channel::default(); channels] }
    }

    fn add_channels(&mut self, elements: &[f32]) {
        for pixel in elements.chunks_exact(self.channels.len().max(1)) {
            for (channel, element) in self.channels.iter_mut().zip(pixel) {
                let value = f64::from(*element);
                channel.sum += value;
                channel.squares += value * value;
                channel.largest = channel.largest.max(element.abs());
            }
        }
    }
}

impl Running {
    /// The value's statistics over `pictures` of them.
    fn statistics(&self, histogram: Histogram, channels: impl Iterator<Item = Channel>, pictures: usize) -> Statistics {
        let count = (self.pixels * pictures as u64) as f64;
        let mut statistics = ValueStatistics {
            histogram,
            channel_mean: Vec::new(),
            channel_mean_square: Vec::new(),
            channel_largest: Vec::new(),
        };
        for channel in channels {
            statistics.channel_mean.push((channel.sum / count) as f32);
            statistics.channel_mean_square.push((channel.squares / count) as f32);
            statistics.channel_largest.push(channel.largest);
        }
        (self.id, statistics)
    }
}

/// A value and what is known of it.
type Statistics = (ValueId, ValueStatistics);

impl Calibrator {
    /// Prepares a graph, which must be the one that will be compiled.
    ///
    /// # Errors
    /// [`CalibrationError::Float`] where the float engine refuses the graph.
    pub fn new(graph: &Graph) -> Result<Self, CalibrationError> {
        let ids: Vec<ValueId> =
            std::iter::once(graph.input).chain(graph.nodes.iter().map(|node| node.output)).collect();
        let engine = FloatEngine::new(graph, &ids)?;
        let output = ids.iter().position(|id| *id == graph.output).unwrap_or_default();
        let values = ids.into_iter().map(|id| {
            let channels = graph.shape(id).channels as usize;
            let (all, held_out) = (Tally::new(channels), Tally::new(channels));
            Running { id, name: graph[id].name.clone(), pixels: graph.shape(id).pixels(), all, held_out }
        });
        let (values, value_count) = (values.collect(), graph.values.len());
        Ok(Self { engine, values, value_count, output, samples: 0, held_out: 0 })
    }

    /// Runs one picture, the network's float input in NHWC, and returns the network's output.
    ///
    /// # Errors
    /// [`CalibrationError::Float`] for an input of the wrong size, [`CalibrationError::NotFinite`].
    pub fn add(&mut self, input: &[f32]) -> Result<Vec<f32>, CalibrationError> {
        self.count(input, false)
    }

    /// As [`add`](Self::add), for a picture that shall judge: [`finish`](Self::finish) gives a calibration without it,
    /// too.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    pub fn add_held_out(&mut self, input: &[f32]) -> Result<Vec<f32>, CalibrationError> {
        self.held_out += 1;
        self.count(input, true)
    }

    fn count(&mut self, input: &[f32], held_out: bool) -> Result<Vec<f32>, CalibrationError> {
        let mut results = self.engine.run(input)?;
        self.samples += 1;
        for (value, elements) in self.values.iter_mut().zip(&results) {
            let histogram = if held_out { &mut value.held_out.histogram } else { &mut value.all.histogram };
            if !histogram.add(elements) {
                return Err(CalibrationError::NotFinite { value: value.name.clone(), picture: self.samples });
            }
            value.all.add_channels(elements);
            if held_out {
                value.held_out.add_channels(elements);
            }
        }
        Ok(results.swap_remove(self.output))
    }

    /// What all the pictures showed, and what those showed that weren't held out, where some were and some weren't.
    ///
    /// # Errors
    /// [`CalibrationError::Empty`] where there was no picture.
    pub fn finish(self) -> Result<(Calibration, Option<Calibration>), CalibrationError> {
        if self.samples == 0 {
            return Err(CalibrationError::Empty);
        }
        let kept = self.samples - self.held_out;
        let others = (self.held_out > 0 && kept > 0).then(|| {
            let statistics = self.values.iter().map(|value| {
                let pairs = value.all.channels.iter().zip(&value.held_out.channels);
                // The largest magnitude of the others isn't known apart; that of all will do.
                let channels = pairs.map(|(all, held_out)| Channel {
                    sum: all.sum - held_out.sum,
                    squares: all.squares - held_out.squares,
                    largest: all.largest,
                });
                value.statistics(value.all.histogram.clone(), channels, kept)
            });
            self.calibration(statistics, kept)
        });
        let statistics = self.values.iter().map(|value| {
            let mut histogram = value.all.histogram.clone();
            histogram.merge(&value.held_out.histogram);
            value.statistics(histogram, value.all.channels.iter().copied(), self.samples)
        });
        Ok((self.calibration(statistics, self.samples), others))
    }

    fn calibration(&self, statistics: impl Iterator<Item = Statistics>, samples: usize) -> Calibration {
        let mut values = vec![None; self.value_count];
        for (id, statistics) in statistics {
            values[id.0] = Some(statistics);
        }
        Calibration { values, samples }
    }
}

/// Calibrates on inputs as [`Calibrator::add`] takes them; `progress` hears after each how many are done.
///
/// # Errors
/// [`CalibrationError`].
pub fn calibrate(
    graph: &Graph,
    inputs: impl IntoIterator<Item = Vec<f32>>,
    mut progress: impl FnMut(usize),
) -> Result<Calibration, CalibrationError> {
    let mut calibrator = Calibrator::new(graph)?;
    for (index, input) in inputs.into_iter().enumerate() {
        calibrator.add(&input)?;
        progress(index + 1);
    }
    Ok(calibrator.finish()?.0)
}
