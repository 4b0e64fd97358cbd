//! The colours that a source's tags say, seen in a snapshot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{command, photos};

/// The pixel in the middle of what the camera sees of a source.
fn seen(source: &str, args: &str, input: Option<&[u8]>) -> [u8; 3] {
    let folder = tempfile::tempdir().expect("a folder");
    let options = "--frames 1 --threshold 0 --hysteresis 0 --average 1";
    let mut program = command(&format!("camera {source} {options} --snapshots {}", folder.path().display()));
    let mut child = program.args(args.split_whitespace()).spawn().expect("it starts");
    if let (Some(bytes), Some(mut stdin)) = (input, child.stdin.take()) {
        let _ = std::io::Write::write_all(&mut stdin, bytes);
    }
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{source}: {error}");
    let entry = fs::read_dir(folder.path()).expect("a folder").next().expect("a snapshot").expect("a file");
    let picture = image::open(entry.path()).expect("a picture").into_rgb8();
    picture.get_pixel(picture.width() / 2, picture.height() / 2).0
}

/// A frame of one colour, 4:2:0.
fn frame(width: usize, height: usize, [luma, blue, red]: [u8; 3]) -> Vec<u8> {
    let quarter = width / 2 * height / 2;
    [vec![luma; width * height], vec![blue; quarter], vec![red; quarter]].concat()
}

fn y4m(width: usize, height: usize, tags: &str, yuv: [u8; 3]) -> Vec<u8> {
    let head = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip C420jpeg{tags}\nFRAME\n");
    [head.as_bytes(), &frame(width, height, yuv)].concat()
}

fn near(name: &str, found: [u8; 3], expected: [u8; 3]) {
    let far = found.iter().zip(expected).map(|(found, expected)| found.abs_diff(expected)).max();
    assert!(far <= Some(3), "{name}: {found:?}, not {expected:?}");
}

/// Pure red in BT.601 and BT.709, of limited and full range (ITU-R BT.709-6, JFIF 1.02), small and in high definition.
#[test]
fn yuv4mpeg_has_the_range_of_its_first_line_and_the_matrix_of_its_size() {
    const RED: [u8; 3] = [255, 0, 0];
    for (width, height, tags, args, yuv, expected) in [
        (64, 48, "", "", [81, 90, 240], RED),
        (64, 48, " XCOLORRANGE=LIMITED", "", [81, 90, 240], RED),
        (64, 48, " XYSCSS=420JPEG XCOLORRANGE=FULL", "", [76, 85, 255], RED),
        (64, 48, " XCOLORRANGE=FULL", "", [128, 128, 128], [128; 3]),
        (1280, 720, "", "", [63, 102, 240], RED),
        (1280, 720, " XCOLORRANGE=FULL", "", [76, 85, 255], RED),
        (1280, 720, "", "--matrix bt601", [81, 90, 240], RED),
        (64, 48, "", "--matrix bt709 --range full", [54, 99, 255], RED),
        (64, 48, " XCOLORRANGE=FULL", "--range limited", [235, 128, 128], [255; 3]),
        (64, 48, "", "--matrix bt2020", [74, 97, 240], RED),
    ] {
        let found = seen("y4m:-", args, Some(&y4m(width, height, tags, yuv)));
        near(&format!("{width} x {height}{tags} {args}"), found, expected);
    }
}

#[test]
fn raw_frames_have_the_matrix_of_their_size_or_the_one_that_is_given() {
    for (width, height, args, yuv) in [
        (64, 48, "", [81, 90, 240]),
        (1280, 720, "", [63, 102, 240]),
        (1280, 720, "--matrix bt601 --range full", [76, 85, 255]),
    ] {
        let args = format!("--width {width} --height {height} --format yuv420 {args}");
        near(&args, seen("pipe:-", &args, Some(&frame(width, height, yuv))), [255, 0, 0]);
    }
    let words: Vec<u8> = [90, 81, 240, 81].repeat(64 * 48 / 2);
    near("uyvy", seen("pipe:-", "--width 64 --height 48 --format uyvy", Some(&words)), [255, 0, 0]);
    let pixels: Vec<u8> = [10, 20, 200, 99].repeat(64 * 48);
    near("bgrx", seen("pipe:-", "--width 64 --height 48 --format bgrx", Some(&pixels)), [200, 20, 10]);
    near("rgbx", seen("pipe:-", "--width 64 --height 48 --format rgbx", Some(&pixels)), [10, 20, 200]);
    near(
        "bgr24",
        seen("pipe:-", "--width 64 --height 48 --format bgr24", Some(&[10, 20, 200].repeat(64 * 48))),
        [200, 20, 10],
    );
}

#[test]
fn a_pipe_of_jpeg_pictures_is_seen() {
    let photo = fs::read(photos().join("cat.jpg")).expect("a photo");
    let expected = image::load_from_memory(&photo).expect("a picture").into_rgb8();
    let expected = expected.get_pixel(expected.width() / 2, expected.height() / 2).0;
    near("a photo", seen("pipe:-", "--format mjpeg", Some(&photo.repeat(2))), expected);
}

/// Encodes one frame with ffmpeg, without loss, and with these tags. `None` where ffmpeg isn't installed.
fn video(folder: &Path, size: (usize, usize), args: &str, yuv: [u8; 3]) -> Option<PathBuf> {
    let path = folder.join("video.mkv");
    let mut program = Command::new("ffmpeg");
    let size_text = format!("{}x{}", size.0, size.1);
    let input = ["-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size_text];
    program.args(input).args(args.split_whitespace().take_while(|word| *word != "--")).args(["-i", "-"]);
    program.args(args.split_whitespace().skip_while(|word| *word != "--").skip(1)).args(["-c:v", "ffv1"]).arg(&path);
    let mut child = program.stdin(Stdio::piped()).spawn().ok()?;
    std::io::Write::write_all(&mut child.stdin.take().expect("its input"), &frame(size.0, size.1, yuv))
        .expect("written");
    assert!(child.wait().expect("it ends").success());
    Some(path)
}

/// Videos of all tags. What isn't tagged has the matrix of its size, as in YUV4MPEG2.
#[test]
fn videos_have_the_colours_of_their_tags() {
    let folder = tempfile::tempdir().expect("a folder");
    for (size, tags, yuv) in [
        ((64, 48), "", [81, 90, 240]),
        ((64, 48), "-colorspace bt709 -color_range tv", [63, 102, 240]),
        ((64, 48), "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv", [63, 102, 240]),
        ((64, 48), "-colorspace bt709 -color_range pc", [54, 99, 255]),
        ((64, 48), "-colorspace smpte170m -color_range pc", [76, 85, 255]),
        ((64, 48), "-color_range pc", [76, 85, 255]),
        ((64, 48), "-colorspace bt2020nc -color_range tv", [74, 97, 240]),
        ((1280, 720), "", [63, 102, 240]),
        ((1280, 720), "-color_primaries bt709", [63, 102, 240]),
        ((1280, 720), "-colorspace smpte170m", [81, 90, 240]),
        ((1280, 720), "-colorspace bt470bg -color_primaries bt709 -color_trc bt709", [81, 90, 240]),
    ] {
        let args = format!("{tags} -- {tags}");
        let Some(path) = video(folder.path(), size, &args, yuv) else {
            println!("skipped: ffmpeg is not installed");
            return;
        };
        near(tags, seen(&format!("video:{}", path.display()), "", None), [255, 0, 0]);
    }
}
