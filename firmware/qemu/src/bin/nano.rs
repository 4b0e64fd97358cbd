//! The reduced Inception: its self-test, drawn pictures, and pictures from the host.
//!
//! Arguments: FILE COUNT, a file of COUNT pictures of 32x32 RGB bytes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use tinception_core::image::{Geometry, Picture, PixelFormat, Size, quantize_pixels, resample};
use tinception_core::include_model;
use tinception_core::model::Model;
use tinception_core::session::Session;
use tinception_qemu::drawing::{DRAWINGS, SIDE, draw};
use tinception_qemu::machine::{Arguments, Memory, Outcome, read};
use tinception_qemu::{network, program};

/// Side of the host's pictures.
const HOST_SIDE: usize = 32;

static MODEL: &[u8] = include_model!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/artefacts/nano.tin"));
static ARENA: Memory<51_200, u8> = Memory::filled(0);
static FRAME: Memory<{ SIDE * SIDE * 2 }, u8> = Memory::filled(0);
static SCRATCH: Memory<1024, u32> = Memory::filled(0);

program!(run);

fn run() -> Outcome {
    let arguments = Arguments::get();
    let model = Model::new(MODEL).map_err(|_| "the model is damaged")?;
    let mut session = network::session(&model, ARENA.take().ok_or("taken")?)?;
    network::self_test(&mut session)?;

    let frame = FRAME.take().ok_or("taken")?;
    let scratch = SCRATCH.take().ok_or("taken")?;
    for (name, pixel) in DRAWINGS {
        draw(pixel, frame);
        show(&mut session, PixelFormat::Rgb565Be, SIDE, frame, scratch)?;
        network::run(name, &mut session)?;
    }
    let Some(file) = arguments.nth(0) else { return Ok(()) };
    let count = arguments.nth(1).and_then(|count| count.parse().ok()).ok_or("no count")?;
    let picture = frame.get_mut(..HOST_SIDE * HOST_SIDE * 3).ok_or("too short")?;
    for index in 0..count {
        if !read(file, index, picture) {
            return Err("the pictures cannot be read");
        }
        show(&mut session, PixelFormat::Rgb888, HOST_SIDE, picture, scratch)?;
        network::run("picture", &mut session)?;
    }
    Ok(())
}

/// A square picture becomes the session's input.
fn show(
    session: &mut Session<'_, '_>,
    format: PixelFormat,
    side: usize,
    pixels: &[u8],
    scratch: &mut [u32; 1024],
) -> Outcome {
    let model = *session.model();
    let input = model.input().ok_or("no input")?.shape;
    let preprocess = model.preprocess().ok_or("no preprocessing")?;
    let size = Size::new(side as u32, side as u32);
    let picture = Picture::new(format, size, pixels.len() / side, pixels).map_err(|_| "a wrong picture")?;
    let output = Size::new(input.width, input.height);
    let geometry = Geometry::plan(preprocess.resize, size, output).map_err(|_| "a wrong size")?;
    let channels = preprocess.order.channels();
    let bytes = bytemuck::cast_slice_mut(session.input_mut());
    resample(&picture, &geometry, channels, scratch, bytes).map_err(|_| "the picture cannot be resampled")?;
    quantize_pixels(bytes, preprocess.order, model.pixel_table().ok_or("no table")?).map_err(|_| "a wrong table")?;
    Ok(())
}
