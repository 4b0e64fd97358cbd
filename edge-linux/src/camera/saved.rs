//! Settings of a running camera, written to the TOML file that it has its options from.
//!
//! Only the lines of these settings change: other options, comments and their order stay as people wrote them.

use std::path::Path;

use anyhow::Result;
use tinception_core::image::Size;
use toml_edit::{DocumentMut, Item, Value};

use super::tuning::Tuning;
use super::view::Region;
use crate::output::file_error;
use crate::{destination, files};

/// Largest file that is read and written again.
const LARGEST_FILE: u64 = 1 << 20;

/// Writes the settings to `file`. A setting that is as usual, as no threshold is, leaves the file.
///
/// # Errors
/// The file can't be read or written, or is no TOML any more.
pub(crate) fn save(file: &Path, tuning: &Tuning) -> Result<()> {
    // `-` and names of standard output are files here, and links lead to what they point to.
    let file =
        &std::fs::canonicalize(file).map_err(|error| file_error(file, format_args!("cannot be read: {error}")))?;
    let text =
        String::from_utf8(files::read(file, LARGEST_FILE)?).map_err(|_| file_error(file, "is no text in UTF-8"))?;
    let changed = edit(&text, tuning).map_err(|error| file_error(file, error))?;
    if changed == text { Ok(()) } else { destination::write(file, changed.as_bytes()) }
}

/// The text with the settings in it.
fn edit(text: &str, tuning: &Tuning) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        format!("line {line}: {}; mend the file, then save again", error.message())
    })?;
    let Tuning { steadiness, region } = tuning;
    let roi = region.map(|Region { x, y, size: Size { width, height } }| format!("{x},{y},{width},{height}"));
    set(&mut document, "threshold", steadiness.threshold.map(Value::from));
    set(&mut document, "hysteresis", Some(steadiness.hysteresis.into()));
    set(&mut document, "average", Some(i64::from(steadiness.frames).into()));
    set(&mut document, "roi", roi.map(Value::from));
    Ok(document.to_string())
}

/// Sets or removes a key. What is written beside it stays.
fn set(document: &mut DocumentMut, key: &str, value: Option<Value>) {
    let Some(mut value) = value else { return remove(document, key) };
    if let Some(old) = document.get_mut(key).and_then(Item::as_value_mut) {
        // A number that is the same stays as it was written.
        if is_same(old, &value) {
            return;
        }
        *value.decor_mut() = old.decor().clone();
        *old = value;
        return;
    }
    // Behind everything else, the comments at the file's end among it.
    let mut before = document.trailing().as_str().unwrap_or_default().to_owned();
    if !before.is_empty() && !before.ends_with('\n') {
        before.push('\n');
    }
    document.set_trailing("");
    document.insert(key, Item::Value(value));
    if let Some(mut key) = document.key_mut(key) {
        key.leaf_decor_mut().set_prefix(before);
    }
}

/// Removes a key; the comments above it move to what follows it.
fn remove(document: &mut DocumentMut, key: &str) {
    let next = document.iter().map(|(key, _)| key.to_owned()).skip_while(|other| other != key).nth(1);
    let Some((removed, _)) = document.remove_entry(key) else { return };
    let prefix =
        |decor: &toml_edit::Decor| decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
    let comments = prefix(removed.leaf_decor());
    match next.and_then(|next| document.key_mut(&next)) {
        Some(mut next) => {
            let own = prefix(next.leaf_decor());
            next.leaf_decor_mut().set_prefix(comments + &own);
        }
        None => {
            let own = document.trailing().as_str().unwrap_or_default().to_owned();
            document.set_trailing(comments + &own);
        }
    }
}

fn is_same(old: &Value, new: &Value) -> bool {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    match (number(old), number(new)) {
        (Some(old), Some(new)) => old == new,
        _ => old.as_str().is_some() && old.as_str() == new.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::camera::Steadiness;

    fn tuning(threshold: Option<f64>, roi: Option<&str>) -> Tuning {
        let steadiness = Steadiness { frames: 7, threshold, hysteresis: 0.125 };
        Tuning { steadiness, region: roi.map(|roi| roi.parse().unwrap()) }
    }

    #[test]
    fn other_lines_and_comments_stay() {
        let text = "\
# The camera at the door.
source = \"v4l2:/dev/video0\"

# When a label counts.
threshold = 0.50   # half
average=5
on-change = '''
echo \"average = 1\"
'''
# roi = \"0,0,9,9\"
serve = \"127.0.0.1:8080\" # for this machine
# The end.
";
        let changed = edit(text, &tuning(Some(0.625), Some("1,2,30,40"))).unwrap();
        let expected = text.replace("0.50 ", "0.625 ").replace("average=5", "average=7")
            + "hysteresis = 0.125\nroi = \"1,2,30,40\"\n";
        assert_eq!(changed, expected);
        // Saving the same again changes nothing, nor does it where a number is written in another way.
        assert_eq!(edit(&changed, &tuning(Some(0.625), Some("1,2,30,40"))).unwrap(), changed);
        let other = changed.replace("0.625 ", "6.25e-1 ");
        assert_eq!(edit(&other, &tuning(Some(0.625), Some("1,2,30,40"))).unwrap(), other);
        // Without threshold and region their keys go, and no comment does.
        let removed = edit(&changed, &tuning(None, None)).unwrap();
        assert_eq!(removed, expected.replace("threshold = 0.625   # half\n", "").replace("roi = \"1,2,30,40\"\n", ""));
    }

    #[test]
    fn the_ends_of_files() {
        let lines = "hysteresis = 0.125\naverage = 7\n";
        for (text, expected) in [
            ("", lines.to_owned()),
            ("# nothing", format!("# nothing\n{lines}")),
            ("top = 3", format!("top = 3\n{lines}")),
            ("top = 3\n# end", format!("top = 3\n# end\n{lines}")),
            ("# first\nroi = \"0,0,1,1\"\n# last\n", format!("# first\n# last\n{lines}")),
        ] {
            assert_eq!(edit(text, &tuning(None, None)).unwrap(), expected, "{text}");
        }
        let error = edit("top = 3\ntop = 4", &tuning(None, None)).unwrap_err();
        assert!(error.contains("line 2") && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn the_file_keeps_its_permissions_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["camera.toml", "link.toml"].map(|name| folder.path().join(name));
        fs::write(&file, "top = 3\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("camera.toml", &link).unwrap();
        save(&link, &tuning(Some(0.5), None)).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "top = 3\nthreshold = 0.5\nhysteresis = 0.125\naverage = 7\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(save(&folder.path().join("absent"), &tuning(None, None)).unwrap_err().to_string().contains("absent"));
    }
}
