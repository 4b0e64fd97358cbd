//! Where results go: files that appear whole or not at all, and never in the place of what was read.
//!
//! ```text
//! check, before long work      no input, no folder, may be written to, leftovers of killed runs removed
//! write a regular file         a locked temporary file beside it -> sync -> rename -> sync of the folder
//! write a device or a pipe     into it, as it is no file that could be replaced; `-` is standard output
//! ```
//!
//! A link stays a link: what it points to is replaced. A file that is replaced keeps its permissions.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::output::file_error;

/// What temporary files are called, so that those of killed runs are known.
const PREFIX: &str = ".tinception-";
const SUFFIX: &str = ".tmp";
/// So long somebody may take to open the other end of a pipe.
const PATIENCE: Duration = Duration::from_secs(20);

/// Checks that a file can be written at `path`, before long work whose result goes there, and that it is none of
/// `inputs`, by whatever path or link. Removes what killed runs left in its folder.
///
/// # Errors
/// What is in the way.
pub(crate) fn check<'a>(path: &Path, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
    if is_stdout(path) {
        return Ok(());
    }
    if let Ok(existing) = fs::metadata(path) {
        for input in inputs {
            if fs::metadata(input).is_ok_and(|input| same(&input, &existing)) {
                let input = input.display();
                return Err(file_error(
                    path,
                    format_args!(
                        "is the same file as the input {input}, which the output would overwrite; give another name for the output"
                    ),
                ));
            }
        }
        let printed = fs::metadata("/dev/stdout");
        if existing.is_file() && printed.is_ok_and(|printed| same(&printed, &existing)) {
            return Err(file_error(path, "is where standard output goes too; give another name for the output"));
        }
    }
    match Place::find(path)? {
        Place::Special(_) => Ok(()),
        Place::File { file, .. } => {
            clear_leftovers(folder_of(&file));
            temporary_beside(&file).map(drop)
        }
    }
}

/// Writes a file whole or not at all; into a device or a pipe it writes as into any.
///
/// # Errors
/// The file's name, and what the system said. What was there before is there still.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let written = || cannot_write(path);
    if is_stdout(path) {
        let mut out = io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush()).with_context(written);
    }
    let (file, existing) = match Place::find(path)? {
        Place::File { file, existing } => (file, existing),
        Place::Special(metadata) => {
            return open_special(path, &metadata).and_then(|mut file| file.write_all(bytes)).with_context(written);
        }
    };
    let mut temporary = temporary_beside(&file)?;
    temporary.write_all(bytes).with_context(written)?;
    if let Some(existing) = existing {
        temporary.as_file().set_permissions(existing.permissions()).with_context(written)?;
    }
    temporary.as_file().sync_all().with_context(written)?;
    temporary.persist(&file).map_err(|failed| failed.error).with_context(written)?;
    // The name is on the disk once the folder is. Not every file system can be told so.
    let _ = File::open(folder_of(&file)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Whether a path stands for standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|name| path == Path::new(name))
}

/// Where text goes that is printed beside an output: to standard error where standard output gets the output itself.
pub(crate) fn text_beside<'a>(
    path: Option<&Path>,
    out: &'a mut dyn Write,
    instead: &'a mut dyn Write,
) -> &'a mut dyn Write {
    if path.is_some_and(is_stdout) { instead } else { out }
}

/// Removes temporary files that killed runs left in `folder`. Those of runs that are alive are locked.
pub(crate) fn clear_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A link's own kind is told here, not that of what it points to.
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || !is_temporary(&name) {
            continue;
        }
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            // Nobody misses it: a failure is no news.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is that of a temporary file: of this version, or of one that put nothing behind the six letters.
fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).unwrap_or_default();
    random.ends_with(SUFFIX) || (random.len() == 6 && random.bytes().all(|letter| letter.is_ascii_alphanumeric()))
}

/// What a path stands for, once links are followed.
enum Place {
    /// A regular file that is there, or may come to be.
    File { file: PathBuf, existing: Option<Metadata> },
    /// A device or a pipe.
    Special(Metadata),
}

impl Place {
    fn find(path: &Path) -> Result<Self> {
        let file = follow(path)?;
        let existing = match fs::metadata(&file) {
            Ok(existing) => Some(existing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| cannot_write(path)),
        };
        match existing {
            Some(existing) if existing.is_dir() => bail!("{}: is a folder; give a file name", path.display()),
            Some(existing) if !existing.is_file() => {
                #[cfg(unix)]
                {
                    use std::os::unix::fs::FileTypeExt;

                    if existing.file_type().is_socket() || existing.file_type().is_block_device() {
                        bail!(
                            "{}: is a socket or a disk, which this program does not write to; give a file name",
                            path.display()
                        );
                    }
                }
                Ok(Self::Special(existing))
            }
            Some(existing) => {
                if existing.permissions().readonly() {
                    bail!("{}: may not be written to; give another name, or change its permissions", path.display());
                }
                // Nothing is changed by that.
                OpenOptions::new().write(true).open(&file).with_context(|| cannot_write(path))?;
                Ok(Self::File { file, existing: Some(existing) })
            }
            None => {
                let folder = folder_of(&file);
                if !folder.is_dir() {
                    bail!("{}: its folder does not exist; make it first", path.display());
                }
                Ok(Self::File { file, existing: None })
            }
        }
    }
}

