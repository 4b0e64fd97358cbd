//! ffmpeg, a program of its own that decodes what this one doesn't: its output is read as YUV4MPEG2.
//!
//! ```text
//! ffmpeg -> standard output -> Y4m -> mailbox -> Source
//!        -> standard error  -> what the colours are, and what went wrong
//! ```
//!
//! YUV4MPEG2 has no word for the matrix, so it is read from ffmpeg's description of its output. Threads of their own read
//! both, so that a camera that hangs can be given up in time; ffmpeg ends with the value.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::y4m::Y4m;
use super::{Read, Source, Wanted};
use crate::camera::child::without_secrets;
use crate::camera::colour::{ColourTags, Matrix, Range};
use crate::camera::frame::Frame;
use crate::camera::mailbox::{Mailbox, Taken};

/// The program that decodes videos and streams.
pub(super) const PROGRAM: &str = "ffmpeg";
/// What it has to do: 4:2:0 with the limited range, whatever the video has.
const OUTPUT: [&str; 9] = ["-an", "-sn", "-vf", "scale=out_range=tv", "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"];
/// How often a wait makes way for a look whether it should end.
const GLANCE: Duration = Duration::from_millis(100);
/// How long the description of the output may come after the output's first line. Both are written at once.
const DESCRIPTION: Duration = Duration::from_secs(1);
/// Longest line of ffmpeg's words that is looked at.
const LONGEST_LINE: u64 = 4096;

/// A video that ffmpeg decodes.
pub(super) struct Ffmpeg {
    child: Child,
    shared: Arc<Shared>,
    tags: ColourTags,
    stop: Arc<AtomicBool>,
    /// How long no frame may come; `None` for a file.
    silence: Option<Duration>,
}

/// What is asked of ffmpeg.
pub(super) struct Task<'a> {
    /// Options that stand in front of the input, and the input.
    pub(super) input: Vec<&'a std::ffi::OsStr>,
    /// Options for the output.
    pub(super) output: &'a [&'a str],
    /// What it reads from its standard input.
    pub(super) told: Option<String>,
    /// How long no frame may come.
    pub(super) silence: Option<Duration>,
}

