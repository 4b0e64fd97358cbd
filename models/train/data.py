"""Pictures in memory: a zip or a folder of class folders becomes one uint8 array."""

import hashlib
import json
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from classes import TEST, TRAINING, VALIDATION, Arrangement, arrange
from picture import PictureError, decode
from sources import HIDDEN, OTHER, REASONS, DataError, Source, open_source, shown

# A pixel value v reaches the network as (v - MEAN) * SCALE, the same for each colour. In int8 that is v - 128 exactly,
# so quantising the picture loses nothing.
MEAN = 128.0
SCALE = 1.0 / 64.0


_decode = decode

RULE = 2
"""Which rule the pixels in the cache were made by; another one gives them other names."""


@dataclass
class Pictures:
    """A set of labelled pictures.

    Attributes:
        pixels: uint8, (pictures, height, width, 3), RGB.
        targets: int64, (pictures,), indices into `labels`.
        labels: class names, sorted.
        taught: float32, (pictures, classes): a teacher's logits.
        held_out: bool, (pictures,): which are not to be trained on, where the data say so themselves.
        notes: what a reader should know of them, a line each: files that were passed over, how folders were understood.
    """

    pixels: Tensor
    targets: Tensor
    labels: list[str]
    taught: Tensor | None = None
    held_out: Tensor | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    def subset(self, indices: Tensor) -> "Pictures":
        taught = None if self.taught is None else self.taught[indices]
        return Pictures(self.pixels[indices], self.targets[indices], self.labels, taught)

    def to(self, device: str) -> "Pictures":
        taught = None if self.taught is None else self.taught.to(device)
        return Pictures(self.pixels.to(device), self.targets.to(device), self.labels, taught)


@dataclass
class Content:
    """What is in a source's picture files.

    Attributes:
        pixels: uint8, (pictures, size, size, 3): of those that can be read.
        names: theirs, in the same order.
        digests: of their files' bytes, in the same order.
        failed: the names of the others, each with the reason.
    """

    pixels: np.ndarray
    names: list[str]
    digests: list[str]
    failed: dict[str, str]


