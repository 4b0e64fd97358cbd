//! Pixel formats, refusals and properties of the image module, each against values computed another way.

// Safe code and millions of pixels: Miri would find nothing, and not come to an end.
#![cfg(not(miri))]

use tinception_core::error::ImageError;
use tinception_core::image::{
    Channels, ColourOrder, Geometry, MAX_SIDE, Picture, PixelFormat, Resize, Size, quantize_pixels, resample,
};

const FORMATS: [PixelFormat; 5] =
    [PixelFormat::Rgb888, PixelFormat::Rgb565Le, PixelFormat::Rgb565Be, PixelFormat::Yuyv, PixelFormat::Grey];

/// A small generator of test data (Marsaglia's xorshift32).
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number in `1..=limit`.
    fn upto(&mut self, limit: u32) -> u32 {
        self.next() % limit + 1
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Resamples with exactly the scratch that the geometry asks for, which holds anything.
fn resampled(picture: &Picture<'_>, geometry: &Geometry, channels: Channels) -> Vec<u8> {
    let mut scratch = vec![0xDEAD_BEEF; geometry.scratch_len(picture.format(), channels)];
    let mut out = vec![0; geometry.output_len(channels)];
    resample(picture, geometry, channels, &mut scratch, &mut out).unwrap();
    out
}

/// The whole picture at its own size: only the conversion is left.
fn converted(format: PixelFormat, size: Size, data: &[u8], channels: Channels) -> Vec<u8> {
    let stride = size.width as usize * format.bytes_per_pixel();
    let picture = Picture::new(format, size, stride, data).unwrap();
    resampled(&picture, &Geometry::plan(Resize::Stretch, size, size).unwrap(), channels)
}

fn luma(rgb: &[u8]) -> u8 {
    (0.299 * f64::from(rgb[0]) + 0.587 * f64::from(rgb[1]) + 0.114 * f64::from(rgb[2])).round() as u8
}

// Too many colours for Miri.
#[cfg(not(miri))]
#[test]
fn every_yuv_colour_is_bt601() {
    // All 2^24 colours, a row of 256 luma values for each pair of colour differences. BT.601's luma and colour
    // difference equations, solved for red, green and blue.
    let size = Size::new(256, 256);
    let mut data = vec![0; 256 * 256 * 2];
    for blue in 0..=255_u8 {
        for (red, row) in data.chunks_exact_mut(512).enumerate() {
            for (pair, bytes) in row.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&[2 * pair as u8, blue, 2 * pair as u8 + 1, red as u8]);
            }
        }
        let pixels = converted(PixelFormat::Yuyv, size, &data, Channels::Rgb);
        for (index, pixel) in pixels.chunks_exact(3).enumerate() {
            let y = ((index % 256) as f64 - 16.0) / 219.0;
            let b = y + (f64::from(blue) - 128.0) / 224.0 * 2.0 * (1.0 - 0.114);
            let r = y + ((index / 256) as f64 - 128.0) / 224.0 * 2.0 * (1.0 - 0.299);
            let g = (y - 0.299 * r - 0.114 * b) / 0.587;
            for (value, real) in pixel.iter().zip([r, g, b]) {
                // One half, and what 20 fractional bits may lose.
                let distance = (f64::from(*value) - (255.0 * real).clamp(0.0, 255.0)).abs();
                assert!(distance <= 0.5005, "{index} {blue}: {value} for {}", 255.0 * real);
            }
        }
    }
}

// Too many colours for Miri.
#[cfg(not(miri))]
#[test]
fn every_rgb565_colour_is_rounded() {
    let size = Size::new(256, 256);
    let words = || 0..=u16::MAX;
    let little: Vec<u8> = words().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = words().flat_map(u16::to_be_bytes).collect();
    let expected: Vec<u8> = words()
        .flat_map(|word| [(word >> 11, 31.0), (word >> 5 & 63, 63.0), (word & 31, 31.0)])
        .map(|(value, limit): (u16, f64)| (f64::from(value) * 255.0 / limit).round() as u8)
        .collect();
    assert!(converted(PixelFormat::Rgb565Le, size, &little, Channels::Rgb) == expected);
    assert!(converted(PixelFormat::Rgb565Be, size, &big, Channels::Rgb) == expected);
}

