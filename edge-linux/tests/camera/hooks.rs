//! `--on-change` and `--snapshots`, over the whole program.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{command, objects, photos};

/// The label changes with each frame: three photos come round.
const RESTLESS: &str = "--model nano --average 1 --threshold 0 --hysteresis 0 --json";

fn restless(args: &str) -> Command {
    let mut program = command(&format!("camera images:{} {RESTLESS} {args}", photos().display()));
    program.env("TINCEPTION_TOKEN", "a-token-that-is-long").env("TINCEPTION_MQTT_PASSWORD", "a-password");
    program
}

fn changes(output: &Output) -> usize {
    objects(output).0.iter().filter(|frame| frame["steady"]["changed"] == true).count()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("a file").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn a_hook_sees_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let hook = format!("env >> '{}'", log.display());
    let output = restless("--frames 3").args(["--on-change", &hook]).output().expect("it runs");
    assert!(changes(&output) > 0);
    let seen = fs::read_to_string(log).expect("the hook ran");
    assert!(seen.contains("TINCEPTION_LABEL=") && seen.contains("TINCEPTION_FRAME="), "{seen}");
    assert!(!seen.contains("TINCEPTION_TOKEN") && !seen.contains("TINCEPTION_MQTT_PASSWORD"), "{seen}");
    assert!(!seen.contains("a-token") && !seen.contains("a-password"), "{seen}");
}

#[test]
fn a_hook_that_hangs_is_killed_and_the_camera_goes_on() {
    let start = Instant::now();
    let mut program = restless("--frames 40 --rate 10 --on-change-limit 1");
    let output = program.args(["--on-change", "sleep 987654 & sleep 987653"]).output().expect("it runs");
    assert!(changes(&output) > 1);
    assert!(start.elapsed() < Duration::from_secs(30));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("--on-change: the command was killed after 1.") && error.contains(" s (1 so far)"),
        "{error}"
    );
    // Neither the shell nor what it started is left.
    let left = Command::new("pgrep").args(["-f", "^sleep 98765[34]"]).output();
    assert!(left.is_ok_and(|left| left.stdout.is_empty()), "processes are left");
}

#[test]
fn snapshots_survive_a_restart_and_the_newest_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshots");
    let run =
        |args: &str| changes(&restless(&format!("--snapshots {} {args}", path.display())).output().expect("it runs"));
    let first = run("--frames 6");
    assert_eq!(names(&path).len(), first);
    let before = names(&path);
    let second = run("--frames 6");
    let all = names(&path);
    assert_eq!(all.len(), first + second);
    assert!(before.iter().all(|name| all.contains(name)));
    // What others put there stays.
    fs::write(path.join("holiday.png"), "").expect("written");
    let third = run("--frames 6 --snapshots-keep 4");
    let kept = names(&path);
    assert_eq!((kept.len(), kept.last().map(String::as_str)), (5, Some("holiday.png")));
    assert_eq!(third >= 4, kept[..4].iter().all(|name| !all.contains(name)), "{kept:?}");
}

/// Runs that are killed while they write, and one that cleans up after them.
#[test]
fn what_killed_runs_leave_is_cleared_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let args = format!("--snapshots {}", folder.path().display());
    for pause in [300, 350, 400] {
        let mut child = restless(&args).stdout(std::process::Stdio::null()).spawn().expect("it starts");
        thread::sleep(Duration::from_millis(pause));
        child.kill().expect("killed");
        child.wait().expect("it ends");
    }
    // As an older version leaves it.
    fs::write(folder.path().join(".tinception-aB3dE6"), "half").expect("written");
    assert!(restless(&format!("{args} --frames 1")).output().expect("it runs").status.success());
    let left: Vec<_> = names(folder.path()).into_iter().filter(|name| name.starts_with('.')).collect();
    assert_eq!(left, [""; 0]);
    for name in names(folder.path()) {
        assert!(image::open(folder.path().join(&name)).is_ok(), "{name} is no whole picture");
    }
}
