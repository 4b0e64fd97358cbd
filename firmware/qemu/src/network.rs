//! A model's run, each step's hash printed.

use core::ops::ControlFlow;

use tinception_core::arch::Backend;
use tinception_core::model::{Model, Step};
use tinception_core::selftest::fill_input;
use tinception_core::session::{Observer, Ranked, Session, Values};

use crate::line::Line;
use crate::machine::Outcome;

/// Prints the hashes, eight in a line.
#[derive(Default)]
struct Hashes {
    line: Line,
    count: usize,
}

impl Observer for Hashes {
    fn after(&mut self, _: usize, _: &Step<'_>, output: Values<'_>) -> ControlFlow<()> {
        self.line.text(" ").hex(output.crc32());
        self.count += 1;
        if self.count.is_multiple_of(8) {
            self.line.print();
        }
        ControlFlow::Continue(())
    }
}

/// Runs the session on what its input holds: prints the hash of each step's output, then the best five classes with
/// their logits.
pub fn run(name: &str, session: &mut Session<'_, '_>) -> Outcome {
    Line::new().text(name).print();
    let mut hashes = Hashes::default();
    session.run_observed(&mut hashes).map_err(|_| "a step failed")?;
    hashes.line.print();
    let mut best = [Ranked::default(); 5];
    let labels = session.model().labels();
    for Ranked { class, value } in session.logits().ok_or("no logits")?.top(&mut best) {
        let label = labels.clone().nth(usize::from(*class)).unwrap_or_default();
        Line::new().text("  ").number(i32::from(*class)).text(" ").text(label.name).text(" ").number(*value).print();
    }
    Ok(())
}

/// Runs the session on the self-test's input, and compares each step with the hash in the file.
pub fn self_test(session: &mut Session<'_, '_>) -> Outcome {
    let input = session.model().input().ok_or("no input")?;
    let seed = session.model().self_test_seed().ok_or("no self-test")?;
    fill_input(seed, input.shape, session.input_mut());
    run("self-test", session)?;
    match session.self_test() {
        Ok(None) => {
            Line::new().text("self-test passed").print();
            Ok(())
        }
        Ok(Some(mismatch)) => {
            Line::new().text("step ").number(mismatch.step as i32).text(" differs").print();
            Err("the self-test failed")
        }
        Err(_) => Err("a step failed"),
    }
}

/// A session in `arena`.
pub fn session<'m, 'a>(model: &Model<'m>, arena: &'a mut [u8]) -> Result<Session<'m, 'a>, &'static str> {
    let session = Session::new(model, arena).map_err(|_| "the arena is too small")?;
    Line::new().text("backend: ").text(session.backend().name()).print();
    Ok(session)
}
