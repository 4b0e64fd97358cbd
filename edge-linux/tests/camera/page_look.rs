//! The live page in a browser: what it shows, and what one can do with it.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::browser::{Browser, Process, after};
use crate::common::{command, photos};
use crate::page::address;

pub(crate) const TOKEN: &str = "0123456789abcdef";

/// A camera with a page, which ends with the test.
pub(crate) struct Camera {
    _process: Process,
    /// The page's address, with its token.
    pub(crate) page: String,
}

/// A camera that sees these photos over and over again.
pub(crate) fn camera(photographs: &[&str], args: &str) -> (Camera, tempfile::TempDir) {
    camera_of(photographs, 1, args)
}

/// A camera that sees each photo for so many frames.
pub(crate) fn camera_of(photographs: &[&str], frames: usize, args: &str) -> (Camera, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).expect("made");
    for (index, photo) in photographs.iter().enumerate() {
        for frame in 0..frames {
            let name = format!("{index:03}-{frame:03}-{photo}");
            fs::copy(photos().join(photo), pictures.join(name)).expect("copied");
        }
    }
    let mut program = command(&format!(
        "camera images:{} --serve 127.0.0.1:0 --token {TOKEN}{}{args}",
        pictures.display(),
        if args.is_empty() { "" } else { " " }
    ));
    let mut process = Process(program.stdout(Stdio::null()).spawn().expect("it starts"));
    let said = after("live page: ", process.0.stderr.take().expect("its errors"));
    let page = format!("{}?token={TOKEN}", address(&said));
    (Camera { _process: process, page }, folder)
}

/// A row of a table by its first cell.
const ROW: &str = "
    const row = (name) => {
        const found = [...document.querySelectorAll('tbody tr')].find((row) => row.children[0].textContent === name);
        return found && [...found.children].slice(1).map((cell) => cell.textContent);
    };
    const text = (id) => document.getElementById(id).textContent;";

fn shown(body: &str) -> String {
    format!("{ROW}\n{body}")
}

/// Until pictures and figures are there.
pub(crate) fn is_ready(browser: &Browser) {
    let script = shown(
        "return document.readyState !== 'loading' && document.getElementById('history')?.children.length > 0
            && document.getElementById('picture').naturalWidth > 0 && Number(row('classified')?.[0]) > 0;",
    );
    browser.until(&script, |ready| ready == true);
}

/// The answer to a GET, as JSON.
fn settings(page: &str) -> Value {
    let host = page.trim_start_matches("http://").split('/').next().expect("a host");
    let mut stream = TcpStream::connect(host).expect("a connection");
    let head = format!("GET /api/settings?token={TOKEN} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

/// Label, bars, charts, ribbon, figures and the picture appear, and move on.
#[test]
fn a_browser_shows_label_bars_and_rate() {
    let Some(browser) = Browser::start() else { return };
    let (camera, _folder) = camera(&["cat.jpg"], "--model nano --rate 20");
    browser.open(&camera.page);
    is_ready(&browser);
    let seen = browser.run(
        &shown(
            "const bars = [...document.querySelectorAll('#top .class')].map((bar) => ({
                label: bar.children[0].textContent, percent: bar.children[1].textContent,
                width: bar.querySelector('.fill').getBoundingClientRect().width,
            }));
            return { label: text('label'), state: text('state'), overlay: text('overlay'), bars, history: row('cat'),
                legend: document.querySelectorAll('#legend li').length, p50: Number(row('p50 of a minute')[0]),
                p95: Number(row('p95 of a minute')[0]), ribbon: [...document.querySelectorAll('#ribbon [title=cat]')].length };",
        ),
        &[],
    );
    assert_eq!((&seen["label"], &seen["state"]), (&json!("cat"), &json!("")), "{seen}");
    assert!(seen["overlay"].as_str().is_some_and(|text| text.starts_with("cat ") && text.ends_with(" %")), "{seen}");
    let bars = seen["bars"].as_array().expect("bars");
    assert_eq!((bars.len(), &bars[0]["label"]), (5, &json!("cat")), "{seen}");
    assert!(bars[0]["percent"].as_str().is_some_and(|percent| percent.ends_with(" %")), "{seen}");
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!(number(&bars[0]["width"]) > number(&bars[4]["width"]), "{seen}");
    assert_eq!((&seen["legend"], &seen["ribbon"]), (&json!(5), &json!(1)), "{seen}");
    assert!(seen["history"].is_array(), "{seen}");
    assert!(number(&seen["p95"]) >= number(&seen["p50"]) && number(&seen["p50"]) > 0.0, "{seen}");

    // The counts move on, and the charts are drawn: their pixels are not all the same.
    let count = |seen: &Value| seen.as_str().and_then(|count| count.parse::<u64>().ok()).expect("a count");
    let script = shown("return row('classified')[1];");
    let before = count(&browser.run(&script, &[]));
    browser.until(&script, |now| count(now) > before);
    for chart in ["confidence", "times-chart"] {
        let script = format!(
            "const canvas = document.getElementById('{chart}');
            const data = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer);
            return new Set(data).size;"
        );
        browser.until(&script, |colours| colours.as_u64() > Some(3));
    }

    // The stream carries the bare picture; the switch brings the one with the label on it.
    let corner = "
        const picture = document.getElementById('picture'), canvas = document.createElement('canvas');
        canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
        canvas.getContext('2d').drawImage(picture, 0, 0);
        const { data } = canvas.getContext('2d').getImageData(8, 8, 40, 20);
        const grey = data.filter((_, index) => index % 4 === 0);
        return { dark: grey.filter((value) => value < 40).length, light: grey.filter((value) => value > 215).length,
            overlay: document.getElementById('overlay').checkVisibility() };";
    let bare = browser.run(corner, &[]);
    assert_eq!(bare["overlay"], true);
    browser.click("#drawn");
    let is_drawn = |seen: &Value| {
        seen["dark"].as_u64() > Some(300) && seen["light"].as_u64() > Some(50) && seen["overlay"] == false
    };
    assert!(!is_drawn(&json!({ "dark": bare["dark"], "light": bare["light"], "overlay": false })), "{bare}");
    browser.until(corner, is_drawn);
}