def _cache_file(source: Source, names: list[str], size: int) -> Path:
    """Where the decoded pictures of `source` are kept; its name changes with the list of files and with their dates."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tinception"
    state = hashlib.sha256(f"{source.path.resolve()} {size} {RULE}".encode(errors="surrogateescape"))
    for name in names:
        state.update(f"{name} {source.pictures[name]}\n".encode(errors="surrogateescape"))
    return folder / f"{state.hexdigest()[:16]}.npy"


def _cached(file: Path) -> Content | None:
    """What an earlier call kept, if it is whole."""
    try:
        with file.open("rb") as stored:
            pixels, told = np.load(stored), json.load(stored)
    except (OSError, ValueError, EOFError):
        return None
    return Content(pixels, told["names"], told["digests"], told["failed"])


def _keep(file: Path, content: Content) -> None:
    """Keeps decoded pictures, and behind them what is known of their files. Where there is no room they are decoded again."""
    told = json.dumps({"names": content.names, "digests": content.digests, "failed": content.failed})
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: another training may be decoding the same pictures.
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".partial", delete=False) as partial:
            try:
                np.save(partial, content.pixels)
                partial.write(told.encode())
            except OSError:
                Path(partial.name).unlink()
                raise
        Path(partial.name).replace(file)
    except OSError as error:
        tqdm.write(f"{file}: decoded pictures can't be kept ({error.strerror}); the next start takes as long as this one")


def _decoded(source: Source, names: list[str], size: int) -> Content:
    """The pictures of these names, from the cache if they are in it."""
    cache = _cache_file(source, names, size)
    if content := _cached(cache):
        return content
    pixels = np.empty((len(names), size, size, 3), np.uint8)
    digests = [""] * len(names)
    failed: dict[str, PictureError] = {}

    def read(index: int) -> None:
        try:
            content = source.read(names[index])
            pixels[index] = _decode(content, size)
        except PictureError as error:
            failed[names[index]] = error
        else:
            digests[index] = hashlib.blake2b(content, digest_size=16).hexdigest()

    # Pillow decodes and resizes without Python's lock.
    with ThreadPoolExecutor() as pool:
        done = pool.map(read, range(len(names)))
        for _ in tqdm(done, desc=f"decoding {source.path.name}", total=len(names), leave=False, disable=None):
            pass
    if failed:
        good = [index for index, name in enumerate(names) if name not in failed]
        pixels, names, digests = pixels[good], [names[index] for index in good], [digests[index] for index in good]
    content = Content(pixels, names, digests, {name: str(error) for name, error in sorted(failed.items())})
    if not any(error.passing for error in failed.values()):
        _keep(cache, content)
    return content


def _chosen(source: Source, found: Arrangement, test: bool) -> dict[str, str | None]:
    """The pictures to train on, or to test with, and the part each is of, where the data are split already.

    Raises:
        DataError: the data have other parts alone.
    """
    parts = found.parts()
    if test:
        wanted = {next(part for part in (TEST, VALIDATION, TRAINING, None) if part in parts)}
    else:
        wanted = {TRAINING, VALIDATION} if TRAINING in parts else {None}
    if not wanted & parts:
        held = " and ".join(sorted(map(str, parts)))
        raise DataError(f"{source.path}: holds pictures for {held} alone; training needs train/CLASS/NAME.jpg")
    return {name: place.part for name, place in sorted(found.places.items()) if place.part in wanted}


def load(source: Path, size: int, test: bool = False) -> Pictures:
    """Reads every picture of a zip or a folder of class folders, `size` pixels square.

    Of data that are split already those to train on and those held out, or with `test` those to test with. Decoded pixels
    are kept in the user's cache folder, so that the next start is immediate.

    Raises:
        DataError: no pictures, pictures outside class folders, folders that can be understood in two ways, or a class none of
            whose pictures can be read.
    """
    files = open_source(source)
    found = arrange(files)
    if not found.places:
        passed = "; ".join(["", *_told(files.passed), *_told(_by_reason(files.unread))])
        raise DataError(f"{source}: no pictures in it; expected CLASS/NAME.jpg{passed}")
    chosen = _chosen(files, found, test)
    content = _decoded(files, [name for name in chosen if name in files.pictures], size)
    unread = files.unread | content.failed
    labels = sorted({found.places[name].label for name in chosen})
    mine = [found.places[name].label for name in content.names]
    for label in sorted(set(labels) - set(mine)):
        names = [name for name in chosen if found.places[name].label == label]
        first = shown(f"{names[0]}: {unread[names[0]]}")
        raise DataError(f"{source}: the class {label} has no picture that can be read, of {len(names)}; {first}")
    held_out = None
    if VALIDATION in chosen.values() and not test:
        held_out = torch.tensor([chosen[name] == VALIDATION for name in content.names])
    index = {label: number for number, label in enumerate(labels)}
    usual = {reason: names for reason, names in files.passed.items() if reason in (HIDDEN, OTHER)}
    odd = {reason: names for reason, names in files.passed.items() if reason not in usual}
    copies = _copies(content.names, content.digests, mine)
    warnings = [f"warning: {line}" for line in (*_told(odd), *_told(_by_reason(unread)), *copies)]
    return Pictures(
        torch.from_numpy(content.pixels),
        torch.tensor([index[label] for label in mine]),
        labels,
        held_out=held_out,
        notes=[*found.notes, *_left_alone(found, chosen), *_told(usual), *warnings],
    )


def _left_alone(found: Arrangement, chosen: Collection[str]) -> list[str]:
    """What is said of the parts of split data that aren't used."""
    counts = Counter(place.part for name, place in found.places.items() if name not in chosen)
    return [f"not used: {count} pictures for {part}" for part, count in counts.items()]


