//! The live page in a real browser: Chromium without a window, led by its own WebDriver.

use std::io::{BufRead, BufReader};
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
    let page = after("live page: ", camera.0.stderr.take().expect("its errors"));
    browser.open(&page);

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
