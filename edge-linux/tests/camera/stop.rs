//! SIGTERM ends the program within a second, whatever its source does, or doesn't.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{command, photos};

/// What a busy machine adds to a second.
const BUSY: Duration = Duration::from_secs(2);

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill runs").success());
}

/// Starts it, waits, ends it; what it said on standard error.
fn ends_in_time(name: &str, mut program: Command, pause: Duration) -> String {
    let mut child = program.spawn().expect("it starts");
    // The reader must not keep it from ending.
    let stdin = child.stdin.take();
    thread::sleep(pause);
    assert!(child.try_wait().expect("a state").is_none(), "{name}: it ended by itself");
    terminate(&child);
    let start = Instant::now();
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(start.elapsed() < Duration::from_secs(1) + BUSY, "{name}: {:?}", start.elapsed());
    assert_eq!(output.status.code(), Some(0), "{name}: {error}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("frames: "), "{name}: the accounts");
    drop(stdin);
    error
}

/// A camera that sends this, and then nothing for a long time.
fn camera(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten().take(99) {
            let answer = answer.clone();
            thread::spawn(move || {
                let _ = connection.read(&mut [0; 4096]);
                let _ = connection.write_all(&answer);
                thread::sleep(Duration::from_secs(30));
            });
        }
    });
    address.to_string()
}

fn ffmpeg(folder: &Path, text: &str) -> String {
    let path = folder.join("ffmpeg");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a program");
    format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"))
}

#[test]
fn sources_that_hang() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n";
    let raw = "--width 32 --height 24 --format yuv420";
    let soon = Duration::from_millis(700);
    for (name, args) in [
        ("a camera that accepts", format!("mjpeg:http://{}/", camera(vec![]))),
        ("a camera that answers", format!("mjpeg:http://{}/", camera(head.into()))),
        ("a camera that begins", format!("mjpeg:http://{}/", camera(format!("{head}--b\r\n\r\n\u{7f}").into()))),
        ("a picture that doesn't come", format!("snapshot:http://{}/", camera(vec![]))),
        ("a camera that is no camera", format!("rtsp://{}/", camera(vec![]))),
        ("a pipe that nobody writes to", format!("pipe:{} {raw}", fifo.display())),
        ("a silent pipe", format!("pipe:- {raw}")),
        ("a silent pipe of pictures", "pipe:- --format mjpeg".into()),
        ("a silent video", "y4m:-".into()),
        ("a slow folder", format!("images:{} --rate 1", photos().display())),
        ("a fast folder", format!("images:{}", photos().display())),
    ] {
        let mut program = command(&format!("camera {args} --model nano"));
        program.env("PATH", ffmpeg(folder.path(), "exec sleep 20"));
        ends_in_time(name, program, soon);
    }
}

#[test]
fn ffmpeg_ends_with_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    for (name, text) in [
        ("before the first frame", "exec sleep 61"),
        ("after it", r"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdef'; exec sleep 61"),
    ] {
        let path = ffmpeg(folder.path(), &format!("echo $$ > '{}'; {text}", pid.display()));
        let mut program = command("camera rtsp://u:secret@127.0.0.1:9/x --model nano");
        program.env("PATH", path);
        let error = ends_in_time(name, program, Duration::from_millis(1500));
        assert!(!error.contains("secret"), "{error}");
        let pid = std::fs::read_to_string(&pid).expect("it ran");
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "{name}: ffmpeg is left");
    }
}

/// A progressive picture of many scans, each of which decoders go through whole: small to send, long to decode.
#[test]
fn a_picture_that_takes_long() {
    let picture = slow_jpeg(4000, 300);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n--b\r\n";
    let part = format!("{head}Content-Length: {}\r\n\r\n", picture.len());
    let address = camera([part.as_bytes(), &picture].concat());
    let program = command(&format!("camera mjpeg:http://{address}/ --model nano"));
    ends_in_time("many scans", program, Duration::from_secs(2));
}

fn slow_jpeg(side: u16, scans: usize) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    bytes.extend([1; 64]);
    let [high, low] = side.to_be_bytes();
    bytes.extend([0xFF, 0xC2, 0, 17, 8, high, low, high, low, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]);
    // One code of one bit in each table: no difference, and a run of blocks without coefficients.
    for (class, symbol) in [(0, 0), (0x10, 0xE0)] {
        bytes.extend([0xFF, 0xC4, 0, 20, class, 1]);
        bytes.extend([0; 15]);
        bytes.push(symbol);
    }
    // Runs of 32,767 blocks: a zero for the code, 14 bits of length.
    let blocks = usize::from(side).div_ceil(8).pow(2);
    let bits: String = "011111111111111".repeat(blocks.div_ceil(32_767));
    let mut bits: Vec<u8> = bits.bytes().map(|bit| bit - b'0').collect();
    bits.resize(bits.len().next_multiple_of(8), 1);
    let data = bits.chunks(8).map(|byte| byte.iter().fold(0_u8, |value, bit| value << 1 | bit));
    let data: Vec<u8> = data.flat_map(|byte| if byte == 0xFF { vec![byte, 0] } else { vec![byte] }).collect();
    for scan in 0..scans {
        bytes.extend([0xFF, 0xDA, 0, 8, 1, 1 + (scan % 3) as u8, 0, 1, 63, 0x10]);
        bytes.extend(&data);
    }
    bytes.extend([0xFF, 0xD9]);
    bytes
}