#[derive(Default)]
struct Shared {
    frames: Mailbox<Frame>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The output's first line was read, or could not be.
    opened: Option<Result<()>>,
    /// The output ended, or was no video any more.
    end: Option<Result<()>>,
    /// Whether the output's first line was there.
    begun: bool,
    /// The first error that ffmpeg told before its output began, which is the closest to the cause; later the last one.
    complaint: String,
    /// What it says of its input and its output.
    input: ColourTags,
    output: Option<ColourTags>,
    /// Nothing more is said.
    silent: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Ffmpeg {
    /// Starts `program` and waits until it has something to show.
    ///
    /// # Errors
    /// It isn't installed, cannot decode the input, says nothing in time, or is to be stopped. The errors don't name the input.
    pub(super) fn start(program: &Path, task: Task<'_>, wanted: &Wanted) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info"]).args(task.input);
        command.args(task.output).args(OUTPUT);
        let stdin = if task.told.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = without_secrets(&mut command).spawn();
        let mut child = started.map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "ffmpeg, which decodes videos, is not installed; install it, or give a y4m: file or pipe ({error})"
            ),
            _ => anyhow!("ffmpeg, which decodes videos, does not start ({error})"),
        })?;
        if let (Some(told), Some(mut stdin)) = (task.told, child.stdin.take()) {
            // Where ffmpeg ended meanwhile, it says why.
            let _ = stdin.write_all(told.as_bytes());
        }
        let shared = Arc::new(Shared::default());
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            bail!("ffmpeg has no output");
        };
        let mut ffmpeg = Self {
            child,
            shared: Arc::clone(&shared),
            tags: ColourTags::default(),
            stop: Arc::clone(&wanted.stop),
            silence: task.silence,
        };
        let listening = Arc::clone(&shared);
        thread::Builder::new().name("ffmpeg-log".into()).spawn(move || listen(stderr, &listening))?;
        thread::Builder::new().name("ffmpeg".into()).spawn(move || read(stdout, &shared))?;
        ffmpeg.wait_for_opening()?;
        ffmpeg.tags = wanted.colours.or(ffmpeg.described());
        Ok(ffmpeg)
    }

    fn wait_for_opening(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut state = self.shared.lock();
        loop {
            match state.opened.take() {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => {
                    drop(state);
                    bail!("ffmpeg cannot decode it: {}", self.complaint(&error));
                }
                None if self.stop.load(Ordering::Acquire) => bail!("stopped"),
                None if self.silence.is_some_and(|silence| start.elapsed() > silence) => {
                    bail!("no picture for {} s", self.silence.unwrap_or_default().as_secs_f64());
                }
                None => {}
            }
            state = self.shared.changed.wait_timeout(state, GLANCE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What ffmpeg says of the colours. It is said about when the output begins; who says nothing has an output all the same.
    fn described(&self) -> ColourTags {
        let state = self.shared.lock();
        // A short video may have ended before its description was read.
        let wait = |state: &mut State| state.output.is_none() && !state.silent;
        let waited = self.shared.changed.wait_timeout_while(state, DESCRIPTION, wait);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let matrix = state.output.unwrap_or_default().or(state.input).matrix;
        ColourTags { matrix, range: Some(Range::Limited) }
    }

    /// Why it failed, in a line: its last error, or `error` where it told none.
    fn complaint(&mut self, error: &anyhow::Error) -> String {
        // It is about to end, or must: then all is said.
        let _ = self.child.kill();
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, DESCRIPTION, |state| !state.silent);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.complaint.is_empty() { format!("{error:#}") } else { state.complaint.clone() }
    }
}

impl Ffmpeg {
    /// Whether nobody wants more.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

impl Source for Ffmpeg {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        let start = Instant::now();
        loop {
            match self.shared.frames.take(frame, GLANCE) {
                Taken::Item => {
                    frame.layout = frame.layout.with_colours(self.tags);
                    return Ok(Read::Frame);
                }
                Taken::Closed => break,
                Taken::Nothing if self.stop.load(Ordering::Acquire) => return Ok(Read::End),
                Taken::Nothing => {}
            }
            if let Some(silence) = self.silence
                && start.elapsed() > silence
            {
                bail!("no picture for {} s", silence.as_secs_f64());
            }
        }
        let end = self.shared.lock().end.take();
        match end {
            Some(Err(error)) => bail!("ffmpeg failed: {}", self.complaint(&error)),
            // Its output has ended, so it is about to.
            _ if self.child.wait()?.success() => Ok(Read::End),
            _ => bail!("ffmpeg failed: {}", self.complaint(&anyhow!("it gives no reason"))),
        }
    }
}

impl Drop for Ffmpeg {
    fn drop(&mut self) {
        self.shared.frames.abandon();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads frames until the output ends.
fn read(output: impl std::io::Read + Send, shared: &Shared) {
    let mut video =
        match Y4m::new(BufReader::with_capacity(1 << 16, output), Path::new("ffmpeg"), ColourTags::default()) {
            Ok(video) => video,
            Err(error) => return shared.change(|state| state.opened = Some(Err(error))),
        };
    shared.change(|state| (state.opened, state.begun) = (Some(Ok(())), true));
    let mut frame = Frame::default();
    let end = loop {
        match video.read(&mut frame) {
            Ok(Read::Frame) if shared.frames.put_when_empty(&mut frame) => {}
            Ok(Read::Broken(why)) => break Err(anyhow!(why)),
            Ok(_) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    shared.change(|state| state.end = Some(end));
    shared.frames.close();
}

/// Reads what ffmpeg says, until it says no more.
fn listen(words: ChildStderr, shared: &Shared) {
    let mut words = BufReader::new(words);
    let mut line = Vec::new();
    let mut of_output = false;
    while let Ok(1..) = std::io::Read::take(&mut words, LONGEST_LINE).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        let (level, text) = text.split_once("] ").filter(|(level, _)| level.starts_with('[')).unwrap_or(("", text));
        // A part that complains stands in front of its level: `[h264 @ 0x...] [error] ...`.
        let (level, text) = match text.split_once("] ") {
            Some((inner @ ("[error" | "[fatal" | "[info" | "[warning"), text)) => (inner, text),
            _ => (level, text),
        };
        let text = text.trim_start();
        if text.starts_with("Input #") || text.starts_with("Output #") {
            of_output = text.starts_with("Output #");
        } else if let Some(tags) = described_colours(text) {
            shared.change(|state| match of_output {
                true => state.output = Some(tags),
                false => state.input = state.input.or(tags),
            });
        } else if matches!(level, "[error" | "[fatal" | "") && !text.is_empty() {
            shared.change(|state| {
                if state.begun || state.complaint.is_empty() {
                    text.clone_into(&mut state.complaint);
                }
            });
        }
        line.clear();
    }
    shared.change(|state| state.silent = true);
}

/// What a line as `Stream #0:0: Video: h264 (High), yuv420p(tv, bt709, progressive), 1280x720` says of the colours; `None`
/// for another line.
fn described_colours(line: &str) -> Option<ColourTags> {
    let (_, video) = line.strip_prefix("Stream #")?.split_once(" Video: ")?;
    // Codec, format with its colours in brackets, size ...; a codec may have brackets, too.
    let matrix = |name: &str| match name {
        "bt709" => Some(Matrix::Bt709),
        "smpte170m" | "bt470bg" | "fcc" => Some(Matrix::Bt601),
        "bt2020nc" | "bt2020c" => Some(Matrix::Bt2020),
        "smpte240m" => Some(Matrix::Smpte240m),
        _ => None,
    };
    let mut tags = ColourTags::default();
    for word in video.split([',', '(', ')']).map(str::trim).filter(|word| !word.contains(' ')) {
        // RGB that becomes YUV becomes BT.601, whatever its size.
        if ["rgb", "bgr", "gbrp", "gbrap", "argb", "abgr", "0rgb", "0bgr", "pal8"]
            .iter()
            .any(|rgb| word.starts_with(rgb))
        {
            tags.matrix = Some(Matrix::Bt601);
        }
        // The matrix, or with primaries and transfer where these differ: `bt709/unknown/bt709`.
        let (name, others) = word.split_once('/').map_or((word, None), |(name, others)| (name, Some(others)));
        tags.matrix = matrix(name).or(tags.matrix);
        if others.is_some() {
            break;
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_colours_are_read_off_the_description() {
        use Matrix::{Bt601, Bt709, Bt2020};
        for (line, matrix) in [
            (
                "Stream #0:0(und): Video: wrapped_avframe, yuv420p(tv, bt709, progressive), 1280x720 [SAR 1:1]",
                Some(Bt709),
            ),
            (
                "Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuvj420p(pc, bt470bg/bt470bg/smpte170m), 640x480",
                Some(Bt601),
            ),
            ("Stream #0:0: Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084), 3840x2160", Some(Bt2020)),
            ("Stream #0:0: Video: h264 (Main), yuv420p(tv, unknown/bt709/bt709, progressive), 1920x1080", None),
            ("Stream #0:0: Video: h264 (Main), yuv420p(progressive), 1920x1080, 25 fps", None),
            ("Stream #0:0: Video: h264 (Main), yuv420p, 1920x1080, 25 fps", None),
            ("Stream #0:0: Video: png, rgb24(pc, gbr/bt709/iec61966-2-1), 1920x1080", Some(Bt601)),
            ("Stream #0:0: Video: gif, bgra, 1920x1080", Some(Bt601)),
        ] {
            assert_eq!(described_colours(line).map(|tags| tags.matrix), Some(matrix), "{line}");
        }
        for line in [
            "Stream #0:1: Audio: aac (LC), bt709",
            "Stream #0:0 -> #0:0 (h264 (native) -> bt709)",
            "title: Video: bt709",
        ] {
            assert_eq!(described_colours(line), None, "{line}");
        }
    }
}
