//! Network cameras, over the whole program: what is told of them, and what is not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{accounts, command, objects};

fn jpeg() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 60]));
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&picture).expect("encoded");
    bytes
}

/// A camera that does this with each connection, once it has the request.
fn camera(answer: impl Fn(&mut TcpStream, &str) -> std::io::Result<()> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let length = connection.read(&mut request).unwrap_or_default();
            let _ = answer(&mut connection, &String::from_utf8_lossy(&request[..length]));
        }
    });
    address
}

fn stream(connection: &mut TcpStream, frames: usize) -> std::io::Result<()> {
    connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")?;
    for _ in 0..frames {
        write!(connection, "--b\r\nContent-Length: {}\r\n\r\n", jpeg().len())?;
        connection.write_all(&jpeg())?;
        connection.write_all(b"\r\n")?;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A camera that wants a password (`ann:s3cret-PW`, in base64) and breaks off after some frames: each line says so without it.
#[test]
fn nothing_that_is_told_has_the_password() {
    let tries = AtomicUsize::new(0);
    let address = camera(move |connection, request| {
        if !request.to_ascii_lowercase().contains("basic yw5uonmzy3jldc1qvw==") {
            return connection
                .write_all(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        match tries.fetch_add(1, Ordering::Relaxed) {
            1 => connection.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            2 => connection.write_all(b"s3cret-PW\r\n\r\n"),
            _ => stream(connection, 4),
        }
    });
    let source =
        format!("camera mjpeg:http://ann:s3cret%2DPW@{address}/s?pwd=s3cret-PW --json --frames 12 --model nano");
    let output = command(&source).output().expect("it runs");
    let (_, end) = objects(&output);
    assert_eq!(accounts(&end)[0], 12);
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("http://{address}/s?...: the camera ended its stream")), "{told}");
    assert!(!told.contains("s3cret") && !told.contains("ann") && !told.contains("pwd"), "{told}");
}

/// Whatever is wrong with the source on the command line or in a file: its password is not in the error.
#[test]
fn no_error_has_the_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("camera.toml");
    for source in [
        "mjpeg:http://zoe:s3cret@127.0.0.1:1/",
        "snapshot:http://zoe:s3cret@127.0.0.1:1/?pwd=s3cret",
        "mjpeg:ftp://zoe:s3cret@cam/",
        "mjepg:http://zoe:s3cret@cam/",
        "http://zoe:s3cret@cam/",
        "mjpeg:http://zoe:s3/cret@cam/",
        "mjpeg:http://zoe:s3cret@cam:cam/",
        "rtsp://zoe:s3cret@127.0.0.1:1/",
        "video:rtsp://zoe:s3cret@127.0.0.1:1/",
        "video:http://zoe:s3cret@127.0.0.1:1/",
        "rtsps://zoe:s3cret@127.0.0.1:1/user=zoe&password=s3cret",
        "zoe:s3cret@cam",
    ] {
        std::fs::write(&config, format!("source = \"{source}\"\n")).expect("written");
        for args in [format!("camera {source}"), format!("camera --config {}", config.display())] {
            let output = command(&args).output().expect("it runs");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{source}: {error}");
            assert!(
                !error.is_empty() && !error.contains("s3") && !error.contains("cret") && !error.contains("zoe"),
                "{source}: {error}"
            );
        }
    }
}

/// A camera that hangs up after each frame: told the first time, the second, the fourth ...
#[test]
fn a_camera_that_breaks_again_and_again_is_told_now_and_then() {
    let address = camera(|connection, _| stream(connection, 1));
    let args = format!("camera mjpeg:http://{address}/ --json --frames 12 --model nano");
    let output = command(&args).output().expect("it runs");
    let (_, end) = objects(&output);
    // One break for each frame, but for the last; more where a slow machine dropped frames.
    let breaks = end["reconnects"].as_u64().expect("a number");
    assert!(breaks >= 11, "{end}");
    let error = String::from_utf8_lossy(&output.stderr);
    let broke: Vec<_> = error.lines().filter(|line| line.contains("ended its stream")).collect();
    // The last one may have been told, but not yet mended.
    let told = |breaks: u64| breaks.ilog2() as usize + 1;
    assert!([told(breaks), told(breaks + 1)].contains(&broke.len()), "{breaks} breaks: {error}");
    assert!(broke[0].ends_with("its stream") && broke[3].ends_with("(8 times so far)"), "{error}");
    let mended = error.lines().filter(|line| line.ends_with("opened anew")).count();
    assert!((broke.len() - 1..=broke.len()).contains(&mended), "{error}");
}

/// One picture a request, and none at all now and then.
#[test]
fn a_camera_that_gives_one_picture_a_request() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let address = camera(move |connection, _| {
        if counted.fetch_add(1, Ordering::Relaxed) == 3 {
            return connection.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            jpeg().len()
        );
        connection.write_all(&[head.as_bytes(), &jpeg()].concat())
    });
    for source in ["snapshot", "mjpeg"] {
        let args = format!("camera {source}:http://{address}/snap.jpg --json --frames 5 --rate 50 --model nano");
        let output = command(&args).output().expect("it runs");
        let (_, end) = objects(&output);
        assert_eq!((accounts(&end)[0], accounts(&end)[3]), (5, 0), "{end}");
    }
    assert!(requests.load(Ordering::Relaxed) >= 11);
}

/// An ffmpeg that plays a camera: it shows some frames, breaks off, and is started again.
#[test]
fn a_camera_that_speaks_rtsp_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("ffmpeg");
    let log = folder.path().join("log");
    let script = format!(
        "#!/bin/sh\n(env; echo \"$@\"; cat) >> '{}'\nprintf 'YUV4MPEG2 W4 H4\\n'\nfor i in 1 2 3; do printf 'FRAME\\n%024d' 0; sleep 0.1; done\n",
        log.display()
    );
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a program");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a path"));
    let mut run = command("camera video:rtsp://ann:s3cret@127.0.0.1:9/live --json --frames 7 --model nano");
    run.env("PATH", path).env("TINCEPTION_TOKEN", "a-token").env("TINCEPTION_MQTT_PASSWORD", "a-password");
    let output = run.output().expect("it runs");
    let (_, end) = objects(&output);
    // Three frames a time; more times where a slow machine dropped frames.
    let reconnects = end["reconnects"].as_u64().expect("a number") as usize;
    assert!(accounts(&end)[0] == 7 && reconnects >= 2, "{end}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("rtsp://127.0.0.1:9/live: the camera ended its stream"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    let log = std::fs::read_to_string(log).expect("it ran");
    assert!(!log.contains("a-token") && !log.contains("a-password"), "{log}");
    assert!(!log.contains("TINCEPTION_TOKEN") && !log.contains("TINCEPTION_MQTT_PASSWORD"), "{log}");
    let told: Vec<_> = log.lines().filter(|line| line.contains("s3cret")).collect();
    assert!(told.iter().all(|line| *line == "file 'rtsp://ann:s3cret@127.0.0.1:9/live'"), "in its input alone: {log}");
    assert!((reconnects..=reconnects + 1).contains(&told.len()), "{log}");
}
