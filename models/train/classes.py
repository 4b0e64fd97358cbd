"""Which class a picture belongs to, and whether it is to be trained on: told by the folders it lies in.

    CLASS/NAME.jpg                        a class is a folder; what lies deeper in it belongs to it
    train/CLASS/NAME.jpg, val/CLASS/...   the parts of a data set that is split already
    CLASS/train/NAME.jpg, CLASS/val/...   the same, the other way round

A folder that holds nothing but one folder of these doesn't count, so an archive may begin with a folder of its own. What can be
understood in two ways is refused: a class that is taken for another goes unnoticed until the network is used.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from sources import DataError, Source, shown

TRAINING, VALIDATION, TEST = "training", "validation", "test"
PARTS = {
    **dict.fromkeys(("train", "training"), TRAINING),
    **dict.fromkeys(("val", "valid", "validation", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing", "tests", "eval", "evaluation"), TEST),
}
"""Names of folders, in small letters, and the part of a data set that is in them."""
WORD = re.compile(rf"(?<![a-z])({'|'.join(PARTS)})(?:set|data|images|pictures)?(?![a-z])")
CLASSES_TOO = {"train", "training", "valid"}
"""Names of parts that things bear, too: a train among other vehicles."""
BIDIRECTIONAL = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Kinds of characters that reverse the text behind them."""
ADVICE = "CLASS/NAME.jpg, or train/CLASS/NAME.jpg and val/CLASS/NAME.jpg"


@dataclass(frozen=True)
class Place:
    """Where a picture belongs: its class, and the part of the data set that it is in, if that is split already."""

    label: str
    part: str | None


@dataclass
class Node:
    """A folder: the folders in it, and the names of the pictures right in it, and of those that can't be read."""

    folders: dict[str, "Node"] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def all(self) -> Iterator[str]:
        """The names of the pictures in it, however deep."""
        yield from self.pictures
        yield from self.unread
        for folder in self.folders.values():
            yield from folder.all()

    def names(self) -> Iterator[str]:
        """The names of the folders in it, however deep."""
        for name, folder in self.folders.items():
            yield name
            yield from folder.names()


@dataclass
class Arrangement:
    """What the folders say.

    Attributes:
        places: of each picture that lies in a class; pictures for tests may lie in none.
        notes: what a reader should know of how the folders were understood.
    """

    places: dict[str, Place] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def parts(self) -> set[str | None]:
        return {place.part for place in self.places.values()}


def arrange(source: Source) -> Arrangement:
    """Tells the classes of the pictures of a source, and of those that can't be read, so that no class is lost unnoticed.

    Raises:
        DataError: a picture is in no class folder, or the folders can be understood in two ways.
    """
    root = Node()
    for name in sorted((*source.pictures, *source.unread)):
        *folders, _ = name.split("/")
        node = root
        for folder in folders:
            node = node.folders.setdefault(folder, Node())
        (node.unread if name in source.unread else node.pictures).append(name)
    try:
        return _arrange(_unwrapped(root))
    except DataError as error:
        raise DataError(f"{source.path}: {error}") from None


def label_of(folder: str) -> str:
    """The class that a folder's name means: in Unicode's composed form, as most keyboards type it.

    Raises:
        DataError: it can't be printed as a line.
    """
    label = unicodedata.normalize("NFC", folder)
    # Controls, halves of characters (bytes that are no UTF-8), ends of lines, and what reverses the text behind it.
    controls = any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in label)
    reversing = any(unicodedata.bidirectional(c) in BIDIRECTIONAL for c in label)
    if controls or reversing or label != label.strip():
        why = "spaces at an end, or characters that can't be printed"
        raise DataError(f"the folder '{shown(folder)}' can't name a class: {why}; rename it")
    return label


def _unwrapped(node: Node, classes: Collection[str] = ()) -> Node:
    """The folder itself, or what is in it where that is one folder of folders, which is no class."""
    while not node.pictures and len(node.folders) == 1:
        ((name, folder),) = node.folders.items()
        if folder.pictures or not folder.folders or name.casefold() in PARTS or name in classes:
            break
        node = folder
    return node


def _arrange(root: Node) -> Arrangement:
    found = Arrangement()
    if root.pictures:
        raise DataError(f"{shown(root.pictures[0])} is in no class folder; expected {ADVICE}")
    parts = _parts(root, found)
    if parts is None:
        below = _parts_below(root, found)
        members = [(name, part, folder) for name, folders in below.items() for part, folder in folders]
    else:
        members = list(_members(root, parts, found))
    _check_names(found, members)
    _check_nested(found, members)
    for name, part, folder in members:
        place = Place(label_of(name), part)
        found.places.update((picture, place) for picture in folder.all())
    if TRAINING in found.parts():
        _check_parts(found)
    return found


def _parts(root: Node, found: Arrangement) -> dict[str, str] | None:
    """The parts of a split data set, by the folders' names; None where these are classes.

    Raises:
        DataError: some are the one and some are the other.
    """
    named = {name: PARTS.get(name.strip().casefold()) or _by_word(root, name, folder) for name, folder in root.folders.items()}
    parts = {name: part for name, part in named.items() if part}
    others = [name for name in root.folders if name not in parts]
    if not parts:
        return None
    if not others:
        return parts
    ((name, part), *more) = parts.items()
    if not more and name.casefold() in CLASSES_TOO and not root.folders[name].folders:
        found.notes.append(f"the folder {shown(name)} is taken for a class, as those next to it are")
        return None
    raise DataError(
        f"the folder {shown(name)} seems to hold pictures for {part}, but {shown(others[0])} next to it is no part of a split data "
        f"set; rename it if it is a class, else expected {ADVICE}"
    )


