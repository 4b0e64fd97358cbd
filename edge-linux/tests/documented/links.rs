//! Links lead to files and headings that there are, in the repository and in the book made of `docs/`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::pages::{self, Page};

/// The table of contents of the book.
const CONTENTS: &str = "docs/SUMMARY.md";

/// What is wrong with the links of `pages`, a line each.
fn wrong_links(pages: &[Page], root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for page in pages {
        for (line, link) in &page.links {
            if let Some(reason) = wrong_link(page, link, pages, root) {
                wrong.push(format!("{}:{line}: {link}: {reason}", page.path.display()));
            }
        }
        // Old entries of the change log name files as they were then.
        if page.path == Path::new("CHANGELOG.md") {
            continue;
        }
        for (line, name) in &page.names {
            if is_path(name, root) && !root.join(name).exists() {
                wrong.push(format!("{}:{line}: `{name}`: there is no such file", page.path.display()));
            }
        }
    }
    wrong
}

/// Why `link` leads nowhere.
fn wrong_link(page: &Page, link: &str, pages: &[Page], root: &Path) -> Option<&'static str> {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let folder = page.path.parent().expect("a file lies in a folder");
    let Some(target) = (if path.is_empty() { Some(page.path.clone()) } else { normal(&folder.join(path)) }) else {
        return Some("it leads out of the repository");
    };
    if !root.join(&target).exists() {
        return Some("there is no such file");
    }
    if page.path.starts_with("docs") && !target.starts_with("docs") {
        return Some("the book has nothing but docs/; name the file's path instead");
    }
    let anchor = anchor?;
    let known =
        pages.iter().find(|page| page.path == target).is_some_and(|page| page.anchors.iter().any(|a| a == anchor));
    (!known).then_some("there is no such heading")
}

/// The path without `.` and `..`; `None` if it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            Component::ParentDir if normal.pop() => {}
            _ => return None,
        }
    }
    Some(normal)
}

/// Whether code within a sentence names a file by its path in the repository.
fn is_path(name: &str, root: &Path) -> bool {
    let Some((first, rest)) = name.split_once('/') else { return false };
    let plain = rest.chars().all(|sign| sign.is_ascii_alphanumeric() || "/._-".contains(sign));
    // What a build puts there is not in a fresh clone.
    plain && first != "target" && !first.starts_with('.') && !first.is_empty() && root.join(first).is_dir()
}

#[test]
fn links_and_paths_lead_somewhere() {
    let pages = pages::all();
    assert!(pages.iter().map(|page| page.links.len()).sum::<usize>() > 50, "links were found");
    let wrong = wrong_links(&pages, &pages::root());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_book_has_every_chapter_once() {
    let pages = pages::all();
    let contents = pages.iter().find(|page| page.path == Path::new(CONTENTS)).expect("a table of contents");
    let listed: Vec<PathBuf> = contents.links.iter().map(|(_, link)| Path::new("docs").join(link)).collect();
    let once: BTreeSet<&PathBuf> = listed.iter().collect();
    assert_eq!(once.len(), listed.len(), "a chapter is listed twice: {listed:?}");
    let written = pages.iter().map(|page| &page.path).filter(|path| path.starts_with("docs"));
    assert_eq!(once, written.filter(|path| *path != Path::new(CONTENTS)).collect());
}

#[test]
fn wrong_links_are_found() {
    let text = "# A `b` c\n[x](#a-b-c) [x](#d) [x](other.md) [x](../README.md) [x](../../x) ![x](https://example.org/x.png)\n\
                `docs/nothing.md` `docs/camera.md` `docs/<name>` `Session/run`\n";
    let wrong = wrong_links(&[Page::parse(Path::new("docs/camera.md"), text)], &pages::root());
    let reasons = ["such heading", "such file", "name the file's path", "out of the repository", "such file"];
    assert_eq!(wrong.len(), reasons.len(), "{wrong:?}");
    for (line, reason) in wrong.iter().zip(reasons) {
        assert!(line.contains(reason), "{line}: {reason}");
    }
}
