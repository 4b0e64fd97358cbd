//! Faults: what a source does wrong, and what the program makes of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::common::{accounts, command, feed, objects, photos, start};

const RAW: &str = "pipe:- --width 32 --height 24 --format yuv420 --json";
const FRAME: usize = 32 * 24 * 3 / 2;

/// What came before is accounted for, and the exit code says that something is wrong with what feeds the pipe.
#[test]
fn a_pipe_that_ends_within_a_frame() {
    let output = feed(RAW, &vec![90; FRAME * 2 + 7]);
    assert_eq!(one_line(&output), "tinception: error: -: the pipe ended within a frame, after 7 of 1152 bytes");
    let text = String::from_utf8_lossy(&output.stdout);
    let end = serde_json::from_str(text.lines().last().expect("the accounts")).expect("an object");
    let [classified, skipped, dropped, broken] = accounts(&end);
    assert_eq!((classified + dropped, skipped, broken), (2, 0, 0));
}

/// The only line of a failed run's errors.
fn one_line(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{error}");
    error
}

/// Whatever should have filled it failed, as rpicam-vid does without a camera: a service must start both anew.
#[test]
fn a_source_without_a_frame_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("written");
        folder.path().join(name).display().to_string()
    };
    for (args, bytes, words) in [
        (RAW.to_owned(), &b""[..], "pipe:-: it ended without a frame"),
        (format!("{RAW} --every 3"), b"", "pipe:-: it ended without a frame"),
        (RAW.to_owned(), b"x", "ended within a frame, after 1 of 1152"),
        ("pipe:- --format mjpeg".into(), b"", "it ended without a frame"),
        ("pipe:- --format mjpeg".into(), b"<html>", "it ended without a frame"),
        ("pipe:- --format mjpeg".into(), b"\xFF\xD8\xFF", "ended within a JPEG picture"),
        ("y4m:-".into(), b"YUV4MPEG2 W4 H4\n", "y4m:-: it ended without a frame"),
        ("y4m:-".into(), b"YUV4MPEG2 W4 H4\nFRAME\n", "ended within a frame, after 0 of 24"),
        ("y4m:-".into(), b"", "not a YUV4MPEG2 file"),
        (format!("pipe:{} --width 4 --height 4 --format grey", file("raw", b"")), b"", "it ended without a frame"),
        (
            format!("y4m:{}", file("a.y4m", b"YUV4MPEG2 W4 H4\nFRAME\nabc")),
            b"",
            "a.y4m: the video ended within a frame",
        ),
    ] {
        let error = one_line(&feed(&args, bytes));
        assert!(error.contains(words), "{args}: {error}");
    }
}

#[test]
fn a_folder_without_a_readable_picture_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.png"), "no picture").expect("written");
    let output = command(&format!("camera images:{}", folder.path().display())).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.lines().last().is_some_and(|line| line.ends_with("none of its pictures can be read")), "{error}");
}

/// A program that has no descriptor left, by its own doing or another's, is no camera that came to its end.
#[test]
fn a_lack_of_descriptors_is_no_end() {
    let script = "exec 3>&- ; ulimit -n \"$2\"; exec \"$0\" camera \"images:$1\" --json --frames 4 --threads 1";
    let mut failed = 0;
    for descriptors in 3..24 {
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_tinception")]).arg(photos()).arg(descriptors.to_string());
        let output = shell.stdin(std::process::Stdio::null()).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        match output.status.success() {
            true => assert!(text.contains("\"classified\":4"), "{descriptors}: {text}"),
            false => failed += 1,
        }
    }
    assert!(failed > 0, "there was no lack of descriptors");
}

#[test]
fn an_odd_size_in_every_format() {
    for (format, bytes) in [
        ("yuv420", 33 * 17 + 2 * 17 * 9),
        ("nv12", 33 * 17 + 34 * 9),
        ("rgb24", 33 * 17 * 3),
        ("bgr24", 33 * 17 * 3),
        ("rgbx", 33 * 17 * 4),
        ("bgrx", 33 * 17 * 4),
        ("grey", 33 * 17),
    ] {
        let args = format!("pipe:- --width 33 --height 17 --format {format} --json");
        let (_, end) = objects(&feed(&args, &vec![90; bytes]));
        assert_eq!(accounts(&end), [1, 0, 0, 0], "{format}");
    }
}

#[test]
fn every_third_frame_is_looked_at() {
    let (frames, end) = objects(&feed(&format!("{RAW} --every 3"), &vec![90; FRAME * 10]));
    let [classified, skipped, dropped, _] = accounts(&end);
    assert_eq!((classified + dropped, skipped), (4, 6));
    assert!(frames.iter().all(|frame| frame["frame"].as_u64().expect("a number") % 3 == 0));
}

