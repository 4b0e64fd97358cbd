//! The repository's Markdown files: their code blocks, links and headings.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What a comment right in front of a code block begins with that says why the block is not run.
const EXCUSE: &str = "not run:";
/// The same for all blocks of a page whose language is `text`.
const EXCUSE_OF_PAGE: &str = "not run on this page:";

/// A Markdown file.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) path: PathBuf,
    /// Its code blocks, in their order.
    pub(crate) blocks: Vec<Block>,
    /// Where links and images lead, each with its line.
    pub(crate) links: Vec<(usize, String)>,
    /// The names by which its headings are linked to.
    pub(crate) anchors: Vec<String>,
    /// Code within sentences, each with its line.
    pub(crate) names: Vec<(usize, String)>,
}

/// A code block.
pub(crate) struct Block {
    /// The line on which it begins.
    pub(crate) line: usize,
    /// What it is written in; `None` for a block that is indented or names no language.
    pub(crate) language: Option<String>,
    /// Whether it shows figures that differ from run to run.
    pub(crate) is_example: bool,
    pub(crate) text: String,
    /// Why it is not run.
    pub(crate) excuse: Option<String>,
}

/// The folder in which the repository lies.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in the repository").to_owned()
}

/// All Markdown files of the repository.
pub(crate) fn all() -> Vec<Page> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page::parse(path.strip_prefix(root()).expect("it was found there"), &text)
    };
    paths.iter().map(read).collect()
}

/// Adds what lies below `folder`; build outputs, caches and hidden folders are passed over.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || ["target", "__pycache__", "node_modules"].contains(&&*name) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

impl Page {
    /// The page that a file with this text is.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let mut page = Self { path: path.to_owned(), blocks: vec![], links: vec![], anchors: vec![], names: vec![] };
        let line = |offset: usize| text[..offset].matches('\n').count() + 1;
        // The block, the heading and the comment that are being read, and the excuse in front of what comes next.
        let (mut block, mut heading, mut comment): (Option<Block>, Option<String>, Option<String>) = (None, None, None);
        let (mut excuse, mut excuse_of_page) = (None, None);
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            match event {
                Event::Start(Tag::HtmlBlock) => comment = Some(String::new()),
                Event::Html(html) => comment.iter_mut().for_each(|comment| comment.push_str(&html)),
                Event::End(TagEnd::HtmlBlock) => {
                    let comment = comment.take().unwrap_or_default();
                    let said = comment.trim().trim_start_matches("<!--").trim_end_matches("-->").trim();
                    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
                    excuse = said.strip_prefix(EXCUSE).map(|reason| reason.trim().to_owned());
                    if let Some(reason) = said.strip_prefix(EXCUSE_OF_PAGE) {
                        excuse_of_page = Some(reason.trim().to_owned());
                    }
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info = match &kind {
                        CodeBlockKind::Fenced(info) => &**info,
                        CodeBlockKind::Indented => "",
                    };
                    let is_example = info.ends_with(",example");
                    let language = info.split(',').next().filter(|language| !language.is_empty()).map(str::to_owned);
                    let of_page = || excuse_of_page.clone().filter(|_| language.as_deref() == Some("text"));
                    let excuse = excuse.take().or_else(of_page);
                    block = Some(Block { line: line(range.start), language, is_example, text: String::new(), excuse });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Heading { .. }) => (heading, excuse) = (Some(String::new()), None),
                Event::End(TagEnd::Heading(_)) => page.anchors.extend(heading.take().map(|text| anchor(&text))),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((line(range.start), dest_url.into_string()));
                }
                Event::Start(_) => excuse = None,
                Event::Text(part) => {
                    block.iter_mut().for_each(|block| block.text.push_str(&part));
                    heading.iter_mut().for_each(|heading| heading.push_str(&part));
                }
                Event::Code(code) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&code));
                    page.names.push((line(range.start), code.into_string()));
                }
                _ => {}
            }
        }
        page
    }
}

/// The name of a heading in an address, as mdBook and GitHub make it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&sign| sign.is_alphanumeric() || "-_ ".contains(sign));
    kept.flat_map(char::to_lowercase).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}