#[test]
fn grey_is_luma_and_colour_from_grey_is_grey() {
    let size = Size::new(64, 50);
    let data = Random(5).bytes(64 * 50 * 3);
    let grey = converted(PixelFormat::Rgb888, size, &data, Channels::Grey);
    for (value, pixel) in grey.iter().zip(data.chunks_exact(3)) {
        assert!(value.abs_diff(luma(pixel)) <= 1);
    }
    let unequal = grey.iter().zip(data.chunks_exact(3)).filter(|(value, pixel)| **value != luma(pixel)).count();
    assert!(unequal < 4, "{unequal}");

    let data = &data[..64 * 50];
    assert_eq!(converted(PixelFormat::Grey, size, data, Channels::Grey), data);
    let replicated: Vec<u8> = data.iter().flat_map(|value| [*value; 3]).collect();
    assert_eq!(converted(PixelFormat::Grey, size, data, Channels::Rgb), replicated);
}

#[test]
fn a_format_changes_nothing_but_the_conversion() {
    // Converted first and resized as RGB, or resized as it is: the same bytes, also from odd columns on.
    let mut random = Random(9);
    for format in FORMATS {
        for resize in [Resize::CentralCrop(700), Resize::ShorterSide(12), Resize::Stretch] {
            let size = Size::new(2 * random.upto(20) + 12, random.upto(40) + 11);
            let stride = size.width as usize * format.bytes_per_pixel();
            let data = random.bytes(stride * size.height as usize);
            let geometry = Geometry::plan(resize, size, Size::new(9, 11)).unwrap();
            let picture = Picture::new(format, size, stride, &data).unwrap();
            for (channels, same) in [(Channels::Rgb, PixelFormat::Rgb888), (Channels::Grey, PixelFormat::Grey)] {
                let whole = converted(format, size, &data, channels);
                let whole = Picture::new(same, size, size.width as usize * channels.count(), &whole).unwrap();
                let expected = resampled(&whole, &geometry, channels);
                assert_eq!(resampled(&picture, &geometry, channels), expected, "{format:?} {resize:?} {size:?}");
            }
        }
    }
}

#[test]
fn the_stride_and_missing_padding_change_nothing() {
    let mut random = Random(3);
    for format in FORMATS {
        let size = Size::new(22, 17);
        let row = 22 * format.bytes_per_pixel();
        let padded = random.bytes((row + 7) * 16 + row);
        let tight: Vec<u8> = padded.chunks(row + 7).flat_map(|bytes| &bytes[..row]).copied().collect();
        let geometry = Geometry::plan(Resize::Stretch, size, Size::new(8, 30)).unwrap();
        let picture = Picture::new(format, size, row, &tight).unwrap();
        let expected = resampled(&picture, &geometry, Channels::Rgb);
        let picture = Picture::new(format, size, row + 7, &padded).unwrap();
        assert_eq!(resampled(&picture, &geometry, Channels::Rgb), expected, "{format:?}");
    }
}

#[test]
fn impossible_pictures_are_refused() {
    let data = [0; 100];
    let refused = |format, width, height, stride, length: usize| {
        Picture::new(format, Size::new(width, height), stride, &data[..length]).err()
    };
    let rgb = PixelFormat::Rgb888;
    assert_eq!(refused(rgb, 0, 4, 12, 100), Some(ImageError::Empty));
    assert_eq!(refused(rgb, 4, 0, 12, 100), Some(ImageError::Empty));
    assert_eq!(refused(rgb, MAX_SIDE + 1, 1, usize::MAX, 100), Some(ImageError::TooLarge));
    assert_eq!(refused(rgb, 1, u32::MAX, 12, 100), Some(ImageError::TooLarge));
    assert_eq!(refused(PixelFormat::Yuyv, 3, 4, 12, 100), Some(ImageError::OddWidth));
    assert_eq!(refused(rgb, 4, 4, 11, 100), Some(ImageError::StrideTooShort { needed: 12 }));
    assert_eq!(refused(rgb, 4, 4, 20, 71), Some(ImageError::DataTooShort { needed: 72 }));
    assert_eq!(refused(rgb, 4, 4, 20, 72), None);
    assert_eq!(refused(rgb, 4, 4, usize::MAX, 100), Some(ImageError::DataTooShort { needed: usize::MAX }));
}

