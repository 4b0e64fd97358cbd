//! A network camera that says nothing for half a minute.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::command;

/// How long the camera is silent.
const STALL: Duration = Duration::from_secs(30);
/// A pause between two attempts, and what a busy machine adds.
const LATE: Duration = Duration::from_secs(10);

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = image::RgbImage::from_pixel(48, 32, image::Rgb([200, 90, 60]));
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&picture).expect("encoded");
    bytes
}

fn head(connection: &mut TcpStream) -> io::Result<()> {
    let _ = connection.read(&mut [0; 1024])?;
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
}

/// Sends so many pictures, or fewer where the other side hangs up.
fn pictures(connection: &mut TcpStream, most: usize) -> io::Result<()> {
    let picture = jpeg();
    for _ in 0..most {
        write!(connection, "--b\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len())?;
        connection.write_all(&picture)?;
        connection.write_all(b"\r\n")?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Frames come, then none for half a minute, then again: on the same connection if it is still open, on new ones if not.
/// Whether the program waits (`--silence 60`) or gives the connection up (`--silence 10`, as by default), it sees frames no
/// later than the camera is back and one pause between attempts has passed.
fn stalls(args: &str, reconnects: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        head(&mut connection).and_then(|()| pictures(&mut connection, 20)).expect("sent");
        // Nobody answers meanwhile: attempts get a connection, and no word.
        thread::sleep(STALL);
        // Where it was given up, this fails at once.
        let _ = pictures(&mut connection, usize::MAX);
        for mut connection in listener.incoming().flatten() {
            let _ = head(&mut connection).and_then(|()| pictures(&mut connection, usize::MAX));
        }
    });
    let mut program = command(&format!("camera mjpeg:http://{address}/ --json --frames 40 {args}"));
    let mut child = program.stderr(Stdio::null()).spawn().expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut times = Vec::new();
    let mut last = Value::Null;
    for line in lines {
        times.push(Instant::now());
        last = serde_json::from_str(&line.expect("a line")).expect("an object");
    }
    assert!(child.wait().expect("it ends").success());
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().expect("frames");
    assert!(longest > STALL - Duration::from_secs(2), "the camera never stalled: {longest:?}");
    assert!(longest < STALL + LATE, "{longest:?} without a frame");
    assert_eq!(last["classified"], 40, "{last}");
    assert_eq!(last["reconnects"].as_u64() > Some(0), reconnects, "{last}");
}

#[test]
fn half_a_minute_of_silence_is_given_up_and_tried_again() {
    stalls("--silence 10", true);
}

#[test]
fn half_a_minute_of_silence_is_waited_for_if_that_is_asked_for() {
    stalls("--silence 60", false);
}
