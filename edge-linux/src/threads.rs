//! The threads that share the work on a picture.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tinception_core::executor::Executor;

use crate::engine::Engine;
use crate::output::file_error;
use crate::parallel;

/// As many threads as there are processor cores, or fewer where this process may not use all: two threads on one core
/// share its multipliers.
pub(crate) fn physical_cores() -> usize {
    num_cpus::get_physical().clamp(1, parallel::all_cores())
}

/// How many threads share the work on a picture: `asked`, or all cores. Those of a float network cannot be chosen.
pub(crate) fn for_file(path: &Path, engine: Option<Engine>, asked: Option<u16>) -> Result<usize> {
    match (Engine::for_file(path, engine)?, asked) {
        (Engine::Core, asked) => Ok(asked.map_or_else(physical_cores, usize::from)),
        (Engine::Tract, None | Some(1)) => Ok(1),
        (Engine::Tract, Some(_)) => {
            Err(file_error(path, "only .tin files run on several threads; leave --threads out"))
        }
    }
}

/// A pool of threads.
#[derive(Debug)]
pub(crate) struct Pool(ThreadPool);

thread_local! {
    static POOL: Cell<Option<&'static Pool>> = const { Cell::new(None) };
}

impl Pool {
    /// The calling thread's pool of `threads` threads, itself among them; none where one is enough. A thread has one pool,
    /// which stays until the program ends.
    pub(crate) fn of_this_thread(threads: usize) -> Result<Option<&'static Self>> {
        if threads <= 1 {
            return Ok(None);
        }
        if let Some(pool) = POOL.get() {
            return Ok(Some(pool));
        }
        // The caller works too: to wake another thread for it costs as much as a layer.
        let pool = ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build();
        let pool = pool.with_context(|| format!("cannot start {threads} threads"))?;
        POOL.set(Some(Box::leak(Box::new(Self(pool)))));
        Ok(POOL.get())
    }
}

impl Executor for Pool {
    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    fn join(&self, first: &mut (dyn FnMut() + Send), second: &mut (dyn FnMut() + Send)) {
        self.0.join(first, second);
    }
}
