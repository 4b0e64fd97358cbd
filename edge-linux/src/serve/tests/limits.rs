//! Clients that keep what they have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::*;

/// A camera of so many pictures a second, each with so many bytes.
struct Camera {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Camera {
    fn start(feed: &Arc<Feed>, rate: u32, size: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (feed, stopped) = (feed.clone(), stop.clone());
        let run = move || {
            while !stopped.load(Ordering::Relaxed) {
                feed.publish(update("cat"));
                feed.publish_picture(Look::Bare, &vec![7; size]);
                thread::sleep(Duration::from_secs(1) / rate);
            }
        };
        Self { stop, thread: Some(thread::spawn(run)) }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

impl Served {
    /// How long `/healthz` takes to say that all is well.
    fn health_time(&self, token: &str) -> Duration {
        let start = Instant::now();
        loop {
            let answer = self.raw(
                format!("GET /healthz?token={token} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    .as_bytes(),
            );
            if answer.starts_with("HTTP/1.1 200") {
                return start.elapsed();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "nobody is served any more: {answer}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends what the server takes, and reads nothing.
    fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect();
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = stream.write_all(bytes);
        stream
    }

    /// How many of these were closed by the server. What it sent is thrown away.
    fn closed(streams: &[TcpStream]) -> usize {
        let is_closed = |mut stream: &TcpStream| {
            stream.set_nonblocking(true).unwrap();
            loop {
                match stream.read(&mut [0; 65536]) {
                    Ok(0) => return true,
                    Ok(_) => {}
                    Err(error) => return error.kind() != ErrorKind::WouldBlock,
                }
            }
        };
        streams.iter().filter(|stream| is_closed(stream)).count()
    }
}

const SOON: Duration = Duration::from_secs(2);

#[test]
fn idle_and_slow_clients_keep_nobody_out() {
    let served = serve(None);
    served.feed.publish(update("cat"));
    let idle: Vec<TcpStream> = (0..200).map(|_| served.connect()).collect();
    assert!(served.health_time("") < SOON);
    let slow: Vec<TcpStream> =
        (0..200).map(|_| served.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")).collect();
    assert!(served.health_time("") < SOON);
    // The loop that feeds is not kept from it.
    let start = Instant::now();
    served.feed.publish(update("cat"));
    assert!(start.elapsed() < Duration::from_secs(1));
    // A byte now and then is no request: their time is over all the same.
    for _ in 0..HEADER_TIME.as_secs() + 2 {
        slow.iter().for_each(|mut stream| drop(stream.write(b"a")));
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!((Served::closed(&idle), Served::closed(&slow)), (200, 200));
}

/// Requests by the thousand, and no answer is ever read.
#[test]
fn clients_that_read_no_answers_are_given_up() {
    for (token, path) in [(Some("0123456789abcdef"), "/x"), (None, "/"), (None, "/metrics"), (None, "/nothing")] {
        let served = serve(token);
        served.feed.publish(update("cat"));
        let requests = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(20_000);
        let clients: Vec<TcpStream> = (0..64).map(|_| served.send(requests.as_bytes())).collect();
        assert!(served.health_time("0123456789abcdef") < SOON, "{path}");
        thread::sleep(wire::WRITE_TIME + HEADER_TIME + Duration::from_secs(1));
        assert_eq!(Served::closed(&clients), 64, "{path}");
    }
}

/// Streams have half of the places. Those who don't read lose theirs.
#[test]
fn streams_that_nobody_reads_end() {
    let served = serve(None);
    let _camera = Camera::start(&served.feed, 20, 60_000);
    let unread = |path: &str| served.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    let mut clients: Vec<TcpStream> = (0..64).map(|_| unread("/stream.mjpg")).collect();
    assert!(served.health_time("") < SOON);
    let mut one_more = unread("/events");
    let mut head = [0; 2048];
    let length = one_more.read(&mut head).unwrap();
    let refused = String::from_utf8_lossy(&head[..length]);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after"), "{refused}");
    let start = Instant::now();
    while served.feed.wants_picture(Look::Bare) {
        assert!(start.elapsed() < 4 * wire::WRITE_TIME, "they are still sent pictures");
        thread::sleep(Duration::from_millis(50));
    }
    clients.push(unread("/events"));
    assert!(served.health_time("") < SOON);
}

/// A client that takes a little now and then is no better; one that takes its pictures stays, slow as it may be.
#[test]
fn slow_readers_stay_and_drips_do_not() {
    let served = serve(None);
    let _camera = Camera::start(&served.feed, 20, 60_000);
    let request = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (mut drip, mut slow) = (served.send(request), served.send(request));
    let start = Instant::now();
    while start.elapsed() < 5 * wire::WRITE_TIME {
        // 20 bytes a second, and 400,000 of the 1,200,000 that come.
        let _ = drip.read(&mut [0; 2]);
        slow.read_exact(&mut [0; 40_000]).expect("it is sent pictures");
        thread::sleep(Duration::from_millis(100));
    }
    drip.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let ended = std::iter::repeat_with(|| drip.read(&mut [0; 65536])).find(|read| !matches!(read, Ok(1..)));
    let is_closed = match ended.expect("an end") {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    };
    assert!(is_closed, "it is still sent pictures");
}

/// As many requests at once as there are connections, each from start to end.
#[test]
fn many_clients_are_served() {
    let served = serve(None);
    served.feed.publish(update("cat"));
    thread::scope(|scope| {
        let ask = || (0..25).filter(|_| served.get("/healthz").0 == 200).count();
        let clients: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert_eq!(answered, 400);
    });
    let mut stream = served.connect();
    for number in 0..2_000 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}") {
            let mut part = [0; 1024];
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "closed after {number} requests");
            answer.extend_from_slice(&part[..length]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}

/// Requests whose end one server could see elsewhere than another: what follows them must not be taken for a request of its own
/// where the first was taken, too.
#[test]
fn no_request_hides_in_another() {
    let served = serve(None);
    served.feed.publish(update("cat"));
    let hidden = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 45\r\n\r\n",
        "Content-Length: 0, 45\r\n\r\n",
        "Content-Length: +0\r\n\r\n",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x0\r\n\r\n",
        "Content-Length: 0 0\r\n\r\n",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Content-Length : 0\r\n\r\n",
        "Content-Length\t: 0\r\n\r\n",
        " Content-Length: 0\r\n\r\n",
        "X: 1\r\n Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\naa\r\n0\r\n\r\n",
        "X\u{0}: 1\r\n\r\n",
        "X: a\rContent-Length: 4\r\n\r\n",
        "\u{b}X: 1\r\n\r\n",
        ": empty\r\n\r\n",
    ] {
        let request = format!("POST /api/classify HTTP/1.1\r\nHost: localhost\r\n{lines}{hidden}");
        let mut stream = served.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 4"), "{lines:?}: {answer}");
        assert!(!answer.contains("tinception_frames"), "{lines:?}: {answer}");
    }
    assert_eq!(served.get("/healthz").0, 200);
}
