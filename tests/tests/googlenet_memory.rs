//! GoogLeNet, its steps fused, fits into 512 KiB of RAM, scratch included, and computes what it computes unfused.

use std::collections::HashMap;
use std::ops::ControlFlow;

use tinception_core::arch::{AnyBackend, Backend};
use tinception_core::error::RunError;
use tinception_core::model::Model;
use tinception_core::quant::QuantParams;
use tinception_core::selftest::fill_input;
use tinception_core::session::{Hashes, Session};
use tinception_models::emit::emit;
use tinception_models::fuse::{Fusions, fuse};
use tinception_models::plan::plan;
use tinception_models::program::lower;
use tinception_tests::aligned::Aligned;
use tinception_tests::{backends, googlenet};

/// Bytes of RAM that the network may need.
const RAM: usize = 512 * 1024;

/// A file of the network with random weights. Where its tensors lie does not depend on numbers.
fn file(fusions: Fusions) -> Aligned {
    let (graph, _) = googlenet::whole();
    let quant = vec![QuantParams { scale: 0.05, zero_point: -128 }; graph.values.len()];
    let mut program = lower(&graph, &quant, None).expect("it lowers");
    fuse(&mut program, fusions);
    let plan = plan(&mut program);
    Aligned::new(&emit(&program, &plan, None).expect("it fits the format").finish())
}

/// The hash of each step's output by its name, with prepared weights where the backend likes that.
fn hashes(model: &Model<'_>, backend: AnyBackend) -> HashMap<String, u32> {
    let mut arena = vec![0x5A; model.arena_size()];
    let mut session = Session::with_backend(model, &mut arena, backend).expect("the stated arena suffices");
    let mut memory = vec![0; session.prepared_size()];
    session.prepare(&mut memory).expect("enough memory");
    fill_input(7, model.input().expect("an input").shape, session.input_mut());
    let mut hashes = HashMap::new();
    let mut observer = Hashes::new(|_, step: &tinception_core::model::Step<'_>, crc| {
        hashes.insert(step.name().to_owned(), crc);
        ControlFlow::Continue(())
    });
    session.run_observed(&mut observer).expect("a verified model runs");
    hashes
}

#[test]
fn googlenet_fits_into_512_kib_and_gives_the_same_bits() {
    let files = [Fusions::NONE, Fusions::ALL].map(file);
    let [plain, fused] = files.each_ref().map(|file| Model::new(file).expect("a valid model"));
    println!("arena: {} bytes unfused, {} fused", plain.arena_size(), fused.arena_size());
    assert!(fused.arena_size() <= RAM, "{} bytes", fused.arena_size());
    let needed = fused.arena_size();
    assert_eq!(
        Session::new(&fused, &mut vec![0; needed - 1]).err(),
        Some(RunError::ArenaTooSmall { needed }),
        "one byte less is refused"
    );
    // The portable loops take seconds where they are all there is; those tests cover them that run small models.
    let backends = backends::all();
    let backends = if backends.len() > 1 { &backends[..backends.len() - 1] } else { &backends[..] };
    let expected = hashes(&plain, backends[0]);
    assert_eq!(expected.len(), plain.step_count());
    for backend in backends {
        let found = hashes(&fused, *backend);
        let known: Vec<&String> = expected.keys().filter(|name| found.contains_key(*name)).collect();
        // All but the pool behind 3b, which is pooled branch by branch.
        assert_eq!(known.len(), expected.len() - 1);
        for name in known {
            assert_eq!(found[name], expected[name], "{}: {name}", backend.name());
        }
    }
}
