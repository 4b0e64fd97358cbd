//! Every Markdown file of the repository: links lead somewhere, and code blocks do what the text says.
//!
//! What is done with a block follows from its language:
//!
//! | language | what must hold |
//! | --- | --- |
//! | `sh` | bash runs it, and no command fails |
//! | `text` | the block before it printed these lines; with `text,example`, other figures than these will do |
//! | `json` | it is JSON |
//! | `toml` | `tinception camera --config` runs with it |
//! | `rust` | the page is among those whose blocks are compiled and run as documentation tests (`tests/src/lib.rs`) |
//!
//! Any other block, and one that can't be run here, has a comment right in front of it, `<!-- not run: REASON -->`. A page
//! of formulas says once `<!-- not run on this page: REASON -->` for all its blocks of `text`.
#![cfg(all(feature = "tract", feature = "serve"))]

mod links;
mod pages;
mod prepared;
mod shell;

use std::path::Path;
use std::thread;

use pages::{Block, Page};
use shell::Shell;

/// Commands of the program that the documentation must show, and that must run as it shows them.
const SHOWN: [&str; 12] = [
    "bench",
    "camera",
    "cameras",
    "classify",
    "compare",
    "demo",
    "eval",
    "firmware-report",
    "inspect",
    "quantize",
    "selftest",
    "zoo",
];
/// How many blocks of shell commands may say why they are not run: those that fetch, build, install, train, or need
/// hardware. One more needs a reason that none of these is.
const EXCUSED: usize = 32;

/// What became of a block.
enum Outcome {
    Held,
    Excused(String),
    Failed(String),
}

/// What becomes of `block`, the one behind those that `shell` has run.
fn check(page: &Page, block: &Block, shell: &mut Shell) -> Outcome {
    if let Some(reason) = &block.excuse {
        shell.printed.clear();
        let long_enough = reason.split(' ').count() > 1;
        return if long_enough { Outcome::Excused(reason.clone()) } else { Outcome::Failed("no reason".into()) };
    }
    let held = match block.language.as_deref() {
        Some("sh") => shell.run(&block.text),
        Some("text") => shell.has_printed(&block.text, block.is_example),
        Some("json") => {
            serde_json::from_str(&block.text).map_or_else(|error| Err(error.to_string()), |_: serde_json::Value| Ok(()))
        }
        Some("toml") => shell.run_with_options(&block.text),
        Some("rust") if is_documentation_test(&page.path) => Ok(()),
        Some("rust") => Err("the page is not named in tests/src/lib.rs, which has such blocks compiled".into()),
        Some(other) => Err(format!("nothing runs {other}; say why in front of it: <!-- not run: REASON -->")),
        None => Err("fence the block, and name its language: ```sh, ```text ...".into()),
    };
    held.map_or_else(Outcome::Failed, |()| Outcome::Held)
}

/// Whether the Rust blocks of this page are run as documentation tests.
fn is_documentation_test(page: &Path) -> bool {
    include_str!("../../../tests/src/lib.rs").contains(&format!("include_str!(\"../../{}\")", page.display()))
}

/// The outcomes of all blocks of a page.
fn check_page(page: &Page) -> Vec<(&Block, Outcome)> {
    if page.blocks.is_empty() {
        return Vec::new();
    }
    let mut shell = Shell::new();
    page.blocks.iter().map(|block| (block, check(page, block, &mut shell))).collect()
}

#[test]
fn every_code_block_is_run_or_says_why_it_is_not() {
    let pages = pages::all();
    let checked: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = pages.iter().map(|page| scope.spawn(|| check_page(page))).collect();
        threads.into_iter().map(|thread| thread.join().expect("the check ends")).collect()
    });
    let (mut run, mut excused, mut failed) = (String::new(), 0, Vec::new());
    for (page, (block, outcome)) in
        pages.iter().zip(checked).flat_map(|(page, all)| all.into_iter().map(move |one| (page, one)))
    {
        let language = block.language.as_deref().unwrap_or("no language");
        let place = format!("{}:{} ({language})", page.path.display(), block.line);
        match outcome {
            Outcome::Held => {
                println!("held    {place}");
                if language == "sh" {
                    run.push_str(&block.text);
                }
            }
            Outcome::Excused(reason) => {
                println!("not run {place}: {reason}");
                excused += usize::from(language == "sh");
            }
            Outcome::Failed(why) => failed.push(format!("{place}: {why}\n{}", block.text)),
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    assert!(excused <= EXCUSED, "{excused} blocks of shell commands are not run: {EXCUSED} may");
    for command in SHOWN {
        let ways = ["tinception", "--", "cargo"].map(|front| format!("{front} {command}"));
        let shown = run.lines().any(|line| ways.iter().any(|way| line.contains(way)));
        assert!(shown, "no block that is run shows tinception {command}");
    }
}

#[test]
fn blocks_that_do_not_hold_are_found() {
    let text = "```sh\ntinception classify nothing.jpg\n```\n```\nls\n```\n    ls\n\n```rust\n1\n```\n<!-- not run: -->\n```sh\nls\n```\n\
                ```sh\necho one\n```\n```text\ntwo\n```\n```json\n{\n```\n```toml\nwide = 3\n```\n```nginx\n}\n```\n\
                <!-- not run: far away -->\n\nText\n\n```ini\n```\n";
    let page = Page::parse(Path::new("page.md"), text);
    let failed: Vec<usize> = check_page(&page)
        .into_iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)))
        .map(|(block, _)| block.line)
        .collect();
    let held = "echo one";
    let expected: Vec<usize> =
        page.blocks.iter().filter(|block| !block.text.contains(held)).map(|block| block.line).collect();
    assert_eq!(failed, expected);
    assert_eq!(expected.len(), page.blocks.len() - 1);
}
