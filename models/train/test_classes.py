"""Tests of what is taken for a class, and of what is passed over, in folders and in zip archives."""

import os
import stat
import unicodedata
import unittest
import unittest.mock
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import data
from classes import TEST, TRAINING, VALIDATION, arrange
from fixtures import Folder
from sources import BROKEN, CIRCLE, FORMAT, HIDDEN, LINKED, OTHER, OUTSIDE, SPECIAL, WITHOUT, DataError, open_source, shown

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Gepäck") for form in ("NFC", "NFD"))

TAKEN = {
    "classes": (["cat/1.jpg", "dog/1.JPEG", "dog/2.webp"], {("cat", None): 1, ("dog", None): 2}),
    "a folder around them": (["pets/cat/1.jpg", "pets/dog/1.jpg"], {("cat", None): 1, ("dog", None): 1}),
    "two folders around them": (["a/pets/cat/1.jpg", "a/pets/dog/1.jpg"], {("cat", None): 1, ("dog", None): 1}),
    "folders in classes": (["cat/1.jpg", "cat/old/2.jpg", "dog/3.jpg"], {("cat", None): 2, ("dog", None): 1}),
    "different folders in classes": (["animals/cat/a/1.jpg", "things/ship/a/1.jpg"], {("animals", None): 1, ("things", None): 1}),
    "the same folder in all": (["cat/images/1.jpg", "dog/images/1.jpg"], {("cat", None): 1, ("dog", None): 1}),
    "parts above": (["train/a/1.jpg", "train/b/1.jpg", "val/a/2.jpg", "val/b/2.jpg", "test/a/3.jpg"],
                    {("a", TRAINING): 1, ("b", TRAINING): 1, ("a", VALIDATION): 1, ("b", VALIDATION): 1, ("a", TEST): 1}),
    "parts in capitals": (["Train/a/1.jpg", "VALID/a/2.jpg", "Testing/a/3.jpg"], {("a", TRAINING): 1, ("a", VALIDATION): 1, ("a", TEST): 1}),
    "parts in a folder": (["set/training/a/1.jpg", "set/training/b/1.jpg", "set/eval/a/3.jpg"],
                          {("a", TRAINING): 1, ("b", TRAINING): 1, ("a", TEST): 1}),
    "parts below": (["a/train/1.jpg", "a/validation/2.jpg", "b/train/3.jpg", "b/test/4.jpg"],
                    {("a", TRAINING): 1, ("a", VALIDATION): 1, ("b", TRAINING): 1, ("b", TEST): 1}),
    "parts as words, with folders around classes": (["seg_train/seg_train/a/1.jpg", "seg_train/seg_train/b/1.jpg", "seg_test/seg_test/a/2.jpg"],
                                                    {("a", TRAINING): 1, ("b", TRAINING): 1, ("a", TEST): 1}),
    "a folder in each part": (["train/images/a/1.jpg", "train/images/b/2.jpg", "val/images/a/1.jpg"],
                              {("a", TRAINING): 1, ("b", TRAINING): 1, ("a", VALIDATION): 1}),
    "tests without classes": (["train/a/1.jpg", "train/b/1.jpg", "test/1.jpg"], {("a", TRAINING): 1, ("b", TRAINING): 1}),
    "parts as words, tests without classes": (["train_images/a/1.jpg", "train_images/b/1.jpg", "test_images/1.jpg"],
                                              {("a", TRAINING): 1, ("b", TRAINING): 1}),
    "years": (["train2017/a/1.jpg", "train2017/b/1.jpg", "val2017/a/2.jpg"], {("a", TRAINING): 1, ("b", TRAINING): 1, ("a", VALIDATION): 1}),
    "one part": (["train/a/1.jpg", "train/b/1.jpg"], {("a", TRAINING): 1, ("b", TRAINING): 1}),
    "one class in a part": (["train/a/x/1.jpg", "train/b/1.jpg", "val/a/x/1.jpg"], {("a", TRAINING): 1, ("b", TRAINING): 1, ("a", VALIDATION): 1}),
    "trains": (["bus/1.jpg", "train/1.jpg"], {("bus", None): 1, ("train", None): 1}),
    "trains below": (["animal/cat/1.jpg", "vehicle/train/2.jpg"], {("animal", None): 1, ("vehicle", None): 1}),
    "valid and invalid": (["invalid/1.jpg", "valid/1.jpg"], {("invalid", None): 1, ("valid", None): 1}),
    "a test tube": (["test tube/1.jpg", "beaker/1.jpg"], {("test tube", None): 1, ("beaker", None): 1}),
    "decomposed names": ([f"{DECOMPOSED}/1.jpg", "x/2.jpg"], {(COMPOSED, None): 1, ("x", None): 1}),
    "names in both forms": ([f"{DECOMPOSED}/1.jpg", f"{COMPOSED}/2.jpg", "x/2.jpg"], {(COMPOSED, None): 2, ("x", None): 1}),
    "other pictures next to classes": (["cat/1.jpg", "dog/1.jpg", "logo.gif", "notes.txt"], {("cat", None): 1, ("dog", None): 1}),
    "other pictures next to a folder of classes": (["pets/cat/1.jpg", "pets/dog/1.jpg", "pets/logo.tif"], {("cat", None): 1, ("dog", None): 1}),
    "an unread class": (["cat/1.jpg", "ship/1.HEIC", "ship/2.heic"], {("cat", None): 1, ("ship", None): 2}),
    "hidden folders": (["cat/1.jpg", "dog/1.jpg", ".git/x/1.jpg", ".Trash-1000/files/2.jpg", "cat/.thumbnails/1.jpg", "__MACOSX/cat/._1.jpg"],
                       {("cat", None): 1, ("dog", None): 1}),
    "previews": (["cat/1.jpg", "dog/1.jpg", "cat/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "dog/Thumbs.db", "#recycle/old/1.jpg"],
                 {("cat", None): 1, ("dog", None): 1}),
}  # fmt: skip
"""Files, and how many pictures of which class and part are seen in them."""

REFUSED = {
    "days above classes": (["day1/cat/1.jpg", "day1/dog/1.jpg", "day2/cat/2.jpg"], "folders cat in day1 as well as in day2; a class is one folder"),
    "sources below classes": (["cat/phone/1.jpg", "cat/web/1.jpg", "dog/phone/2.jpg"], "folders phone in cat as well as in dog"),
    "shared in parts": (["train/x/cat/1.jpg", "train/x/dog/1.jpg", "train/y/cat/1.jpg", "val/x/1.jpg"], "folders cat in x as well as in y"),
    "parts deep in classes": (["animals/cat/train/1.jpg", "animals/cat/test/2.jpg", "things/ship/train/3.jpg"], "within the folder animals, test"),
    "parts in parts": (["train/cat/val/1.jpg", "train/dog/2.jpg"], "within the folder cat, val seems to hold pictures that are held out"),
    "outside": (["1.jpg", "cat/2.jpg"], "^[^:]*: 1.jpg is in no class folder; expected CLASS/NAME.jpg"),
    "outside in a part": (["train/1.jpg", "val/2.jpg"], "train/1.jpg is in no class folder"),
    "a part among classes": (["cat/1.jpg", "dog/1.jpg", "test/1.jpg"], "the folder test seems to hold pictures for test, but cat next to it"),
    "parts among classes": (["cat/1.jpg", "train/dog/1.jpg", "val/dog/1.jpg"], "the folder train seems to hold"),
    "a split class": (["cat/train/1.jpg", "cat/val/2.jpg", "dog/3.jpg"], "the folder cat/train seems to hold .* dog/3.jpg is in no such folder"),
    "a test in a class": (["cat/1.jpg", "cat/test/2.jpg", "dog/3.jpg"], "cat/test seems to hold"),
    "other words among parts": (["seg_train/a/1.jpg", "seg_test/a/1.jpg", "seg_pred/1.jpg"], "the folder seg_test seems to hold .* seg_pred"),
    "validation of an unknown class": (["train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg"], "the class c has pictures for validation, but none to train on"),
    "capitals": (["Cat/1.jpg", "cat/2.jpg"], "Cat and cat differ only in capital letters"),
    "capitals in parts": (["train/Cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg"], "differ only in capital letters"),
    "a line end": (["ca\nt/1.jpg", "dog/2.jpg"], r"the folder 'ca\\nt' can't name a class"),
    "a terminal's controls": (["\x1b[2Jcat/1.jpg", "dog/2.jpg"], r"the folder '\\x1b\[2Jcat' can't name a class"),
    "reversed text": (["cat\u202egpj/1.jpg", "dog/2.jpg"], "can't name a class"),
    "spaces": (["cat /1.jpg", "dog/2.jpg"], "can't name a class: spaces"),
    "no UTF-8": ([os.fsdecode(b"c\xe4t/1.jpg"), "dog/2.jpg"], "can't name a class"),
}  # fmt: skip
"""Files, and what is said of them."""


def found(source: Path) -> dict[tuple[str, str | None], int]:
    return dict(Counter((place.label, place.part) for place in arrange(open_source(source)).places.values()))


def colours(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8))


