//! Any picture, any plan: an error, or a result of the right size.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use tinception_core::image::{
    Channels, ColourOrder, Geometry, Picture, PixelFormat, Resize, Size, quantize_pixels, resample,
};

/// Results and scratch larger than this are not tried.
const LIMIT: usize = 1 << 16;

#[derive(Arbitrary, Debug)]
struct Input {
    format: u8,
    resize: u8,
    amount: u16,
    grey: bool,
    size: (u16, u16),
    output: (u16, u16),
    extra_stride: u8,
    spare_scratch: u8,
    data: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let formats =
        [PixelFormat::Rgb888, PixelFormat::Rgb565Le, PixelFormat::Rgb565Be, PixelFormat::Yuyv, PixelFormat::Grey];
    let format = formats[usize::from(input.format) % formats.len()];
    let resize = match input.resize % 3 {
        0 => Resize::ShorterSide(input.amount),
        1 => Resize::Stretch,
        _ => Resize::CentralCrop(input.amount),
    };
    let channels = if input.grey { Channels::Grey } else { Channels::Rgb };
    let size = Size::new(input.size.0.into(), input.size.1.into());
    let output = Size::new(input.output.0.into(), input.output.1.into());
    if output.width as usize * output.height as usize > LIMIT {
        return;
    }
    let stride = (size.width as usize * format.bytes_per_pixel() + usize::from(input.extra_stride)).saturating_sub(1);
    let (Ok(picture), Ok(geometry)) =
        (Picture::new(format, size, stride, &input.data), Geometry::plan(resize, size, output))
    else {
        return;
    };
    let (needed, length) = (geometry.scratch_len(format, channels), geometry.output_len(channels));
    if needed > LIMIT {
        return;
    }
    assert_eq!(length, output.width as usize * output.height as usize * channels.count());
    let mut scratch = vec![0xA5A5_A5A5; needed + usize::from(input.spare_scratch)];
    let mut out = vec![0; length];
    resample(&picture, &geometry, channels, &mut scratch, &mut out).expect("all sizes are right");
    if let Some(short) = needed.checked_sub(1) {
        assert!(resample(&picture, &geometry, channels, &mut scratch[..short], &mut out).is_err());
    }
    let order = if input.grey { ColourOrder::Grey } else { ColourOrder::Bgr };
    let table: Vec<i8> = (0..channels.count() * 256).map(|index| index as i8).collect();
    quantize_pixels(&mut out, order, &table).expect("all sizes are right");
});
