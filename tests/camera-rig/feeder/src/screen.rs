//! What the camera looks at. The driver `vivid` has a camera with an HDMI plug, `/dev/video0`, and an HDMI socket,
//! `/dev/video1`; a control joins the two.

use std::io;

use moq_v4l::buffer::Type;
use moq_v4l::control::{Control, Value};
use moq_v4l::io::mmap::Stream;
use moq_v4l::io::traits::{OutputStream, Stream as _};
use moq_v4l::video::Output;
use moq_v4l::{Device, Format, FourCC};

const CAMERA: &str = "/dev/video0";
const SOCKET: &str = "/dev/video1";
/// What the driver starts with on both sides.
const SIZE: (u32, u32) = (1280, 720);

/// One is up: the driver keeps the last one. One has been up, and is there to be given back. One is filled.
const BUFFERS: u32 = 3;
/// Linux's flag for a buffer to be given back.
const POLLOUT: i16 = 4;

/// vivid's control that lets the camera see what is shown.
const LOOP_VIDEO: u32 = 0x00f0_f025;
/// vivid's control of the text in the picture, and its value for none.
const TEXT: (u32, i64) = (0x00f0_f001, 2);

/// The socket with a cable to the camera.
pub(crate) struct Screen {
    socket: Stream<'static>,
}

impl Screen {
    /// Connects the two, for pictures of a format.
    pub(crate) fn new(format: &[u8; 4]) -> io::Result<Self> {
        let camera = Device::with_path(CAMERA).map_err(|error| named(CAMERA, error))?;
        let control = |id, value| camera.set_control(Control { id, value }).map_err(|error| named("a control", error));
        control(LOOP_VIDEO, Value::Boolean(true))?;
        control(TEXT.0, Value::Integer(TEXT.1))?;
        let socket = Device::with_path(SOCKET).map_err(|error| named(SOCKET, error))?;
        let asked = Format::new(SIZE.0, SIZE.1, FourCC::new(format));
        let given = Output::set_format(&socket, &asked).map_err(|error| named("the format", error))?;
        if given.fourcc != asked.fourcc || (given.width, given.height) != SIZE {
            return Err(io::Error::other(format!(
                "{SOCKET}: took {} x {} {}",
                given.width, given.height, given.fourcc
            )));
        }
        let mut socket =
            Stream::with_buffers(&socket, Type::VideoOutput, BUFFERS).map_err(|error| named("buffers", error))?;
        for index in 0..BUFFERS as usize {
            OutputStream::queue(&mut socket, index).map_err(|error| named("a buffer", error))?;
        }
        socket.start()?;
        let mut screen = Self { socket };
        screen.wait()?;
        OutputStream::dequeue(&mut screen.socket).map_err(|error| named("a buffer", error))?;
        Ok(screen)
    }

    /// Shows a picture until the next one. When this returns, it is up.
    pub(crate) fn show(&mut self, picture: &[u8]) -> io::Result<()> {
        // A buffer is queued when the next one is asked for: for a moment this shows an earlier picture.
        let (buffer, _) = OutputStream::next(&mut self.socket).map_err(|error| named("a buffer", error))?;
        if picture.len() != buffer.len() {
            return Err(io::Error::other(format!("a picture has {} bytes, not {}", picture.len(), buffer.len())));
        }
        buffer.copy_from_slice(picture);
        OutputStream::next(&mut self.socket).map_err(|error| named("a picture", error))?;
        self.wait()
    }

    /// Until the driver gives back a buffer, since the one behind it is up.
    fn wait(&self) -> io::Result<()> {
        self.socket.handle().poll(POLLOUT, -1).map(drop)
    }
}

/// An error that says what the driver didn't take.
fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