/// The file that a path means: of a link, what it points to, even if that isn't there yet.
fn follow(path: &Path) -> Result<PathBuf> {
    /// As many as Linux follows.
    const LINKS: usize = 40;
    let mut file = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&file) {
            Ok(target) => file = folder_of(&file).join(target),
            Err(_) => return Ok(file),
        }
    }
    bail!("{}: its links lead in a circle; give another name", path.display())
}

/// Opens a device, or a pipe that somebody reads: without a reader, opening it would wait for ever.
fn open_special(path: &Path, metadata: &Metadata) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

        /// `O_NONBLOCK`, the same on all of Linux' processors that this program is built for.
        const NONBLOCKING: i32 = 0o4000;
        if metadata.file_type().is_fifo() {
            let start = Instant::now();
            loop {
                match OpenOptions::new().write(true).custom_flags(NONBLOCKING).open(path) {
                    Ok(_reader_is_there) => return OpenOptions::new().write(true).open(path),
                    Err(error) if start.elapsed() > PATIENCE => {
                        return Err(io::Error::new(error.kind(), "nobody reads from the pipe"));
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }
    }
    let _ = (metadata, PATIENCE, Instant::now());
    OpenOptions::new().write(true).open(path)
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in the folder of `file`, locked for as long as this process has it.
fn temporary_beside(file: &Path) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // Temporary files are private by default; this one becomes an ordinary file, subject to the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    loop {
        // The system's words alone: the temporary file's name tells nobody anything.
        let made = builder.tempfile_in(folder_of(file)).map_err(|error| io::Error::from(error.kind()));
        let temporary = made.with_context(|| cannot_write(file))?;
        // File systems that know no locks have no leftovers removed either.
        let _ = temporary.as_file().lock();
        // Another run may have taken it for a leftover before it was locked.
        if temporary.path().exists() {
            return Ok(temporary);
        }
    }
}

/// Whether both are the same file, whatever its names.
#[cfg(unix)]
fn same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Without inodes, nothing is known.
#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["file"]);
        assert!(write(&folder.path().join("none/file"), b"x").is_err());
        assert!(check(folder.path(), []).is_err());
    }

    #[test]
    fn an_input_is_known_by_every_path_and_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("in"), "input").unwrap();
        fs::hard_link(at("in"), at("hard")).unwrap();
        symlink("in", at("soft")).unwrap();
        symlink("soft", at("twice")).unwrap();
        symlink(".", at("here")).unwrap();
        let input = at("in");
        for name in ["in", "./in", "sub/../in", "hard", "soft", "twice", "here/in", "here/here/hard"] {
            let error = check(&at(name), [&*at("other"), &*input]).unwrap_err().to_string();
            assert!(error.contains("would overwrite"), "{name}: {error}");
            // And the other way round.
            assert!(check(&input, [&*at(name)]).is_err(), "{name}");
        }
        check(&at("new"), [&*input]).unwrap();
        assert_eq!(fs::read(&input).unwrap(), b"input");
    }

    #[test]
    fn a_link_stays_and_so_do_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("elsewhere")).unwrap();
        fs::write(at("elsewhere/file"), "old").unwrap();
        fs::set_permissions(at("elsewhere/file"), PermissionsExt::from_mode(0o640)).unwrap();
        symlink("elsewhere/file", at("link")).unwrap();
        symlink("elsewhere/new", at("dangling")).unwrap();
        symlink("circle", at("circle")).unwrap();
        write(&at("link"), b"new").unwrap();
        write(&at("dangling"), b"made").unwrap();
        assert!(at("link").is_symlink() && at("dangling").is_symlink());
        assert_eq!(fs::read(at("elsewhere/file")).unwrap(), b"new");
        assert_eq!(fs::read(at("elsewhere/new")).unwrap(), b"made");
        assert_eq!(fs::metadata(at("elsewhere/file")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(check(&at("circle"), []).is_err() && write(&at("circle"), b"x").is_err());
        fs::set_permissions(at("elsewhere/file"), PermissionsExt::from_mode(0o440)).unwrap();
        assert!(check(&at("link"), []).unwrap_err().to_string().contains("may not be written"));
        assert_eq!(names(folder.path()), ["circle", "dangling", "elsewhere", "link"]);
    }

    #[test]
    fn a_pipe_is_written_into() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        check(&pipe, []).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(&pipe, &[7; 100_000]).unwrap();
        assert_eq!(reader.join().unwrap(), [7; 100_000]);
        use std::os::unix::fs::FileTypeExt;
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    }

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at(".tinception-dead00.tmp"), "half").unwrap();
        fs::write(at(".tinception-aB3dE6"), "half, of an older version").unwrap();
        fs::write(at(".tinception-mine"), "no temporary file").unwrap();
        fs::write(at("kept"), "x").unwrap();
        symlink("kept", at(".tinception-link00.tmp")).unwrap();
        let alive = temporary_beside(&at("out")).unwrap();
        check(&at("out"), []).unwrap();
        let mut expected = vec![
            ".tinception-link00.tmp".to_owned(),
            ".tinception-mine".to_owned(),
            alive.path().file_name().unwrap().to_str().unwrap().to_owned(),
            "kept".to_owned(),
        ];
        expected.sort();
        assert_eq!(names(folder.path()), expected);
    }
}
