//! Pictures that are posted.

use serde_json::Value;

use super::*;

const PHOTO: &[u8] = artefacts::PHOTOS[0].bytes;

impl Served {
    /// Status and answer, which is one JSON value, of a posted body.
    fn post(&self, headers: &str, body: &[u8]) -> (u16, Value) {
        let (status, answer) = self.ask("POST", "/api/classify", headers, body);
        let text = String::from_utf8(answer).unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{headers}: {error}: {text}")))
    }
}

fn form(lines: &str, picture: &[u8]) -> Vec<u8> {
    let head = format!("--line\r\nContent-Disposition: form-data; {lines}\r\n\r\n");
    [head.as_bytes(), picture, b"\r\n--line--\r\n"].concat()
}

#[test]
fn posted_pictures_are_classified() {
    let served = serve(None);
    let kind = "Content-Type: multipart/form-data; boundary=line\r\n";
    for (headers, body) in [
        ("", PHOTO.to_vec()),
        ("Content-Type: image/jpeg\r\n", PHOTO.to_vec()),
        ("Content-Type: application/octet-stream\r\n", PHOTO.to_vec()),
        // As curl --data-binary says it.
        ("Content-Type: application/x-www-form-urlencoded\r\n", PHOTO.to_vec()),
        (kind, form("name=\"image\"; filename=\"cat.jpg\"\r\nContent-Type: image/jpeg", PHOTO)),
        (kind, form("name=\"anything\"; filename=\"\"", PHOTO)),
        (
            kind,
            form("name=\"text\"\r\n\r\nwords\r\n--line\r\nContent-Disposition: form-data; name=f; filename=f", PHOTO),
        ),
    ] {
        let (status, answer) = served.post(headers, &body);
        assert_eq!((status, answer[0]["label"].as_str()), (200, Some("cat")), "{headers}: {answer}");
    }
    assert_eq!(served.get("/api/classify").0, 405);
}

#[test]
fn a_body_in_chunks_is_a_picture_too() {
    let served = serve(None);
    let chunks: Vec<u8> = PHOTO
        .chunks(1000)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .collect();
    let head =
        "POST /api/classify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = served.raw(&[head.as_bytes(), &chunks, b"0\r\n\r\n"].concat());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"cat\""), "{answer}");
    let answer = served.raw(&[head.as_bytes(), b"5\r\nhello\r\nnonsense\r\n"].concat());
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("chunks"), "{answer}");
    let endless = b"100000\r\n".iter().copied().chain(std::iter::repeat_n(b'a', 1 << 20)).chain(*b"\r\n");
    let endless: Vec<u8> = endless.cycle().take(9 << 20).collect();
    let answer = served.raw(&[head.as_bytes(), &endless].concat());
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// One JSON error that says what is wanted.
#[test]
fn what_is_no_picture_is_told_what_is_wanted() {
    let served = serve(None);
    let stripped: Vec<u8> = PHOTO.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    let kind = "Content-Type: multipart/form-data; boundary=line\r\n";
    for (headers, body, status, word) in [
        ("", &b""[..], 400, "--data-binary"),
        ("Content-Type: application/json\r\n", b"{\"image\": \"aGVsbG8=\"}", 415, "--data-binary"),
        ("Content-Type: application/json\r\n", b"", 400, "--data-binary"),
        ("Content-Type: text/plain\r\n", b"hello", 415, "curl -F"),
        ("Content-Type: application/x-www-form-urlencoded\r\n", &stripped, 422, "--data-binary"),
        ("Content-Type: application/x-www-form-urlencoded\r\n", b"image=cat.jpg", 422, "--data-binary"),
        ("Content-Type: application/x-www-form-urlencoded\r\n", b"", 400, "--data-binary"),
        ("Content-Encoding: gzip\r\n", PHOTO, 415, "Content-Encoding"),
        (kind, b"--line\r\n\r\nwords\r\n--line--\r\n", 400, "curl -F"),
        (kind, b"", 400, "curl -F"),
        (kind, PHOTO, 400, "curl -F"),
        ("Content-Type: multipart/form-data\r\n", PHOTO, 400, "boundary"),
        ("Content-Type: multipart/mixed; boundary=line\r\n", b"--line--", 415, "curl -F"),
        ("Content-Type: image/jpeg\r\n", &PHOTO[..5000], 422, "truncated"),
        (kind, &form("name=a; filename=a", &PHOTO[..5000]), 422, "truncated"),
        ("Content-Type: image/png\r\n", b"\x89PNG\r\n\x1a\n", 422, "picture"),
    ] {
        let (got, answer) = served.post(headers, body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(got == status && error.contains(word), "{headers}: {got} {answer}");
        assert_eq!(answer.as_object().map(|object| object.len()), Some(1), "{answer}");
    }
}

#[test]
fn a_body_that_never_ends_is_given_up() {
    let served = serve(None);
    let start = Instant::now();
    let answer = served.raw(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(start.elapsed() >= BODY_TIME && start.elapsed() < 2 * BODY_TIME);
}

/// Refused by what it says of itself: not a byte of it is waited for, and the connection is closed.
#[test]
fn a_body_that_is_too_large_is_not_read() {
    let served = serve(None);
    let start = Instant::now();
    let answer = served.raw(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(served.ask("POST", "/api/classify", "", &vec![0; 10_000_000]).0, 413);
}

/// Bodies are taken from as many clients as there are places; the others are told to come back.
#[test]
fn bodies_wait_for_a_place() {
    let served = serve(None);
    let half = |_| {
        let mut stream = served.connect();
        let head = "POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let _ = stream.write_all(&[0; 100_000]);
        stream
    };
    let senders: Vec<TcpStream> = (0..desk::PLACES).map(half).collect();
    let refused = |_| {
        let answer = served.raw(b"POST /api/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n");
        let is_refused = answer.starts_with("HTTP/1.1 503");
        assert!(!is_refused || answer.contains("retry-after: ") && answer.contains("connection: close"), "{answer}");
        is_refused
    };
    // The last of those may still be on their way.
    let start = Instant::now();
    while !refused(()) {
        assert!(start.elapsed() < Duration::from_secs(5), "there is always a place");
    }
    assert_eq!((0..20).filter(|_| refused(())).count(), 20);
    // The page does not care.
    assert_eq!(served.get("/history").0, 200);
    // Who goes leaves a place.
    drop(senders);
    while served.ask("POST", "/api/classify", "", PHOTO).0 != 200 {
        assert!(start.elapsed() < Duration::from_secs(9), "the places are never free again");
        std::thread::sleep(Duration::from_millis(50));
    }
}
