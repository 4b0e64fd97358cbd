//! A disk that is full: snapshots are lost, frames are not.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::{accounts, objects, photos};

/// Runs the camera in a shell that first makes the disk small: `setup`. The label of its frames changes each time: three
/// photos come round. What snapshots there are then is told at the end.
fn run(shell: &[&str], setup: &str, snapshots: &Path) -> Output {
    let script = format!(
        "{setup} && \"$0\" camera \"images:$2\" --snapshots \"$1\" --json --frames 12 --average 1 --threshold 0 \
         --hysteresis 0 --threads 1; code=$?; ls -A \"$1\" | sed 's/^/kept: /' >&2; exit $code"
    );
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", &script, env!("CARGO_BIN_EXE_tinception")]).args([snapshots, &photos()]);
    command.stdin(Stdio::null()).output().expect("it runs")
}

/// All frames were classified, and the lost pictures were told the first time, the second, the fourth ... Gives how often
/// the label changed, and the pictures that were kept.
fn assert_frames_went_on(output: &Output, words: &str) -> (usize, Vec<String>) {
    let (frames, end) = objects(output);
    let [classified, _, _, broken] = accounts(&end);
    assert_eq!((frames.len(), classified, broken), (12, 12, 0));
    let error = String::from_utf8_lossy(&output.stderr);
    let told: Vec<&str> = error.lines().filter(|line| line.contains("--snapshots:")).collect();
    assert!(!told.is_empty() && told.iter().all(|line| line.contains(words)), "{error}");
    for (line, lost) in told.iter().zip([1, 2, 4, 8]) {
        assert!(line.contains(&format!("{lost} lost so far")), "{error}");
    }
    let changes = frames.iter().filter(|frame| frame["steady"]["changed"] == true).count();
    (changes, error.lines().filter_map(|line| line.strip_prefix("kept: ")).map(str::to_owned).collect())
}

/// The limit on the size of files breaks a write in its midst, as a full disk does, whoever runs the test.
#[test]
fn a_write_that_breaks_off_loses_a_snapshot_and_no_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = run(&["sh"], "trap '' XFSZ && ulimit -f 1", folder.path());
    let (changes, kept) = assert_frames_went_on(&output, "File too large");
    assert!(changes >= 8, "{changes} changes");
    assert_eq!(kept, [""; 0], "half files");
}

/// A disk of its own, full after some pictures; needs the right to mount one.
#[test]
fn a_full_disk_loses_snapshots_and_no_frame() {
    let folder = tempfile::tempdir().expect("a folder");
    let shell = ["unshare", "--user", "--map-root-user", "--mount", "sh"];
    let tried =
        Command::new(shell[0]).args(&shell[1..]).args(["-c", "mount -t tmpfs none \"$0\""]).arg(folder.path()).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        println!("skipped: nobody may mount a disk here");
        return;
    }
    let output = run(&shell, "mount -t tmpfs -o size=512k none \"$1\"", folder.path());
    let (changes, kept) = assert_frames_went_on(&output, "No space left on device");
    assert!((1..changes).contains(&kept.len()), "{kept:?} of {changes}");
    assert!(kept.iter().all(|name| name.ends_with(".png")), "half files: {kept:?}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0, "the disk was not the folder");
}
