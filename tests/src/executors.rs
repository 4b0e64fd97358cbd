//! Executors for tests: they cut every step, however small.

use tinception_core::executor::Executor;

/// One thread that says it is several, and runs the second before the first: a wrong cut shows every time.
#[derive(Debug)]
pub struct Backwards(pub usize);

impl Executor for Backwards {
    fn threads(&self) -> usize {
        self.0
    }

    fn least_work(&self) -> u64 {
        0
    }

    fn join(&self, first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
        second();
        first();
    }
}

/// A new thread for each second half.
#[derive(Debug)]
pub struct Spawned(pub usize);

impl Executor for Spawned {
    fn threads(&self) -> usize {
        self.0
    }

    fn least_work(&self) -> u64 {
        0
    }

    fn join(&self, first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
        std::thread::scope(|scope| {
            scope.spawn(second);
            first();
        });
    }
}
