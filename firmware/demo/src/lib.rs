//! From camera to label: capture, resize, run the network, smooth, name the best three classes.
//!
//! [`Demo::step`] does a small part of that and returns, so that a main loop can keep its deadlines; the longest part is
//! one step of the network. What differs between boards is behind three traits: a [`Camera`], a [`Clock`] and
//! `embedded-hal`'s output pin, which lights a LED while the network runs. Nothing is allocated.
#![cfg_attr(not(test), no_std)]

mod camera;
mod log;
mod pick;
mod report;
#[cfg(feature = "defmt")]
mod run;
mod smooth;

pub use camera::{Camera, Frame};
pub use pick::pick;
pub use report::{Guess, Report};
#[cfg(feature = "defmt")]
pub use run::run_forever;
pub use smooth::{MAX_CLASSES, Smooth};

use embedded_hal::digital::OutputPin;
use heapless::Vec;
use tinception_core::image::{Geometry, Picture, Size, quantize_pixels, resample};
use tinception_core::model::Model;
use tinception_core::session::Session;

/// Steps of a network that are timed.
pub const MAX_STEPS: usize = 64;

/// A board's time.
pub trait Clock {
    /// Microseconds since some moment; wraps around.
    fn now(&mut self) -> u32;
}

/// What differs between boards.
#[derive(Debug)]
pub struct Board<C, L, K> {
    /// Where pictures come from.
    pub camera: C,
    /// Lit while the network runs.
    pub led: L,
    /// For the times in the report.
    pub clock: K,
}

/// The memory of a demo.
#[derive(Debug)]
pub struct Buffers<'a> {
    /// [`Model::arena_size`] bytes.
    pub arena: &'a mut [u8],
    /// [`Frame::bytes`] bytes.
    pub frame: &'a mut [u8],
    /// Words for the resize: `Geometry::scratch_len` says how many.
    pub scratch: &'a mut [u32],
}

/// Why a demo can't begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SetupError {
    /// The arena is smaller than the model says.
    Arena,
    /// The frame's buffer is smaller than the camera's frames.
    Frame,
    /// The resize needs more words of scratch.
    Scratch,
    /// The model takes no pictures, or not ones that can be made of the camera's.
    Preprocess,
    /// The model gives no probabilities, or more than [`MAX_CLASSES`].
    Classes,
}

/// Why a step failed. The next step starts with a new picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StepError<E> {
    /// The camera's own.
    Camera(E),
    /// The picture could not become the network's input.
    Image,
    /// A step of the network could not run.
    Network,
}

/// What a call of [`Demo::step`] did.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'d> {
    /// The picture is on its way.
    Capturing,
    /// The picture has become the network's input.
    Prepared,
    /// This group of the network's steps has run: a step alone, or those that run together, counted from 0.
    Ran(usize),
    /// The picture has a name.
    Named(&'d Report),
}

/// Where a demo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Capture,
    Prepare,
    Run(usize),
}

/// The loop from camera to label.
#[derive(Debug)]
pub struct Demo<'m, 'a, C, L, K> {
    board: Board<C, L, K>,
    session: Session<'m, 'a>,
    frame: &'a mut [u8],
    scratch: &'a mut [u32],
    geometry: Geometry,
    state: State,
    since: u32,
    smooth: Smooth,
    report: Report,
}

impl<'m, 'a, C: Camera, L: OutputPin, K: Clock> Demo<'m, 'a, C, L, K> {
    /// A demo of `model`.
    pub fn new(model: &Model<'m>, buffers: Buffers<'a>, board: Board<C, L, K>) -> Result<Self, SetupError> {
        let Buffers { arena, frame, scratch } = buffers;
        let session = Session::new(model, arena).map_err(|_| SetupError::Arena)?;
        let taken = board.camera.frame();
        let frame = frame.get_mut(..taken.bytes()).ok_or(SetupError::Frame)?;
        let (Some(input), Some(preprocess)) = (model.input(), model.preprocess()) else {
            return Err(SetupError::Preprocess);
        };
        let size = Size::new(input.shape.width, input.shape.height);
        let geometry = Geometry::plan(preprocess.resize, taken.size, size).map_err(|_| SetupError::Preprocess)?;
        let channels = preprocess.order.channels();
        let fits = geometry.output_len(channels) as u64 == input.shape.elements() && model.pixel_table().is_some();
        if !fits {
            return Err(SetupError::Preprocess);
        }
        if geometry.scratch_len(taken.format, channels) > scratch.len() {
            return Err(SetupError::Scratch);
        }
        let classes = model.probabilities().ok_or(SetupError::Classes)?.shape.channels as usize;
        let smooth = Smooth::new(classes).ok_or(SetupError::Classes)?;
        let (state, report) = (State::Start, Report::default());
        Ok(Self { board, session, frame, scratch, geometry, state, since: 0, smooth, report })
    }

