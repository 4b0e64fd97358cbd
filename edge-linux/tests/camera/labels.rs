//! The camera sees what `classify` sees.

use std::fs;

use crate::common::{accounts, command, feed, objects, photos};

/// Frames of all photos, raw with padding, and the classes and scores of each that `classify` gives for its file.
#[test]
fn frames_have_the_scores_of_pictures() {
    ["googlenet", "nano"].into_iter().for_each(frames_have_the_scores_of_pictures_by);
}

fn frames_have_the_scores_of_pictures_by(model: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(photos()).expect("photos") {
        let path = entry.expect("a photo").path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        let picture = image::open(&path).expect("a picture").into_rgb8();
        let file = folder.path().join("frame.png");
        picture.save(&file).expect("saved");
        let output = command(&format!("classify {} --json --model {model}", file.display())).output().expect("it runs");
        let classified: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");

        let (width, height) = picture.dimensions();
        let stride = (width as usize * 3).next_multiple_of(64) + 64;
        let mut frame = Vec::new();
        for row in picture.as_raw().chunks(width as usize * 3) {
            frame.extend_from_slice(row);
            frame.resize(frame.len().next_multiple_of(stride), 99);
        }
        let args =
            format!("pipe:- --width {width} --height {height} --stride {stride} --format rgb24 --json --model {model}");
        let (frames, end) = objects(&feed(&args, &frame));
        assert_eq!(accounts(&end), [1, 0, 0, 0]);
        assert_eq!(frames[0]["top"], classified[0]["top"], "{}", path.display());
    }
}

/// A folder's pictures come round in order, none is dropped, and the steady label is the best class where nothing is
/// averaged.
#[test]
fn a_folder_of_pictures_comes_round() {
    let args = format!("camera images:{} --json --frames 16 --average 1 --threshold 0", photos().display());
    let (frames, end) = objects(&command(&args).output().expect("it runs"));
    assert_eq!(accounts(&end)[..2], [16, 0]);
    let best: Vec<_> = frames.iter().map(|frame| &frame["top"][0]["class"]).collect();
    assert_eq!(best[..8], best[8..]);
    for frame in &frames {
        assert_eq!(frame["steady"]["class"], frame["top"][0]["class"], "{frame}");
    }
}

/// Name and id of a class come in lines and to the hook: of those that have ids, and of those that have none.
#[test]
fn ids_go_with_labels() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("photos")).expect("made");
    std::fs::copy(photos().join("coffee.jpg"), folder.path().join("photos/coffee.jpg")).expect("copied");
    for (model, id) in [("googlenet", Some("n07920052")), ("nano", None)] {
        let log = folder.path().join(model);
        let shown = folder.path().join("photos");
        let args = "--json --frames 1 --average 1 --threshold 0 --on-change-limit 60";
        let output = command(&format!("camera images:{} --model {model} {args}", shown.display()))
            .arg("--on-change")
            .arg(format!("echo \"$TINCEPTION_LABEL/$TINCEPTION_ID\" > '{}'", log.display()))
            .output()
            .expect("it runs");
        let (frames, _) = objects(&output);
        let (best, steady) = (&frames[0]["top"][0], &frames[0]["steady"]);
        for object in [best, steady] {
            assert_eq!(object.get("id").map(|id| id.as_str().expect("text")), id, "{object}");
        }
        let name = steady["label"].as_str().expect("a name");
        assert_eq!(best["label"], name);
        assert!(model == "nano" || name == "espresso", "{name}");
        assert_eq!(fs::read_to_string(&log).expect("the hook ran"), format!("{name}/{}\n", id.unwrap_or_default()));
    }
}

/// The label changes once where half of the frames show one thing and half another, and the hook hears of it.
#[test]
fn changes_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let photo = |name: &str| image::open(photos().join(name)).expect("a photo").into_rgb8();
    let mut video = b"YUV4MPEG2 W64 H64 F30:1 Cmono\n".to_vec();
    for name in ["cat.jpg", "rocket.jpg"] {
        let grey = image::imageops::grayscale(&photo(name));
        let small = image::imageops::resize(&grey, 64, 64, image::imageops::FilterType::Triangle);
        for _ in 0..10 {
            video.extend_from_slice(b"FRAME\n");
            video.extend_from_slice(small.as_raw());
        }
    }
    let file = folder.path().join("video.y4m");
    fs::write(&file, video).expect("written");
    let log = folder.path().join("log");
    let kept = folder.path().join("kept");
    let output = command(&format!("camera y4m:{} --threshold 0.2 --snapshots {}", file.display(), kept.display()))
        .arg("--on-change")
        .arg(format!("echo \"$TINCEPTION_FRAME $TINCEPTION_LABEL\" >> '{}'", log.display()))
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        lines.last().is_some_and(|line| line.starts_with("20 frames: 20 classified, 0 skipped, 0 dropped")),
        "{text}"
    );
    let changes = lines.len() - 1;
    assert!(changes >= 1, "{text}");
    // One line in the log for each change, or fewer where the hook was still at work.
    let heard = fs::read_to_string(&log).expect("the hook ran");
    assert!((1..=changes).contains(&heard.lines().count()), "{heard}");
    assert_eq!(fs::read_dir(kept).expect("snapshots").count(), changes);
}