/// Settings that are changed on the page hold for the next frames, and are saved on request.
#[test]
fn settings_are_changed_with_the_mouse_and_by_number() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("camera.toml");
    fs::write(&file, "# At the door.\nmodel = \"nano\"\nrate = 20\n").expect("written");
    let (camera, _folder) = camera(&["cat.jpg"], &format!("--config {}", file.display()));
    browser.resize(1280, 900, "light");
    browser.open(&camera.page);
    is_ready(&browser);
    let said = |words: &str| {
        let found = browser.until("return document.getElementById('answer').textContent;", |said| {
            said.as_str().is_some_and(|said| said.contains(words))
        });
        assert!(found.as_str().is_some_and(|said| said.lines().count() == 1), "{found}");
    };
    browser.click("#menu");
    browser.enter("#threshold", "1");
    browser.enter("#hysteresis", "0.02");
    browser.click("#form [type=submit]");
    said("Applied");
    browser.until("return document.getElementById('label').textContent;", |label| label == "unknown");
    // What is wrong is told in the program's words.
    browser.enter("#average", "0");
    browser.click("#form [type=submit]");
    said("average: give a whole number");
    browser.enter("#average", "3");
    browser.enter("#threshold", "");
    browser.click("#form [type=submit]");
    said("Applied");
    browser.until("return document.getElementById('label').textContent;", |label| label == "cat");

    // With the mouse, from a quarter to the middle.
    let size = settings(&camera.page)["picture"].clone();
    let side = |value: &Value| value.as_i64().expect("a number");
    browser.click("#draw");
    let place = browser.run(
        "document.getElementById('picture').scrollIntoView();
        const { left, top, width, height } = document.getElementById('picture').getBoundingClientRect();
        return [left, top, width, height].map(Math.round);",
        &[],
    );
    let [left, top, width, height] = [0, 1, 2, 3].map(|index| side(&place[index]));
    browser.drag((left + width / 4, top + height / 4), (left + width / 2, top + height / 2));
    said("Applied");
    let roi = settings(&camera.page)["roi"].clone();
    for (name, part, whole) in [("x", 4, "width"), ("y", 4, "height"), ("width", 4, "width"), ("height", 4, "height")] {
        let (found, expected) = (side(&roi[name]), side(&size[whole]) / part);
        assert!((found - expected).abs() <= 2, "{name}: {found}, not {expected}: {roi} of {size}");
        let field = browser.run(&format!("return document.getElementById('{name}').value;"), &[]);
        assert_eq!(field, json!(found.to_string()));
    }
    let outline = browser.run("return document.getElementById('roi').checkVisibility();", &[]);
    assert_eq!(outline, true);

    // By number, too, and out of the picture.
    browser.enter("#x", "0");
    browser.enter("#width", "100000");
    browser.click("#form [type=submit]");
    said("beyond the picture");
    browser.enter("#width", "24");
    browser.click("#form [type=submit]");
    said("Applied");
    browser.click("#save");
    said("Saved to");
    let expected = format!(
        "# At the door.\nmodel = \"nano\"\nrate = 20\nhysteresis = 0.02\naverage = 3\nroi = \"0,{},24,{}\"\n",
        roi["y"], roi["height"]
    );
    assert_eq!(fs::read_to_string(&file).expect("read"), expected);
}

/// A photo is chosen, dropped and pasted.
#[test]
fn photos_of_ones_own_are_classified() {
    let Some(browser) = Browser::start() else { return };
    let (camera, _folder) = camera(&["cat.jpg"], "--model nano --rate 5");
    browser.open(&camera.page);
    is_ready(&browser);
    let verdict = "return document.getElementById('verdict').textContent;";
    let photo = photos().join("coffee.jpg").canonicalize().expect("a photo");
    let output = command(&format!("classify {} --model nano", photo.display())).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let label = text.lines().find_map(|line| line.split_once(" %  ")).expect("a class").1.to_owned();
    assert_ne!(label, "cat");
    browser.send("#file", &photo.display().to_string());
    let is_told = |said: &Value| said.as_str().is_some_and(|said| said.starts_with(&format!("{label}, ")));
    let seen = browser.until(verdict, is_told);
    assert!(seen.as_str().is_some_and(|said| said.ends_with(" %")), "{seen}");
    // The same file, from elsewhere: the verdict is emptied before.
    for event in [
        "new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true })",
        "new ClipboardEvent('paste', { clipboardData: data, bubbles: true })",
    ] {
        browser.run(
            &format!(
                "document.getElementById('verdict').textContent = '';
                const data = new DataTransfer();
                data.items.add(document.getElementById('file').files[0]);
                document.body.dispatchEvent({event});"
            ),
            &[],
        );
        browser.until(verdict, is_told);
        let bars = browser.run("return document.querySelectorAll('#photo-top .class').length;", &[]);
        assert_eq!(bars, 5, "{event}");
    }
    browser.run(
        "const data = new DataTransfer();
        data.items.add(new File(['no picture'], 'a.txt', { type: 'text/plain' }));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));",
        &[],
    );
    browser.until(verdict, |said| said.as_str().is_some_and(|said| said.contains("picture")));
    browser.until("return document.querySelectorAll('#photo-top .class').length;", |bars| bars == 0);
}
