//! Two threads in front of the network: one captures, one decodes.
//!
//! Frames of a live source that come while the network is at work make room for newer ones, and are counted. Every frame
//! that was captured is accounted for: classified, skipped, dropped or broken.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use serde::Serialize;

use super::convert;
use super::frame::{BadFrame, Frame, RgbFrame};
use super::mailbox::{Mailbox, Taken};
use super::sources::{Name, Read, Source, Wanted};
use super::tuning::Tuned;
use super::view::{Framing, Region, Viewer};
use crate::output::{notice, report_error};
use crate::preprocess::Preprocessor;

/// First and longest pause before a broken source is opened anew; each is twice as long as the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// How often a waiting thread looks whether it should end.
const GLANCE: Duration = Duration::from_millis(100);
/// How long the threads may take to end. What hangs in a driver, at a pipe or in a picture ends with the program.
const PARTING: Duration = Duration::from_millis(500);
/// A source that held for so long broke for a new reason: it is told again.
const STEADY: Duration = Duration::from_secs(600);
/// So many attempts to reach a source in vain are told, even if its breaks are not.
const MANY: u64 = 8;

/// What to capture, and how to look at it.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where frames come from.
    pub(crate) source: Name,
    /// What is asked of it.
    pub(crate) wanted: Wanted,
    /// Turned, mirrored.
    pub(crate) framing: Framing,
    /// What may change meanwhile, the part of the picture that is looked at among it.
    pub(crate) tuned: Arc<Tuned>,
    /// Of so many frames one is looked at: 1 is every one.
    pub(crate) every: u64,
}

/// A frame as the network sees it. Its buffers are used again and again.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// How many frames came before it.
    pub(crate) number: u64,
    /// When it had come.
    pub(crate) captured: Instant,
    /// The upright picture.
    pub(crate) picture: RgbFrame,
    /// The network's pixels.
    pub(crate) pixels: Vec<u8>,
    /// Time that decoding and turning took.
    pub(crate) decode: Duration,
    /// Time that cutting out and resizing took.
    pub(crate) resize: Duration,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            number: 0,
            captured: Instant::now(),
            picture: RgbFrame::default(),
            pixels: Vec::new(),
            decode: Duration::ZERO,
            resize: Duration::ZERO,
        }
    }
}

/// What became of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Came from the source, whole or not.
    pub(crate) captured: u64,
    /// Were passed over, as `--every` wants it.
    pub(crate) skipped: u64,
    /// Made room for newer ones.
    pub(crate) dropped: u64,
    /// Could not be decoded.
    pub(crate) broken: u64,
    /// How often the source was opened anew.
    pub(crate) reconnects: u64,
}

/// What the threads share.
struct Shared {
    settings: Settings,
    frames: Mailbox<Frame>,
    seen: Mailbox<Seen>,
    skipped: AtomicU64,
    /// Not whole when they came.
    torn: AtomicU64,
    /// Came whole, but could not be decoded.
    undecodable: AtomicU64,
    /// Were taken, and left when the program was to end.
    left: AtomicU64,
    reconnects: AtomicU64,
    failure: Mutex<Option<Error>>,
}

