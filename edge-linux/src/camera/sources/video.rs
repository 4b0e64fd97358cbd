//! Videos that ffmpeg decodes: files, and cameras that speak RTSP.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Result, anyhow};

use super::address::Address;
use super::ffmpeg::{Ffmpeg, PROGRAM, Task};
use super::{Read, Source, Wanted};
use crate::camera::frame::Frame;
use crate::output::file_error;

/// What stands in front of a camera's frames: no buffers, and a list of one video as the input.
const RTSP_INPUT: [&str; 12] = [
    "-fflags",
    "nobuffer",
    "-flags",
    "low_delay",
    "-f",
    "concat",
    "-safe",
    "0",
    "-protocol_whitelist",
    "pipe,rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto",
    "-i",
    "pipe:0",
];

/// A video, and the ffmpeg that decodes it.
pub(super) struct Video {
    ffmpeg: Ffmpeg,
    /// What errors name.
    name: String,
    /// The address, where there is one: ffmpeg's words may hold it.
    address: Option<Address>,
}

impl Video {
    /// Opens a video file.
    pub(super) fn open(path: &Path, wanted: &Wanted) -> Result<Self> {
        Self::open_with(Path::new(PROGRAM), path, wanted)
    }

    fn open_with(program: &Path, path: &Path, wanted: &Wanted) -> Result<Self> {
        if !path.exists() {
            return Err(file_error(path, "there is no such file"));
        }
        // A name with a colon is an address to ffmpeg, unless it says that it is a file's.
        let mut file = std::ffi::OsString::from("file:");
        file.push(path);
        let input = vec![OsStr::new("-i"), &file];
        let task = Task { input, output: &[], told: None, silence: None };
        let ffmpeg =
            Ffmpeg::start(program, task, wanted).map_err(|error| file_error(path, format_args!("{error:#}")))?;
        Ok(Self { ffmpeg, name: path.display().to_string(), address: None })
    }

    /// A camera. Frames come as they are decoded, none later for others.
    pub(super) fn connect(address: &Address, wanted: &Wanted) -> Result<Self> {
        Self::connect_with(Path::new(PROGRAM), address, wanted)
    }

    fn connect_with(program: &Path, address: &Address, wanted: &Wanted) -> Result<Self> {
        // The command line is for all users to see, so the address goes through standard input, as a list of one video.
        let list = format!("ffconcat version 1.0\nfile '{}'\n", address.with_login().replace('\'', "'\\''"));
        // TCP: lost packets of UDP would be grey blocks in the pictures. ffmpeg 4 knows no options in such a list.
        let with_tcp = format!("{list}option rtsp_transport tcp\n");
        let start = |told: &str| {
            let task = Task {
                input: RTSP_INPUT.into_iter().map(OsStr::new).collect(),
                // Each frame once, when it comes: nothing is repeated to fill a gap.
                output: &["-vsync", "passthrough"],
                told: Some(told.to_owned()),
                silence: Some(wanted.silence()),
            };
            Ffmpeg::start(program, task, wanted)
        };
        let started = match start(&with_tcp) {
            Err(error) if error.to_string().contains("unknown keyword") => start(&list),
            started => started,
        };
        let ffmpeg = started.map_err(|error| anyhow!("{address}: {}", address.hide(&format!("{error:#}"))))?;
        Ok(Self { ffmpeg, name: address.to_string(), address: Some(address.clone()) })
    }
}

