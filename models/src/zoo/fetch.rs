//! Fetching a file: from one place after another, going on where it was cut off, under its name only when its hash is
//! right.
//!
//! What has arrived lies in `FILE.partial`. A later call goes on there with a range request (RFC 9110, section 14); a
//! server that ignores it sends the whole file, and the part is written anew.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::{Download, FetchError};

/// A connection that is cut is taken up again so many times in a row without a byte arriving.
const PATIENCE: u32 = 2;

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole file, if the server says so.
    pub total: Option<u64>,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The file.
    pub path: PathBuf,
    /// Whether it had been there before; nothing was fetched then.
    pub was_there: bool,
}

/// Brings a file into `folder`; `progress` hears how it goes.
///
/// # Errors
/// [`FetchError`] says what each server answered. The file has its name only if its hash is the published one.
pub fn fetch(download: Download<'_>, folder: &Path, mut progress: impl FnMut(Progress)) -> Result<Fetched, FetchError> {
    let Download { file, urls, digest } = download;
    let path = folder.join(file);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FetchError::File { path, source }
    };
    if path.exists() {
        let found = File::open(&path).and_then(|file| digest.of(file)).map_err(failed(&path))?;
        if digest.matches(&found) {
            return Ok(Fetched { path, was_there: true });
        }
        return Err(FetchError::Stranger { path, found, published: digest.to_string() });
    }
    let partial = folder.join(format!("{file}.partial"));
    let mut part = Part::open(&partial)?;
    let agent = agent();
    let (mut attempts, mut reached) = (Vec::new(), false);
    for url in urls {
        match whole(&agent, url, &mut part, &mut progress) {
            Ok(()) => {
                let found = part.digest(digest).map_err(failed(&partial))?;
                if digest.matches(&found) {
                    part.file.sync_all().map_err(failed(&partial))?;
                    fs::rename(&partial, &path).map_err(failed(&path))?;
                    return Ok(Fetched { path, was_there: false });
                }
                part.clear().map_err(failed(&partial))?;
                reached = true;
                attempts.push(format!("{url}: its hash is {found}, published is {digest}"));
            }
            Err(Failure::Local(source)) => return Err(FetchError::File { path: partial, source }),
            Err(Failure::Unreachable(reason)) => attempts.push(format!("{url}: {reason}")),
            Err(Failure::Server(reason)) => {
                reached = true;
                attempts.push(format!("{url}: {reason}"));
            }
        }
    }
    if part.length == 0 {
        // Nothing to go on with; that it can't be removed would be no news.
        let _ = fs::remove_file(&partial);
    }
    let (file, attempts) = (file.to_owned(), attempts.join("; "));
    Err(if reached { FetchError::Failed { file, attempts } } else { FetchError::Offline { file, attempts } })
}

fn agent() -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("tinception/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)));
    config.build().new_agent()
}

/// The unfinished file.
struct Part {
    file: File,
    length: u64,
}

impl Part {
    fn open(path: &Path) -> Result<Self, FetchError> {
        let failed = |source| FetchError::File { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FetchError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { file, length })
    }

    fn clear(&mut self) -> io::Result<()> {
        if self.length > 0 {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.length = 0;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn digest(&mut self, kind: super::Digest<'_>) -> io::Result<String> {
        self.file.rewind()?;
        kind.of(&self.file)
    }
}

/// Why a place did not give the file.
enum Failure {
    /// This machine could not write.
    Local(io::Error),
    /// There was no answer.
    Unreachable(String),
    /// The answer was not the file.
    Server(String),
}

/// Fills the part from `url` to its end.
fn whole(agent: &Agent, url: &str, part: &mut Part, progress: &mut impl FnMut(Progress)) -> Result<(), Failure> {
    let mut patience = PATIENCE;
    loop {
        let before = part.length;
        match once(agent, url, part, progress) {
            Err(Cut(reason)) if patience == 0 => return Err(Failure::Server(reason)),
            Err(Cut(_)) => patience = if part.length > before { PATIENCE } else { patience - 1 },
            Ok(result) => return result,
        }
    }
}

/// The connection ended before the file did.
struct Cut(String);

fn once(
    agent: &Agent,
    url: &str,
    part: &mut Part,
    progress: &mut impl FnMut(Progress),
) -> Result<Result<(), Failure>, Cut> {
    let mut request = agent.get(url);
    if part.length > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", part.length));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error @ (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_))) => {
            return Ok(Err(Failure::Unreachable(error.to_string())));
        }
        Err(ureq::Error::Io(error)) if is_connection(&error) => {
            return Ok(Err(Failure::Unreachable(error.to_string())));
        }
        Err(error @ ureq::Error::Io(_)) => return Err(Cut(error.to_string())),
        Err(error) => return Ok(Err(Failure::Server(error.to_string()))),
    };
    match response.status() {
        StatusCode::OK => {
            if let Err(error) = part.clear() {
                return Ok(Err(Failure::Local(error)));
            }
        }
        StatusCode::PARTIAL_CONTENT if starts_at(&response, part.length) => {}
        // There is nothing behind what is there: it is whole, or not a part of this file.
        StatusCode::RANGE_NOT_SATISFIABLE if part.length > 0 => return Ok(Ok(())),
        status => return Ok(Err(Failure::Server(format!("the server answers {status}")))),
    }
    let length = response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let total = length.map(|length: u64| part.length + length);
    copy(response, part, total, progress)
}

/// Whether a partial answer begins where the part ends.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

fn copy(
    response: Response<Body>,
    part: &mut Part,
    total: Option<u64>,
    progress: &mut impl FnMut(Progress),
) -> Result<Result<(), Failure>, Cut> {
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut chunk = vec![0; 1 << 16];
    loop {
        progress(Progress { done: part.length, total });
        match body.read(&mut chunk) {
            Ok(0) => {
                let missing = total.is_some_and(|total| part.length < total);
                return if missing { Err(Cut("the connection was cut".into())) } else { Ok(Ok(())) };
            }
            Ok(count) => {
                if let Err(error) = part.append(&chunk[..count]) {
                    return Ok(Err(Failure::Local(error)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Cut(format!("the connection was cut: {error}"))),
        }
    }
}

/// Whether no connection came about.
fn is_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable};

    matches!(error.kind(), AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkDown | NetworkUnreachable)
}
