//! The backend that core runs on, and sessions on it.

use anyhow::{Result, bail};
use tinception_core::arch::{self, AnyBackend, Backend};
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_models::aligned::Aligned;

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

/// A session with what the backend prepares of the weights. Its memory stays until the program ends: a command makes one
/// session for each of its threads.
pub(crate) fn session(model: &Model<'static>, backend: AnyBackend) -> Result<Session<'static, 'static>> {
    let mut session = Session::with_backend(model, Aligned::zeroed(model.arena_size()).leak(), backend)?;
    session.prepare(vec![0; session.prepared_size()].leak())?;
    Ok(session)
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
