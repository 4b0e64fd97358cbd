//! The live page for everybody: on wide screens and phones, light and dark, by keyboard and for screen readers.

use std::fs;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::page_look::{camera, camera_of, is_ready};

/// Where axe-core is: in the file that `TINCEPTION_AXE` names, or where `.ci/run tools` puts it. `None` where it isn't.
fn axe() -> Option<String> {
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/axe-core/package/axe.min.js");
    let file = std::env::var_os("TINCEPTION_AXE").map_or(usual, PathBuf::from);
    let text = fs::read_to_string(&file);
    if let Err(error) = &text {
        println!("axe-core is not asked: {}: {error}; `.ci/run tools` fetches it", file.display());
    }
    text.ok()
}

/// Keeps a picture of the whole page where `TINCEPTION_SCREENSHOTS` names a folder.
fn keep_screenshot(browser: &Browser, name: &str) {
    let Some(folder) = std::env::var_os("TINCEPTION_SCREENSHOTS") else { return };
    let wanted = json!({ "format": "jpeg", "quality": 60, "captureBeyondViewport": true });
    let shot = browser.protocol("Page.captureScreenshot", &wanted);
    let encoded = shot["data"].as_str().expect("a picture");
    let picture = BASE64_STANDARD.decode(encoded).expect("base64");
    fs::write(Path::new(&folder).join(format!("{name}.jpg")), picture).expect("written");
}

/// No part reaches beyond the window, and axe-core finds nothing, in all four looks and with the settings open, too.
#[test]
fn the_page_suits_screens_and_people() {
    let Some(browser) = Browser::start() else { return };
    let axe = axe();
    let (camera, _folder) = camera_of(&["cat.jpg", "coffee.jpg", "rocket.jpg"], 60, "--model googlenet --rate 5");
    browser.open(&camera.page);
    is_ready(&browser);
    // This machine may have no sensor. The page is told what a warm board tells.
    browser.run(
        "const shown = board;
        board = () => shown({ temperature: 71.25, throttled: true });",
        &[],
    );
    browser.until("return document.getElementById('temperature').textContent;", |text| text == "71.3 °C, warm");
    if std::env::var_os("TINCEPTION_SCREENSHOTS").is_some() {
        // Charts of a whole minute.
        std::thread::sleep(std::time::Duration::from_secs(62));
    }
    if let Some(axe) = &axe {
        browser.run(axe, &[]);
    }
    let background = || browser.run("return getComputedStyle(document.body).backgroundColor;", &[]);
    let mut backgrounds = Vec::new();
    for (width, height) in [(1280, 900), (360, 740)] {
        for scheme in ["light", "dark"] {
            browser.resize(width, height, scheme);
            // Two draws, so that style and charts have followed.
            browser.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));", &[]);
            backgrounds.push(background());
            for settings in ["closed", "open"] {
                if settings == "open" {
                    browser.click("#menu");
                }
                let look = format!("{width} {scheme}, settings {settings}");
                let beyond = browser.run(
                    "return [...document.querySelectorAll('body *:not(.unseen)')]
                        .filter((element) => element.getBoundingClientRect().right > innerWidth + 1 && element.checkVisibility())
                        .map((element) => element.outerHTML.slice(0, 100));",
                    &[],
                );
                assert_eq!(beyond, json!([]), "{look}");
                let scroll = browser.run("return document.documentElement.scrollWidth;", &[]);
                assert!(scroll.as_u64() <= Some(width.into()), "{look}: {scroll}");
                if axe.is_some() {
                    let found = browser.run(
                        "return axe.run(document, { resultTypes: ['violations'] }).then(({ violations, passes }) => ({
                            passes: passes.length,
                            violations: violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
                        }));",
                        &[],
                    );
                    assert_eq!(found["violations"], json!([]), "{look}");
                    assert!(found["passes"].as_u64() > Some(20), "axe-core looked at hardly anything: {found}");
                }
                if settings == "open" {
                    browser.key("\u{e00c}");
                    assert_eq!(browser.run("return document.getElementById('settings').hidden;", &[]), true, "{look}");
                }
            }
            browser.run("document.activeElement.blur();", &[]);
            keep_screenshot(&browser, &format!("camera-page-{width}-{scheme}"));
        }
    }
    assert_eq!((&backgrounds[0], &backgrounds[1]), (&backgrounds[2], &backgrounds[3]));
    assert_ne!(backgrounds[0], backgrounds[1]);
    // The switch counts more than the system.
    for (choice, expected) in [(2, &backgrounds[0]), (3, &backgrounds[1]), (1, &backgrounds[1])] {
        browser.click(&format!("#theme option:nth-child({choice})"));
        browser.until("return getComputedStyle(document.body).backgroundColor;", |now| now == expected);
    }
}