def _by_word(root: Node, name: str, folder: Node) -> str | None:
    """The part that a word in a folder's name means, as in seg_train.

    Classes may have such words in their names, too. So another folder has to have folders of the same names, or a word for
    another part, and one of them folders in it, which classes seldom have.
    """
    word = WORD.search(name.casefold())
    if not word:
        return None
    mine = set(folder.names())
    for other, its in root.folders.items():
        its_word = WORD.search(other.casefold())
        another = its_word and PARTS[its_word[1]] != PARTS[word[1]] and (folder.folders or its.folders)
        if other != name and (another or mine & set(its.names())):
            return PARTS[word[1]]
    return None


def _members(root: Node, parts: dict[str, str], found: Arrangement) -> Iterator[tuple[str, str, Node]]:
    """The classes in a data set that is split: folder's name, part, folder; those to be trained on come first."""
    classes: set[str] = set()
    for part in (TRAINING, VALIDATION, TEST):
        for name in (name for name, its in parts.items() if its == part):
            folder = _unwrapped(root.folders[name], classes)
            if folder.pictures and part != TEST:
                raise DataError(f"{shown(folder.pictures[0])} is in no class folder; expected {ADVICE}")
            if part == TRAINING:
                classes.update(folder.folders)
            yield from ((label, part, its) for label, its in folder.folders.items())


def _parts_below(root: Node, found: Arrangement) -> dict[str, list[tuple[str | None, Node]]]:
    """Of each class its parts and their folders, where classes are split; else each class's own folder, and None for the part.

    Raises:
        DataError: some classes are split, or some of a class's folders are, and some are not.
    """
    classes = root.folders
    whole = {name: [(None, folder)] for name, folder in classes.items()}
    below = {f"{name}/{inner}": PARTS.get(inner.strip().casefold()) for name in classes for inner in classes[name].folders}
    parts = {name: part for name, part in below.items() if part}
    if not parts:
        return whole
    outside = [name for name, part in below.items() if not part]
    outside += [name for folder in classes.values() for name in folder.pictures]
    if not outside:
        return {name: [(below[f"{name}/{inner}"], its) for inner, its in classes[name].folders.items()] for name in classes}
    if len(parts) == 1 and next(iter(parts)).split("/")[1].casefold() in CLASSES_TOO:
        return whole
    name, part = next(iter(parts.items()))
    which = f"the folder {shown(name)} seems to hold pictures for {part}, but {shown(outside[0])} is in no such folder"
    raise DataError(f"{which}; expected {ADVICE}")


def _check_names(found: Arrangement, members: list[tuple[str, str | None, Node]]) -> None:
    """Sees that no two classes have names that look alike."""
    spelt: dict[str, str] = {}
    folders: dict[str, str] = {}
    for name, _, _ in members:
        label = label_of(name)
        other = spelt.setdefault(label.casefold(), label)
        if other != label:
            which = f"the class folders {other} and {label}"
            raise DataError(f"{which} differ only in capital letters; put them into one, or rename one")
        if folders.setdefault(label, name) != name:
            found.notes.append(f"two folders are named {label}, with composed and with decomposed characters: one class")


def _check_nested(found: Arrangement, members: list[tuple[str, str | None, Node]]) -> None:
    """Sees that folders within class folders can't be meant to be the classes, nor a part of the data.

    Raises:
        DataError: several classes share several such folders, as day1/cat, day1/dog and day2/cat do, or one is named as a part.
    """
    within: dict[str, set[str]] = defaultdict(set)
    for name, part, folder in members:
        held_out = next((inner for inner in folder.names() if PARTS.get(inner.casefold(), TRAINING) != TRAINING), None)
        if held_out and part != TEST:
            which = f"within the folder {shown(name)}, {shown(held_out)} seems to hold pictures that are held out"
            raise DataError(f"{which}; expected {ADVICE}")
        for inner in folder.folders:
            within[inner].add(label_of(name))
    shared = next((inner for inner, labels in within.items() if len(labels) > 1), None)
    if shared is not None and len(within) > 1:
        first, second = sorted(within[shared])[:2]
        raise DataError(
            f"there are folders {shown(shared)} in {first} as well as in {second}; a class is one folder: "
            "put all of a class's pictures right into it"
        )
    if within:
        inner, labels = next(iter(within.items()))
        example = f"{min(labels)}/{shown(inner)}"
        found.notes.append(f"pictures in folders within a class's folder belong to that class, as those in {example} do")


def _check_parts(found: Arrangement) -> None:
    """Sees that what is held out is what is learned."""
    labels = defaultdict(set)
    for place in found.places.values():
        labels[place.part].add(place.label)
    unknown = sorted(labels[VALIDATION] - labels[TRAINING])
    if unknown:
        raise DataError(f"the class {unknown[0]} has pictures for validation, but none to train on; move some, or remove it")
    missing = sorted(labels[TRAINING] - labels[VALIDATION])
    if missing and labels[VALIDATION]:
        found.notes.append(f"without pictures for validation, so not measured: {', '.join(missing)}")
