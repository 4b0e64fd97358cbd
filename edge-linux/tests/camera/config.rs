//! Options from a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::common::{accounts, command, objects, photos};

/// A file of the temporary folder with this text.
fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("camera.toml");
    fs::write(&file, text).expect("written");
    file
}

/// `tinception camera` with this file and further arguments.
fn camera(file: &Path, args: &str) -> Output {
    command(&format!("camera --config {} {args}", file.display())).output().expect("it runs")
}

#[test]
fn a_file_says_it_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!(
        "source = \"images:{}\"\njson = true\nframes = 4\ntop = 2\nthreshold = 0.25\nrotate = 180\nmirror = true\n",
        photos().display()
    );
    let (frames, end) = objects(&camera(&file(&folder, &text), "--average 1"));
    assert_eq!(accounts(&end)[0], 4);
    assert!(frames.iter().all(|frame| frame["top"].as_array().is_some_and(|top| top.len() == 2)));
    let args = format!("camera images:{} --json --frames 4 --rotate 180 --mirror", photos().display());
    let (same, _) = objects(&command(&args).output().expect("it runs"));
    assert_eq!(frames[0]["top"][0], same[0]["top"][0], "turned as the options turn it");
}

#[test]
fn the_command_line_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(&folder, "source = \"images:absent\"\njson = true\nframes = 4\ntop = 2\n");
    let (frames, end) = objects(&camera(&file, &format!("images:{} --frames 1 --top 3", photos().display())));
    assert_eq!((accounts(&end)[0], frames[0]["top"].as_array().map(Vec::len)), (1, Some(3)));
}

/// Half of the size on the command line, half in the file.
#[test]
fn what_options_need_of_each_other_may_be_in_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file(&folder, "height = 24\nformat = \"grey\"\njson = true\n");
    let pixels = folder.path().join("pixels");
    fs::write(&pixels, [90; 32 * 24]).expect("written");
    let (_, end) = objects(&camera(&file, &format!("pipe:{} --width 32", pixels.display())));
    assert_eq!(accounts(&end), [1, 0, 0, 0]);
}

#[test]
fn what_is_wrong_names_file_and_key() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, words) in [
        ("widht = 640", &["unknown key", "widht"][..]),
        ("config = \"other.toml\"", &["unknown key", "config"]),
        ("[frames]\nwidth = 640", &["frames", "a number"]),
        ("width = \"640\"\nheight = 480", &["width", "a number"]),
        ("width = -5\nheight = 480", &["--width", "-5"]),
        ("width = 640", &["--height"]),
        ("width = 640.5\nheight = 480", &["--width", "640.5"]),
        ("mirror = 1", &["mirror", "true or false"]),
        ("mirror = \"yes\"", &["mirror", "true or false"]),
        ("source = 3", &["source", "text"]),
        ("model = [\"nano\"]", &["model", "text"]),
        ("rotate = 45", &["--rotate", "45"]),
        ("threshold = 1.5", &["--threshold", "1.5"]),
        ("top = [3, 4]", &["top", "a number"]),
        ("top = 3\ntop = 4", &["line 2", "duplicate"]),
        ("top = ", &["line 1"]),
    ] {
        let output = camera(&file(&folder, text), "--frames 1");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {error}");
        assert_eq!(error.lines().count(), 1, "{text}: {error}");
        for word in words.iter().chain(&["camera.toml: "]) {
            assert!(error.contains(word), "{text}: '{word}' is missing in: {error}");
        }
    }
    let output = camera(Path::new("absent.toml"), "--frames 1");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent.toml"));
}

/// An option that may be given several times takes a list, or one value.
#[cfg(feature = "serve")]
#[test]
fn a_list_gives_an_option_several_times() {
    let folder = tempfile::tempdir().expect("a folder");
    for (text, words) in [
        ("allow-host = [\"camera.local\", \"camera.example.org\"]", None),
        ("allow-host = \"camera.local\"", None),
        ("allow-host = []", None),
        ("allow-host = [\"camera.local\", \"http://camera\"]", Some("--allow-host")),
        ("allow-host = [\"camera.local\", 3]", Some("a list")),
        ("allow-host = 3", Some("text in quotes")),
    ] {
        let output = camera(&file(&folder, text), &format!("images:{} --frames 1", photos().display()));
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(if words.is_some() { 2 } else { 0 }), "{text}: {error}");
        assert!(error.contains(words.unwrap_or_default()), "{text}: {error}");
    }
}

/// Nobody writes into the pipe, the device has no end, and the file is larger than any that people write.
#[test]
fn what_is_no_file_of_options_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let [pipe, large] = ["pipe", "large.toml"].map(|name| folder.path().join(name));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    fs::write(&large, "#".repeat(2 << 20)).expect("written");
    for path in [&pipe, &large, Path::new("/dev/zero"), folder.path()] {
        let output = camera(path, "--frames 1");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&path.display().to_string()) && error.lines().count() == 1, "{error}");
    }
}

/// What is wrong with the command line is not the file's fault.
#[test]
fn what_is_wrong_with_the_command_line_does_not_name_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = camera(&file(&folder, "top = 3"), "--top none");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--top") && !error.contains("camera.toml"), "{error}");
}

/// The file of the packages, with every line that is commented out in it, has nothing wrong.
#[cfg(feature = "serve")]
#[test]
fn the_packages_file_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let packaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/camera.toml");
    let text = fs::read_to_string(packaged).expect("read");
    let whole: Vec<&str> =
        text.lines().map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or(line)).collect();
    assert!(whole.iter().any(|line| line.starts_with("width = ")), "lines that were commented out are keys now");
    let error = |text: &str| {
        let args = "images:absent --model nano --serve 127.0.0.1:0 --snapshots";
        let output = camera(&file(&folder, text), &format!("{args} {}", folder.path().display()));
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    let without_comments = error(&whole.join("\n"));
    assert!(
        without_comments.contains("images:absent") && !without_comments.contains("camera.toml"),
        "{without_comments}"
    );
    assert!(error(&format!("{}\nno_option = 1\n", whole.join("\n"))).contains("camera.toml: unknown key"));
}
