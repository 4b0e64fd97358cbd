"""Pictures in memory: a zip or a folder of class folders becomes one uint8 array."""

import hashlib
import io
import os
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from tqdm import tqdm

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

# A pixel value v reaches the network as (v - MEAN) * SCALE, the same for each colour. In int8 that is v - 128 exactly,
# so quantising the picture loses nothing.
MEAN = 128.0
SCALE = 1.0 / 64.0


class DataError(Exception):
    """The pictures can't be used; the message names the file and what to do."""


@dataclass
class Pictures:
    """A set of labelled pictures.

    Attributes:
        pixels: uint8, (pictures, height, width, 3), RGB.
        targets: int64, (pictures,), indices into `labels`.
        labels: class names, sorted.
        taught: float32, (pictures, classes): a teacher's logits.
    """

    pixels: Tensor
    targets: Tensor
    labels: list[str]
    taught: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def subset(self, indices: Tensor) -> "Pictures":
        taught = None if self.taught is None else self.taught[indices]
        return Pictures(self.pixels[indices], self.targets[indices], self.labels, taught)

    def to(self, device: str) -> "Pictures":
        taught = None if self.taught is None else self.taught.to(device)
        return Pictures(self.pixels.to(device), self.targets.to(device), self.labels, taught)


def _files(source: Path) -> list[tuple[str, str]]:
    """Name and class of every picture under `source`, sorted; the class is the folder right above the picture."""
    if source.is_dir():
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    else:
        raise DataError(f"{source}: neither a folder nor a zip file")
    names = sorted(name for name in names if name.lower().endswith(SUFFIXES))
    if not names:
        raise DataError(f"{source}: no pictures in it; expected CLASS/NAME.jpg")
    outside = next((name for name in names if "/" not in name), None)
    if outside is not None:
        raise DataError(f"{source}: {outside} is in no class folder; expected CLASS/NAME.jpg")
    return [(name, name.split("/")[-2]) for name in names]


def _decode(content: bytes, size: int) -> np.ndarray:
    """One picture as (size, size, 3): shorter side to `size`, then the centre."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    if picture.size != (size, size):
        scale = size / min(picture.size)
        width, height = (max(size, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - size) // 2, (height - size) // 2
        picture = picture.crop((left, top, left + size, top + size))
    return np.asarray(picture)


def _cache_file(source: Path, files: list[tuple[str, str]], size: int) -> Path:
    """Where the decoded pictures of `source` are kept; its name changes with the list of files and with their dates."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tinception"
    state = hashlib.sha256(f"{source.resolve()} {size}".encode())
    for name, _ in files:
        stamp = (source / name).stat() if source.is_dir() else source.stat()
        state.update(f"{name} {stamp.st_mtime_ns} {stamp.st_size}\n".encode())
    return folder / f"{state.hexdigest()[:16]}.npy"


def load(source: Path, size: int) -> Pictures:
    """Reads every picture of a zip or a folder of class folders, `size` pixels square.

    Decoded pixels are kept in the user's cache folder, so that the next start is immediate.

    Raises:
        DataError: no pictures, pictures outside class folders, or a file that is no picture.
    """
    files = _files(source)
    labels = sorted({label for _, label in files})
    targets = torch.tensor([labels.index(label) for _, label in files])
    cache = _cache_file(source, files, size)
    if cache.exists():
        return Pictures(torch.from_numpy(np.load(cache)), targets, labels)
    pixels = np.empty((len(files), size, size, 3), np.uint8)
    archive = None if source.is_dir() else zipfile.ZipFile(source)

    def decode(index: int) -> None:
        name = files[index][0]
        content = archive.read(name) if archive else (source / name).read_bytes()
        try:
            pixels[index] = _decode(content, size)
        except (UnidentifiedImageError, OSError) as error:
            raise DataError(f"{source}: {name} can't be decoded ({error}); remove it") from error

    # Pillow decodes and resizes without Python's lock.
    with ThreadPoolExecutor() as pool:
        done = pool.map(decode, range(len(files)))
        for _ in tqdm(done, desc=f"decoding {source.name}", total=len(files), leave=False, disable=None):
            pass
    cache.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: another training may be decoding the same pictures.
    with tempfile.NamedTemporaryFile(dir=cache.parent, suffix=".partial", delete=False) as partial:
        np.save(partial, pixels)
    Path(partial.name).replace(cache)
    return Pictures(torch.from_numpy(pixels), targets, labels)


def split(pictures: Pictures, fraction: float, seed: int = 0) -> tuple[Pictures, Pictures]:
    """Training and validation part; the latter is `fraction` of each class, at least one picture."""
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(pictures), dtype=torch.bool)
    for target in range(len(pictures.labels)):
        members = (pictures.targets == target).nonzero().flatten()
        if len(members) < 2:
            raise DataError(f"class {pictures.labels[target]} has {len(members)} picture; two are the least")
        order = torch.randperm(len(members), generator=generator)
        held_out[members[order[: max(1, round(fraction * len(members)))]]] = True
    return pictures.subset((~held_out).nonzero().flatten()), pictures.subset(held_out.nonzero().flatten())


def normalise(pixels: Tensor) -> Tensor:
    """uint8 NHWC to the network's float input: NCHW in shape, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().sub_(MEAN).mul_(SCALE)