#[test]
fn impossible_geometries_are_refused() {
    let refused = |resize, picture: [u32; 2], output: [u32; 2]| {
        Geometry::plan(resize, Size::new(picture[0], picture[1]), Size::new(output[0], output[1])).err()
    };
    assert_eq!(refused(Resize::Stretch, [0, 4], [4, 4]), Some(ImageError::Empty));
    assert_eq!(refused(Resize::Stretch, [4, 4], [4, 0]), Some(ImageError::Empty));
    assert_eq!(refused(Resize::Stretch, [4, MAX_SIDE + 1], [4, 4]), Some(ImageError::TooLarge));
    assert_eq!(refused(Resize::Stretch, [4, 4], [MAX_SIDE + 1, 4]), Some(ImageError::TooLarge));
    assert_eq!(refused(Resize::ShorterSide(513), [1, MAX_SIDE], [4, 4]), Some(ImageError::TooLarge));
    assert_eq!(refused(Resize::ShorterSide(512), [1, MAX_SIDE], [4, 4]), None);
    assert_eq!(refused(Resize::ShorterSide(u16::MAX), [MAX_SIDE, 1], [4, 4]), Some(ImageError::TooLarge));
    assert_eq!(refused(Resize::ShorterSide(0), [4, 4], [4, 4]), Some(ImageError::BadResize));
    assert_eq!(refused(Resize::CentralCrop(0), [4, 4], [4, 4]), Some(ImageError::BadResize));
    assert_eq!(refused(Resize::CentralCrop(1001), [4, 4], [4, 4]), Some(ImageError::BadResize));
    assert_eq!(refused(Resize::ShorterSide(223), [300, 400], [224, 224]), Some(ImageError::CropOutside));
    assert_eq!(refused(Resize::ShorterSide(224), [300, 400], [224, 224]), None);
}

#[test]
fn the_scratch_is_exact_and_the_output_too() {
    let data = [7; 40 * 30 * 3];
    let size = Size::new(40, 30);
    for (format, resize, output) in [
        (PixelFormat::Rgb888, Resize::Stretch, Size::new(7, 9)),
        (PixelFormat::Yuyv, Resize::ShorterSide(20), Size::new(16, 20)),
        (PixelFormat::Grey, Resize::Stretch, Size::new(40, 3)),
    ] {
        let picture = Picture::new(format, size, 40 * format.bytes_per_pixel(), &data).unwrap();
        let geometry = Geometry::plan(resize, size, output).unwrap();
        for channels in [Channels::Grey, Channels::Rgb] {
            let needed = geometry.scratch_len(format, channels);
            let mut scratch = vec![0; needed - 1];
            let mut out = vec![0; geometry.output_len(channels)];
            let result = resample(&picture, &geometry, channels, &mut scratch, &mut out);
            assert_eq!(result, Err(ImageError::ScratchTooSmall { needed }));
            scratch.push(0);
            assert_eq!(resample(&picture, &geometry, channels, &mut scratch, &mut out), Ok(()));
            let needed = out.len();
            out.push(0);
            let result = resample(&picture, &geometry, channels, &mut scratch, &mut out);
            assert_eq!(result, Err(ImageError::OutputLength { needed }));
        }
        let other = Geometry::plan(resize, Size::new(30, 40), output).unwrap();
        let mut scratch = vec![0; other.scratch_len(format, Channels::Rgb)];
        let mut out = vec![0; other.output_len(Channels::Rgb)];
        let result = resample(&picture, &other, Channels::Rgb, &mut scratch, &mut out);
        assert_eq!(result, Err(ImageError::PictureMismatch));
    }
}

#[test]
fn the_scratch_is_what_the_filters_hold() {
    // 40 -> 7 columns: the triangle is 80 / 7 pixels wide and holds up to 12, though where it begins decides whether
    // any of the 7 does; 30 -> 9 rows: 60 / 9, up to 7. Counted here by the definition, position by position.
    let taps = |source: f64, resized: f64| {
        let reach = source / resized;
        let count = |x: i32| {
            let centre = (f64::from(x) + 0.5) * reach;
            (0..source as i32).filter(|i| (f64::from(*i) + 0.5 - centre).abs() < reach - 1e-9).count()
        };
        (0..resized as i32).map(count).max().unwrap()
    };
    let (columns, rows) = (taps(40.0, 7.0), taps(30.0, 9.0));
    let geometry = Geometry::plan(Resize::Stretch, Size::new(40, 30), Size::new(7, 9)).unwrap();
    let filters = 7 * (1 + columns) + rows + (rows * 7 * 3).div_ceil(4);
    assert_eq!(geometry.scratch_len(PixelFormat::Rgb888, Channels::Rgb), filters);
    assert_eq!(geometry.scratch_len(PixelFormat::Yuyv, Channels::Rgb), filters + 40 * 3 / 4);
    let copy = Geometry::plan(Resize::Stretch, Size::new(40, 30), Size::new(40, 30)).unwrap();
    assert_eq!(copy.scratch_len(PixelFormat::Yuyv, Channels::Rgb), 0);
}