class Layouts(Folder):
    def files(self, name: str, names: list[str]) -> Path:
        """A folder with these files, empty ones."""
        for file in names:
            path = self.folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return self.folder / name

    def zipped(self, name: str, names: list[str]) -> Path:
        path = self.folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in names:
                archive.writestr(file, b"")
        return path

    def test_classes_are_seen(self) -> None:
        for name, (files, expected) in TAKEN.items():
            for source in (self.files(name, files), self.zipped(name, files)):
                with self.subTest(name, source=source.name):
                    self.assertEqual(found(source), expected)

    def test_what_has_two_meanings_is_refused(self) -> None:
        for name, (files, expected) in REFUSED.items():
            sources = [self.files(name, files)]
            if name != "no UTF-8":
                sources.append(self.zipped(name, files))
            for source in sources:
                with self.subTest(name, source=source.name), self.assertRaisesRegex(DataError, expected) as refused:
                    arrange(open_source(source))
                self.assertTrue(str(refused.exception).startswith(f"{source}: "))
                self.assertTrue(str(refused.exception).isprintable())

    def test_files_are_passed_over_for_a_reason(self) -> None:
        source = self.files("set", ["cat/1.jpg", "cat/._1.jpg", ".git/2.jpg", "Thumbs.db", "cat/labels.csv", "cat/3.HEIC"])
        (source / "empty" / "within").mkdir(parents=True)
        self.files("set", ["texts/1.txt"])
        os.mkfifo(source / "cat" / "pipe.jpg")
        listed = open_source(source)
        self.assertEqual(set(listed.pictures), {"cat/1.jpg"})
        self.assertEqual(listed.unread, {"cat/3.HEIC": FORMAT, "cat/pipe.jpg": SPECIAL})
        passed = {reason: sorted(names) for reason, names in listed.passed.items()}
        self.assertEqual(passed[HIDDEN], [".git", "Thumbs.db", "cat/._1.jpg"])
        self.assertEqual(passed[WITHOUT], ["empty", "empty/within", "texts"])
        self.assertEqual(passed[OTHER], ["cat/labels.csv", "texts/1.txt"])

    def test_links_are_followed_but_not_in_circles(self) -> None:
        self.files("elsewhere", ["ship/1.jpg", "ship/2.jpg", "3.jpg"])
        source = self.files("set", ["cat/1.jpg"])
        (source / "ship").symlink_to(self.folder / "elsewhere" / "ship")
        (source / "cat" / "4.jpg").symlink_to(self.folder / "elsewhere" / "3.jpg")
        (source / "cat" / "up").symlink_to(source)
        (source / "cat" / "itself").symlink_to("itself")
        (source / "cat" / "gone.jpg").symlink_to("nowhere.jpg")
        (source / "unplugged").symlink_to("/nowhere/pictures")
        listed = open_source(source)
        self.assertEqual(found(source), {("cat", None): 3, ("ship", None): 2})
        self.assertEqual(listed.unread, {"cat/gone.jpg": BROKEN})
        self.assertEqual(listed.passed, {CIRCLE: ["cat/up"], BROKEN: ["cat/itself", "unplugged"]})

    def test_links_back_and_forth_come_to_an_end(self) -> None:
        source = self.files("set", ["a/1.jpg", "b/1.jpg"])
        (source / "a" / "b").symlink_to(source / "b")
        (source / "b" / "a").symlink_to(source / "a")
        self.assertEqual(len(open_source(source).pictures), 4)
        many = self.files("many", [f"{index}/1.jpg" for index in range(12)])
        for index in range(12):
            for other in range(12):
                (many / str(index) / f"to {other}").symlink_to(many / str(other))
        with self.assertRaisesRegex(DataError, "links in it may lead back and forth"), unittest.mock.patch("sources.MOST_FOLDERS", 1000):
            open_source(many)

    def test_names_in_archives(self) -> None:
        """Some begin with a dot, have backslashes, or are UTF-8 without saying so; some are links, or outside."""
        path = self.folder / "set.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("./cat/1.jpg", "/cat/2.jpg", "../cat/3.jpg", "cat/4.jpg", "empty/"):
                archive.writestr(name, b"")
            link = zipfile.ZipInfo("cat/5.jpg")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "4.jpg")
            # Python's own writer puts the flag down for what isn't ASCII.
            archive.writestr("Gep\u00c4ck/6.jpg".encode().decode("cp437"), b"")
        content = path.read_bytes()
        wrong = "Gep\u00c4ck".encode().decode("cp437").encode()
        self.assertEqual(content.count(wrong), 2)
        right = "Gep\u00c4ck".encode().ljust(len(wrong), b"k")
        for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
            start = content.rindex(signature, 0, content.rindex(wrong) if signature == b"PK\1\2" else content.index(wrong))
            content = content[: start + at] + b"\0\0" + content[start + at + 2 :]
        path.write_bytes(content.replace(wrong, right))
        listed = open_source(path)
        self.assertEqual(set(listed.pictures), {"cat/1.jpg", "cat/2.jpg", "cat/4.jpg", f"{right.decode()}/6.jpg"})
        self.assertEqual((listed.unread, dict(listed.passed)), ({"cat/5.jpg": LINKED}, {OUTSIDE: ["../cat/3.jpg"], WITHOUT: ["empty"]}))
        with zipfile.ZipFile(self.folder / "windows.zip", "w") as archive:
            for name in ("cat\\1.jpg", "dog\\1.jpg"):
                entry = zipfile.ZipInfo("x")
                entry.filename = name
                archive.writestr(entry, b"")
        self.assertEqual(found(self.folder / "windows.zip"), {("cat", None): 1, ("dog", None): 1})

    def test_printed_names_hold_no_controls(self) -> None:
        self.assertEqual(shown("a\x1b[31mb\r\n\u202eü\udcff"), "a\\x1b[31mb\\r\\n\\u202eü\\udcff")