impl Source for Video {
    fn read(&mut self, frame: &mut Frame) -> Result<Read> {
        let read = self.ffmpeg.read(frame).map_err(|error| {
            let why = format!("{error:#}");
            let why = self.address.as_ref().map_or(why.clone(), |address| address.hide(&why));
            anyhow!("{}: {why}", self.name)
        })?;
        match (&self.address, read) {
            // A camera's stream has no end: it comes back.
            (Some(_), Read::End) if !self.ffmpeg.is_stopped() => {
                Err(anyhow!("{}: the camera ended its stream", self.name))
            }
            (_, read) => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::camera::colour::{Colours, Matrix, Range};

    /// A program that stands in for ffmpeg.
    fn script(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("ffmpeg");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    fn camera(text: &str) -> Address {
        Address::parse(text, &["rtsp"]).unwrap()
    }

    #[test]
    fn what_ffmpeg_decodes_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("video.mp4");
        std::fs::write(&video, b"").unwrap();
        let program = script(folder.path(), r#"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdefFRAME\nghijkl'"#);
        let mut video = Video::open_with(&program, &video, &Wanted::default()).unwrap();
        let mut frame = Frame::default();
        for expected in [b"abcdef", b"ghijkl"] {
            assert_eq!(video.read(&mut frame).unwrap(), Read::Frame);
            assert_eq!(frame.bytes, expected);
        }
        assert_eq!(video.read(&mut frame).unwrap(), Read::End);
    }

    #[test]
    fn the_colours_are_those_of_the_description() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("video.mp4");
        std::fs::write(&file, b"").unwrap();
        let stream = "Stream #0:0(und): Video: h264 (High) (avc1 / 0x31637661), yuv420p";
        for (input, output, matrix) in [
            ("(tv, bt709)", "(tv, bt709, progressive)", Matrix::Bt709),
            ("(tv, bt709)", "", Matrix::Bt709),
            ("", "(tv, bt2020nc/bt2020/smpte2084)", Matrix::Bt2020),
            ("(pc, smpte170m)", "(tv, bt709/bt709/bt709)", Matrix::Bt709),
            ("", "", Matrix::Bt601),
        ] {
            let text = format!(
                "echo \"[info] Input #0, mov, from 'bt2020nc':\n[info]   {stream}{input}, 2x2\" >&2
                printf 'YUV4MPEG2 W2 H2\\nFRAME\\nabcdef'; sleep 0.1
                echo \"[info] Output #0, yuv4mpegpipe, to 'pipe:':\n[info]   {stream}{output}, 2x2\" >&2"
            );
            let mut video = Video::open_with(&script(folder.path(), &text), &file, &Wanted::default()).unwrap();
            let mut frame = Frame::default();
            assert_eq!(video.read(&mut frame).unwrap(), Read::Frame);
            let expected = Colours { matrix, range: Range::Limited };
            assert_eq!(frame.layout.colours, expected, "{input} {output}");
        }
    }

    #[test]
    fn no_file_no_ffmpeg_and_no_video_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("video.mp4");
        let error = |program: &Path| Video::open_with(program, &video, &Wanted::default()).err().unwrap().to_string();
        assert!(error(Path::new("ffmpeg")).contains("no such file"));
        std::fs::write(&video, b"").unwrap();
        assert!(error(&folder.path().join("none")).contains("not installed; install it"));
        let program = script(folder.path(), "echo 'moov atom not found' >&2; exit 1");
        assert!(error(&program).contains("ffmpeg cannot decode it: moov atom not found"));
    }

    #[test]
    fn an_ffmpeg_that_fails_later_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let video = folder.path().join("video.mp4");
        std::fs::write(&video, b"").unwrap();
        for (text, words) in [
            (
                r#"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdef'; echo '[error] out of memory' >&2; exit 1"#,
                "failed: out of memory",
            ),
            (r#"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdefFRAME\nab'"#, "ended within a frame"),
            (r#"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdefnoise'"#, "damaged"),
        ] {
            let mut video = Video::open_with(&script(folder.path(), text), &video, &Wanted::default()).unwrap();
            assert_eq!(video.read(&mut Frame::default()).unwrap(), Read::Frame);
            let error = video.read(&mut Frame::default()).unwrap_err().to_string();
            assert!(error.contains("video.mp4: ") && error.contains(words), "{error}");
        }
    }

    /// The address comes through standard input, and other users see nothing of it on the command line.
    #[test]
    fn the_password_is_not_on_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let text = format!(r#"echo "$@" > {0}; cat >> {0}; printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdef'"#, log.display());
        let address = camera("rtsp://u:p%40s's@cam/live?channel=1");
        let mut video = Video::connect_with(&script(folder.path(), &text), &address, &Wanted::default()).unwrap();
        assert_eq!(video.read(&mut Frame::default()).unwrap(), Read::Frame);
        let error = video.read(&mut Frame::default()).unwrap_err().to_string();
        assert_eq!(error, "rtsp://cam/live?...: the camera ended its stream");
        let log = std::fs::read_to_string(log).unwrap();
        let (arguments, list) = log.split_once('\n').unwrap();
        assert!(!arguments.contains("rtsp://"), "{arguments}");
        assert_eq!(
            list,
            "ffconcat version 1.0\nfile 'rtsp://u:p%40s'\\''s@cam/live?channel=1'\noption rtsp_transport tcp\n"
        );
    }

    #[test]
    fn an_old_ffmpeg_is_told_no_options() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"if grep -q option; then echo "[error] Line 3: unknown keyword 'option'" >&2; echo '[error] pipe:0: Invalid data' >&2; exit 1; fi
            printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdef'"#;
        let mut video =
            Video::connect_with(&script(folder.path(), text), &camera("rtsp://cam/"), &Wanted::default()).unwrap();
        assert_eq!(video.read(&mut Frame::default()).unwrap(), Read::Frame);
    }

    #[test]
    fn a_camera_that_is_silent_or_refuses_is_an_error_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = Wanted { silence: Some(Duration::from_millis(500)), ..Wanted::default() };
        let address = camera("rtsp://u:secret@cam/");
        let start = Instant::now();
        let silent = script(folder.path(), "exec sleep 30");
        let error = Video::connect_with(&silent, &address, &wanted).err().unwrap().to_string();
        assert_eq!(error, "rtsp://cam/: no picture for 0.5 s");
        let refused =
            script(folder.path(), "echo '[error] rtsp://u:secret@cam/?tcp: 401 Unauthorized secret' >&2; exit 1");
        let error = Video::connect_with(&refused, &address, &wanted).err().unwrap().to_string();
        assert!(error.contains("401") && !error.contains("secret"), "{error}");
        let stalled = script(folder.path(), r#"printf 'YUV4MPEG2 W2 H2\nFRAME\nabcdef'; exec sleep 30"#);
        let mut video = Video::connect_with(&stalled, &address, &wanted).unwrap();
        assert_eq!(video.read(&mut Frame::default()).unwrap(), Read::Frame);
        assert!(video.read(&mut Frame::default()).is_err());
        drop(video);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
