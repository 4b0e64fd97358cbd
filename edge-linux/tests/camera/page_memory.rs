//! The live page over a long time: its memory stays as it is.
//!
//! The page's clock goes 60 times as fast, so that its charts and its ribbon pass through a minute each second, and a camera
//! without a rate gives frames as fast as it goes.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::page_look::{camera, is_ready};

/// Counts what the page is told, what it shows and what it says, before the page's own program begins.
const COUNTERS: &str = "
    const real = Date.now.bind(Date), start = real();
    Date.now = () => start + 60 * (real() - start);
    window.counted = { events: 0, labels: 0, said: 0 };
    window.EventSource = class extends EventSource {
        constructor(address) { super(address); this.addEventListener('message', () => { counted.events++; }); }
    };
    document.addEventListener('DOMContentLoaded', () => {
        const count = (id, name) => new MutationObserver(() => { counted[name]++; })
            .observe(document.getElementById(id), { childList: true, characterData: true, subtree: true });
        count('label', 'labels');
        count('said', 'said');
    });";

/// What Chromium says of the page's memory once it has collected what nobody needs.
#[derive(Debug)]
struct Memory {
    heap: f64,
    nodes: f64,
    listeners: f64,
}

impl Memory {
    fn of(browser: &Browser) -> Self {
        for _ in 0..2 {
            browser.protocol("HeapProfiler.collectGarbage", &json!({}));
        }
        let answer = browser.protocol("Performance.getMetrics", &json!({}));
        let metric = |name: &str| {
            let metrics = answer["metrics"].as_array().expect("metrics");
            let metric = metrics.iter().find(|metric| metric["name"] == name);
            metric.and_then(|metric| metric["value"].as_f64()).unwrap_or_else(|| panic!("{name} is missing: {answer}"))
        };
        Self { heap: metric("JSHeapUsedSize"), nodes: metric("Nodes"), listeners: metric("JSEventListeners") }
    }
}

/// Lets so many frames and changes of the label pass, and compares the memory before and after them.
fn stays_flat(frames: u64, labels: u64, patience: Duration) {
    let Some(browser) = Browser::start() else { return };
    let (camera, _folder) = camera(&["cat.jpg", "coffee.jpg"], "--model nano --average 1 --threshold 0 --hysteresis 0");
    browser.protocol("Performance.enable", &json!({}));
    browser.protocol("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": COUNTERS }));
    browser.open(&camera.page);
    is_ready(&browser);
    let counted = || browser.run("return counted;", &[]);
    let count = |counted: &Value, name: &str| counted[name].as_u64().expect("a count");
    // The charts and the ribbon fill once, and what the browser compiles and keeps is there.
    thread::sleep(Duration::from_secs(8));
    let (before, start, at_start) = (Memory::of(&browser), Instant::now(), counted());
    let passed = |name| count(&counted(), name) - count(&at_start, name);
    while passed("events") < frames || passed("labels") < labels {
        assert!(start.elapsed() < patience, "only {}: {}", counted(), start.elapsed().as_secs());
        thread::sleep(Duration::from_millis(500));
    }
    let (after, seconds) = (Memory::of(&browser), start.elapsed().as_secs_f64());
    println!(
        "{} frames and {} changes of the label in {seconds:.0} s: {before:?}, then {after:?}",
        passed("events"),
        passed("labels")
    );
    assert!(after.heap - before.heap < 300e3, "{before:?}, then {after:?}");
    assert!(after.nodes - before.nodes < 300.0, "{before:?}, then {after:?}");
    assert!((after.listeners - before.listeners).abs() < 1.0, "{before:?}, then {after:?}");
    // Screen readers are told a change in five seconds.
    let said = passed("said");
    assert!(said >= 1 && said as f64 <= seconds / 5.0 + 1.0, "{said} announcements in {seconds:.0} s");
}

/// Some minutes of a camera of ten frames a second.
#[test]
fn memory_stays_flat() {
    stays_flat(3_000, 200, Duration::from_secs(90));
}

/// An hour of a camera of ten frames a second, and a thousand changes of the label.
#[test]
#[ignore = "takes minutes"]
fn memory_stays_flat_for_an_hour_of_frames() {
    stays_flat(36_000, 1_000, Duration::from_secs(900));
}