def _by_reason(unread: dict[str, str]) -> dict[str, list[str]]:
    """Pictures that can't be read by the reason, or one by one where each has its own."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for name, reason in unread.items():
        if reason in REASONS:
            grouped[reason].append(name)
        else:
            grouped["can't be read"].append(f"{name}: {reason}")
    return grouped


def _told(passed: dict[str, list[str]]) -> list[str]:
    """A line for each reason to pass files over, with how many there were and which came first."""
    return [f"passed over ({len(names)}), {reason}: {_first(names)}" for reason, names in passed.items() if names]


def _first(names: list[str], count: int = 3) -> str:
    more = [f"and {len(names) - count} more"] if len(names) > count else []
    return ", ".join([*map(shown, names[:count]), *more])


def _copies(names: list[str], digests: list[str], labels: list[str]) -> list[str]:
    """What is said of pictures whose files are the same, byte for byte."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        same[digest].append(index)
    copies = [members for members in same.values() if len(members) > 1]
    torn = [" = ".join(names[index] for index in members) for members in copies if len({labels[index] for index in members}) > 1]
    alike = [" = ".join(names[index] for index in members) for members in copies if len({labels[index] for index in members}) == 1]
    lines = []
    if torn:
        lines.append(f"pictures in several classes: {len(torn)}; keep each in one: {_first(torn)}")
    if alike:
        lines.append(f"pictures that are there more than once: {len(alike)}; one of them held out is no test: {_first(alike)}")
    return lines


def account(training: Pictures, held_out: Pictures, notes: list[str], most: int = 20) -> list[str]:
    """What is trained on, a line each: how many pictures, of which classes, how many are held out, then the notes."""
    classes, count = training.labels, len(training) + len(held_out)
    parts = [torch.bincount(part.targets, minlength=len(classes)).tolist() for part in (training, held_out)]
    lines = [f"{count} pictures in {len(classes)} classes: {len(training)} to train on, {len(held_out)} held out"]
    lines += [f"  {label}: {first} + {second}" for label, first, second in list(zip(classes, *parts))[:most]]
    if len(classes) > most:
        others = [first + second for first, second in zip(*parts)][most:]
        lines.append(f"  and {len(others)} more, of {min(others)} to {max(others)} pictures")
    return lines + notes


def split(pictures: Pictures, fraction: float, seed: int = 0) -> tuple[Pictures, Pictures]:
    """Training and validation part; the latter is `fraction` of each class, at least one picture, or what the data hold out.

    Raises:
        DataError: there is one class alone, or one with too few pictures.
    """
    if len(pictures.labels) < 2:
        advice = "add a folder of other pictures, of what the network will see instead"
        raise DataError(f"{pictures.labels[0]} is the only class, and can't be told from anything; {advice}")
    held_out = torch.zeros(len(pictures), dtype=torch.bool) if pictures.held_out is None else pictures.held_out
    generator = torch.Generator().manual_seed(seed)
    for target, label in enumerate(pictures.labels):
        members = (pictures.targets == target).nonzero().flatten()
        if pictures.held_out is not None:
            if held_out[members].all():
                raise DataError(f"the class {label} has no picture to train on that can be read")
            continue
        if len(members) < 2:
            raise DataError(f"the class {label} has {len(members)} picture; two are the least: one to train on, one held out")
        order = torch.randperm(len(members), generator=generator)
        held_out[members[order[: min(max(1, round(fraction * len(members))), len(members) - 1)]]] = True
    if not held_out.any():
        raise DataError("of the pictures for validation none can be read")
    return pictures.subset((~held_out).nonzero().flatten()), pictures.subset(held_out.nonzero().flatten())


def normalise(pixels: Tensor) -> Tensor:
    """uint8 NHWC to the network's float input: NCHW in shape, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().sub_(MEAN).mul_(SCALE)
