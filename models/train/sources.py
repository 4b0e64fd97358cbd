"""The files of a folder or of a zip archive: which are pictures, and which are passed over, and why."""

import os
import stat
import zipfile
from collections import defaultdict
from pathlib import Path

from picture import LARGEST_FILE, PictureError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
UNREAD = (".heic", ".heif", ".avif", ".gif", ".tif", ".tiff", ".jxl", ".jp2", ".jfif", ".jpe", ".dng", ".cr2", ".cr3", ".nef",
          ".arw", ".raf", ".orf", ".rw2", ".psd", ".svg", ".tga", ".ppm", ".pgm", ".ico")  # fmt: skip
"""What names of pictures end in that neither the training nor the program reads."""

SYSTEM = {"__macosx", "@eadir", "@__thumb", "@recycle", "#recycle", "$recycle.bin", "system volume information", "lost+found",
          "thumbs.db", "ehthumbs.db", "desktop.ini", "__pycache__"}  # fmt: skip
"""What operating systems and network drives leave in folders, in small letters; some of it holds previews."""

DEPTH = 16
"""How many folders within folders are looked into."""

MOST_FOLDERS = 200_000
"""How many folders are looked into, counted once for each way that leads there."""

HIDDEN = "hidden or of the operating system"
OTHER = "no picture"
WITHOUT = "folder without pictures"
FORMAT = "in a format that is not read (convert to JPEG or PNG)"
BROKEN = "link to what isn't there"
CIRCLE = "link to a folder that it lies in"
DEEP = "folder too deep in folders"
SPECIAL = "neither file nor folder"
LINKED = "link, which is not followed in a zip archive"
OUTSIDE = "outside of the archive's folder"
REASONS = (HIDDEN, OTHER, WITHOUT, FORMAT, BROKEN, CIRCLE, DEEP, SPECIAL, LINKED, OUTSIDE)


class DataError(Exception):
    """The pictures can't be used; the message names the file and what to do."""


def shown(text: str) -> str:
    """Text from a stranger's file or folder as it may be printed: nothing in it moves the cursor or changes colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class Source:
    """What lies in a folder or an archive. Names are paths from there, with `/`.

    Attributes:
        path: the folder or the archive.
        pictures: the names of what may be a picture, each with what changes when the file does.
        unread: the names of pictures that can't be read, each with the reason.
        passed: everything else, by the reason.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pictures: dict[str, str] = {}
        self.unread: dict[str, str] = {}
        self.passed: dict[str, list[str]] = defaultdict(list)

    def read(self, name: str) -> bytes:
        """The content of a picture.

        Raises:
            PictureError: it can't be had.
        """
        raise NotImplementedError

    def _sort_in(self, name: str, state: str, wrong: str | None = None) -> bool:
        """Notes a file under its name, with the reason why it can't be read, if there is one; whether it is a picture."""
        lower = name.lower()
        if lower.endswith(UNREAD):
            self.unread[name] = wrong or FORMAT
        elif not lower.endswith(SUFFIXES):
            self.passed[wrong or OTHER].append(name)
            return False
        elif wrong:
            self.unread[name] = wrong
        else:
            self.pictures[name] = state
        return True


def is_system(part: str) -> bool:
    """Whether a part of a path is hidden or the operating system's."""
    return part.startswith(".") or part.casefold() in SYSTEM


