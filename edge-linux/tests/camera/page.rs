//! The live page as the program serves it, and in a real browser: Chromium without a window, led by its own WebDriver.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{command, photos};

/// Starting a browser takes long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the page shows: what a person would look at.
const LOOK: &str = "
    const text = (element) => element.textContent;
    const rows = [...document.querySelectorAll('table tr')].map((row) => [...row.children].map(text));
    const bars = [...document.querySelectorAll('#top .class')].map((bar) => ({
        label: text(bar.children[0]), percent: text(bar.children[1]),
        width: bar.querySelector('.fill').getBoundingClientRect().width,
    }));
    const picture = document.getElementById('picture');
    return { label: text(document.getElementById('label')), state: text(document.getElementById('state')), bars,
        rows: Object.fromEntries(rows), width: picture.naturalWidth };";

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads lines until one has `word`, and gives the rest of it. What comes later is read, too, so that nobody waits.
fn after(word: &'static str, output: impl std::io::Read + Send + 'static) -> String {
    let mut lines = BufReader::new(output).lines();
    let found = lines.find_map(|line| line.expect("text").split_once(word).map(|(_, rest)| rest.to_owned()));
    thread::spawn(move || lines.for_each(drop));
    found.unwrap_or_else(|| panic!("it did not say '{word}'"))
}

/// A browser's window. Its profile lies in a folder of its own.
struct Browser {
    session: String,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A browser, or `None` where none is installed.
    fn start() -> Option<Self> {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = Process(driver.spawn().ok()?);
        let port = after("successfully on port ", driver.0.stdout.take().expect("its output"));
        let profile = tempfile::tempdir().expect("a folder");
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &folder,
        ];
        // The picture's stream has no end: nobody may wait for it.
        let capabilities = json!({ "pageLoadStrategy": "none", "goog:chromeOptions": { "args": arguments } });
        let server = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        let session = post(&format!("{server}/session"), &json!({ "capabilities": { "alwaysMatch": capabilities } }));
        let id = session["sessionId"].as_str().expect("a session");
        Some(Self { session: format!("{server}/session/{id}"), _driver: driver, _profile: profile })
    }

    fn open(&self, page: &str) {
        post(&format!("{}/url", self.session), &json!({ "url": page }));
    }

    fn look(&self) -> Value {
        post(&format!("{}/execute/sync", self.session), &json!({ "script": LOOK, "args": [] }))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser.
        let _ = ureq::delete(&self.session).call();
    }
}

fn post(address: &str, body: &Value) -> Value {
    let mut answer = ureq::post(address).send(body.to_string()).unwrap_or_else(|error| panic!("{address}: {error}"));
    let text = answer.body_mut().read_to_string().expect("a text");
    serde_json::from_str::<Value>(&text).expect("an object")["value"].take()
}

/// Label, five bars, frame rate, counts and the picture appear, and the rate and the counts move on.
#[test]
fn a_browser_shows_label_bars_and_rate() {
    let Some(browser) = Browser::start() else {
        println!("skipped: there is no chromedriver; Debian has it in chromium-driver");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(photos().join("cat.jpg"), folder.path().join("cat.jpg")).expect("copied");
    let mut program =
        command(&format!("camera images:{} --serve 127.0.0.1:0 --token 0123456789abcdef", folder.path().display()));
    let mut camera = Process(program.stdout(Stdio::null()).spawn().expect("it starts"));
    let said = after("live page: ", camera.0.stderr.take().expect("its errors"));
    browser.open(&format!("{}?token=0123456789abcdef", address(&said)));

    let start = Instant::now();
    let is_shown = |seen: &Value| {
        seen["rows"]["frames per second"]
            .as_str()
            .and_then(|rate| rate.parse().ok())
            .is_some_and(|rate: f64| rate > 0.0)
            && seen["width"].as_u64() > Some(0)
    };
    let seen = loop {
        let seen = browser.look();
        if is_shown(&seen) {
            break seen;
        }
        assert!(start.elapsed() < PATIENCE, "the page shows only {seen}");
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!((&seen["label"], &seen["state"]), (&json!("cat"), &json!("")), "{seen}");
    let bars = seen["bars"].as_array().expect("bars");
    assert_eq!((bars.len(), &bars[0]["label"]), (5, &json!("cat")), "{seen}");
    assert!(bars[0]["percent"].as_str().is_some_and(|percent| percent.ends_with(" %")), "{seen}");
    let width = |bar: &Value| bar["width"].as_f64().expect("a number");
    assert!(width(&bars[0]) > width(&bars[4]), "{seen}");

    let classified = |seen: &Value| seen["rows"]["classified"].as_str().and_then(|count| count.parse::<u64>().ok());
    let before = classified(&seen).expect("a count");
    while classified(&browser.look()).expect("a count") <= before {
        assert!(start.elapsed() < PATIENCE, "the page stands still at {before} frames");
    }
}

const TOKEN: &str = "0123456789abcdefTOKEN";

/// The page's address, of what the program says about it.
fn address(said: &str) -> &str {
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
