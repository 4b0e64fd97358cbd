//! Cameras as they are sold, played by threads on this machine.

use std::io::{self, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::camera::testing::jpeg;

/// A camera that answers each request by `answer`, until the test ends. The requests it got come with its address.
fn camera(
    answer: impl Fn(&mut TcpStream, &str) -> io::Result<()> + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            thread::spawn(move || {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if connection.read(&mut byte)? == 0 {
                        return Ok(());
                    }
                    request.extend(byte);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                seen.lock().unwrap().push(request.clone());
                answer(&mut connection, &request)
            });
        }
    });
    (address, requests)
}

fn open(login: &str, camera: SocketAddr, wanted: &Wanted) -> Result<Stream> {
    let address = Address::parse(&format!("http://{login}{camera}/stream?a=b"), &["http"]).unwrap();
    Stream::open(&address, wanted)
}

fn soon() -> Wanted {
    Wanted { silence: Some(Duration::from_millis(400)), ..Wanted::default() }
}

/// The next frames, without the broken ones.
fn frames(stream: &mut Stream, count: usize) -> Vec<Vec<u8>> {
    let mut frame = Frame::default();
    let mut frames = Vec::new();
    while frames.len() < count {
        if stream.read(&mut frame).unwrap() == Read::Frame {
            frames.push(frame.bytes.clone());
        }
    }
    frames
}

const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";

fn part(picture: &[u8]) -> Vec<u8> {
    let head = format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
    [head.as_bytes(), picture, b"\r\n"].concat()
}