class Folder(Source):
    """A folder and the folders within it. Links are followed, as the program does, but not in circles."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.folders = 0
        state = path.stat()
        self._walk("", ((state.st_dev, state.st_ino),))

    def _walk(self, folder: str, above: tuple[tuple[int, int], ...]) -> bool:
        """Sorts in what lies in a folder, whose name ends in `/`; whether there is a picture among it."""
        self.folders += 1
        if self.folders > MOST_FOLDERS:
            raise DataError(f"{self.path}: more than {MOST_FOLDERS:,} folders; links in it may lead back and forth")
        try:
            entries = sorted(os.scandir(self.path / folder), key=lambda entry: entry.name)
        except OSError as error:
            raise DataError(f"{self.path / folder}: the folder can't be read ({error.strerror})") from error
        found = False
        for entry in entries:
            name = folder + entry.name
            if is_system(entry.name):
                self.passed[HIDDEN].append(name)
                continue
            try:
                state = entry.stat()
            except OSError:
                found |= self._sort_in(name, "", BROKEN)
                continue
            identity = (state.st_dev, state.st_ino)
            if stat.S_ISREG(state.st_mode):
                found |= self._sort_in(name, f"{state.st_mtime_ns} {state.st_size}")
            elif not stat.S_ISDIR(state.st_mode):
                found |= self._sort_in(name, "", SPECIAL)
            elif identity in above:
                self.passed[CIRCLE].append(name)
            elif len(above) > DEPTH:
                self.passed[DEEP].append(name)
            elif self._walk(f"{name}/", (*above, identity)):
                found = True
            else:
                self.passed[WITHOUT].append(name)
        return found

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise PictureError("too large a file for a picture; make it smaller")
            return path.read_bytes()
        except OSError as error:
            raise PictureError(f"can't be read ({error.strerror})", passing=True) from error


class Archive(Source):
    """A zip archive, which is read without being unpacked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self.archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DataError(f"{path}: a damaged zip file ({error}); copy it again") from error
        state = path.stat()
        self.entries: dict[str, zipfile.ZipInfo] = {}
        folders: set[str] = set()
        for entry in self.archive.infolist():
            if entry.flag_bits & 1:
                raise DataError(f"{path}: is encrypted; unpack it and give the folder")
            name = _name(entry)
            parts = name.split("/")
            if entry.is_dir() or name == "":
                folders.add(name)
            elif ".." in parts:
                self.passed[OUTSIDE].append(name)
            elif any(map(is_system, parts)):
                first = next(index for index, part in enumerate(parts) if is_system(part))
                if (hidden := "/".join(parts[: first + 1])) not in self.passed[HIDDEN][-1:]:
                    self.passed[HIDDEN].append(hidden)
            else:
                self.entries[name] = entry
        for name, entry in self.entries.items():
            link = stat.S_ISLNK(entry.external_attr >> 16)
            self._sort_in(name, f"{state.st_mtime_ns} {state.st_size}", LINKED if link else None)
        held: set[str] = set()
        for name in (*self.pictures, *self.unread):
            parts = name.split("/")
            held.update("/".join(parts[:end]) for end in range(len(parts)))
        empty = sorted(name for name in folders - held if not any(map(is_system, name.split("/"))))
        # Those within one of them are not named again.
        self.passed[WITHOUT] += [name for name in empty if not any(name.startswith(f"{other}/") for other in empty)]

    def read(self, name: str) -> bytes:
        entry = self.entries[name]
        if entry.file_size > LARGEST_FILE:
            raise PictureError("too large a file for a picture; make it smaller")
        try:
            return self.archive.read(entry)
        # zipfile passes on what its decompressors raise: zlib.error, LZMAError, OSError, EOFError, RuntimeError and others.
        except Exception as error:
            raise PictureError(f"damaged in the archive ({error}); make the archive again") from error


def _name(entry: zipfile.ZipInfo) -> str:
    """The path of an archive's entry, from the archive's folder, with `/`; some are UTF-8 without saying so."""
    name = entry.filename
    if not entry.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    if "/" not in name:
        # Archives that .NET made on Windows.
        name = name.replace("\\", "/")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def open_source(path: Path) -> Source:
    """The files of a folder or of a zip archive.

    Raises:
        DataError: it is neither, or it can't be read.
    """
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise DataError(f"{path}: neither a folder nor a zip file: there is nothing of this name")
    # What isn't a plain file, such as a named pipe, would be waited for.
    if path.is_file() and zipfile.is_zipfile(path):
        return Archive(path)
    raise DataError(f"{path}: neither a folder nor a zip file, or a zip file that is cut; unpack other archives")
