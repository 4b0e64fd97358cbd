//! The backend that core runs on, and sessions on it.

use anyhow::{Context, Result, bail};
use tinception_core::arch::{self, AnyBackend, Backend};
use tinception_core::executor::Executor;
use tinception_core::model::Model;
use tinception_core::session::{Prepared, Session};
use tinception_models::aligned::{Aligned, try_zeros};

use crate::output::grouped;
use crate::threads::Pool;

/// Names a backend that is to be used instead of this machine's best.
pub(crate) const VARIABLE: &str = "TINCEPTION_BACKEND";

/// The backend that `TINCEPTION_BACKEND` names, or this machine's best.
pub(crate) fn chosen() -> Result<AnyBackend> {
    match std::env::var_os(VARIABLE) {
        Some(name) if !name.is_empty() => find(&name.to_string_lossy()),
        _ => Ok(arch::detect()),
    }
}

fn find(name: &str) -> Result<AnyBackend> {
    if let Some(backend) = arch::by_name(name) {
        return Ok(backend);
    }
    let names: Vec<_> = arch::available().map(|backend| backend.name()).collect();
    bail!("{VARIABLE}: this machine has no backend {name:?}; it has {}", names.join(", "))
}

/// A model's weights as the backend likes them, for all sessions. The memory stays until the program ends.
pub(crate) fn prepare(model: &Model<'static>, backend: AnyBackend) -> Result<Prepared<'static, 'static>> {
    let memory = zeros(Prepared::size(model, backend))?;
    Ok(Prepared::new(model, backend, memory)?)
}

/// A session on these weights, and on the threads of `pool` if there is one. Its memory stays until the program ends: a
/// command makes one session for each picture that it works on at the same time.
pub(crate) fn session(
    model: &Model<'static>,
    prepared: &Prepared<'static, 'static>,
    pool: Option<&'static Pool>,
) -> Result<Session<'static, 'static>> {
    let arena = Aligned::try_zeroed(model.arena_size()).with_context(|| no_memory(model.arena_size()))?;
    let mut session = prepared.session(arena.leak(), zeros(prepared.workspace_size())?)?;
    if let Some(pool) = pool {
        let memory = zeros(session.threads_size(pool.threads()))?;
        session.set_executor(pool, memory)?;
    }
    Ok(session)
}

/// So many zeros, for the rest of the program's life.
fn zeros(length: usize) -> Result<&'static mut [i16]> {
    Ok(try_zeros(length).with_context(|| no_memory(length.saturating_mul(2)))?.leak())
}

fn no_memory(bytes: usize) -> String {
    format!("there is not enough memory for the network, which needs {} bytes", grouped(bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_found_by_name() {
        for backend in arch::available() {
            assert_eq!(find(backend.name()).unwrap().name(), backend.name());
        }
        let wrong = find("mmx").unwrap_err().to_string();
        assert!(wrong.contains("\"mmx\"") && wrong.contains("scalar"), "{wrong}");
    }
}
