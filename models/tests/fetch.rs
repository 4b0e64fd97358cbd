//! Fetching from a server on this machine that behaves in every way a server can.
#![cfg(feature = "zoo")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use tinception_models::zoo::{Digest, Download, FetchError, Fetched, Progress, fetch};

/// 200,000 bytes, none of whose parts looks like another.
fn content() -> Vec<u8> {
    (0..200_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn published() -> String {
    Digest::of(content().as_slice()).expect("read from memory")
}

/// What a path of the server does.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Answers as it should, ranges included.
    Right,
    /// Ignores ranges.
    WholeOnly,
    /// Sends so many bytes of each answer, then hangs up.
    CutAfter(usize),
    /// Hangs up without an answer.
    Silent,
    /// Sends other bytes.
    Wrong,
    /// Says where to go instead.
    Redirect,
    /// Answers with this status.
    Status(u16),
    /// Says nothing of a length and goes on for so many times 100,000 bytes.
    Endless(usize),
    /// Says this length.
    Claims(usize),
}

/// A server on a port of its own, and the start of each range that it was asked for.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<usize>>>,
}

impl Server {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}/weights.bin", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up early is no failure of the server.
                let _ = answer(stream, manner, &log);
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.lock().expect("the log").clone()
    }
}

fn answer(mut stream: TcpStream, manner: Manner, log: &Mutex<Vec<usize>>) -> std::io::Result<()> {
    let (mut start, mut path) = (0, String::new());
    for (index, line) in BufReader::new(stream.try_clone()?).lines().enumerate() {
        let line = line?.to_lowercase();
        if index == 0 {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().expect("the log").push(start);
    let whole = content();
    let mut send = |status: &str, headers: String, body: &[u8], length: usize| {
        write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n")?;
        stream.write_all(body)
    };
    let part = |start: usize| {
        let range = format!("Content-Range: bytes {start}-{}/{}\r\n", whole.len() - 1, whole.len());
        if start == 0 { ("200 OK", String::new()) } else { ("206 Partial Content", range) }
    };
    match manner {
        Manner::Right | Manner::CutAfter(_) if start >= whole.len() => {
            send("416 Range Not Satisfiable", String::new(), &[], 0)
        }
        Manner::Right => {
            let (status, headers) = part(start);
            send(status, headers, &whole[start..], whole.len() - start)
        }
        Manner::CutAfter(count) => {
            let (status, headers) = part(start);
            let end = whole.len().min(start + count);
            send(status, headers, &whole[start..end], whole.len() - start)
        }
        Manner::WholeOnly => send("200 OK", String::new(), &whole, whole.len()),
        Manner::Silent => Ok(()),
        Manner::Wrong => send("200 OK", String::new(), &[7; 5000], 5000),
        Manner::Redirect if path == "/elsewhere" => {
            let (status, headers) = part(start);
            send(status, headers, &whole[start..], whole.len() - start)
        }
        Manner::Redirect => send("302 Found", "Location: /elsewhere\r\n".into(), &[], 0),
        Manner::Endless(times) => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            (0..times).try_for_each(|_| stream.write_all(&[7; 100_000]))
        }
        Manner::Claims(length) => send("200 OK", String::new(), &whole, length),
        Manner::Status(status) => send(&format!("{status} Something"), String::new(), b"<html>", 6),
    }
}

fn from(urls: &[&str], folder: &Path) -> Result<Fetched, FetchError> {
    let digits = published();
    let digest = Digest::sha256(&digits);
    fetch(Download { file: "weights.bin", urls, digest, most: 200_000 }, folder, |_| ())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("it can be read");
    names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn assert_is_there(folder: &Path) {
    assert_eq!(names(folder), ["weights.bin"]);
    assert!(fs::read(folder.join("weights.bin")).expect("read") == content());
}

#[test]
fn a_file_arrives_whole_and_is_not_fetched_twice() {
    let (server, folder) = (Server::start(Manner::Right), folder());
    let digits = published();
    let digest = Digest::sha256(&digits);
    let download = Download { file: "weights.bin", urls: &[&server.address], digest, most: 200_000 };
    let mut seen: Vec<Progress> = Vec::new();
    let first = fetch(download, folder.path(), |progress| seen.push(progress)).expect("it arrives");
    assert!(!first.was_there);
    assert_is_there(folder.path());
    assert!(seen.iter().all(|progress| progress.total == Some(200_000)));
    assert!(seen.is_sorted_by_key(|progress| progress.done));
    assert_eq!(seen.last().map(|progress| progress.done), Some(200_000));
    let second = fetch(download, folder.path(), |_| ()).expect("it is there");
    assert!(second.was_there);
    assert_eq!(server.asked(), [0]);
}

#[test]
fn a_part_is_gone_on_with() {
    for (manner, asked) in
        [(Manner::Right, vec![70_000]), (Manner::WholeOnly, vec![70_000]), (Manner::Redirect, vec![70_000, 70_000])]
    {
        let (server, folder) = (Server::start(manner), folder());
        fs::write(folder.path().join("weights.bin.partial"), &content()[..70_000]).expect("written");
        from(&[&server.address], folder.path()).expect("it arrives");
        assert_is_there(folder.path());
        assert_eq!(server.asked(), asked, "{manner:?}");
    }
}

#[test]
fn a_part_that_was_whole_needs_no_more() {
    let (server, folder) = (Server::start(Manner::Right), folder());
    fs::write(folder.path().join("weights.bin.partial"), content()).expect("written");
    from(&[&server.address], folder.path()).expect("it is there");
    assert_is_there(folder.path());
}

#[test]
fn a_part_of_another_file_is_thrown_away() {
    let (server, folder) = (Server::start(Manner::Right), folder());
    fs::write(folder.path().join("weights.bin.partial"), [1; 300_000]).expect("written");
    // The first place says that there is no more; the hash is wrong, so the second begins anew.
    from(&[&server.address, &server.address], folder.path()).expect("it arrives");
    assert_is_there(folder.path());
    assert_eq!(server.asked(), [300_000, 0]);
}

#[test]
fn cut_connections_are_taken_up_again() {
    let (server, folder) = (Server::start(Manner::CutAfter(90_000)), folder());
    from(&[&server.address], folder.path()).expect("it arrives in three pieces");
    assert_is_there(folder.path());
    assert_eq!(server.asked(), [0, 90_000, 180_000]);
}

#[test]
fn a_server_that_sends_nothing_is_given_up_and_the_part_kept() {
    for manner in [Manner::CutAfter(0), Manner::Silent] {
        let (server, folder) = (Server::start(manner), folder());
        fs::write(folder.path().join("weights.bin.partial"), &content()[..70_000]).expect("written");
        let error = from(&[&server.address], folder.path()).expect_err("it never ends");
        assert!(matches!(error, FetchError::Failed { .. }), "{error}");
        assert_eq!(server.asked(), [70_000; 3], "{manner:?}");
        assert_eq!(names(folder.path()), ["weights.bin.partial"]);
        assert!(fs::read(folder.path().join("weights.bin.partial")).expect("read") == content()[..70_000]);
    }
}

#[test]
fn a_wrong_hash_never_gets_the_name() {
    let (wrong, right, folder) = (Server::start(Manner::Wrong), Server::start(Manner::Right), folder());
    let error = from(&[&wrong.address], folder.path()).expect_err("these are other bytes");
    let message = error.to_string();
    assert!(matches!(error, FetchError::Failed { .. }) && message.contains(&published()), "{message}");
    assert!(message.contains(&wrong.address), "{message}");
    assert!(names(folder.path()).is_empty());
    // The mirror has the right ones.
    from(&[&wrong.address, &right.address], folder.path()).expect("it arrives");
    assert_is_there(folder.path());
}

#[test]
fn a_file_that_is_not_the_published_one_is_left_alone() {
    let (server, folder) = (Server::start(Manner::Right), folder());
    fs::write(folder.path().join("weights.bin"), "mine").expect("written");
    let error = from(&[&server.address], folder.path()).expect_err("it is another file");
    assert!(matches!(error, FetchError::Stranger { .. }), "{error}");
    assert_eq!(fs::read(folder.path().join("weights.bin")).expect("read"), b"mine");
    assert!(server.asked().is_empty());
}

#[test]
fn mirrors_are_tried_and_what_each_said_is_told() {
    let (missing, broken, folder) = (Server::start(Manner::Status(404)), Server::start(Manner::Status(503)), folder());
    let error = from(&[&missing.address, &broken.address], folder.path()).expect_err("neither has it");
    let message = error.to_string();
    assert!(matches!(error, FetchError::Failed { .. }), "{message}");
    assert!(message.contains("404") && message.contains("503") && message.contains("weights.bin"), "{message}");
    assert!(names(folder.path()).is_empty());
    let right = Server::start(Manner::Right);
    from(&[&missing.address, &right.address], folder.path()).expect("the mirror has it");
    assert_is_there(folder.path());
}

#[test]
fn passwords_in_addresses_are_told_to_nobody() {
    let folder = folder();
    let server = Server::start(Manner::Status(403));
    for secret in ["p%40ss", "pass", "p/ss", "p@ss", "p?ss#"] {
        let with_secret = server.address.replace("http://", &format!("http://ann:{secret}@"));
        let error = from(&[&with_secret, &format!("http://ann:{secret}@127.0.0.1:1/weights.bin")], folder.path());
        let error = error.unwrap_err().to_string();
        assert!(!error.contains("ann") && !error.contains(secret), "{error}");
        assert!(error.contains("127.0.0.1:1/weights.bin"), "{error}");
    }
}

#[test]
fn without_a_network_it_asks_whether_there_is_one() {
    // The port was free a moment ago, and nobody listens there now.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let (folder, url) = (folder(), format!("http://{port}/weights.bin"));
    let error = from(&[&url], folder.path()).expect_err("nobody answers");
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
    assert!(error.to_string().contains("online") && error.to_string().contains(&url), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[test]
fn more_bytes_than_the_file_has_are_not_taken() {
    for manner in [Manner::Endless(5000), Manner::Claims(200_001), Manner::Claims(usize::MAX / 2)] {
        let (server, right, folder) = (Server::start(manner), Server::start(Manner::Right), folder());
        let error = from(&[&server.address], folder.path()).expect_err("it is longer");
        assert!(error.to_string().contains("more than the 200000 bytes"), "{manner:?}: {error}");
        assert_eq!((server.asked().len(), names(folder.path()).len()), (1, 0), "{manner:?}");
        from(&[&server.address, &right.address], folder.path()).expect("the mirror has it");
        assert_is_there(folder.path());
    }
}

#[test]
#[cfg(unix)]
fn nothing_that_is_not_its_own_is_written_to() {
    use std::os::unix::fs::symlink;

    let server = Server::start(Manner::Wrong);
    for (make, what) in [("soft", "a link"), ("dangling", "a link"), ("hard", "a link"), ("folder", "a folder")] {
        let folder = folder();
        let (theirs, partial) = (folder.path().join("theirs"), folder.path().join("weights.bin.partial"));
        fs::write(&theirs, "precious").expect("written");
        match make {
            "soft" => symlink("theirs", &partial),
            "dangling" => symlink("nothing", &partial),
            "hard" => fs::hard_link(&theirs, &partial),
            _ => fs::create_dir(&partial),
        }
        .expect("made");
        let error = from(&[&server.address], folder.path()).expect_err("it is not its own");
        assert!(matches!(error, FetchError::NotAFile { .. }) && error.to_string().contains(what), "{make}: {error}");
        assert_eq!(fs::read(&theirs).expect("read"), b"precious", "{make}");
        assert!(!folder.path().join("nothing").exists());
    }
    assert!(server.asked().is_empty());
}

#[test]
#[cfg(unix)]
fn what_has_the_name_and_is_no_file_is_left_alone() {
    let (server, folder) = (Server::start(Manner::Right), folder());
    let name = folder.path().join("weights.bin");
    std::os::unix::fs::symlink("nothing", &name).expect("a link");
    let error = from(&[&server.address], folder.path()).expect_err("it leads nowhere");
    assert!(matches!(error, FetchError::NotAFile { .. }), "{error}");
    fs::remove_file(&name).expect("removed");
    fs::create_dir(&name).expect("made");
    let error = from(&[&server.address], folder.path()).expect_err("it is a folder");
    assert!(matches!(error, FetchError::NotAFile { .. }), "{error}");
    fs::remove_dir(&name).expect("removed");
    // A link to the right file will do.
    fs::write(folder.path().join("elsewhere"), content()).expect("written");
    std::os::unix::fs::symlink("elsewhere", &name).expect("a link");
    assert!(from(&[&server.address], folder.path()).expect("it is there").was_there);
    assert!(server.asked().is_empty());
}

#[test]
fn two_at_once_do_not_mix() {
    let (server, folder) = (Server::start(Manner::Right), folder());
    let partial = fs::File::create(folder.path().join("weights.bin.partial")).expect("created");
    partial.lock().expect("locked");
    let error = from(&[&server.address], folder.path()).expect_err("somebody else fetches");
    assert!(matches!(error, FetchError::Busy { .. }), "{error}");
}
