//! The resize against Pillow, and its geometry against torchvision and TensorFlow. `golden/make_pillow.py` made the
//! data and says how.

// Safe code and millions of pixels: Miri would find nothing, and not come to an end.
#![cfg(not(miri))]

use tinception_core::image::{Channels, Geometry, Picture, PixelFormat, Resize, Size, resample};

/// The bytes that the script's pictures are made of.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn resize(kind: &str, amount: &str) -> Resize {
    match kind {
        "stretch" => Resize::Stretch,
        "shorter" => Resize::ShorterSide(amount.parse().unwrap()),
        "central" => Resize::CentralCrop(amount.parse().unwrap()),
        other => panic!("unknown resize {other}"),
    }
}

/// The lines of a table, without its heading.
fn lines(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn numbers(fields: &[&str]) -> Vec<u32> {
    fields.iter().map(|field| field.parse().unwrap()).collect()
}

#[test]
fn pixels_are_pillows() {
    let mut golden = &include_bytes!("golden/pillow.bin")[..];
    let (mut equal, mut close) = (0, 0);
    for line in lines(include_str!("golden/pillow.tsv")) {
        let (channels, format) = match line[0] {
            "L" => (Channels::Grey, PixelFormat::Grey),
            _ => (Channels::Rgb, PixelFormat::Rgb888),
        };
        let [width, height, output_width, output_height, seed] = numbers(&line[3..8])[..] else {
            panic!("{line:?}");
        };
        let stride = width as usize * channels.count();
        let data = noise(seed, stride * height as usize);
        let picture = Picture::new(format, Size::new(width, height), stride, &data).unwrap();
        let output = Size::new(output_width, output_height);
        let geometry = Geometry::plan(resize(line[1], line[2]), picture.size(), output).unwrap();
        let mut scratch = vec![u32::MAX; geometry.scratch_len(format, channels)];
        let mut out = vec![0; geometry.output_len(channels)];
        resample(&picture, &geometry, channels, &mut scratch, &mut out).unwrap();
        let expected = golden.split_off(..out.len()).unwrap();
        let largest = out.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max();
        if line[8] == "horizontal" {
            assert_eq!(largest, Some(0), "{line:?}");
            equal += 1;
        } else {
            assert!(largest <= Some(1), "{line:?}: {largest:?}");
            close += 1;
        }
    }
    assert!(golden.is_empty());
    assert_eq!((equal, close), (27, 4));
}

#[test]
fn geometries_are_torchvisions_and_tensorflows() {
    let mut cases = 0;
    for line in lines(include_str!("golden/geometry.tsv")) {
        let values = numbers(&line[2..]);
        let geometry =
            Geometry::plan(resize(line[0], line[1]), Size::new(values[0], values[1]), Size::new(values[2], values[3]))
                .unwrap();
        let (source, resized) = (geometry.source(), geometry.resized());
        let (source_x, source_y) = geometry.source_offset();
        let (crop_x, crop_y) = geometry.crop_offset();
        let planned = [source_x, source_y, source.width, source.height, resized.width, resized.height, crop_x, crop_y];
        assert_eq!(planned, values[4..], "{line:?}");
        cases += 1;
    }
    assert_eq!(cases, 212);
}
