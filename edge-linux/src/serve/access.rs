//! Who is served.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use super::Shared;
use super::origin::{self, HostName};

/// Shortest token that is accepted, in bytes.
const SHORTEST_TOKEN: usize = 16;

/// Who is served: whoever knows the token; everybody on this machine, if there is none.
#[derive(Clone)]
pub(crate) struct Access {
    token: Option<Token>,
    /// Names of this machine, beside its numbers and `localhost`.
    names: Vec<HostName>,
}

/// What clients have to know.
#[derive(Clone)]
enum Token {
    /// The user chose it, and knows it.
    Given(String),
    /// The program chose it, and says it once.
    Drawn(String),
}

impl Token {
    fn text(&self) -> &str {
        let (Self::Given(text) | Self::Drawn(text)) = self;
        text
    }
}

impl Access {
    /// The rule for a server at `address`: an address that other machines reach needs a token, which is drawn if none is given.
    /// Without a token this machine may be asked for by `names`, too.
    ///
    /// # Errors
    /// The token given is too short to be one.
    pub(crate) fn new(address: SocketAddr, token: Option<String>, names: Vec<HostName>) -> Result<Self> {
        let token = match token {
            Some(token) if token.len() < SHORTEST_TOKEN => {
                bail!("--token: {} characters are too few; give at least {SHORTEST_TOKEN}", token.len())
            }
            Some(token) => Some(Token::Given(token)),
            None if address.ip().is_loopback() => None,
            None => Some(Token::Drawn(drawn()?)),
        };
        Ok(Self { token, names })
    }

    /// The page's address, as the user is told it. It has a token that was drawn: nobody else could say it. One that was given is
    /// not told, since logs are read by more people than the token is meant for.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        match &self.token {
            Some(Token::Drawn(token)) => format!("http://{address}/?token={token}"),
            Some(Token::Given(_)) => format!("http://{address}/ (add ?token= and the token that was set)"),
            None => format!("http://{address}/"),
        }
    }

    fn is_known(&self, token: &str) -> bool {
        self.token.as_ref().is_none_or(|expected| expected.text().as_bytes().ct_eq(token.as_bytes()).into())
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

/// Lets a request pass that names the token, in its address or as a bearer's. Without a token, lets those pass that come from this
/// machine and its user.
pub(super) async fn check(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Asked>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&shared.access, asked.token.as_deref(), &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(access: &Access, asked: Option<&str>, request: &Request) -> Option<Response> {
    if access.token.is_none() {
        return refusal_without_token(access, request);
    }
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| value.strip_prefix("Bearer "));
    let known = [asked, bearer].into_iter().flatten().any(|token| access.is_known(token));
    (!known).then(|| unauthorized("the token is missing or wrong\n"))
}

fn refusal_without_token(access: &Access, request: &Request) -> Option<Response> {
    let headers = request.headers();
    if let Some(by) = origin::forwarded_by(request.version(), headers) {
        return Some(unauthorized(&format!(
            "a proxy handed this request on ({by}), and without a token only this machine is served; start the camera with \
             --token or TINCEPTION_TOKEN, and send that token\n"
        )));
    }
    let forbidden = |message: &'static str| Some((StatusCode::FORBIDDEN, message).into_response());
    if !origin::is_for_this_machine(request.uri(), headers, &access.names) {
        return forbidden("ask for this server by its number, as localhost, or by a name that --allow-host says\n");
    }
    if origin::is_of_another_page(request.method(), headers) {
        return forbidden(
            "a page of another origin may send nothing here without a token; start the camera with --token\n",
        );
    }
    None
}

fn unauthorized(message: &str) -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], message.to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_a_token() {
        let near: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let far: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let access = |address, token: Option<&str>| Access::new(address, token.map(str::to_owned), Vec::new());
        assert!(access(near, None).unwrap().token.is_none());
        let drawn = [0, 1].map(|_| access(far, None).unwrap());
        let [one, other] = drawn.each_ref().map(|access| access.token.as_ref().unwrap().text());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
        assert!(access(far, Some("short")).err().unwrap().to_string().contains("at least 16"));
        let own = access(near, Some("0123456789abcdef")).unwrap();
        assert!(own.is_known("0123456789abcdef"));
        assert!(!own.is_known("0123456789abcdeF") && !own.is_known("") && !own.is_known("0123456789abcdef0"));
    }

    #[test]
    fn only_a_drawn_token_is_told() {
        let far: SocketAddr = "0.0.0.0:80".parse().unwrap();
        let drawn = Access::new(far, None, Vec::new()).unwrap();
        assert_eq!(drawn.url(far), format!("http://0.0.0.0:80/?token={}", drawn.token.as_ref().unwrap().text()));
        let given = Access::new(far, Some("0123456789abcdef".into()), Vec::new()).unwrap();
        assert_eq!(given.url(far), "http://0.0.0.0:80/ (add ?token= and the token that was set)");
    }
}
