//! The live page as the program serves it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::browser::{Process, after};
use crate::common::{command, photos};

const TOKEN: &str = "0123456789abcdefTOKEN";

/// The page's address, of what the program says about it.
pub(crate) fn address(said: &str) -> &str {
    said.split(' ').next().expect("an address")
}

/// Status line and body of a request to a page that was started at this address.
fn get(page: &str, path: &str) -> String {
    let host = page.trim_start_matches("http://").split('/').next().expect("a host").replace("0.0.0.0", "127.0.0.1");
    let mut stream = TcpStream::connect(&host).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whatever way it was set: journals are read by more people than a token is meant for.
#[test]
fn a_token_that_was_set_is_not_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("camera.toml");
    std::fs::write(&file, format!("token = \"{TOKEN}\"\n")).expect("written");
    let camera = format!("camera images:{} --model nano --serve 127.0.0.1:0", photos().display());
    let mut by_environment = command(&camera);
    by_environment.env("TINCEPTION_TOKEN", TOKEN);
    let by_option = command(&format!("{camera} --token {TOKEN}"));
    let by_file = command(&format!("{camera} --config {}", file.display()));
    for mut program in [by_environment, by_option, by_file] {
        let mut camera = Process(program.stdout(Stdio::null()).spawn().expect("it starts"));
        let mut lines = BufReader::new(camera.0.stderr.take().expect("its errors")).lines();
        let said =
            lines.find_map(|line| line.expect("text").split_once("live page: ").map(|(_, said)| said.to_owned()));
        let said = said.expect("the page's address");
        assert!(said.contains("the token that was set") && !said.contains(TOKEN), "{said}");
        let health = get(address(&said), &format!("/healthz?token={TOKEN}"));
        assert!(!health.starts_with("HTTP/1.1 401"), "{health}");
        assert!(get(address(&said), "/healthz").starts_with("HTTP/1.1 401"));
        // A port that is taken, and a token that is too short, are told without it, too.
        let again = format!("camera images:{} --serve {}", photos().display(), said.trim_start_matches("http://"));
        let place = again.split_once("/ ").map_or(again.as_str(), |(place, _)| place);
        let output = command(place).env("TINCEPTION_TOKEN", TOKEN).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains("another program"), "{error}");
        assert!(!error.contains(TOKEN), "{error}");
        camera.0.kill().expect("killed");
        assert!(lines.map_while(Result::ok).all(|line| !line.contains(TOKEN)));
    }
}

#[test]
fn a_token_that_was_drawn_is_told() {
    let mut program = command(&format!("camera images:{} --model nano --serve 0.0.0.0:0", photos().display()));
    let mut camera = Process(program.stdout(Stdio::null()).spawn().expect("it starts"));
    let said = after("live page: ", camera.0.stderr.take().expect("its errors"));
    let (page, token) = said.split_once("/?token=").expect("a token");
    assert_eq!(token.len(), 32, "{said}");
    assert!(get(page, &format!("/history?token={token}")).starts_with("HTTP/1.1 200"));
    assert!(get(page, "/history").starts_with("HTTP/1.1 401"));
}

/// The program with so few descriptors.
fn with_descriptors(limit: u32, args: &str) -> Command {
    let mut program = Command::new("sh");
    program.args([
        "-c",
        &format!("ulimit -n {limit}; exec \"$0\" camera {args} --threads 1"),
        env!("CARGO_BIN_EXE_tinception"),
    ]);
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// More clients than there are descriptors: the page has some of them, and the camera its own.
#[test]
fn clients_leave_descriptors_to_the_camera() {
    let args = format!("images:{} --model nano --serve 127.0.0.1:0 --json", photos().display());
    let mut camera = Process(with_descriptors(64, &args).spawn().expect("it starts"));
    let said = after("live page: ", camera.0.stderr.take().expect("its errors"));
    let mut lines = BufReader::new(camera.0.stdout.take().expect("its output")).lines();
    let host = address(&said).trim_start_matches("http://").trim_end_matches('/');
    let clients: Vec<TcpStream> = (0..200)
        .filter_map(|_| {
            let mut client = TcpStream::connect(host).ok()?;
            client.write_all(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").ok()?;
            Some(client)
        })
        .collect();
    assert!(clients.len() > 100);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        let Some(line) = lines.next() else { panic!("the camera ended: {:?}", camera.0.wait()) };
        let frame: Value = serde_json::from_str(&line.expect("a line")).expect("an object");
        assert_eq!(frame["broken"], 0, "{frame}");
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", camera.0.id())).expect("its descriptors").count();
    assert!(open < 60, "{open} of 64 descriptors");
    // Half of the connections are left to those who ask and go.
    assert!(get(address(&said), "/healthz").starts_with("HTTP/1.1 200"));
}

/// No fault of the input: systemd may start it anew.
#[test]
fn a_system_without_descriptors_is_exit_code_1() {
    let args = format!("images:{} --model nano --serve 127.0.0.1:0 --frames 1", photos().display());
    let output = with_descriptors(4, &args).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.lines().count() == 1 && error.contains("Too many open files"), "{error}");
}