/// What has the focus: its name, and whether one sees that it has it.
const FOCUS: &str = "
    const focused = document.activeElement;
    if (!focused || focused === document.body) return null;
    const { outlineStyle, outlineWidth } = getComputedStyle(focused);
    const { top, bottom } = focused.getBoundingClientRect();
    return { name: focused.id || focused.textContent.trim(), seen: outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2
        && bottom > 0 && top < innerHeight };";

/// The names of what the tabulator goes through, from the page's start to its end.
fn tab_through(browser: &Browser) -> Vec<String> {
    browser.run("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex');", &[]);
    let mut names: Vec<String> = Vec::new();
    for _ in 0..60 {
        browser.key("\u{e004}");
        let focus: Value = browser.run(FOCUS, &[]);
        let Some(name) = focus["name"].as_str() else { break };
        if names.first().is_some_and(|first| first == name) {
            break;
        }
        assert_eq!(focus["seen"], true, "the focus on {name} is not seen: {focus}");
        names.push(name.to_owned());
    }
    names
}

#[test]
fn the_keyboard_reaches_everything() {
    let Some(browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("camera.toml");
    fs::write(&file, "model = \"nano\"\n").expect("written");
    let (camera, _folder) = camera(&["cat.jpg"], &format!("--rate 10 --config {}", file.display()));
    for (width, height) in [(1280, 900), (360, 740)] {
        browser.resize(width, height, "light");
        browser.open(&camera.page);
        is_ready(&browser);
        let closed = ["theme", "menu", "drawn", "file", "paste"];
        assert_eq!(tab_through(&browser), closed, "{width}");
        browser.run("document.getElementById('menu').focus();", &[]);
        browser.key("\u{e007}");
        assert_eq!(
            browser.run(FOCUS, &[])["name"],
            "threshold",
            "the settings open, and their first field has the focus"
        );
        let open = [
            "theme",
            "menu",
            "drawn",
            "threshold",
            "hysteresis",
            "average",
            "x",
            "y",
            "width",
            "height",
            "draw",
            "whole",
            "Apply",
            "save",
            "file",
            "paste",
        ];
        assert_eq!(tab_through(&browser), open, "{width}");
        // All that can be clicked is among them.
        let all = browser.run(
            "return [...document.querySelectorAll('a, button, input, select, textarea, [tabindex], [onclick]')]
                .filter((element) => element.checkVisibility()).length;",
            &[],
        );
        assert_eq!(all, json!(open.len()), "{width}");
        // A setting by keys alone: the field's value is changed, and the form sent.
        browser.run("document.getElementById('average').select();", &[]);
        for key in ["7", "\u{e007}"] {
            browser.key(key);
        }
        browser.until("return document.getElementById('answer').textContent;", |said| said == "Applied.");
        browser.key("\u{e00c}");
        let focus = browser.run(FOCUS, &[]);
        assert_eq!(focus["name"], "menu", "Escape closes them");
        assert_eq!(browser.run("return document.getElementById('settings').hidden;", &[]), true);
    }
}
