//! The threads that share the work on a picture.

use std::path::Path;

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tinception_core::error::RunError;
use tinception_core::executor::Executor;
use tinception_core::session::{Observer, Session};

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

impl Pool {
    /// As many threads as `threads`; none where one is enough.
    pub(crate) fn new(threads: usize) -> Result<Option<Self>> {
        if threads <= 1 {
            return Ok(None);
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|index| format!("pool {index}")).build();
        Ok(Some(Self(pool.with_context(|| format!("cannot start {threads} threads"))?)))
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

/// Runs a session from one of the pool's threads, if there is a pool: from there it costs little to share work.
pub(crate) fn run(
    session: &mut Session<'_, '_>,
    pool: Option<&Pool>,
    observer: &mut (impl Observer + Send),
) -> Result<(), RunError> {
    match pool {
        Some(Pool(pool)) => pool.install(|| session.run_observed(observer)),
        None => session.run_observed(observer),
    }
}
