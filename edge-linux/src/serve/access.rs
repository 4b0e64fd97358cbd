//! Who is served.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::Shared;

/// Shortest token that is accepted, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// Who is served: whoever knows the token; everybody on this machine, if there is none.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    token: Option<String>,
}

impl Access {
    /// The rule for a server at `address`: an address that other machines reach needs a token, which is drawn if none is given.
    ///
    /// # Errors
    /// The token given is too short to be one.
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Result<Self> {
        match token {
            Some(token) if token.len() < SHORTEST_TOKEN => {
                bail!("--token: {} characters are too few; give at least {SHORTEST_TOKEN}", token.len())
            }
            Some(token) => Ok(Self { token: Some(token) }),
            None if address.ip().is_loopback() => Ok(Self { token: None }),
            None => Ok(Self { token: Some(drawn()?) }),
        }
    }

    /// The page's address, token included.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        match &self.token {
            Some(token) => format!("http://{address}/?token={token}"),
            None => format!("http://{address}/"),
        }
    }

    fn is_known(&self, token: &str) -> bool {
        self.token.as_ref().is_none_or(|expected| expected.as_bytes().ct_eq(token.as_bytes()).into())
    }
}

/// 128 random bits in hexadecimal digits.
fn drawn() -> Result<String> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).ok().context("the system gives no random numbers for a token; give --token")?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[derive(Deserialize)]
pub(super) struct Asked {
    token: Option<String>,
}

/// Lets a request pass that names the token, in its address or as a bearer's.
///
/// Without a token only this machine connects, but a page of anybody's, open in a browser here, could reach the server under a
/// name of its own (DNS rebinding): then the request must name this machine by number, or as `localhost`.
pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Asked>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&shared.access, asked.token.as_deref(), request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(access: &Access, asked: Option<&str>, headers: &HeaderMap) -> Option<Response> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if access.token.is_none() {
        let here = text(header::HOST).is_some_and(is_this_machine);
        let message = "ask for this server by its number, or as localhost\n";
        return (!here).then(|| (StatusCode::FORBIDDEN, message).into_response());
    }
    let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let known = [asked, bearer].into_iter().flatten().any(|token| access.is_known(token));
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    let message = "the token is missing or wrong\n";
    (!known).then(|| (StatusCode::UNAUTHORIZED, challenge, message).into_response())
}

/// Whether a `Host` is `localhost` or a number, with or without a port.
fn is_this_machine(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let number = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || number.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_a_token() {
        let near: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let far: SocketAddr = "0.0.0.0:80".parse().unwrap();
        assert!(Access::new(near, None).unwrap().token.is_none());
        let drawn = [0, 1].map(|_| Access::new(far, None).unwrap().token.unwrap());
        assert_eq!(drawn[0].len(), 32);
        assert_ne!(drawn[0], drawn[1]);
        assert!(Access::new(far, Some("short".into())).unwrap_err().to_string().contains("at least 16"));
        let own = Access::new(near, Some("0123456789abcdef".into())).unwrap();
        assert!(own.is_known("0123456789abcdef"));
        assert!(!own.is_known("0123456789abcdeF") && !own.is_known("") && !own.is_known("0123456789abcdef0"));
        assert_eq!(own.url(near), "http://127.0.0.1:80/?token=0123456789abcdef");
    }

    #[test]
    fn hosts_by_number_are_this_machine() {
        for host in ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["example.org", "example.org:8080", "localhost.example.org", "127.0.0.1.example.org", ""] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
