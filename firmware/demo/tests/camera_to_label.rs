//! The whole loop with a camera that can be told to fail.

use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};
use tinception_core::image::{PixelFormat, Size};
use tinception_core::include_model;
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_demo::{Board, Buffers, Camera, Clock, Demo, Frame, Progress, SetupError, StepError, pick};

static NANO: &[u8] = include_model!("../../../models/artefacts/nano.tin");

const FRAME: Frame = Frame { size: Size::new(32, 32), format: PixelFormat::Rgb888 };

/// A picture that has to be resized.
const LARGER: Frame = Frame { size: Size::new(64, 48), format: PixelFormat::Rgb888 };

/// Gives a picture in quarters.
struct Quarters {
    shape: Frame,
    picture: Vec<u8>,
    given: usize,
    /// The call of `poll`, counted over all pictures, that fails.
    fails_at: Option<usize>,
    polls: usize,
}

impl Camera for Quarters {
    type Error = &'static str;

    fn frame(&self) -> Frame {
        self.shape
    }

    fn start(&mut self) -> Result<(), Self::Error> {
        self.given = 0;
        Ok(())
    }

    fn poll(&mut self, frame: &mut [u8]) -> Result<bool, Self::Error> {
        self.polls += 1;
        if self.fails_at == Some(self.polls) {
            return Err("no picture");
        }
        let end = self.given + frame.len() / 4;
        frame[self.given..end].copy_from_slice(&self.picture[self.given..end]);
        self.given = end;
        Ok(end == frame.len())
    }
}

/// A microsecond for each question.
struct Ticks(u32);

impl Clock for Ticks {
    fn now(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

fn picture() -> Vec<u8> {
    (0..32 * 32 * 3).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn board(fails_at: Option<usize>, led: &Mock) -> Board<Quarters, Mock, Ticks> {
    let camera = Quarters { shape: FRAME, picture: picture(), given: 0, fails_at, polls: 0 };
    Board { camera, led: led.clone(), clock: Ticks(u32::MAX - 20) }
}

/// Class and probability of the picture, computed by a session alone.
fn expected(model: &Model<'_>) -> (u16, u16) {
    let mut arena = vec![0; model.arena_size()];
    let mut session = Session::new(model, &mut arena).unwrap();
    let table = model.pixel_table().unwrap();
    for (at, (input, value)) in session.input_mut().iter_mut().zip(picture()).enumerate() {
        *input = table[256 * (at % 3) + usize::from(value)];
    }
    session.run().unwrap();
    let probabilities: Vec<i32> = session.probabilities().unwrap().iter().collect();
    let largest = *probabilities.iter().max().unwrap();
    (probabilities.iter().position(|value| *value == largest).unwrap() as u16, largest as u16)
}

#[test]
fn a_picture_is_named_step_by_step() {
    let model = Model::new(NANO).unwrap();
    let (mut arena, mut frame, mut scratch) = (vec![0; model.arena_size()], vec![0; FRAME.bytes()], vec![0; 4096]);
    let buffers = Buffers { arena: &mut arena, frame: &mut frame, scratch: &mut scratch };
    let mut led = Mock::new(&[Transaction::set(State::High), Transaction::set(State::Low)]);
    let mut demo = Demo::new(&model, buffers, board(None, &led)).unwrap();
    for _ in 0..4 {
        assert!(matches!(demo.step(), Ok(Progress::Capturing)));
    }
    assert!(matches!(demo.step(), Ok(Progress::Prepared)));
    let groups = model.groups().count();
    for group in 0..groups {
        assert!(matches!(demo.step(), Ok(Progress::Ran(ran)) if ran == group));
    }
    let Ok(Progress::Named(report)) = demo.step() else { panic!("no name") };
    assert_eq!((report.best[0].class, report.best[0].probability), expected(&model));
    assert_eq!(report.best.len(), 3);
    // The clock has run over its end: each lap took a microsecond.
    assert_eq!((report.capture, report.prepare), (1, 1));
    assert_eq!(report.total(), 2 + groups as u32);
    assert_eq!(report.rate(), (1.0e7 / report.total() as f32).round() / 10.0);
    led.done();
}

#[test]
fn a_failing_camera_costs_one_picture() {
    let model = Model::new(NANO).unwrap();
    let (mut arena, mut frame, mut scratch) = (vec![0; model.arena_size()], vec![0; FRAME.bytes()], vec![0; 4096]);
    let buffers = Buffers { arena: &mut arena, frame: &mut frame, scratch: &mut scratch };
    let low = Transaction::set(State::Low);
    let mut led = Mock::new(&[low.clone(), Transaction::set(State::High), low]);
    let mut demo = Demo::new(&model, buffers, board(Some(3), &led)).unwrap();
    let mut errors = 0;
    let class = loop {
        match demo.step() {
            Ok(Progress::Named(report)) => break report.best[0].class,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, StepError::Camera("no picture"));
                errors += 1;
            }
        }
    };
    assert_eq!((errors, class), (1, expected(&model).0));
    led.done();
}

#[test]
fn too_little_memory_is_refused() {
    let model = Model::new(NANO).unwrap();
    let (arena, frame) = (model.arena_size(), LARGER.bytes());
    for (sizes, error) in [
        ([arena - 1, frame, 4096], SetupError::Arena),
        ([arena, frame - 1, 4096], SetupError::Frame),
        ([arena, frame, 1], SetupError::Scratch),
    ] {
        let (mut arena, mut frame, mut scratch) = (vec![0; sizes[0]], vec![0; sizes[1]], vec![0; sizes[2]]);
        let buffers = Buffers { arena: &mut arena, frame: &mut frame, scratch: &mut scratch };
        let mut led = Mock::new(&[]);
        let mut board = board(None, &led);
        board.camera.shape = LARGER;
        assert_eq!(Demo::new(&model, buffers, board).err(), Some(error));
        led.done();
    }
}

#[test]
fn a_damaged_model_gives_way_to_the_built_in_one() {
    let mut damaged = vec![0_u128; NANO.len().div_ceil(16)];
    let bytes = &mut bytemuck::cast_slice_mut(&mut damaged)[..NANO.len()];
    bytes.copy_from_slice(NANO);
    assert_eq!(pick(bytes, NANO).unwrap().step_count(), Model::new(NANO).unwrap().step_count());
    bytes[NANO.len() / 2] ^= 1;
    assert!(pick(bytes, NANO).is_some());
    assert!(pick(bytes, bytes).is_none());
}
