//! A whole network on every backend. `TINCEPTION_MODEL` is the path of a `.tin` file; without it the small model of
//! every operator runs, which says little of speed.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tinception_core::arch::{Backend, available};
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_tests::aligned::Aligned;
use tinception_tests::every_operator::every_operator_model;

fn whole_net(criterion: &mut Criterion) {
    let (name, bytes) = match std::env::var("TINCEPTION_MODEL") {
        Ok(path) => {
            let bytes = std::fs::read(&path).expect("TINCEPTION_MODEL names a readable file");
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            (name, bytes)
        }
        Err(_) => {
            println!("no network given (set TINCEPTION_MODEL): a small model runs instead");
            ("every operator".to_owned(), every_operator_model(0))
        }
    };
    let file = Aligned::new(&bytes);
    let model = Model::new(&file).expect("a valid model");
    let mut group = criterion.benchmark_group("whole net");
    group.throughput(Throughput::Elements(model.steps().map(|step| step.macs()).sum()));
    for backend in available() {
        let mut arena = vec![0; model.arena_size()];
        let mut session = Session::with_backend(&model, &mut arena, backend).expect("a large enough arena");
        session.input_mut().fill(1);
        group.bench_function(BenchmarkId::new(&name, backend.name()), |bencher| {
            bencher.iter(|| session.run().expect("a verified model runs"));
        });
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args()
}

criterion_group! { name = nets; config = short(); targets = whole_net }
criterion_main!(nets);