class Loaded(Folder):
    def pictures(self, name: str, files: list[str]) -> Path:
        """A folder with these pictures, each another one."""
        for index, file in enumerate(files):
            path = self.folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            colours(index).save(path)
        return self.folder / name

    def test_the_datas_own_parts_are_used(self) -> None:
        files = [f"{part}/{label}/{index}.png" for part, count in (("train", 4), ("val", 2), ("test", 3)) for label in "ab" for index in range(count)]
        source = self.pictures("set", files)
        pictures = data.load(source, 40)
        training, held_out = data.split(pictures, 0.9)
        for part, name in ((training, "train"), (held_out, "val")):
            mine = [file for file in sorted(files) if file.startswith(name)]
            expected = torch.stack([torch.from_numpy(np.asarray(Image.open(source / file)).copy()) for file in mine])
            self.assertTrue(torch.equal(part.pixels, expected))
            self.assertEqual(part.targets.tolist(), ["ab".index(file.split("/")[1]) for file in mine])
        self.assertIn("not used: 6 pictures for test", pictures.notes)
        tests = data.load(source, 40, test=True)
        self.assertEqual((len(tests), tests.held_out), (6, None))
        with self.assertRaisesRegex(DataError, "holds pictures for test alone"):
            data.load(self.pictures("tests", ["test/a/1.png", "test/b/1.png"]), 40)

    def test_damaged_pictures_are_passed_over_and_counted(self) -> None:
        source = self.pictures("set", [f"{label}/{index}.png" for label in ("cat", "dog") for index in range(4)])
        (source / "cat" / "0.png").write_bytes((source / "cat" / "0.png").read_bytes()[:900])
        (source / "cat" / "text.jpg").write_text("no picture")
        (source / "dog" / "pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        (source / "dog" / "empty.webp").touch()
        (source / "dog" / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        colours(1).save(source / "dog" / "really.gif")
        (source / "dog" / "really.gif").rename(source / "dog" / "gif.jpg")
        # The second time from the cache.
        for _ in range(2):
            pictures = data.load(source, 40)
            self.assertEqual(torch.bincount(pictures.targets).tolist(), [3, 4])
            told = "\n".join(pictures.notes)
            self.assertIn("warning: passed over (6), can't be read: cat/0.png: truncated or damaged (image file is truncated", told)

    def test_every_damaged_picture_is_named_for_what_it_is(self) -> None:
        kinds = {"HEIC": b"\0\0\0\x18ftypheic", "AVIF": b"\0\0\0\x18ftypavif", "Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
                 "web page": b"<!DOCTYPE html>", "empty": b"", "GIF": b"GIF89a" + bytes(30), "TIFF": b"II*\0" + bytes(30),
                 "not a JPEG, PNG, BMP or WebP": b"no picture", "truncated or damaged": b"\xff\xd8\xff\xe0\0\x10JFIF\0"}  # fmt: skip
        for kind, content in kinds.items():
            with self.subTest(kind), self.assertRaisesRegex(data.PictureError, kind):
                data._decode(content, 32)

    def test_a_class_that_cannot_be_read_is_refused(self) -> None:
        cases = {"heic": b"\0\0\0\x18ftypheic", "jpg": b"no picture"}
        for suffix, content in cases.items():
            source = self.pictures(suffix, ["cat/1.png", "cat/2.png", "dog/1.png"])
            (source / "dog" / "1.png").unlink()
            (source / "dog" / f"photo.{suffix}").write_bytes(content)
            with self.subTest(suffix), self.assertRaisesRegex(DataError, f"the class dog has no picture that can be read, of 1; dog/photo.{suffix}: "):
                data.load(source, 32)
        source = self.pictures("links", ["cat/1.png", "cat/2.png"])
        (source / "dog").mkdir()
        (source / "dog" / "1.jpg").symlink_to("/nowhere/1.jpg")
        with self.assertRaisesRegex(DataError, "the class dog has no picture that can be read, of 1; dog/1.jpg: link to"):
            data.load(source, 32)

    def test_too_few_classes_or_pictures_are_refused(self) -> None:
        one = self.pictures("one", ["cat/1.png", "cat/2.png"])
        with self.assertRaisesRegex(DataError, "cat is the only class, and can't be told from anything; add a folder"):
            data.split(data.load(one, 32), 0.1)
        few = self.pictures("few", ["cat/1.png", "cat/2.png", "dog/1.png"])
        with self.assertRaisesRegex(DataError, "the class dog has 1 picture; two are the least"):
            data.split(data.load(few, 32), 0.1)
        # However large the part, each class keeps one to train on.
        training, held_out = data.split(data.load(self.pictures("two", ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]), 32), 0.9)
        self.assertEqual((training.targets.tolist(), held_out.targets.tolist()), ([0, 1], [0, 1]))

    def test_copies_are_told(self) -> None:
        source = self.pictures("set", ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"])
        for copy, of in (("dog/3.png", "cat/1.png"), ("dog/4.png", "dog/1.png")):
            (source / copy).write_bytes((source / of).read_bytes())
        told = data.load(source, 32).notes
        self.assertIn("warning: pictures in several classes: 1; keep each in one: cat/1.png = dog/3.png", told)
        self.assertTrue(any("more than once: 1;" in line and "dog/1.png = dog/4.png" in line for line in told))

    def test_archives_are_read_as_folders_are(self) -> None:
        source = self.pictures("set", ["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", ".hidden/1.png"])
        archive = self.folder / "set.zip"
        with zipfile.ZipFile(archive, "w") as written:
            for path in sorted(source.rglob("*.png")):
                written.write(path, f"set/{path.relative_to(source)}")
            written.writestr("set/dog/3.png", b"cut")
        folder, zipped = data.load(source, 32), data.load(archive, 32)
        self.assertTrue(torch.equal(folder.pixels, zipped.pixels))
        self.assertEqual((folder.labels, folder.targets.tolist()), (zipped.labels, zipped.targets.tolist()))
        self.assertTrue(any("(1), can't be read: set/dog/3.png" in line for line in zipped.notes))
        content = archive.read_bytes()
        at = content.index(b"set/cat/1.png") + 60
        archive.write_bytes(content[:at] + bytes(8) + content[at + 8 :])
        self.assertTrue(any("set/cat/1.png: damaged in the archive" in line for line in data.load(archive, 32).notes))
        with zipfile.ZipFile(archive, "r") as written:
            central = written.start_dir
        content = bytearray(archive.read_bytes())
        content[central + 8] |= 1
        archive.write_bytes(content)
        with self.assertRaisesRegex(DataError, "is encrypted; unpack it"):
            data.load(archive, 32)

    def test_a_full_disk_stops_nothing(self) -> None:
        source = self.pictures("set", ["cat/1.png", "dog/1.png"])
        with unittest.mock.patch.object(np, "save", side_effect=OSError(28, "No space left on device")):
            self.assertEqual(len(data.load(source, 32)), 2)
        self.assertEqual(list((self.folder / "cache" / "tinception").iterdir()), [])
        (self.folder / "cache" / "tinception").rmdir()
        (self.folder / "cache" / "tinception").write_text("no folder")
        self.assertEqual(len(data.load(source, 32)), 2)

    def test_what_was_taken_is_told(self) -> None:
        source = self.pictures("set", [f"{label}/{index}.png" for label, count in (("cat", 5), ("dog", 3)) for index in range(count)])
        pictures = data.load(source, 32)
        told = data.account(*data.split(pictures, 0.2), ["a note"])
        self.assertEqual(told, ["8 pictures in 2 classes: 6 to train on, 2 held out", "  cat: 4 + 1", "  dog: 2 + 1", "a note"])
        self.assertEqual(data.account(*data.split(pictures, 0.2), [], most=1)[2], "  and 1 more, of 3 to 3 pictures")


if __name__ == "__main__":
    unittest.main()
