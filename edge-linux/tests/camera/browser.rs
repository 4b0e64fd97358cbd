//! A real browser: Chromium without a window, led by its own WebDriver.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Starting a browser takes long on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads lines until one has `word`, and gives the rest of it. What comes later is read, too, so that nobody waits.
pub(crate) fn after(word: &'static str, output: impl std::io::Read + Send + 'static) -> String {
    let mut lines = BufReader::new(output).lines();
    let found = lines.find_map(|line| line.expect("text").split_once(word).map(|(_, rest)| rest.to_owned()));
    thread::spawn(move || lines.for_each(drop));
    found.unwrap_or_else(|| panic!("it did not say '{word}'"))
}

/// A browser's window. Its profile lies in a folder of its own.
pub(crate) struct Browser {
    session: String,
    _driver: Process,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A browser, or `None` where none is installed, which is told.
    pub(crate) fn start() -> Option<Self> {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Ok(driver) = driver.spawn() else {
            println!("skipped: there is no chromedriver; Debian has it in chromium-driver");
            return None;
        };
        let mut driver = Process(driver);
        let port = after("successfully on port ", driver.0.stdout.take().expect("its output"));
        let profile = tempfile::tempdir().expect("a folder");
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--hide-scrollbars",
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

    /// A command of WebDriver.
    pub(crate) fn command(&self, path: &str, body: &Value) -> Value {
        post(&format!("{}/{path}", self.session), body)
    }

    /// A command of Chromium's own protocol.
    pub(crate) fn protocol(&self, command: &str, parameters: &Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    pub(crate) fn open(&self, page: &str) {
        self.command("url", &json!({ "url": page }));
    }

    /// What a script returns; a promise is waited for.
    pub(crate) fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.command("execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Runs a script until what it returns is as wanted.
    pub(crate) fn until(&self, script: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let seen = self.run(script, &[]);
            if wanted(&seen) {
                return seen;
            }
            assert!(start.elapsed() < PATIENCE, "the page shows only {seen} for {script}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A window of so many pixels, of a system that likes light or dark.
    pub(crate) fn resize(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.protocol("Emulation.setDeviceMetricsOverride", &size);
        let features = [json!({ "name": "prefers-color-scheme", "value": scheme })];
        self.protocol("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Presses and releases a key, as WebDriver names it.
    pub(crate) fn key(&self, key: &str) {
        let press = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.command("actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": press }] }));
    }

    /// Draws with the mouse from one point of the window to another.
    pub(crate) fn drag(&self, from: (i64, i64), to: (i64, i64)) {
        let go = |(x, y): (i64, i64)| json!({ "type": "pointerMove", "duration": 50, "x": x, "y": y });
        let actions = [
            go(from),
            json!({ "type": "pointerDown", "button": 0 }),
            go(to),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        self.command("actions", &json!({ "actions": [{ "type": "pointer", "id": "mouse", "actions": actions }] }));
    }

    /// The element that a CSS selector finds, as WebDriver names it.
    pub(crate) fn find(&self, selector: &str) -> String {
        let found = self.command("element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().and_then(|element| element.values().next()).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("{selector} is not there: {found}")).to_owned()
    }

    pub(crate) fn click(&self, selector: &str) {
        self.command(&format!("element/{}/click", self.find(selector)), &json!({}));
    }

    /// Types into a field, in place of what stands there.
    pub(crate) fn enter(&self, selector: &str, text: &str) {
        let field = self.find(selector);
        self.command(&format!("element/{field}/clear"), &json!({}));
        self.command(&format!("element/{field}/value"), &json!({ "text": text }));
    }

    /// Types, or chooses a file.
    pub(crate) fn send(&self, selector: &str, text: &str) {
        self.command(&format!("element/{}/value", self.find(selector)), &json!({ "text": text }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser.
        let _ = ureq::delete(&self.session).call();
    }
}

fn post(address: &str, body: &Value) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut answer = agent.post(address).send(body.to_string()).unwrap_or_else(|error| panic!("{address}: {error}"));
    let text = answer.body_mut().read_to_string().expect("a text");
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(answer["value"].get("error").is_none(), "{address}: {answer}");
    answer["value"].take()
}
