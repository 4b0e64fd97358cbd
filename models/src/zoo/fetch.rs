//! Fetching a file: from one place after another, going on where it was cut off, under its name only when its hash is
//! right.
//!
//! What has arrived lies in `FILE.partial`. A later call goes on there with a range request (RFC 9110, section 14); a
//! server that ignores it sends the whole file, and the part is written anew. The part is a file of its own: a link, even a
//! hard one, is refused, as it would be somebody else's file that is written to. What a server sends ends where the file
//! does.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::{Digest, Download, FetchError};

/// A connection that is cut is taken up again so many times in a row without a byte arriving.
const PATIENCE: u32 = 2;
/// A server that sends less than so many bytes in so much time is given up.
const SLOWEST: (u64, Duration) = (10_000, Duration::from_secs(60));

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
    /// Path of the fetched file.
    pub path: PathBuf,
    /// Whether it had been there before; nothing was fetched then.
    pub was_there: bool,
}

/// Brings a file into `folder`; `progress` hears how it goes.
///
/// # Errors
/// [`FetchError`] says what each server answered. The file has its name only if its hash is the published one.
pub fn fetch(download: Download<'_>, folder: &Path, mut progress: impl FnMut(Progress)) -> Result<Fetched, FetchError> {
    let Download { file, urls, digest, most } = download;
    let path = folder.join(file);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FetchError::File { path, source }
    };
    if let Ok(link) = fs::symlink_metadata(&path) {
        // A link to the right file will do.
        let metadata = fs::metadata(&path).unwrap_or(link);
        if !metadata.is_file() {
            return Err(FetchError::NotAFile { path, what: kind(&metadata) });
        }
        let found = File::open(&path).and_then(Digest::of).map_err(failed(&path))?;
        if digest.matches(&found) {
            return Ok(Fetched { path, was_there: true });
        }
        return Err(FetchError::Stranger { path, found, published: digest.to_string() });
    }
    let partial = folder.join(format!("{file}.partial"));
    let mut part = Part::open(&partial)?;
    let (mut attempts, mut reached) = (Vec::new(), false);
    for url in urls {
        match whole(&Place { agent: agent(url), url, most }, &mut part, &mut progress) {
            Ok(()) => {
                let found = part.digest().map_err(failed(&partial))?;
                if digest.matches(&found) {
                    part.file.sync_all().map_err(failed(&partial))?;
                    fs::rename(&partial, &path).map_err(failed(&path))?;
                    // The name is on the disk once the folder is. Not every file system can be told so.
                    let _ = File::open(folder).and_then(|folder| folder.sync_all());
                    return Ok(Fetched { path, was_there: false });
                }
                part.clear().map_err(failed(&partial))?;
                reached = true;
                attempts.push(format!("{}: its hash is {found}, published is {digest}", shown(url)));
            }
            Err(Failure::Local(source)) => return Err(FetchError::File { path: partial, source }),
            Err(Failure::Unreachable(reason)) => attempts.push(format!("{}: {reason}", shown(url))),
            Err(Failure::Server(reason)) => {
                reached = true;
                attempts.push(format!("{}: {reason}", shown(url)));
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

/// An address without the user and the password in it, for people.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // A password may hold any sign, so all in front of the last `@` is left out.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}"),
        None => url.to_owned(),
    }
}

/// What asks for `url`: where that is encrypted, no redirection leads to a place that is not.
fn agent(url: &str) -> Agent {
    let encrypted = url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    let config = Agent::config_builder()
        .https_only(encrypted)
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
        options.read(true).write(true);
        let mut file = match fs::symlink_metadata(path) {
            Ok(there) if !is_own_file(&there) => {
                return Err(FetchError::NotAFile { path: path.to_owned(), what: kind(&there) });
            }
            Ok(there) => {
                let file = options.open(path).map_err(failed)?;
                // A link may have taken its place meanwhile. Nothing has been written yet.
                if !is_same(&there, &file.metadata().map_err(failed)?) {
                    return Err(FetchError::NotAFile { path: path.to_owned(), what: "a link" });
                }
                file
            }
            // Follows no link.
            Err(_) => options.create_new(true).open(path).map_err(failed)?,
        };
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

    fn digest(&mut self) -> io::Result<String> {
        self.file.rewind()?;
        Digest::of(&self.file)
    }
}

/// Whether it is a regular file with one name.
#[cfg(unix)]
fn is_own_file(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    metadata.is_file() && metadata.nlink() == 1
}

/// Whether it is a regular file.
#[cfg(not(unix))]
fn is_own_file(metadata: &Metadata) -> bool {
    metadata.is_file()
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, other: &Metadata) -> bool {
    other.is_file()
}

/// What something is that is no file of its own.
fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        "a folder"
    } else if metadata.is_symlink() || metadata.is_file() {
        "a link"
    } else {
        "a pipe or a device"
    }
}

