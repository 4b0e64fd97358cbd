//! An MQTT 3.1.1 broker, as small as the tests need it: it keeps what is published, and publishes the last will of a
//! client that goes without a word.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) retained: bool,
    /// Whether the broker itself did it, for a client that was gone.
    pub(crate) will: bool,
}

/// What a client said when it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hello {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    will: Option<Published>,
}

#[derive(Default)]
struct Log {
    hellos: Vec<Hello>,
    published: Vec<(Instant, Published)>,
    connections: Vec<TcpStream>,
    stopped: bool,
    /// Whether the connection is closed for each state, as brokers do that allow a client less than it wants.
    refuses_states: bool,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
}

/// A broker on a thread of its own.
pub(crate) struct Broker {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Nothing takes longer, even on a busy machine; a test that waits so long fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

impl Broker {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the broker's port is free");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let accepting = shared.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let connection = connection.expect("a connection");
                let mut log = accepting.log.lock().expect("a log");
                if log.stopped {
                    return;
                }
                log.connections.push(connection.try_clone().expect("a second handle"));
                drop(log);
                let serving = accepting.clone();
                thread::spawn(move || serving.serve(connection));
            }
        });
        Self { address, shared }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it closes the connection for each state.
    pub(crate) fn refuse_states(&self) {
        self.shared.log.lock().expect("a log").refuses_states = true;
    }

    /// Dies: nobody is served any more, and the port is free.
    pub(crate) fn stop(self) {
        let mut log = self.shared.log.lock().expect("a log");
        log.stopped = true;
        log.connections.iter().for_each(|connection| drop(connection.shutdown(Shutdown::Both)));
        drop(log);
        // Wakes the accepting thread, which drops the listener.
        let _ = TcpStream::connect(self.address);
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
    }

    /// Waits until something like this was published.
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Published) -> bool) -> Published {
        let end = Instant::now() + PATIENCE;
        let mut log = self.shared.log.lock().expect("a log");
        loop {
            if let Some((_, found)) = log.published.iter().find(|(_, published)| is_it(published)) {
                return found.clone();
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came; there were {:?}", log.published);
            log = self.shared.changed.wait_timeout(log, left).expect("a log").0;
        }
    }

    /// What clients said when they came.
    pub(crate) fn hellos(&self) -> Vec<Hello> {
        self.shared.log.lock().expect("a log").hellos.clone()
    }

    /// Everything published below this topic, and when.
    pub(crate) fn published(&self, topic: &str) -> Vec<(Instant, Published)> {
        let log = self.shared.log.lock().expect("a log");
        log.published.iter().filter(|(_, published)| published.topic == topic).cloned().collect()
    }
}

impl Shared {
    fn serve(&self, mut connection: TcpStream) {
        let mut will = None;
        loop {
            match packet(&mut connection) {
                Ok((0x10, body)) => {
                    let hello = hello(&body);
                    will = hello.will.clone();
                    self.log.lock().expect("a log").hellos.push(hello);
                    let _ = connection.write_all(&[0x20, 2, 0, 0]);
                }
                Ok((kind, body)) if kind & 0xF0 == 0x30 => {
                    let (published, number) = publish(kind, &body);
                    if published.topic.ends_with("/state") && self.log.lock().expect("a log").refuses_states {
                        let _ = connection.shutdown(Shutdown::Both);
                        break;
                    }
                    self.publish(published);
                    if let Some([high, low]) = number {
                        let _ = connection.write_all(&[0x40, 2, high, low]);
                    }
                }
                Ok((0xC0, _)) => drop(connection.write_all(&[0xD0, 0])),
                // Goodbye: the will is void.
                Ok((0xE0, _)) => return,
                Ok((kind, _)) => panic!("a packet of the kind {kind:#x}"),
                Err(_) => break,
            }
        }
        if let Some(will) = will {
            self.publish(will);
        }
    }

    fn publish(&self, published: Published) {
        self.log.lock().expect("a log").published.push((Instant::now(), published));
        self.changed.notify_all();
    }
}

/// A packet's first byte and its body (MQTT 3.1.1, section 2.2).
fn packet(connection: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    connection.read_exact(&mut byte)?;
    let [kind] = byte;
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        connection.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((kind, body))
}

/// Takes a text with its length in front.
fn text(rest: &mut &[u8]) -> String {
    let (length, after) = rest.split_first_chunk::<2>().expect("a length");
    let (text, after) = after.split_at(u16::from_be_bytes(*length).into());
    *rest = after;
    String::from_utf8(text.to_vec()).expect("UTF-8")
}

/// Reads CONNECT (section 3.1).
fn hello(mut body: &[u8]) -> Hello {
    assert_eq!(text(&mut body), "MQTT");
    let ([level, flags, _, _], mut rest) = body.split_first_chunk::<4>().expect("a header");
    assert_eq!((*level, flags & 0b11), (4, 0b10), "MQTT 3.1.1, a clean session");
    let client = text(&mut rest);
    assert!(client.starts_with("tinception-"), "{client}");
    let mut given = |flag: u8| (flags & flag != 0).then(|| text(&mut rest));
    let will = given(0x04).map(|topic| {
        let payload = given(0x04).expect("a will has two texts");
        Published { topic, payload, retained: flags & 0x20 != 0, will: true }
    });
    Hello { user: given(0x80), password: given(0x40), will }
}

/// Reads PUBLISH (section 3.3): what, and the number by which it is acknowledged.
fn publish(kind: u8, mut body: &[u8]) -> (Published, Option<[u8; 2]>) {
    let topic = text(&mut body);
    let number = (kind & 0b110 != 0).then(|| {
        let (number, rest) = body.split_first_chunk::<2>().expect("a number");
        body = rest;
        *number
    });
    let payload = String::from_utf8(body.to_vec()).expect("UTF-8");
    (Published { topic, payload, retained: kind & 1 != 0, will: false }, number)
}
