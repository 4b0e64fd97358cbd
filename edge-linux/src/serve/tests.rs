//! The server as its clients meet it, over real connections.

mod access;
mod limits;
mod settings;
mod uploads;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tinception_core::model::Checksum;
use tinception_models::artefacts;

use super::feed::{Look, Update};
use super::*;
use crate::camera::pipeline::Counts;
use crate::camera::tuning::{Tuned, Tuning};
use crate::camera::{MqttCounts, Stages, Steadiness};
use crate::engine::CoreNetwork;
use crate::ranking::Class;

const TOKEN: &str = "a token of some length";

struct Served {
    address: SocketAddr,
    feed: Arc<Feed>,
    tuned: Arc<Tuned>,
}

fn serve(token: Option<&str>) -> Served {
    serve_as(token, &[])
}

/// With further names of the machine.
fn serve_as(token: Option<&str>, names: &[&str]) -> Served {
    serve_with(token, names, None)
}

/// With a file of options, too.
fn serve_with(token: Option<&str>, names: &[&str], config: Option<PathBuf>) -> Served {
    let desk = Desk::start(None, || Ok(Box::new(CoreNetwork::open(Path::new("nano"), Checksum::Verify, 1)?))).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let feed = Arc::new(Feed::new());
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    let access = Access::new(any, token.map(str::to_owned), names).unwrap();
    let steadiness = Steadiness { frames: 5, threshold: None, hysteresis: 0.1 };
    let tuned = Arc::new(Tuned::new(Tuning { steadiness, region: None }));
    let panel = Panel::new(tuned.clone(), config);
    Served { address: start(any, access, feed.clone(), desk, panel).unwrap(), feed, tuned }
}

fn update(label: &str) -> Update {
    let class = |class, label: &str, probability| Class {
        class,
        label: label.into(),
        id: None,
        probability,
        logit: None,
        independent: false,
    };
    let top = vec![class(0, label, 0.75), class(1, "b<i>", 0.25)];
    let stages = Stages { decode_ms: 1.0, resize_ms: 0.5, network_ms: 3.0 };
    let counts = Counts { captured: 9, dropped: 2, ..Counts::default() };
    let id = Some(format!("id of {label}"));
    Update { top, label: Some(label.into()), id, latency_ms: 5.0, stages, classified: 7, counts, ..Update::default() }
}

impl Served {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Status and body of a request on a connection of its own.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = self.connect();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may answer, and close, before it has read everything.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{method} {path}: {error}"),
            _ => {}
        }
        let split = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), answer[split + 4..].to_vec())
    }

    /// All that comes on a connection after these bytes, until it is closed.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, body) = self.ask("GET", path, "", b"");
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

#[test]
fn everything_the_page_needs_is_there() {
    let served = serve(None);
    let (status, page) = served.get("/");
    assert_eq!(status, 200);
    assert!(!page.contains("https://"), "{page}");
    // Wherever a proxy puts the page, what it needs is below it.
    for path in ["stream.mjpg", "events", "history", "api/classify", "api/settings"] {
        assert!(page.contains(&format!("(\"{path}\"")), "{path}: {page}");
        assert!(!page.contains(&format!("/{path}")), "{path}: {page}");
    }
    assert_eq!(served.get("/healthz").0, 503);
    for label in ["cat", "dog", "dog"] {
        served.feed.publish(update(label));
    }
    assert_eq!(served.get("/healthz").0, 200);
    let history: serde_json::Value = serde_json::from_str(&served.get("/history").1).unwrap();
    let labels: Vec<_> = history.as_array().unwrap().iter().map(|change| change["label"].clone()).collect();
    assert_eq!(labels, ["cat", "dog"]);
    assert_eq!(history[1]["id"], "id of dog");
    let saturation = || {
        let metrics = served.get("/metrics").1;
        let line = metrics.lines().find_map(|line| line.strip_prefix("tinception_activation_saturation "));
        line.map(str::to_owned)
    };
    assert_eq!(saturation().as_deref(), Some("NaN"));
    let mqtt = MqttCounts { published: 5, dropped: 1, connections: 1, failures: 4 };
    served.feed.publish(Update { saturation: Some(0.125), mqtt: Some(mqtt), ..update("dog") });
    // The next frames are not looked at so closely: what was found last stays.
    served.feed.publish(Update { mqtt: Some(mqtt), ..update("dog") });
    assert_eq!(saturation().as_deref(), Some("0.125"));
    let metrics = served.get("/metrics").1;
    for line in [
        "tinception_capture_to_label_seconds_count 5",
        "tinception_capture_to_label_seconds_sum 0.025",
        "tinception_frames_captured_total 9",
        "tinception_frames_classified_total 7",
        "tinception_frames_dropped_total 2",
        "tinception_top1_margin 0.5",
        "tinception_mqtt_states_published_total 5",
        "tinception_mqtt_states_dropped_total 1",
        "tinception_mqtt_failures_total 4",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    assert_eq!(served.get("/nothing").0, 404);
}

#[test]
fn events_come_as_they_happen() {
    let served = serve(None);
    served.feed.publish(update("cat"));
    let mut stream = served.connect();
    write!(stream, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut until = |word: &str| {
        while !text.contains(word) {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "closed before {word}: {text}");
            text += &String::from_utf8_lossy(&part[..length]);
        }
    };
    until("\"label\":\"cat\"");
    served.feed.publish(update("dog"));
    until("\"label\":\"dog\"");
    until("\"id\":\"id of dog\"");
}

#[test]
fn pictures_are_encoded_only_for_those_who_look() {
    let served = serve(None);
    assert!(!served.feed.wants_picture(Look::Bare));
    let feed = served.feed.clone();
    let camera = std::thread::spawn(move || {
        let start = Instant::now();
        while !feed.wants_picture(Look::Bare) {
            assert!(start.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(1));
        }
        feed.publish_picture(Look::Bare, b"a picture");
    });
    let (status, picture) = served.get("/snapshot.jpg");
    assert_eq!((status, picture.as_str()), (200, "a picture"));
    camera.join().unwrap();
    assert!(!served.feed.wants_picture(Look::Bare));
    // No frames: no picture, and no old one.
    assert_eq!(served.get("/snapshot.jpg").0, 503);
    assert_eq!(served.get("/snapshot.jpg?drawn=maybe").0, 400);
}
