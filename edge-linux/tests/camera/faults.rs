//! Faults: what a source does wrong, and what the program makes of it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::common::{accounts, command, feed, objects, start};

const RAW: &str = "pipe:- --width 32 --height 24 --format yuv420 --json";
const FRAME: usize = 32 * 24 * 3 / 2;

#[test]
fn a_pipe_that_ends_within_a_frame() {
    let (_, end) = objects(&feed(RAW, &vec![90; FRAME * 2 + 7]));
    let [classified, skipped, dropped, broken] = accounts(&end);
    assert_eq!((classified + dropped, skipped, broken), (2, 0, 1));
}

#[test]
fn an_odd_size_in_every_format() {
    for (format, bytes) in
        [("yuv420", 33 * 17 + 2 * 17 * 9), ("nv12", 33 * 17 + 34 * 9), ("rgb24", 33 * 17 * 3), ("grey", 33 * 17)]
    {
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