#[test]
fn whatever_a_camera_sends_its_pictures_come() {
    let picture = jpeg(48, 32);
    let sized = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
    let unsized_ = "Content-Type: image/jpeg\r\n\r\n".to_owned();
    let kind = |kind: &str| format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n");
    let usual = kind("multipart/x-mixed-replace; boundary=frame");
    // The answer's head, and what stands in front of each picture and behind it.
    let cameras = [
        ("the usual", usual.clone(), format!("--frame\r\n{sized}"), "\r\n"),
        ("no first boundary", usual.clone(), sized.clone(), "\r\n--frame\r\n"),
        ("no length", usual.clone(), format!("--frame\r\n{unsized_}"), "\r\n"),
        ("no length, no line's end", usual.clone(), format!("--frame\r\n{unsized_}"), ""),
        ("length 0", usual.clone(), "--frame\r\nContent-Length: 0\r\n\r\n".into(), "\r\n"),
        ("line feeds alone", usual.clone(), format!("--frame\r\n{sized}").replace('\r', ""), "\n"),
        (
            "a quoted boundary",
            kind("multipart/x-mixed-replace;boundary=\"frame\""),
            format!("--frame\r\n{sized}"),
            "\r\n",
        ),
        (
            "hyphens in the boundary",
            kind("multipart/x-mixed-replace; boundary=--frame"),
            format!("--frame\r\n{sized}"),
            "\r\n",
        ),
        ("another boundary", kind("multipart/x-mixed-replace; boundary=other"), format!("--frame\r\n{sized}"), "\r\n"),
        (
            "a parameter before",
            kind("Multipart/X-Mixed-Replace; charset=utf-8; Boundary=frame"),
            format!("--frame\r\n{sized}"),
            "\r\n",
        ),
        ("no boundary", kind("multipart/x-mixed-replace"), format!("--frame\r\n{sized}"), "\r\n"),
        ("an empty boundary", kind("multipart/x-mixed-replace; boundary="), format!("--frame\r\n{unsized_}"), ""),
        ("pictures alone", kind("video/x-motion-jpeg"), String::new(), ""),
        ("pictures of an unknown kind", kind("application/octet-stream"), String::new(), ""),
        ("parts of an unknown kind", kind("application/octet-stream"), format!("--frame\r\n{sized}"), "\r\n"),
        ("no kind at all", "HTTP/1.1 200 OK\r\n\r\n".into(), String::new(), ""),
        ("an old HTTP", usual.replace("1.1", "1.0"), format!("--frame\r\n{sized}"), "\r\n"),
        ("no words", usual.replace(" OK", ""), format!("--frame\r\n{sized}"), "\r\n"),
    ];
    for (name, head, before, after) in cameras {
        let picture_sent = picture.clone();
        let (address, _) = camera(move |connection, _| {
            connection.write_all(head.as_bytes())?;
            loop {
                connection.write_all(&[before.as_bytes(), &picture_sent, after.as_bytes()].concat())?;
                thread::sleep(Duration::from_millis(5));
            }
        });
        let mut stream = open("", address, &Wanted::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(frames(&mut stream, 3), vec![picture.clone(); 3], "{name}");
    }
}

#[test]
fn a_stream_in_chunks() {
    let (address, _) = camera(|connection, _| {
        let head = String::from_utf8_lossy(STREAM).replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
        connection.write_all(head.as_bytes())?;
        loop {
            let part = part(&jpeg(48, 32));
            for chunk in part.chunks(100) {
                write!(connection, "{:x}\r\n", chunk.len())?;
                connection.write_all(chunk)?;
                connection.write_all(b"\r\n")?;
            }
        }
    });
    let mut stream = open("", address, &Wanted::default()).unwrap();
    assert_eq!(frames(&mut stream, 3), vec![jpeg(48, 32); 3]);
}

/// One picture a request, whatever its type says, at the wanted rate.
#[test]
fn a_camera_that_gives_one_picture_a_request() {
    for kind in ["image/jpeg", "image/jpg; charset=x", "text/plain"] {
        let (address, requests) = camera(move |connection, _| {
            let picture = jpeg(40, 24);
            write!(connection, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", picture.len())?;
            connection.write_all(&picture)
        });
        let wanted = Wanted { rate: Some(20), ..Wanted::default() };
        let start = Instant::now();
        let mut stream = open("", address, &wanted).unwrap();
        assert_eq!(frames(&mut stream, 4), vec![jpeg(40, 24); 4]);
        assert!(start.elapsed() >= Duration::from_millis(150), "three intervals of a twentieth of a second");
        assert_eq!(requests.lock().unwrap().len(), 4);
    }
}

/// Some say nothing of the length, some go on with further pictures, some have none now and then.
#[test]
fn answers_of_type_jpeg_of_every_kind() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n";
    let wanted = Wanted { rate: Some(100), ..Wanted::default() };
    for pictures in [1, 3] {
        let (address, requests) = camera(move |connection, _| {
            connection.write_all(head.as_bytes())?;
            connection.write_all(&jpeg(40, 24).repeat(pictures))
        });
        assert_eq!(frames(&mut open("", address, &wanted).unwrap(), 6), vec![jpeg(40, 24); 6]);
        assert_eq!(requests.lock().unwrap().len(), 6 / pictures);
    }
    let (endless, requests) = camera(move |connection, _| {
        connection.write_all(head.as_bytes())?;
        loop {
            connection.write_all(&jpeg(40, 24))?;
            thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(frames(&mut open("", endless, &soon()).unwrap(), 6), vec![jpeg(40, 24); 6]);
    assert_eq!(requests.lock().unwrap().len(), 1);
    let count = Mutex::new(0);
    let (truncated, _) = camera(move |connection, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let length = if *count % 2 == 0 { 100 } else { usize::MAX };
        connection.write_all(head.as_bytes())?;
        connection.write_all(&jpeg(40, 24)[..length.min(jpeg(40, 24).len())])
    });
    let mut stream = open("", truncated, &wanted).unwrap();
    let mut reads = Vec::new();
    for _ in 0..4 {
        reads.push(stream.read(&mut Frame::default()).unwrap() == Read::Frame);
    }
    assert_eq!(reads, [true, false, true, false]);
}

/// Answers alone are no pictures.
#[test]
fn a_camera_that_answers_without_a_picture_is_silent() {
    let count = Mutex::new(0);
    let (address, _) = camera(move |connection, _| {
        let mut count = count.lock().unwrap();
        *count += 1;
        let body = if *count == 1 { jpeg(40, 24) } else { b"busy".to_vec() };
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n")?;
        connection.write_all(&body)
    });
    let mut stream = open("", address, &Wanted { rate: Some(20), ..soon() }).unwrap();
    let start = Instant::now();
    let mut frame = Frame::default();
    assert_eq!(stream.read(&mut frame).unwrap(), Read::Frame);
    let error = loop {
        match stream.read(&mut frame) {
            Ok(read) => assert_eq!(read, Read::Broken("the camera's answer holds no JPEG picture".into())),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.ends_with("no whole picture for 0.4 s") && start.elapsed() < Duration::from_secs(3), "{error}");
}

#[test]
fn a_stream_takes_no_rate() {
    let (address, _) = camera(|connection, _| connection.write_all(STREAM));
    let error = open("", address, &Wanted { rate: Some(5), ..Wanted::default() }).err().unwrap().to_string();
    assert!(error.contains("leave --rate out"), "{error}");
}

/// Whole pictures count, not bytes: a camera that sends one now and then is as good as silent.
#[test]
fn a_camera_that_drips_is_silent() {
    type Camera = fn(&mut TcpStream) -> io::Result<()>;
    let cameras: [(&str, Camera); 4] = [
        ("nothing", |_| Ok(())),
        ("a part", |connection| connection.write_all(b"--frame\r\nContent-Length: 100000\r\n\r\n")),
        ("a part without a length", |connection| connection.write_all(b"--frame\r\n\r\n\xFF\xD8")),
        ("a part's header", |connection| connection.write_all(b"--frame\r\nX: ")),
    ];
    for (name, start) in cameras {
        let (address, _) = camera(move |connection, _| {
            connection.write_all(STREAM)?;
            connection.write_all(&part(&jpeg(32, 24)))?;
            start(connection)?;
            loop {
                connection.write_all(b"a")?;
                thread::sleep(Duration::from_millis(50));
            }
        });
        let mut stream = open("", address, &soon()).unwrap();
        assert_eq!(frames(&mut stream, 1), [jpeg(32, 24)]);
        let begin = Instant::now();
        let error = stream.read(&mut Frame::default()).unwrap_err().to_string();
        assert!(error.ends_with("no whole picture for 0.4 s"), "{name}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(2), "{name}");
    }
}

#[test]
fn a_camera_that_falls_silent_or_ends_is_an_error_in_time() {
    for ends in [true, false] {
        let (address, _) = camera(move |connection, _| {
            connection.write_all(STREAM)?;
            connection.write_all(&[part(&jpeg(32, 24)), part(&jpeg(32, 24))].concat())?;
            // Silent, until the other side gives up.
            if ends { Ok(()) } else { connection.read(&mut [0]).map(drop) }
        });
        let mut stream = open("", address, &soon()).unwrap();
        assert_eq!(frames(&mut stream, 2), vec![jpeg(32, 24); 2]);
        let start = Instant::now();
        let error = stream.read(&mut Frame::default()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("http://{address}/stream?...: ")), "{error}");
        let why = if ends { "the camera ended its stream" } else { "no whole picture for 0.4 s" };
        assert!(error.ends_with(why), "{error}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

/// A hash by the tools of the system: another implementation than the one that is tested.
fn hash(algorithm: &str, text: &str) -> String {
    let tool = if algorithm.starts_with("MD5") { "md5sum" } else { "sha256sum" };
    let mut child = Command::new(tool).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap().stdout;
    String::from_utf8_lossy(&output).split(' ').next().unwrap().to_owned()
}

/// A value of the request's `Authorization: Digest`.
fn value<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization: digest"))?;
    let mut values = line["authorization: digest".len()..].split(',').map(str::trim);
    values.find_map(|value| value.strip_prefix(name)?.strip_prefix('=')).map(|value| value.trim_matches('"'))
}

/// Whether the answer is right by RFC 7616, section 3.4, for this nonce.
fn is_right(request: &str, algorithm: &str, user: &str, password: &str, nonce: &str) -> bool {
    let Some(response) = value(request, "response") else { return false };
    let hash = |text: &str| hash(algorithm, text);
    let uri = request.split(' ').nth(1).unwrap();
    let mut secret = hash(&format!("{user}:cam, \"one\":{password}"));
    let value = |name| value(request, name).unwrap_or_default();
    if algorithm.ends_with("-sess") {
        secret = hash(&format!("{secret}:{nonce}:{}", value("cnonce")));
    }
    let asked = hash(&format!("GET:{uri}"));
    let expected = match value("qop") {
        "" => hash(&format!("{secret}:{nonce}:{asked}")),
        qop => hash(&format!("{secret}:{nonce}:{}:{}:{qop}:{asked}", value("nc"), value("cnonce"))),
    };
    (value("uri"), value("nonce"), value("username")) == (uri, nonce, user) && expected == response
}

const REALM: &str = r#"realm="cam, \"one\"""#;

fn refuse(connection: &mut TcpStream, challenges: &[String]) -> io::Result<()> {
    connection.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n")?;
    for challenge in challenges {
        write!(connection, "WWW-Authenticate: {challenge}\r\n")?;
    }
    connection.write_all(b"\r\n")
}

fn stream(connection: &mut TcpStream) -> io::Result<()> {
    connection.write_all(STREAM)?;
    loop {
        connection.write_all(&part(&jpeg(32, 24)))?;
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn digest_authentication_of_every_kind() {
    for (algorithm, parameters) in [
        ("MD5", "qop=\"auth\""),
        ("MD5", "qop=auth, algorithm=MD5, opaque=\"o\""),
        ("MD5", "qop=\"auth,auth-int\", algorithm=\"MD5\""),
        ("MD5", "algorithm=MD5"),
        ("MD5", ""),
        ("MD5-sess", "qop=\"auth\", algorithm=MD5-sess"),
        ("SHA-256", "qop=\"auth\", algorithm=SHA-256"),
    ] {
        let mut challenge = format!("Digest {REALM}, nonce=\"n1\"");
        if !parameters.is_empty() {
            challenge += &format!(", {parameters}");
        }
        let (address, requests) = camera(move |connection, request| {
            match is_right(request, algorithm, "ann", "p@ss:ä", "n1") || value(request, "qop") == Some("auth-int") {
                true => stream(connection),
                false => refuse(connection, std::slice::from_ref(&challenge)),
            }
        });
        let mut opened = open("ann:p%40ss%3A%C3%A4@", address, &Wanted::default())
            .unwrap_or_else(|error| panic!("{algorithm} {parameters}: {error}"));
        assert_eq!(frames(&mut opened, 2).len(), 2);
        let requests = requests.lock().unwrap();
        assert_eq!(requests.len(), 2, "{algorithm} {parameters}");
        assert!(!requests[0].to_ascii_lowercase().contains("authorization"), "{}", requests[0]);
    }
}

/// The better way is taken where there are several: the password itself is not sent.
#[test]
fn digest_is_preferred_to_basic() {
    let challenges = [format!("Basic {REALM}"), format!("Digest {REALM}, nonce=\"n\", qop=\"auth\"")];
    let reversed = [challenges[1].clone(), challenges[0].clone()];
    let joined = [challenges.join(", ")];
    for challenges in [challenges.to_vec(), reversed.to_vec(), joined.to_vec()] {
        let (address, _) = camera(move |connection, request| match is_right(request, "MD5", "u", "p", "n") {
            true => stream(connection),
            false => refuse(connection, &challenges),
        });
        frames(&mut open("u:p@", address, &Wanted::default()).unwrap(), 1);
    }
}

/// Each request has a nonce that the camera gave, and a new one where that is used up.
#[test]
fn nonces_grow_stale() {
    for says_so in [true, false] {
        let uses = Mutex::new(0);
        let (address, requests) = camera(move |connection, request| {
            let mut uses = uses.lock().unwrap();
            // Each is good for two requests.
            let nonce = format!("n{}", *uses / 2);
            if is_right(request, "MD5", "u", "p", &nonce) {
                *uses += 1;
                let picture = jpeg(32, 24);
                write!(
                    connection,
                    "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    picture.len()
                )?;
                return connection.write_all(&picture);
            }
            let stale = if says_so && value(request, "nonce").is_some() { ", stale=true" } else { "" };
            refuse(connection, &[format!("Digest {REALM}, nonce=\"{nonce}\", qop=\"auth\"{stale}")])
        });
        let wanted = Wanted { rate: Some(1000), ..Wanted::default() };
        let mut opened = open("u:p@", address, &wanted).unwrap();
        assert_eq!(frames(&mut opened, 6).len(), 6);
        // Six pictures; the first request knew no nonce, and two of the three nonces ended between them.
        assert_eq!(requests.lock().unwrap().len(), 6 + 3);
    }
}

#[test]
fn basic_authentication_of_every_kind() {
    // base64 of `u:p@ss`, by base64(1).
    const ANSWER: &str = "authorization: basic dTpwQHNz";
    for challenges in [&["Basic realm=\"cam\""][..], &["basic realm=cam"], &["Basic"], &[]] {
        let challenges: Vec<_> = challenges.iter().map(|&challenge| challenge.to_owned()).collect();
        let (address, requests) = camera(move |connection, request| {
            match request.to_ascii_lowercase().contains(&ANSWER.to_ascii_lowercase()) {
                true => stream(connection),
                false => refuse(connection, &challenges),
            }
        });
        frames(&mut open("u:p%40ss@", address, &Wanted::default()).unwrap(), 1);
        assert_eq!(requests.lock().unwrap().len(), 2);
    }
}

#[test]
fn who_is_refused_learns_why_and_asks_no_more() {
    let digest = format!("Digest {REALM}, nonce=\"n\", qop=\"auth\"");
    let stale = format!("{digest}, stale=true");
    for (login, challenge, words) in [
        ("u:secret@", "Basic realm=\"x\"", "refuses user and password"),
        ("u:secret@", &digest, "refuses user and password"),
        ("u:secret@", &stale, "again and again"),
        ("", &digest, "asks for user and password"),
        ("u:secret@", "Negotiate", "unknown kind of authentication"),
        ("u:secret@", "Digest realm=\"x\", nonce=\"n\", algorithm=ROT13", "unknown kind of authentication"),
    ] {
        let challenge = challenge.to_owned();
        let (address, requests) = camera(move |connection, _| refuse(connection, std::slice::from_ref(&challenge)));
        let error = open(login, address, &Wanted::default()).err().unwrap().to_string();
        assert!(error.contains(words) && !error.contains("secret") && !error.contains("u:"), "{error}");
        assert!(requests.lock().unwrap().len() <= 5);
    }
}

fn redirect(connection: &mut TcpStream, to: &str) -> io::Result<()> {
    write!(connection, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[test]
fn redirects_on_the_same_host_keep_the_password_and_others_lose_it() {
    let digest = format!("Digest {REALM}, nonce=\"n\", qop=\"auth\"");
    let asked = digest.clone();
    let (home, _) = camera(move |connection, request| {
        if request.starts_with("GET /stream") {
            return redirect(connection, "/moved?x=1");
        }
        match is_right(request, "MD5", "u", "p", "n") {
            true => stream(connection),
            false => refuse(connection, std::slice::from_ref(&asked)),
        }
    });
    frames(&mut open("u:p@", home, &Wanted::default()).unwrap(), 1);

    for challenge in [digest, "Basic realm=\"x\"".into()] {
        let (other, requests) = camera({
            let challenge = challenge.clone();
            move |connection, _| refuse(connection, std::slice::from_ref(&challenge))
        });
        // The host at home knows the password, and sends the one who showed it elsewhere.
        let (home, _) =
            camera(move |connection, request| match request.to_ascii_lowercase().contains("authorization") {
                true => redirect(connection, &format!("http://{other}/x")),
                false => refuse(connection, std::slice::from_ref(&challenge)),
            });
        let error = open("u:secret@", home, &Wanted::default()).err().unwrap().to_string();
        assert!(error.contains("another host") && !error.contains("secret"), "{error}");
        let requests = requests.lock().unwrap();
        assert_eq!(requests.len(), 1);
        assert!(!requests[0].to_ascii_lowercase().contains("authorization"), "{}", requests[0]);
    }
}

#[test]
fn what_is_no_camera_is_said_without_secrets() {
    let answer = |text: &'static str| camera(move |connection, _| connection.write_all(text.as_bytes())).0;
    for (camera, words) in [
        (answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "status 404"),
        (answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"), "'text/html'"),
        (answer("HTTP/1.1 200 OK\r\nContent-Type: text/\x1b]0;x\x07\r\n\r\n"), ""),
        (answer("secret\r\n\r\n"), ""),
        (answer("HTTP/1.1 302 Found\r\nLocation: http://u:secret@127.0.0.1:1/\r\n\r\n"), ""),
        (SocketAddr::from(([127, 0, 0, 1], 1)), "refused"),
    ] {
        let error = format!("{:#}", open("u:secret@", camera, &soon()).err().unwrap());
        assert!(error.starts_with(&format!("http://{camera}/stream?...: ")) && error.contains(words), "{error}");
        assert!(!error.contains("secret") && !error.contains("a=b") && !error.contains('\x1b'), "{error}");
    }
}
