//! What happens when the label changes: a command runs.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::child::without_secrets;
use crate::output::notice;

/// How long a command may go on when the program is to end.
const GRACE: Duration = Duration::from_millis(300);
/// How often a wait for a command looks up.
const GLANCE: Duration = Duration::from_millis(10);
/// Longest label that a command is told, in bytes. The system has a limit for all of the environment.
const LONGEST_LABEL: usize = 4096;

/// A change of the label.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The frame that brought it.
    pub(crate) frame: u64,
    /// The new label's name.
    pub(crate) label: String,
    /// Its id, if the network states one.
    pub(crate) id: Option<String>,
    /// The name of the one before.
    pub(crate) previous: String,
    /// The new label's averaged probability.
    pub(crate) probability: f64,
}

/// A command that runs on changes, one at a time. Changes while it runs wait; only the newest of them counts.
#[derive(Debug)]
pub(crate) struct Hook {
    command: String,
    /// What runs longer is killed.
    limit: Duration,
    running: Option<(Child, Instant)>,
    waiting: Option<Change>,
    /// Commands that were killed.
    killed: u64,
}

impl Hook {
    /// A hook that has the shell run `command`, for `limit` at most.
    pub(crate) const fn new(command: String, limit: Duration) -> Self {
        Self { command, limit, running: None, waiting: None, killed: 0 }
    }

    /// Runs the command for `change`, at once or when the one that runs has ended.
    pub(crate) fn change(&mut self, change: Change) {
        self.waiting = Some(change);
        self.poll();
    }

    /// Starts what waits, if nothing runs. Kills what has run for too long.
    pub(crate) fn poll(&mut self) {
        if let Some((child, since)) = &mut self.running {
            match child.try_wait() {
                Ok(None) if since.elapsed() < self.limit => return,
                Ok(None) => self.kill(),
                Ok(Some(status)) if !status.success() => notice(format_args!("--on-change: {status}")),
                Ok(Some(_)) => {}
                Err(error) => notice(format_args!("--on-change: {error}")),
            }
            self.running = None;
        }
        let Some(change) = self.waiting.take() else { return };
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command);
        without_secrets(&mut command);
        command.env("TINCEPTION_LABEL", variable(&change.label)).env("TINCEPTION_PREVIOUS", variable(&change.previous));
        command.env("TINCEPTION_ID", change.id.as_deref().map(variable).unwrap_or_default());
        command.env("TINCEPTION_PROBABILITY", format!("{:.4}", change.probability));
        command.env("TINCEPTION_FRAME", change.frame.to_string());
        // A group of its own, so that what it starts can be killed with it.
        command.process_group(0);
        // Its output would come between the program's own.
        match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
            Ok(child) => self.running = Some((child, Instant::now())),
            Err(error) => notice(format_args!("--on-change: the command cannot be started: {error}")),
        }
    }

    /// Waits for the command that runs, then runs what waits. Once `stop` is set, neither lasts longer than a moment.
    pub(crate) fn finish(&mut self, stop: &AtomicBool) {
        let mut stopped = None;
        loop {
            if stop.load(Ordering::Acquire) {
                self.waiting = None;
                if stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
                    self.kill();
                    self.running = None;
                }
            }
            self.poll();
            if self.running.is_none() {
                return;
            }
            thread::sleep(GLANCE);
        }
    }

    /// Kills what runs, and what that started.
    fn kill(&mut self) {
        let Some((child, since)) = &mut self.running else { return };
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        let _ = child.wait();
        self.killed += 1;
        if self.killed.is_power_of_two() {
            let seconds = since.elapsed().as_secs_f64();
            notice(format_args!("--on-change: the command was killed after {seconds:.1} s ({} so far)", self.killed));
        }
    }
}

/// A label as an environment can hold it: neither zero bytes nor endless.
fn variable(label: &str) -> String {
    let clean = label.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut length = 0;
    clean
        .take_while(|letter| {
            length += letter.len_utf8();
            length <= LONGEST_LABEL
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const LATE: Duration = Duration::from_secs(60);

    fn change(frame: u64, label: &str) -> Change {
        let id = Some(format!("id{frame}"));
        Change { frame, label: label.into(), id, previous: "unknown".into(), probability: 0.5 }
    }

    fn hook(command: &str, path: &Path, limit: Duration) -> Hook {
        Hook::new(command.replace("LOG", &path.display().to_string()), limit)
    }

    fn log(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn the_command_learns_what_changed_and_only_the_newest_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let line = "$TINCEPTION_FRAME $TINCEPTION_PREVIOUS $TINCEPTION_LABEL $TINCEPTION_ID $TINCEPTION_PROBABILITY";
        let mut hook = hook(&format!("sleep 0.2; echo {line} >> LOG"), &path, LATE);
        for (frame, label) in [(1, "a"), (2, "b"), (3, "$(c); d")] {
            hook.change(change(frame, label));
        }
        hook.finish(&AtomicBool::new(false));
        assert_eq!(log(&path), "1 unknown a id1 0.5000\n3 unknown $(c); d id3 0.5000\n");
    }

    /// What hangs is killed with all that it started, and the next change is heard.
    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let limit = Duration::from_millis(300);
        // The child outlives a shell that is killed alone.
        let command =
            "(sleep 1; echo late >> LOG) & echo $TINCEPTION_FRAME >> LOG; test $TINCEPTION_FRAME = 2 || sleep 30";
        let mut hook = hook(command, &path, limit);
        let start = Instant::now();
        hook.change(change(1, "a"));
        hook.change(change(2, "b"));
        while hook.running.as_ref().is_some_and(|_| log(&path).lines().count() < 2) {
            hook.poll();
            thread::sleep(GLANCE);
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        assert_eq!(hook.killed, 1);
        thread::sleep(Duration::from_millis(1500));
        // The second command ended by itself: what it left behind goes on.
        assert_eq!(log(&path), "1\n2\nlate\n");
    }

    #[test]
    fn a_signal_waits_for_no_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut hook = hook("echo $TINCEPTION_FRAME >> LOG; trap '' TERM; sleep 30", &path, LATE);
        hook.change(change(1, "a"));
        hook.change(change(2, "b"));
        thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        hook.finish(&AtomicBool::new(true));
        assert!(start.elapsed() < Duration::from_secs(1));
        assert_eq!(log(&path), "1\n");
    }

    #[test]
    fn labels_of_every_kind_reach_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut hook = hook("printf '%s\n' \"$TINCEPTION_LABEL\" | head -c 60 >> LOG; echo >> LOG", &path, LATE);
        for label in ["a\0b", "a\nb\x1b[31mc", &"\u{10348}".repeat(1 << 20), ""] {
            hook.change(change(1, label));
            hook.finish(&AtomicBool::new(false));
        }
        let long = "\u{10348}".repeat(15);
        assert_eq!(log(&path), format!("a b\n\na b [31mc\n\n{long}\n\n\n"));
        assert_eq!(variable(&"\u{10348}".repeat(1 << 20)).len(), LONGEST_LABEL);
    }
}
