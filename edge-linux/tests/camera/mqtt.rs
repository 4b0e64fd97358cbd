//! Labels at an MQTT broker, and brokers that are not there.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdout, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::broker::{Broker, PATIENCE, Published};
use crate::common::command;

const ANYWHERE: &str = "127.0.0.1:0";
const RAW: &str = "camera pipe:- --width 32 --height 24 --format grey --json --threshold 0 --average 1";

/// The program with a camera of fifty frames a second.
struct Camera {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Camera {
    fn start(args: &str) -> Self {
        Self::spawn(&mut command(&format!("{RAW} {args}")))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it has a standard input");
        thread::spawn(move || {
            while stdin.write_all(&[120; 32 * 24]).is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let lines = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, lines }
    }

    /// What it says about the next frame.
    fn frame(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("an object")
    }

    /// Reads frames until one fulfils `enough`. The longest time without a frame comes with it.
    fn until(&mut self, what: &str, enough: impl Fn(&Value) -> bool) -> (Value, Duration) {
        let start = Instant::now();
        let mut last = start;
        let mut longest = Duration::ZERO;
        while start.elapsed() < PATIENCE {
            let frame = self.frame();
            longest = longest.max(last.elapsed());
            last = Instant::now();
            if enough(&frame) {
                return (frame, longest);
            }
        }
        panic!("no frame with {what}");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Ends it, and gives its last object.
    fn end(mut self) -> Value {
        self.signal("-TERM");
        let mut last = self.frame();
        while last["classified"].is_null() {
            last = self.frame();
        }
        assert!(self.child.wait().expect("it ends").success());
        last
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn anywhere() -> Broker {
    Broker::start(ANYWHERE.parse().expect("an address"))
}

/// An address where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind(ANYWHERE).and_then(|listener| listener.local_addr()).expect("a free port")
}

fn is(topic: &'static str, payload: &'static str) -> impl Fn(&Published) -> bool {
    move |published| published.topic == topic && published.payload == payload
}

fn count(object: &Value, key: &str) -> u64 {
    object["mqtt"][key].as_u64().expect("a number")
}

#[test]
fn home_assistant_finds_the_label() {
    let broker = anywhere();
    let address = broker.address();
    let mut program = command(&format!("{RAW} --mqtt mqtt://ann:wrong@{address} --mqtt-topic home/door"));
    let mut camera = Camera::spawn(program.env("TINCEPTION_MQTT_PASSWORD", "secret"));
    let described = broker.wait("a sensor", |published| published.topic == "homeassistant/sensor/home-2fdoor/config");
    broker.wait("the availability", is("home/door/availability", "online"));
    let state = broker.wait("a state", |published| published.topic == "home/door/state");
    assert!(described.retained && state.retained);
    let hello = &broker.hellos()[0];
    assert_eq!((hello.user.as_deref(), hello.password.as_deref()), (Some("ann"), Some("secret")));

    let described: Value = serde_json::from_str(&described.payload).expect("an object");
    assert_eq!(described["state_topic"], "home/door/state");
    assert_eq!(described["availability_topic"], "home/door/availability");
    assert_eq!(described["unique_id"], "home-2fdoor_label");
    assert_eq!(described["device"]["identifiers"][0], "home-2fdoor");
    assert_eq!(described["device"]["name"], "home/door");
    // The state is what the program says about the same frame; all frames are one picture.
    let state: Value = serde_json::from_str(&state.payload).expect("an object");
    let (frame, _) = camera.until("the state's label", |_| true);
    assert_eq!((&state["label"], &state["top"]), (&frame["steady"]["label"], &frame["top"]));
    assert_eq!(state["label"], frame["top"][0]["label"]);

    // Many frames of one label, and a state a second.
    let (frame, _) = camera.until("four states", |frame| count(frame, "published") >= 4);
    assert!(frame["frame"].as_u64().expect("a number") > 20, "{frame}");
    assert_eq!((count(&frame, "dropped"), count(&frame, "failures")), (0, 0), "{frame}");

    let end = camera.end();
    broker.wait("the farewell", is("home/door/availability", "offline"));
    let last = broker.published("home/door/availability").pop().expect("it said so");
    assert!(last.1.retained && !last.1.will, "{last:?}");
    assert!(count(&end, "published") >= 4);
}

/// States of one label are a second apart.
#[test]
fn a_label_that_stays_is_published_once_a_second() {
    let broker = anywhere();
    let mut camera = Camera::start(&format!("--mqtt mqtt://{}", broker.address()));
    camera.until("three states", |frame| count(frame, "published") >= 3);
    let states = broker.published("tinception/state");
    // The first may have waited for the connection, those after it for nothing but their turn.
    let apart = states[1].0..states.last().expect("states").0;
    let seconds = (apart.end - apart.start).as_secs_f64();
    assert!(seconds > 0.8 * (states.len() as f64 - 2.0), "{} states in {seconds} s", states.len());
}

#[test]
fn the_broker_tells_of_a_program_that_was_killed() {
    let broker = anywhere();
    let camera = Camera::start(&format!("--mqtt mqtt://{}", broker.address()));
    broker.wait("the availability", is("tinception/availability", "online"));
    camera.signal("-KILL");
    let will = broker.wait("the last will", is("tinception/availability", "offline"));
    assert!(will.will && will.retained);
}

/// Not there at the start, there, gone, and there again: frames come all the time, and what is published at last is how
/// things are then.
#[test]
fn a_broker_that_comes_and_goes_stops_no_frame() {
    let address = nowhere();
    let mut camera = Camera::start(&format!("--mqtt mqtt://{address}"));
    let (frame, first) = camera.until("two failures", |frame| count(frame, "failures") >= 2);
    assert_eq!(count(&frame, "published"), 0);

    let broker = Broker::start(address);
    let (frame, second) = camera.until("a state published", |frame| count(frame, "published") >= 1);
    let failures = count(&frame, "failures");
    broker.wait("a state", |published| published.topic == "tinception/state");
    broker.stop();

    let (frame, third) = camera.until("three more failures", |frame| count(frame, "failures") >= failures + 3);
    let gone = frame["frame"].as_u64().expect("a number");
    let broker = Broker::start(address);
    broker.wait("the availability", is("tinception/availability", "online"));
    let sensor = broker.wait("a sensor", |published| published.topic.starts_with("homeassistant/sensor/"));
    assert!(sensor.retained);
    let state = broker.wait("a state", |published| published.topic == "tinception/state");
    let state: Value = serde_json::from_str(&state.payload).expect("an object");
    // Not one of those that could not be published: the newest.
    assert!(state["frame"].as_u64().expect("a number") + 60 > gone, "{state} after {gone}");
    let (frame, fourth) = camera.until("another connection", |frame| count(frame, "connections") >= 2);
    assert!(count(&frame, "dropped") >= 1, "{frame}");
    // An attempt to connect may take five seconds; the camera gives fifty frames in one.
    let longest = [first, second, third, fourth].into_iter().max().expect("four");
    assert!(longest < Duration::from_secs(3), "{longest:?} without a frame");
    camera.end();
}

/// A broker that takes the connection and says nothing.
#[test]
fn a_broker_that_is_silent_stops_no_frame() {
    let listener = TcpListener::bind(ANYWHERE).expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut camera = Camera::start(&format!("--mqtt mqtt://{address}"));
    let (frame, longest) = camera.until("a failure", |frame| count(frame, "failures") >= 1);
    assert!(frame["frame"].as_u64().expect("a number") > 50, "{frame}");
    assert!(longest < Duration::from_secs(3), "{longest:?} without a frame");
    camera.end();
    drop(listener);
}

/// Topics that one name was made of before.
#[test]
fn each_topic_is_a_sensor() {
    let broker = anywhere();
    let mut sensors = std::collections::BTreeSet::new();
    for (topic, name) in
        [("cam.1", "cam-2e1"), ("cam_1", "cam_1"), ("cam/1", "cam-2f1"), ("cam//1", "cam-2f-2f1"), ("Cam_1", "Cam_1")]
    {
        let mut camera = Camera::start(&format!("--mqtt mqtt://{} --mqtt-topic {topic}", broker.address()));
        let config = format!("homeassistant/sensor/{name}/config");
        let sensor = broker.wait(topic, |published| published.topic == config);
        let sensor: Value = serde_json::from_str(&sensor.payload).expect("an object");
        assert_eq!(sensor["device"]["name"], topic);
        assert_eq!(sensor["state_topic"], format!("{topic}/state"));
        assert!(sensors.insert(sensor["unique_id"].to_string()), "{sensor}");
        camera.until("a frame", |_| true);
        camera.end();
    }
}

/// A run that is over before its first connection stands says what it saw.
#[test]
fn a_short_run_is_told() {
    let broker = anywhere();
    let address = broker.address();
    let photos = crate::common::photos();
    let output = command(&format!("camera images:{} --frames 1 --mqtt mqtt://{address}", photos.display())).output();
    assert!(output.expect("it runs").status.success());
    broker.wait("a sensor", |published| published.topic == "homeassistant/sensor/tinception/config");
    broker.wait("a state", |published| published.topic == "tinception/state");
    broker.wait("the farewell", is("tinception/availability", "offline"));
}

/// The longest labels that a file may have, and a broker that closes the connection for each state.
#[test]
fn a_broker_that_refuses_states_has_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = folder.path().join("labels.txt");
    let label = "x".repeat(255);
    std::fs::write(&labels, format!("{label}\n").repeat(10)).expect("written");
    let broker = anywhere();
    let mut camera = Camera::start(&format!("--labels {} --mqtt mqtt://{}", labels.display(), broker.address()));
    let (frame, _) = camera.until("two states", |frame| count(frame, "published") >= 2);
    assert_eq!((count(&frame, "connections"), count(&frame, "failures")), (1, 0));
    let state = broker.wait("a state", |published| published.topic == "tinception/state");
    assert!(state.payload.len() < 16 << 10, "{} bytes", state.payload.len());
    camera.end();

    let broker = anywhere();
    broker.refuse_states();
    let mut camera = Camera::start(&format!("--mqtt mqtt://{}", broker.address()));
    let (frame, _) = camera.until("three failures", |frame| count(frame, "failures") >= 3);
    assert_eq!(count(&frame, "published"), 0, "{frame}");
    camera.end();
}

#[test]
fn bad_addresses_are_refused_in_one_line() {
    for (args, words) in [
        ("--mqtt broker", "give mqtt://"),
        ("--mqtt mqtt://b --mqtt-topic a/#", "a topic has no +"),
        ("--mqtt mqtt://b --mqtt-password secret", "no user"),
        ("--mqtt mqtt://ann:secret@b:0", "no port"),
        ("--mqtt mqtt://ann:secret", "no port"),
        ("--mqtt=mqtts://ann:secret@b", "no encryption"),
        ("--mqtt ann:secret@b", "give mqtt://"),
    ] {
        let output = command(&format!("{RAW} {args}")).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args}: {error}");
        assert!(
            error.contains(words) && error.starts_with("tinception: error: ") || args.contains("topic"),
            "{args}: {error}"
        );
        assert!(!error.contains("secret"), "{args}: {error}");
    }
}
