//! The program with a pipe into it, and what it says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use serde_json::Value;

/// The photos on board.
pub(crate) fn photos() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/artefacts/photos")
}

/// `tinception` with these arguments, which are split at spaces. Where they name no model, the smaller one on board looks at
/// the pictures: most tests are about frames, and it takes a hundredth of the other's time.
pub(crate) fn command(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinception"));
    command.args(args.split(' ')).args(["--threads", "1"]);
    if !args.split(' ').any(|arg| arg == "--model") {
        command.args(["--model", "nano"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `tinception camera` on standard input, and the hand that feeds it.
pub(crate) fn start(args: &str) -> (Child, ChildStdin) {
    let mut child = command(&format!("camera {args}")).spawn().expect("the program starts");
    let stdin = child.stdin.take().expect("it has a standard input");
    (child, stdin)
}

/// Feeds `bytes` to `tinception camera` and waits for its end.
pub(crate) fn feed(args: &str, bytes: &[u8]) -> Output {
    let (child, mut stdin) = start(args);
    // It may have seen enough before the end.
    let _ = stdin.write_all(bytes);
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// The objects that a run with `--json` printed: frames, and the end.
pub(crate) fn objects(output: &Output) -> (Vec<Value>, Value) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let end = objects.pop().unwrap_or_else(|| panic!("it printed nothing: {error}"));
    (objects, end)
}

/// What became of the frames: classified, skipped, dropped, broken. With an assertion that none is lost.
pub(crate) fn accounts(end: &Value) -> [u64; 4] {
    let accounts = ["classified", "skipped", "dropped", "broken"].map(|key| end[key].as_u64().expect("a number"));
    assert_eq!(end["captured"].as_u64(), Some(accounts.iter().sum()), "{end}");
    accounts
}
