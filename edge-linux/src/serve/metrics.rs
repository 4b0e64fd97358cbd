//! What Prometheus is told, in the OpenMetrics text format.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::feed::Update;

type Real = Gauge<f64, AtomicU64>;

/// The figures, and the registry that names them.
pub(super) struct Metrics {
    registry: Registry,
    latency: Histogram,
    network: Histogram,
    captured: Counter,
    classified: Counter,
    skipped: Counter,
    dropped: Counter,
    broken: Counter,
    reconnects: Counter,
    frames_per_second: Real,
    margin: Real,
    entropy: Real,
    saturation: Real,
    mqtt_published: Counter,
    mqtt_dropped: Counter,
    mqtt_failures: Counter,
}

impl Metrics {
    pub(super) fn new() -> Self {
        // 1 ms to 4 s, by factors of two.
        let histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 13));
        let mut metrics = Self {
            registry: Registry::with_prefix("tinception"),
            latency: histogram(),
            network: histogram(),
            captured: Counter::default(),
            classified: Counter::default(),
            skipped: Counter::default(),
            dropped: Counter::default(),
            broken: Counter::default(),
            reconnects: Counter::default(),
            frames_per_second: Real::default(),
            margin: Real::default(),
            entropy: Real::default(),
            saturation: Real::default(),
            mqtt_published: Counter::default(),
            mqtt_dropped: Counter::default(),
            mqtt_failures: Counter::default(),
        };
        let registry = &mut metrics.registry;
        let help = "Time from a frame's arrival to its label";
        registry.register_with_unit("capture_to_label", help, Unit::Seconds, metrics.latency.clone());
        registry.register_with_unit("network", "Time in the network", Unit::Seconds, metrics.network.clone());
        registry.register("frames_captured", "Frames that the source gave", metrics.captured.clone());
        registry.register("frames_classified", "Frames that the network saw", metrics.classified.clone());
        registry.register("frames_skipped", "Frames passed over, as --every asks for", metrics.skipped.clone());
        registry.register("frames_dropped", "Frames passed over for a newer one", metrics.dropped.clone());
        registry.register("frames_broken", "Frames that could not be decoded", metrics.broken.clone());
        registry.register("source_reconnects", "Times the source was opened again", metrics.reconnects.clone());
        let help = "Classified frames in the last second";
        registry.register("frames_per_second", help, metrics.frames_per_second.clone());
        let help = "The best class's probability less the second's; a fall of its mean tells of drift";
        registry.register("top1_margin", help, metrics.margin.clone());
        let help = "Entropy of the probabilities, in bits; a rise of its mean tells of drift";
        registry.register("entropy_bits", help, metrics.entropy.clone());
        let help = "Share of the network's int8 activations at -128 or 127, their zero points aside, in one frame of a \
                    hundred; a rise of its mean tells of drift; NaN where activations are float";
        registry.register("activation_saturation", help, metrics.saturation.clone());
        metrics.saturation.set(f64::NAN);
        registry.register(
            "mqtt_states_published",
            "States that the broker acknowledged",
            metrics.mqtt_published.clone(),
        );
        let help = "States that made room for newer ones, or went away with a connection";
        registry.register("mqtt_states_dropped", help, metrics.mqtt_dropped.clone());
        let help = "Times the broker could not be reached, or went away";
        registry.register("mqtt_failures", help, metrics.mqtt_failures.clone());
        metrics
    }

    pub(super) fn observe(&self, update: &Update) {
        self.latency.observe(update.latency_ms / 1e3);
        self.network.observe(update.stages.network_ms / 1e3);
        let counts = &update.counts;
        let mqtt = update.mqtt.unwrap_or_default();
        for (counter, count) in [
            (&self.captured, counts.captured),
            (&self.classified, update.classified),
            (&self.skipped, counts.skipped),
            (&self.dropped, counts.dropped),
            (&self.broken, counts.broken),
            (&self.reconnects, counts.reconnects),
            (&self.mqtt_published, mqtt.published),
            (&self.mqtt_dropped, mqtt.dropped),
            (&self.mqtt_failures, mqtt.failures),
        ] {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        self.frames_per_second.set(update.frames_per_second);
        let probability = |index: usize| update.top.get(index).map_or(0.0, |class| class.probability);
        self.margin.set(probability(0) - probability(1));
        self.entropy.set(update.entropy);
        if let Some(share) = update.saturation {
            self.saturation.set(share);
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
