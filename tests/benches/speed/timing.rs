//! What the benches of networks share: compiling graphs, and timing them on every backend and in tract.

use std::ops::ControlFlow;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use tinception_core::arch::{Backend, available};
use tinception_core::error::RunError;
use tinception_core::model::{Model, Step};
use tinception_core::session::{Observer, Session, Values};
use tinception_tests::aligned::Aligned;

/// Short runs: these show where time goes; comparisons take tests/peers/run.
pub(crate) fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args()
}

/// Ends a run behind a step.
struct StopBehind(usize);

impl Observer for StopBehind {
    fn after(&mut self, index: usize, _: &Step<'_>, _: Values<'_>) -> ControlFlow<()> {
        if index == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Times a `.tin` file on every backend, prepared where the backend likes that: all of it, or its steps in front of the one
/// named `end`.
pub(crate) fn time_file(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, file: &[u8], end: Option<&str>) {
    let file = Aligned::new(file);
    let model = Model::new(&file).expect("a valid model");
    let ends = |step: &Step<'_>| end.is_some_and(|end| step.name() == end);
    let count = model.steps().position(|step| ends(&step)).unwrap_or(model.step_count());
    group.throughput(Throughput::Elements(model.steps().take(count).map(|step| step.macs()).sum()));
    for backend in available() {
        let mut arena = vec![0; model.arena_size()];
        let mut session = Session::with_backend(&model, &mut arena, backend).expect("a large enough arena");
        let mut memory = vec![0; session.prepared_size()];
        session.prepare(&mut memory).expect("enough memory");
        session.input_mut().fill(1);
        let mut stop = StopBehind(count - 1);
        group.bench_function(BenchmarkId::new(name, backend.name()), |bencher| {
            bencher.iter(|| match session.run_observed(&mut stop) {
                Err(RunError::Stopped) => {}
                other => panic!("it should have stopped: {other:?}"),
            });
        });
    }
}

/// Compiles graphs and runs them in float: with the feature `tract`.
#[cfg(feature = "tract")]
pub(crate) mod float {
    use rand::Rng as _;
    use tinception_models::calibrate::calibrate;
    use tinception_models::compile::{Options, compile};
    use tinception_models::float::FloatEngine;
    use tinception_models::graph::{Graph, ValueId};

    use super::{BenchmarkGroup, BenchmarkId, WallTime};

    fn picture(graph: &Graph) -> Vec<f32> {
        let mut rng = tinception_tests::rng(2);
        (0..graph.shape(graph.input).elements()).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// The int8 file of a graph, calibrated on noise.
    pub(crate) fn quantized(graph: &Graph) -> Vec<u8> {
        let calibration = calibrate(graph, [picture(graph)], |_| ()).expect("it runs in float");
        compile(graph, &calibration, &Options::default()).expect("it compiles").bytes
    }

    /// Times tract up to `value`, which should be small: the engine turns its input to NCHW and its output to NHWC.
    pub(crate) fn time_tract(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, graph: &Graph, value: ValueId) {
        let engine = FloatEngine::new(graph, &[value]).expect("tract takes it");
        let picture = picture(graph);
        group.bench_function(BenchmarkId::new(name, "tract float"), |bencher| {
            bencher.iter(|| engine.run(&picture).expect("tract runs it"));
        });
    }
}