/// A place to fetch from.
struct Place<'a> {
    agent: Agent,
    url: &'a str,
    /// More bytes are not taken.
    most: u64,
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

/// Fills the part from a place to its end.
fn whole(place: &Place<'_>, part: &mut Part, progress: &mut impl FnMut(Progress)) -> Result<(), Failure> {
    let mut patience = PATIENCE;
    loop {
        let before = part.length;
        match once(place, part, progress) {
            Err(Cut(reason)) if patience == 0 => return Err(Failure::Server(reason)),
            Err(Cut(_)) => patience = if part.length > before { PATIENCE } else { patience - 1 },
            Ok(result) => return result,
        }
    }
}

/// The connection ended before the file did.
struct Cut(String);

fn once(place: &Place<'_>, part: &mut Part, progress: &mut impl FnMut(Progress)) -> Result<Result<(), Failure>, Cut> {
    let mut request = place.agent.get(place.url);
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
    if total.is_some_and(|total| total > place.most) {
        return too_long(part, place.most);
    }
    copy(response, part, Limits { total, most: place.most }, progress)
}

/// Gives up what cannot be the file.
fn too_long(part: &mut Part, most: u64) -> Result<Result<(), Failure>, Cut> {
    let cleared = part.clear();
    Ok(Err(match cleared {
        Ok(()) => Failure::Server(format!("the server sends more than the {most} bytes that the file can have")),
        Err(error) => Failure::Local(error),
    }))
}

/// How long a body may be.
#[derive(Clone, Copy)]
struct Limits {
    /// Bytes of the whole file, if the server says so.
    total: Option<u64>,
    /// Bytes that the file can have.
    most: u64,
}

/// Whether a partial answer begins where the part ends.
fn starts_at(response: &Response<Body>, start: u64) -> bool {
    let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {start}-")))
}

fn copy(
    response: Response<Body>,
    part: &mut Part,
    Limits { total, most }: Limits,
    progress: &mut impl FnMut(Progress),
) -> Result<Result<(), Failure>, Cut> {
    let mut measured = (part.length, Instant::now());
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut chunk = vec![0; 1 << 16];
    loop {
        progress(Progress { done: part.length, total });
        match body.read(&mut chunk) {
            Ok(0) => {
                let missing = total.is_some_and(|total| part.length < total);
                return if missing { Err(Cut("the connection was cut".into())) } else { Ok(Ok(())) };
            }
            Ok(count) if part.length + count as u64 > most => return too_long(part, most),
            Ok(count) => {
                if let Err(error) = part.append(&chunk[..count]) {
                    return Ok(Err(Failure::Local(error)));
                }
                if measured.1.elapsed() > SLOWEST.1 {
                    if part.length - measured.0 < SLOWEST.0 {
                        return Ok(Err(Failure::Server("the server sends next to nothing".into())));
                    }
                    measured = (part.length, Instant::now());
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
