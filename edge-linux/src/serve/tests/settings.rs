//! Settings that are read, changed and saved.

use std::fs;

use serde_json::{Value, json};

use super::*;
use crate::serve::feed::PictureSize;

impl Served {
    /// Status and answer, which is one JSON value, of a request for settings.
    fn settings(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, Value) {
        let (status, answer) = self.ask(method, &format!("/api/settings{path}"), headers, body);
        let text = String::from_utf8(answer).unwrap();
        (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method} {path}: {error}: {text}")))
    }

    fn change(&self, settings: &Value) -> (u16, Value) {
        self.settings("POST", "", "Content-Type: application/json\r\n", settings.to_string().as_bytes())
    }
}

fn frame() -> Update {
    let picture = Some(PictureSize { width: 64, height: 48 });
    Update { picture, usual_threshold: 0.35, ..update("cat") }
}

#[test]
fn settings_change_while_the_camera_runs() {
    let served = serve(None);
    let start = json!({
        "threshold": null, "usual_threshold": null, "hysteresis": 0.1, "average": 5, "roi": null, "picture": null,
        "can_save": false, "changes": 0,
    });
    assert_eq!(served.settings("GET", "", "", b""), (200, start.clone()));
    served.feed.publish(frame());
    let (status, changed) = served.change(&json!({ "threshold": 0.75, "average": 9 }));
    let mut expected = start;
    for (name, value) in [
        ("threshold", json!(0.75)),
        ("average", json!(9)),
        ("changes", json!(1)),
        ("usual_threshold", json!(0.35)),
        ("picture", json!({ "width": 64, "height": 48 })),
    ] {
        expected[name] = value;
    }
    assert_eq!((status, &changed), (200, &expected));
    let roi = json!({ "x": 4, "y": 8, "width": 60, "height": 40 });
    assert_eq!(served.change(&json!({ "roi": roi })).0, 200);
    // What the camera's threads see.
    let Tuning { steadiness, region } = served.tuned.get();
    assert_eq!((steadiness.threshold, steadiness.hysteresis, steadiness.frames), (Some(0.75), 0.1, 9));
    assert_eq!((region, served.tuned.changes()), ("4,8,60,40".parse().ok(), 2));
    let (_, changed) = served.change(&json!({ "threshold": null, "roi": null, "hysteresis": 0 }));
    assert_eq!(
        (&changed["threshold"], &changed["roi"], &changed["hysteresis"]),
        (&json!(null), &json!(null), &json!(0.0))
    );
    assert_eq!(served.settings("GET", "", "", b"").1, changed);
}

/// One line says what is wrong, and nothing has changed, also where another setting was right.
#[test]
fn bad_values_are_refused_and_change_nothing() {
    let served = serve(None);
    served.feed.publish(frame());
    let before = served.tuned.get();
    for (body, words) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "a JSON object"),
        ("\"threshold\"", "a JSON object"),
        ("{\"threshhold\": 0.5}", "threshhold: no such setting"),
        ("{\"threshold\": 1.01}", "threshold: give a number from 0 to 1"),
        ("{\"threshold\": -0.1}", "threshold"),
        ("{\"threshold\": \"0.5\"}", "threshold"),
        ("{\"threshold\": 1e999}", "not JSON"),
        ("{\"hysteresis\": null}", "hysteresis: give a number"),
        ("{\"hysteresis\": 2}", "hysteresis"),
        ("{\"average\": 0}", "average: give a whole number"),
        ("{\"average\": 1.5}", "average"),
        ("{\"average\": 65536}", "average"),
        ("{\"average\": -1}", "average"),
        ("{\"roi\": \"0,0,1,1\"}", "roi: give {"),
        ("{\"roi\": {\"x\": 0, \"y\": 0, \"width\": 1}}", "roi: give {"),
        ("{\"roi\": {\"x\": 0, \"y\": 0, \"width\": 1, \"heigth\": 1}}", "roi: give {"),
        ("{\"roi\": {\"x\": -1, \"y\": 0, \"width\": 1, \"height\": 1}}", "roi: give {"),
        ("{\"roi\": {\"x\": 0, \"y\": 0, \"width\": 0, \"height\": 1}}", "at least 1 pixel"),
        ("{\"roi\": {\"x\": 0, \"y\": 0, \"width\": 65, \"height\": 1}}", "beyond the picture of 64 x 48"),
        ("{\"roi\": {\"x\": 4294967295, \"y\": 0, \"width\": 1, \"height\": 1}}", "beyond the picture"),
        ("{\"average\": 9, \"threshold\": 7}", "threshold"),
    ] {
        let (status, answer) = served.settings("POST", "", "", body.as_bytes());
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(status == 422 && error.contains(words) && error.lines().count() == 1, "{body}: {status} {answer}");
        assert_eq!(answer.as_object().map(|object| object.len()), Some(1), "{answer}");
    }
    let long = format!("{{\"{}\": 1}}", "a".repeat(3000));
    assert!(served.settings("POST", "", "", long.as_bytes()).1["error"].as_str().unwrap().len() < 200);
    assert_eq!(served.settings("POST", "", "", &[b' '; 5000]).0, 413);
    assert_eq!((served.tuned.get(), served.tuned.changes()), (before, 0));
    for (method, path, status) in
        [("PUT", "/api/settings", 405), ("DELETE", "/api/settings", 405), ("GET", "/api/settings/save", 405)]
    {
        assert_eq!(served.ask(method, path, "", b"{}").0, status, "{method} {path}");
    }
}