#[test]
fn a_small_board_needs_little_scratch() {
    let geometry = Geometry::plan(Resize::Stretch, Size::new(320, 240), Size::new(32, 32)).unwrap();
    assert!(4 * geometry.scratch_len(PixelFormat::Rgb565Be, Channels::Rgb) < 6 * 1024);
    assert!(4 * geometry.scratch_len(PixelFormat::Grey, Channels::Grey) < 4 * 1024);
}

#[test]
fn errors_say_what_they_need() {
    assert_eq!(ImageError::ScratchTooSmall { needed: 41 }.to_string(), "the resampling needs 41 words of scratch");
    let error: Box<dyn std::error::Error> = Box::new(ImageError::OddWidth);
    assert_eq!(error.to_string(), "a YUYV picture needs an even width");
}

/// Any picture and any plan: a result within the source's values, or an error. A picture of one colour keeps it.
#[test]
fn random_pictures_stay_within_their_values() {
    let mut random = Random(2_463_534_242);
    let (rounds, mut ran) = (if cfg!(miri) { 20 } else { 3000 }, 0);
    for round in 0..rounds {
        let format = FORMATS[round % FORMATS.len()];
        let channels = if random.next().is_multiple_of(2) { Channels::Rgb } else { Channels::Grey };
        let size = Size::new(random.upto(50), random.upto(50));
        let output = Size::new(random.upto(40), random.upto(40));
        let resize = match random.next() % 3 {
            0 => Resize::Stretch,
            1 => Resize::CentralCrop(random.upto(1100) as u16),
            _ => Resize::ShorterSide(random.upto(80) as u16),
        };
        let stride = size.width as usize * format.bytes_per_pixel() + random.upto(5) as usize - 1;
        let mut data = random.bytes(stride * size.height as usize);
        // Half of the time few different values, so that the bounds are tight.
        if round % 2 == 0 {
            let (base, spread) = (random.next() as u8, random.upto(9) as u8);
            data.iter_mut().for_each(|value| *value = base.wrapping_add(*value % spread));
        }
        let (Ok(picture), Ok(geometry)) =
            (Picture::new(format, size, stride, &data), Geometry::plan(resize, size, output))
        else {
            continue;
        };
        let mut out = resampled(&picture, &geometry, channels);
        let whole = resampled(&picture, &Geometry::plan(Resize::Stretch, size, size).unwrap(), channels);
        for channel in 0..channels.count() {
            let source = || whole.iter().skip(channel).step_by(channels.count());
            let (low, high) = (source().min().unwrap(), source().max().unwrap());
            let mut values = out.iter().skip(channel).step_by(channels.count());
            assert!(values.all(|value| (low..=high).contains(&value)), "{format:?} {resize:?} {size:?} {output:?}");
        }
        let order = if channels == Channels::Rgb { ColourOrder::Bgr } else { ColourOrder::Grey };
        assert!(quantize_pixels(&mut out, order, &[0; 768][..256 * channels.count()]).is_ok());
        ran += 1;
    }
    assert!(ran > rounds / 2, "{ran}");
}

/// The longest sides there are: nothing overflows, and constant pictures stay what they are within the rounding of
/// tens of thousands of coefficients.
// Too large for Miri.
#[cfg(not(miri))]
#[test]
fn the_largest_sides_work() {
    let row = vec![255; MAX_SIDE as usize * 3];
    for (picture, output, resize) in [
        (Size::new(MAX_SIDE, 1), Size::new(1, 1), Resize::Stretch),
        (Size::new(1, MAX_SIDE), Size::new(1, 2), Resize::Stretch),
        (Size::new(MAX_SIDE, 1), Size::new(200, 200), Resize::ShorterSide(512)),
        (Size::new(MAX_SIDE, 1), Size::new(MAX_SIDE, 1), Resize::Stretch),
        (Size::new(2, 2), Size::new(2, MAX_SIDE), Resize::Stretch),
    ] {
        let view = Picture::new(PixelFormat::Rgb888, picture, picture.width as usize * 3, &row).unwrap();
        let geometry = Geometry::plan(resize, picture, output).unwrap();
        let out = resampled(&view, &geometry, Channels::Rgb);
        assert!(out.iter().all(|value| *value >= 254), "{picture:?} {output:?}");
    }
}
