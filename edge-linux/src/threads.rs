//! The threads that share the work on a picture.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use rayon::{ThreadPool, ThreadPoolBuilder, Yield};
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
            Err(file_error(path, "only .tin files run on a chosen number of threads; leave --threads out"))
        }
    }
}

/// How often a thread looks for work, some ten microseconds long, before it lets others run.
const SPINS: u32 = 1_000;

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

/// Runs a session, the other threads of `pool` awake all the while: a step can be shorter than it takes to wake one.
pub(crate) fn run(
    session: &mut Session<'_, '_>,
    pool: Option<&Pool>,
    observer: &mut impl Observer,
) -> Result<(), RunError> {
    let Some(Pool(pool)) = pool else { return session.run_observed(observer) };
    let running = AtomicBool::new(true);
    pool.in_place_scope(|scope| {
        scope.spawn_broadcast(|_, context| {
            if context.index() > 0 {
                work_while(&running);
            }
        });
        // Also where an observer panics: the scope waits for the others.
        let _end = SetFalse(&running);
        session.run_observed(observer)
    })
}

struct SetFalse<'a>(&'a AtomicBool);

impl Drop for SetFalse<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Looks for work again and again. Once it has found none for some time, it lets other programs run in between.
fn work_while(running: &AtomicBool) {
    let mut idle = 0_u32;
    while running.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(Yield::Executed) => idle = 0,
            _ if idle < SPINS => {
                idle += 1;
                std::hint::spin_loop();
            }
            _ => std::thread::yield_now(),
        }
    }
}
