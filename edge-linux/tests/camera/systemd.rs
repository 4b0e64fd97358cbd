//! What systemd hears, through a socket as systemd has one.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::command;

const FRAME: [u8; 32 * 24] = [90; 32 * 24];
/// The watchdog's limit here.
const LIMIT: Duration = Duration::from_millis(1000);

/// A socket as systemd has one, and the folder that it lies in.
struct Systemd {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Systemd {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        Self { socket, folder }
    }

    fn service(&self, args: &str) -> Command {
        let mut command = command(args);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env("WATCHDOG_USEC", LIMIT.as_micros().to_string()).env_remove("WATCHDOG_PID");
        command
    }

    /// The next message, if one comes in time.
    fn message(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).expect("a limit");
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// Waits for a message with this line.
    fn wait(&self, line: &str) {
        let mut heard = Vec::new();
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            let Some(message) = self.message(Duration::from_secs(60)) else { break };
            if message.lines().any(|other| other.starts_with(line)) {
                return;
            }
            heard.push(message);
        }
        panic!("no {line} among {heard:?}");
    }
}

const RAW: &str = "camera pipe:- --width 32 --height 24 --format grey --average 1 --threshold 0";

/// Ready once the source is open; the status is the label; the watchdog is fed while frames come, starves while none
/// comes, and is fed again.
#[test]
fn a_service_is_ready_alive_and_stopping() {
    let systemd = Systemd::new();
    let mut child = systemd.service(RAW).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("its input");
    systemd.wait("READY=1");
    stdin.write_all(&FRAME).expect("taken");
    systemd.wait("STATUS=");
    let mut feed_until_fed = || {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < Duration::from_secs(60), "the watchdog starves");
            stdin.write_all(&FRAME).expect("taken");
            if systemd.message(Duration::from_millis(30)).is_some_and(|message| message.contains("WATCHDOG=1")) {
                return;
            }
        }
    };
    feed_until_fed();
    feed_until_fed();
    // The last frames may be on their way. When nothing has come for twice the limit, nothing comes.
    let silent = Instant::now();
    let mut fed = 0;
    while silent.elapsed() < LIMIT * 3 {
        fed += usize::from(systemd.message(LIMIT).is_some_and(|message| message.contains("WATCHDOG=1")));
    }
    assert!(fed <= 1, "fed {fed} times without a frame");
    feed_until_fed();
    drop(stdin);
    systemd.wait("STOPPING=1");
    assert!(child.wait().expect("it ends").success());
}

/// A camera that went away: each attempt to reach it counts as life, as long as there are some.
#[test]
fn attempts_are_life() {
    let systemd = Systemd::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut child = systemd.service(&format!("camera mjpeg:http://{address}/")).spawn().expect("it starts");
    let (mut connection, _) = listener.accept().expect("a connection");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";
    connection.write_all(head.as_bytes()).expect("sent");
    systemd.wait("READY=1");
    drop((connection, listener));
    // Not a single frame, and alive by the attempts alone.
    systemd.wait("WATCHDOG=1");
    systemd.wait("WATCHDOG=1");
    child.kill().expect("killed");
    child.wait().expect("it ends");
}

/// A socket that is gone is told once, and ends nothing.
#[test]
fn a_socket_that_is_gone_ends_nothing() {
    let systemd = Systemd::new();
    let mut service = systemd.service(RAW);
    service.env("NOTIFY_SOCKET", systemd.folder.path().join("other"));
    let mut child = service.spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(&FRAME).expect("taken");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    assert_eq!(error.matches("cannot notify systemd").count(), 1, "{error}");
}