/// Frames on their way to the network.
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipeline {
    /// Opens the source and starts both threads. `None` where `interrupted` is set before the source is open.
    ///
    /// # Errors
    /// The source cannot be opened.
    pub(crate) fn start(
        settings: Settings,
        preprocessor: Preprocessor,
        interrupted: &AtomicBool,
    ) -> Result<Option<Self>> {
        let viewer = Viewer::new(settings.framing, preprocessor);
        let shared = Arc::new(Shared {
            settings,
            frames: Mailbox::default(),
            seen: Mailbox::default(),
            skipped: AtomicU64::new(0),
            torn: AtomicU64::new(0),
            undecodable: AtomicU64::new(0),
            left: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            failure: Mutex::new(None),
        });
        // It is opened on its thread, for that may take long: a camera that doesn't answer, a pipe that nobody writes to.
        let (told, opened) = mpsc::channel();
        let capturing = Arc::clone(&shared);
        let capture = move || {
            let Settings { source, wanted, .. } = &capturing.settings;
            let source = source.open(wanted);
            let is_open = source.is_ok();
            match source {
                Ok(source) if told.send(Ok(())).is_ok() => capturing.capture(source),
                Err(error) if !is_open => drop(told.send(Err(error))),
                _ => {}
            }
        };
        let capturer = thread::Builder::new().name("capture".into()).spawn(capture).context("cannot start a thread")?;
        let mut pipeline = Self { shared, threads: vec![capturer] };
        loop {
            match opened.recv_timeout(GLANCE) {
                Ok(result) => break result?,
                Err(RecvTimeoutError::Disconnected) => pipeline.shared.panicked()?,
                Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Acquire) => {
                    pipeline.stop()?;
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        let decoding = Arc::clone(&pipeline.shared);
        let decode = move || decoding.decode(viewer);
        let decoder = thread::Builder::new().name("decode".into()).spawn(decode).context("cannot start a thread")?;
        pipeline.threads.push(decoder);
        Ok(Some(pipeline))
    }

    /// Waits for the newest frame, but not longer than `patience`.
    pub(crate) fn next(&self, seen: &mut Seen, patience: Duration) -> Taken {
        self.shared.seen.take(seen, patience)
    }

    /// Counts a frame that was taken as dropped: it will not be classified.
    pub(crate) fn leave(&self) {
        self.shared.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends both threads. What is under way is dropped; what hangs is left to the program's end.
    ///
    /// # Errors
    /// The source broke and does not come back, or no frame can be resized.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.shared.stop().store(true, Ordering::Release);
        self.shared.frames.abandon();
        self.shared.seen.abandon();
        let end = Instant::now() + PARTING;
        while Instant::now() < end && !self.threads.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(2));
        }
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                anyhow::bail!(
                    "the thread '{name}' failed, which is a fault of this program; please report what happened before"
                );
            }
        }
        let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        failure.map_or(Ok(()), Err)
    }

    /// What became of the frames up to now. They add up after [`stop`](Self::stop).
    pub(crate) fn counts(&self) -> Counts {
        let Shared { frames, seen, skipped, torn, undecodable, left, reconnects, .. } = &*self.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (seen, frames) = (seen.counts(), frames.counts());
        let (skipped, torn) = (read(skipped), read(torn));
        Counts {
            captured: frames.put + skipped + torn,
            skipped,
            dropped: frames.dropped + seen.dropped + seen.refused + read(left),
            broken: torn + read(undecodable),
            reconnects: read(reconnects),
        }
    }
}

impl Shared {
    /// Set when the threads are to end.
    fn stop(&self) -> &AtomicBool {
        &self.settings.wanted.stop
    }

    /// The capturing thread.
    fn capture(&self, mut source: Box<dyn Source>) {
        let Settings { source: name, every, .. } = &self.settings;
        // Also where a driver's crate panics: nobody must wait for frames that never come.
        let _closed = Closed(self);
        let mut frame = Frame::default();
        let mut number = 0;
        let mut pause = PAUSES.0;
        let mut breaks = Breaks::default();
        while !self.stop().load(Ordering::Acquire) {
            match source.read(&mut frame) {
                Ok(Read::Frame) => {
                    pause = PAUSES.0;
                    frame.captured = Instant::now();
                    frame.number = number;
                    number += 1;
                    if !frame.number.is_multiple_of(*every) {
                        self.skipped.fetch_add(1, Ordering::Relaxed);
                    } else if !put(&self.frames, &mut frame, name.is_live()) {
                        break;
                    }
                }
                Ok(Read::Broken(why)) => {
                    number += 1;
                    complain(&self.torn, number, &why);
                }
                Ok(Read::End) => {
                    if number == 0 && !self.stop().load(Ordering::Acquire) {
                        self.fail(anyhow!(
                            "{name}: it ended without a frame; check the program or camera that should have sent one"
                        ));
                    }
                    break;
                }
                Err(error) if name.comes_back() => {
                    drop(source);
                    let is_told = breaks.tell(&error);
                    match self.open_anew(&mut pause, is_told) {
                        Some(opened) => source = opened,
                        None => break,
                    }
                }
                Err(error) => {
                    self.fail(error);
                    break;
                }
            }
        }
    }