/// A silent pipe: SIGTERM ends the program all the same, within a second, with its accounts.
#[test]
fn a_stalled_source_does_not_keep_it_from_ending() {
    let (child, mut stdin) = start(RAW);
    stdin.write_all(&[90; FRAME]).expect("written");
    thread::sleep(Duration::from_millis(700));
    let start = Instant::now();
    let killed = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    let (frames, end) = objects(&child.wait_with_output().expect("it ends"));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!((frames.len(), accounts(&end)), (1, [1, 0, 0, 0]));
    drop(stdin);
}

#[test]
fn bad_input_is_refused_in_one_line() {
    for (args, words) in [
        ("camera pipe:-", "--width, --height and --format"),
        ("camera pipe:- --width 33 --height 2 --format yuyv", "even width"),
        ("camera v4l2:/dev/video-none", "no such device"),
        ("camera y4m:/nowhere.y4m", "/nowhere.y4m"),
        ("camera images:/nowhere", "/nowhere"),
        ("camera video:/nowhere.mp4", "/nowhere.mp4"),
        ("camera mjpeg:http://127.0.0.1:1/", "127.0.0.1:1"),
        ("camera snapshot:http://127.0.0.1:1/", "127.0.0.1:1"),
        ("camera pipe:- --format mjpeg --width 4 --height 4", "leave --width"),
        ("camera pipe:- --width 33 --height 2 --format uyvy", "even width"),
        ("camera mjpeg:http://127.0.0.1:1/ --matrix bt709", "leave --matrix out"),
    ] {
        let output = command(args).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), error.lines().count()), (Some(2), 1), "{args}: {error}");
        assert!(error.contains(words), "{args}: {error}");
    }
}

#[test]
fn a_part_beyond_the_frame_breaks_every_frame_and_is_said() {
    let output = feed(&format!("{RAW} --roi 0,0,33,24"), &vec![90; FRAME]);
    assert_eq!(accounts(&objects(&output).1), [0, 0, 0, 1]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("beyond the frame of 32 x 24"));
}

fn jpeg() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 60]));
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&picture).expect("encoded");
    bytes
}

fn head(connection: &mut TcpStream) {
    let _ = connection.read(&mut [0; 1024]).expect("a request");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";
    connection.write_all(head.as_bytes()).expect("sent");
}

fn part(connection: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    write!(connection, "--b\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
    connection.write_all(bytes)?;
    connection.write_all(b"\r\n")
}

/// A camera that falls silent, then refuses connections for a while, then is there again.
#[test]
fn a_stream_that_stalls_is_opened_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        head(&mut connection);
        part(&mut connection, &jpeg()).expect("sent");
        // Silent until the other side hangs up.
        let _ = connection.read(&mut [0]);
        drop(listener);
        thread::sleep(Duration::from_millis(700));
        let listener = TcpListener::bind(address).expect("the same port");
        let (mut connection, _) = listener.accept().expect("a connection");
        head(&mut connection);
        while part(&mut connection, &jpeg()).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let output = command(&format!("camera mjpeg:http://{address}/ --silence 1 --frames 3 --json")).output();
    let (frames, end) = objects(&output.expect("it runs"));
    assert_eq!((frames.len(), accounts(&end)[0]), (3, 3));
    assert!(end["reconnects"].as_u64().expect("a number") >= 2, "{end}");
    server.join().expect("the camera");
}

/// Truncated pictures, pictures with random bytes and plain noise among good ones: counted, and the loop goes on.
#[test]
fn broken_pictures_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        head(&mut connection);
        let good = jpeg();
        let mut random = SmallRng::seed_from_u64(6);
        loop {
            let mut noise = vec![0; random.random_range(1..3000)];
            random.fill_bytes(&mut noise);
            let cut = &good[..random.random_range(1..good.len())];
            for bytes in [&good, cut, &noise[..]] {
                if part(&mut connection, bytes).is_err() {
                    return;
                }
                // So that none is dropped.
                thread::sleep(Duration::from_millis(15));
            }
        }
    });
    let output = command(&format!("camera mjpeg:http://{address}/ --frames 20 --json")).output().expect("it runs");
    let (frames, end) = objects(&output);
    let [classified, _, _, broken] = accounts(&end);
    assert_eq!((frames.len(), classified), (20, 20));
    assert!(broken >= 20, "{end}");
    // Told the first time, the second, the fourth ... not each time.
    assert!(String::from_utf8_lossy(&output.stderr).lines().count() < 12);
    server.join().expect("the camera");
}
