//! Requests to a camera over HTTP, with its user and password: basic or digest authentication (RFC 7617, RFC 7616), as the
//! camera asks for it. No other host than the one in the address is told them.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use http_auth::{PasswordClient, PasswordParams};
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body, BodyReader, ResponseExt};

use super::address::{Address, Login};

/// Most requests for one answer: redirects and questions for the password are among them.
const MOST_REQUESTS: usize = 5;

/// Asks one camera, again and again.
pub(super) struct Client {
    agent: Agent,
    address: Address,
    silence: Duration,
    /// What the camera asked for, and how often it was answered.
    authentication: Option<PasswordClient>,
}

impl Client {
    /// Nothing but the pictures may take longer than `silence`.
    pub(super) fn new(address: &Address, silence: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(silence))
            .timeout_connect(Some(silence))
            .timeout_recv_response(Some(silence))
            .timeout_per_read(Some(silence))
            .build();
        let agent = Agent::new_with_config(config);
        Self { agent, address: address.clone(), silence, authentication: None }
    }

    /// What the camera answers; its status says success.
    ///
    /// # Errors
    /// The camera cannot be reached, refuses user and password, or has nothing there.
    pub(super) fn get(&mut self) -> Result<Answer> {
        let named = self.address.to_string();
        self.ask().map_err(|error| anyhow!("{named}: {}", self.address.hide(&format!("{error:#}"))))
    }

    fn ask(&mut self) -> Result<Answer> {
        let home: Uri = self.address.without_login().parse().context("it is no valid address")?;
        let mut place = home.clone();
        // Whether the camera's question is older than this call: it may have forgotten it.
        let mut old = true;
        for _ in 0..MOST_REQUESTS {
            let mut request = self.agent.get(place.clone());
            // A place that was redirected to is asked again only where it is at home.
            let answer = match (&mut self.authentication, self.address.login()) {
                (Some(authentication), Some(login)) => Some(respond(authentication, login, &place)?),
                _ => None,
            };
            if let Some(answer) = &answer {
                request = request.header(header::AUTHORIZATION, answer);
            }
            let response = request.call()?;
            let reached = response.get_uri().clone();
            match response.status() {
                StatusCode::UNAUTHORIZED => {
                    let login = self.address.login();
                    if !same_host(&home, &reached) {
                        bail!("it redirects to another host, which asks for a password; give that host's address");
                    }
                    if login.is_none() {
                        bail!("the camera asks for user and password; write USER:PASSWORD@ in front of its host");
                    }
                    let fresh = challenge(&response)?;
                    let stale = matches!(&fresh, PasswordClient::Digest(digest) if digest.stale());
                    if answer.is_some() && reached == place && !old && !stale {
                        bail!("the camera refuses user and password");
                    }
                    (self.authentication, place, old) = (Some(fresh), reached, false);
                }
                status if status.is_success() => {
                    return Ok(Answer::new(response, self.silence));
                }
                status => bail!("the camera answers with status {status}"),
            }
        }
        bail!("the camera asks for the password again and again")
    }
}

/// The header that answers what the camera asked for.
fn respond(authentication: &mut PasswordClient, login: &Login, place: &Uri) -> Result<String> {
    let uri = place.path_and_query().map_or("/", |path| path.as_str());
    let Login { user: username, password } = login;
    let params = PasswordParams { username, password, uri, method: "GET", body: Some(&[]) };
    authentication.respond(&params).map_err(|_| anyhow!("the camera asks for an unknown kind of authentication"))
}

/// What the camera asks for. Some say no more than `Basic`, some not even that.
fn challenge(response: &Response<Body>) -> Result<PasswordClient> {
    const BASIC: &str = "Basic realm=\"\"";
    let asked = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
    let asked = asked.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(", ");
    let basic = asked.is_empty() || asked.to_ascii_lowercase().contains("basic");
    match PasswordClient::try_from(asked.as_str()) {
        Ok(client) => Ok(client),
        Err(_) if basic => PasswordClient::try_from(BASIC).map_err(|error| anyhow!(error)),
        Err(_) => bail!("the camera asks for an unknown kind of authentication; basic and digest are known"),
    }
}

/// Whether both are the same scheme, host and port.
fn same_host(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

/// What a camera answered.
pub(super) struct Answer {
    /// Its content type; empty where it says none.
    pub(super) kind: String,
    /// Whether it says how long it is: it ends, then.
    pub(super) has_length: bool,
    pub(super) body: Patient<BodyReader<'static>>,
}

impl Answer {
    fn new(response: Response<Body>, silence: Duration) -> Self {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let kind = text(header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let has_length = text(header::CONTENT_LENGTH).is_some();
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        Self { kind, has_length, body: Patient::new(body, silence) }
    }
}

/// An input that may be silent for so long: what comes drop by drop without ever being a picture counts as silence.
pub(super) struct Patient<R> {
    input: R,
    silence: Duration,
    since: Instant,
}

impl<R> Patient<R> {
    fn new(input: R, silence: Duration) -> Self {
        Self { input, silence, since: Instant::now() }
    }

    /// Says that something whole came.
    pub(super) fn came(&mut self) {
        self.since = Instant::now();
    }
}

impl<R: Read> Read for Patient<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = if self.since.elapsed() > self.silence { Ok(None) } else { self.input.read(bytes).map(Some) };
        match read {
            Ok(Some(length)) => Ok(length),
            // A read that took so long ended for lack of patience, too, whatever its error says.
            Err(error) if self.since.elapsed() < self.silence => Err(error),
            _ => {
                let message = format!("no whole picture for {} s", self.silence.as_secs_f64());
                Err(io::Error::new(ErrorKind::TimedOut, message))
            }
        }
    }
}