    /// Tries until it succeeds, or should end. `is_told`: whether people know that the source broke.
    fn open_anew(&self, pause: &mut Duration, mut is_told: bool) -> Option<Box<dyn Source>> {
        let Settings { source, wanted, .. } = &self.settings;
        for tries in 1_u64.. {
            let end = Instant::now() + *pause;
            *pause = PAUSES.1.min(*pause * 2);
            while Instant::now() < end {
                if self.stop().load(Ordering::Acquire) {
                    return None;
                }
                thread::sleep(GLANCE.min(end.saturating_duration_since(Instant::now())));
            }
            self.reconnects.fetch_add(1, Ordering::Relaxed);
            match source.open(wanted) {
                Ok(opened) => {
                    if is_told {
                        notice(format_args!("{source}: opened anew"));
                    }
                    return Some(opened);
                }
                Err(_) if self.stop().load(Ordering::Acquire) => return None,
                Err(error) if tries.is_power_of_two() && (is_told || tries >= MANY) => {
                    is_told = true;
                    report_error(&counted(&error, tries, "attempts"));
                }
                Err(_) => {}
            }
        }
        None
    }

    /// The decoding thread.
    fn decode(&self, mut viewer: Viewer) {
        let mut frame = Frame::default();
        let mut seen = Seen::default();
        loop {
            match self.frames.take(&mut frame, GLANCE) {
                Taken::Item => {}
                Taken::Nothing => continue,
                Taken::Closed => break,
            }
            match look(&frame, &mut viewer, self.settings.tuned.get().region, &mut seen) {
                Ok(()) => {
                    if !put(&self.seen, &mut seen, self.settings.source.is_live()) {
                        break;
                    }
                }
                Err(error) => complain(&self.undecodable, frame.number + 1, &error.0),
            }
        }
        self.seen.close();
    }

    fn fail(&self, error: Error) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// The error of a capturing thread that ended without a word.
    fn panicked(&self) -> Result<()> {
        Err(anyhow!(
            "{}: the capturing thread failed, which is a fault of this program; please report what happened before",
            self.settings.source
        ))
    }
}

/// How often a source broke. A camera that breaks again and again is told the first time, the second, the fourth ...
#[derive(Default)]
struct Breaks {
    count: u64,
    last: Option<Instant>,
}

impl Breaks {
    /// Tells of a break, unless it is one of many. Whether it was told.
    fn tell(&mut self, error: &Error) -> bool {
        if self.last.is_some_and(|last| last.elapsed() > STEADY) {
            self.count = 0;
        }
        self.last = Some(Instant::now());
        self.count += 1;
        let is_told = self.count.is_power_of_two();
        if is_told {
            report_error(&counted(error, self.count, "times"));
        }
        is_told
    }
}

/// The error, with how often it was there if that was more than once.
fn counted(error: &Error, count: u64, what: &str) -> Error {
    if count == 1 { anyhow!("{error:#}") } else { anyhow!("{error:#} ({count} {what} so far)") }
}

/// Closes the mailbox of frames when the capturing thread ends, however it ends.
struct Closed<'a>(&'a Shared);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked().unwrap_or_else(|error| self.0.fail(error));
        }
        self.0.frames.close();
    }
}

/// Puts `item` into `mailbox`: in place of an older one if the source is live, else when there is room.
fn put<T>(mailbox: &Mailbox<T>, item: &mut T, live: bool) -> bool {
    if live { mailbox.put(item) } else { mailbox.put_when_empty(item) }
}

/// Decodes a frame and brings the part that is looked at to the network's size.
fn look(frame: &Frame, viewer: &mut Viewer, region: Option<Region>, seen: &mut Seen) -> Result<(), BadFrame> {
    let start = Instant::now();
    convert::to_rgb(frame, &mut seen.picture)?;
    viewer.upright(&mut seen.picture);
    let decoded = Instant::now();
    viewer.pixels(&seen.picture, region, &mut seen.pixels)?;
    seen.number = frame.number;
    seen.captured = frame.captured;
    seen.decode = decoded - start;
    seen.resize = decoded.elapsed();
    Ok(())
}

/// Counts a broken frame, and says what is wrong with the first one, the second, the fourth ...
fn complain(counter: &AtomicU64, number: u64, why: &str) {
    let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
    if count.is_power_of_two() {
        notice(format_args!("frame {number}: {why} ({count} broken so far)"));
    }
}