    /// The board's parts.
    pub fn board(&mut self) -> &mut Board<C, L, K> {
        &mut self.board
    }

    /// The model that runs.
    #[must_use]
    pub const fn model(&self) -> &Model<'m> {
        self.session.model()
    }

    /// Does the next small part of the work.
    pub fn step(&mut self) -> Result<Progress<'_>, StepError<C::Error>> {
        let result = match self.state {
            State::Start | State::Capture => self.capture(),
            State::Prepare => self.prepare(),
            State::Run(step) => self.run(step),
        };
        match result {
            Ok(Part::Capturing) => Ok(Progress::Capturing),
            Ok(Part::Prepared) => Ok(Progress::Prepared),
            Ok(Part::Ran(step)) => Ok(Progress::Ran(step)),
            Ok(Part::Named) => Ok(Progress::Named(&self.report)),
            Err(error) => {
                log::warn!("a step failed; the next picture follows");
                self.state = State::Start;
                // A LED that stays on is no reason to stop.
                let _ = self.board.led.set_low();
                Err(error)
            }
        }
    }

    fn capture(&mut self) -> Result<Part, StepError<C::Error>> {
        if self.state == State::Start {
            self.since = self.board.clock.now();
            self.report.clear();
            self.board.camera.start().map_err(StepError::Camera)?;
            self.state = State::Capture;
        }
        if self.board.camera.poll(self.frame).map_err(StepError::Camera)? {
            self.report.capture = self.lap();
            self.state = State::Prepare;
        }
        Ok(Part::Capturing)
    }

    fn prepare(&mut self) -> Result<Part, StepError<C::Error>> {
        let taken = self.board.camera.frame();
        let picture = Picture::new(taken.format, taken.size, taken.row_bytes(), self.frame);
        let picture = picture.map_err(|_| StepError::Image)?;
        let model = *self.session.model();
        let (Some(preprocess), Some(table)) = (model.preprocess(), model.pixel_table()) else {
            return Err(StepError::Image);
        };
        let input = bytemuck::cast_slice_mut(self.session.input_mut());
        resample(&picture, &self.geometry, preprocess.order.channels(), self.scratch, input)
            .map_err(|_| StepError::Image)?;
        quantize_pixels(input, preprocess.order, table).map_err(|_| StepError::Image)?;
        self.report.prepare = self.lap();
        self.state = State::Run(0);
        let _ = self.board.led.set_high();
        Ok(Part::Prepared)
    }

    fn run(&mut self, step: usize) -> Result<Part, StepError<C::Error>> {
        if self.session.step().map_err(|_| StepError::Network)? {
            let time = self.lap();
            // The steps behind the last that has a place go without a time.
            let _ = self.report.steps.push(time);
            self.state = State::Run(step + 1);
            return Ok(Part::Ran(step));
        }
        let probabilities = self.session.probabilities().ok_or(StepError::Network)?;
        self.smooth.add(probabilities.iter());
        self.report.best = self.smooth.best();
        let _ = self.board.led.set_low();
        self.state = State::Start;
        log::info!("named in {} us", self.report.total());
        Ok(Part::Named)
    }

    /// Microseconds since the last lap.
    fn lap(&mut self) -> u32 {
        let now = self.board.clock.now();
        let time = now.wrapping_sub(self.since);
        self.since = now;
        time
    }
}

/// A [`Progress`] that borrows nothing.
enum Part {
    Capturing,
    Prepared,
    Ran(usize),
    Named,
}

/// Times of a network's steps, in microseconds; those that run together have one.
pub type StepTimes = Vec<u32, MAX_STEPS>;
