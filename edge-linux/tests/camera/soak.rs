//! Frames at full speed for a long time: memory and descriptors stay, and every frame is accounted for.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc;
use std::thread;

use crate::common::{accounts, start};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
/// Frames until all buffers are there.
const WARM: u64 = 200;

/// Resident memory in KiB, and open descriptors.
fn usage(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
    let memory = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    (memory, fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors").count())
}

/// Feeds so many frames, as fast as they are taken, and measures after some and after the last.
fn soak(frames: u64) {
    let (mut child, mut stdin) =
        start(&format!("pipe:- --width {WIDTH} --height {HEIGHT} --format nv12 --json --top 1"));
    let process = child.id();
    let (measure, measured) = mpsc::channel();
    let feeder = thread::spawn(move || {
        let mut frame = vec![0; WIDTH * HEIGHT * 3 / 2];
        for number in 0..frames {
            frame.fill(number as u8);
            stdin.write_all(&frame).expect("taken");
        }
        // The newest frame is always classified: until it is, the pipe stays open.
        let _ = measured.recv();
    });
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut warm = None;
    let mut last = (0, 0);
    let end = loop {
        let line = lines.next().expect("an end").expect("a line");
        let object: serde_json::Value = serde_json::from_str(&line).expect("an object");
        let Some(frame) = object["frame"].as_u64() else { break object };
        if warm.is_none() && frame >= WARM {
            warm = Some(usage(process));
        }
        if frame + 1 == frames {
            last = usage(process);
            measure.send(()).expect("the pipe is open");
        }
    };
    feeder.join().expect("all was fed");
    assert!(child.wait().expect("it ends").success());
    let (memory, descriptors) = warm.expect("enough frames");
    assert_eq!(end["captured"].as_u64(), Some(frames), "{end}");
    let [classified, skipped, dropped, broken] = accounts(&end);
    assert!(classified > 0 && (skipped, broken) == (0, 0), "{end}");
    println!("{frames} frames, {classified} classified, {dropped} dropped; {memory} KiB, then {} KiB", last.0);
    assert!(last.0 <= memory + 1024, "memory grew from {memory} KiB to {} KiB", last.0);
    assert_eq!(last.1, descriptors, "descriptors");
}

#[test]
fn memory_stays_and_no_frame_is_lost() {
    soak(100_000);
}