#[test]
fn settings_need_what_every_post_needs() {
    let served = serve(Some(TOKEN));
    let encoded = TOKEN.replace(' ', "%20");
    let body = b"{\"average\": 9}";
    for path in ["/api/settings", "/api/settings/save"] {
        assert_eq!(served.ask("POST", path, "", body).0, 401, "{path}");
        assert_eq!(served.ask("POST", &format!("{path}?token=wrong"), "", body).0, 401, "{path}");
    }
    assert_eq!(served.ask("GET", "/api/settings", "", b"").0, 401);
    assert_eq!(served.tuned.changes(), 0);
    assert_eq!(served.ask("POST", &format!("/api/settings?token={encoded}"), "", body).0, 200);
    assert_eq!(served.tuned.changes(), 1);

    let served = serve(None);
    for headers in ["Origin: https://example.org\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        for path in ["/api/settings", "/api/settings/save"] {
            assert_eq!(served.ask("POST", path, headers, body).0, 403, "{path} {headers}");
        }
    }
    assert_eq!(served.ask("POST", "/api/settings", "X-Forwarded-For: 203.0.113.7\r\n", body).0, 401);
    assert_eq!(served.tuned.changes(), 0);
    let own = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", served.address);
    assert_eq!(served.ask("POST", "/api/settings", &own, body).0, 200);
}

#[test]
fn settings_are_saved_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("camera.toml");
    fs::write(&file, "# the door\naverage = 5 # frames\ntop = 3\n").unwrap();
    let served = serve_with(None, &[], Some(file.clone()));
    assert_eq!(served.settings("GET", "", "", b"").1["can_save"], true);
    served.change(&json!({ "average": 9, "roi": { "x": 1, "y": 2, "width": 3, "height": 4 } }));
    assert!(fs::read_to_string(&file).unwrap().contains("average = 5"), "not without being asked");
    let saved = json!({ "saved": file.display().to_string() });
    assert_eq!(served.settings("POST", "/save", "", b""), (200, saved));
    let text = "# the door\naverage = 9 # frames\ntop = 3\nhysteresis = 0.1\nroi = \"1,2,3,4\"\n";
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

/// Each with the way out, in one line.
#[test]
fn what_cannot_be_saved_is_told() {
    let (status, answer) = serve(None).settings("POST", "/save", "", b"");
    assert!(status == 409 && answer["error"].as_str().unwrap().contains("--config"), "{status} {answer}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("camera.toml");
    let served = serve_with(None, &[], Some(file.clone()));
    let error = |word: &str| {
        let (status, answer) = served.settings("POST", "/save", "", b"");
        let error = answer["error"].as_str().unwrap_or_default();
        let is_told = status == 500 && error.contains(word) && error.contains("camera.toml");
        assert!(is_told && error.lines().count() == 1, "{word}: {status} {answer}");
    };
    error("cannot be read");
    fs::write(&file, "top = \n").unwrap();
    error("line 1");
    fs::write(&file, b"\xff").unwrap();
    error("UTF-8");
    fs::write(&file, "top = 3\n").unwrap();
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions).unwrap();
    error("may not be written to");
    assert_eq!(fs::read_to_string(&file).unwrap(), "top = 3\n");
}
