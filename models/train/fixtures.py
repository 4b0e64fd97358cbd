"""What several tests need: pictures, networks with random statistics, a folder."""

import json
import os
import subprocess
import tempfile
import unittest
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from torch import nn

LABELS = ["blue", "green", "red"]
ARTEFACTS = Path(__file__).parents[1] / "artefacts"


def run(*command: object) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


@cache
def program() -> Path:
    """The program `tinception`: that of TINCEPTION_PROGRAM, or built here."""
    named = os.environ.get("TINCEPTION_PROGRAM")
    if named:
        return Path(named)
    manifest = ARTEFACTS.parents[1] / "Cargo.toml"
    built = run("cargo", "build", "-p", "tinception", "--locked", "--message-format=json", "--manifest-path", manifest)
    executables = [json.loads(line).get("executable") for line in built.splitlines()]
    return next(Path(path) for path in executables if path)


def synthetic(folder: Path, count: int, seed: int = 0) -> None:
    """`count` noisy 32x32 pictures in which a brighter channel, the class, shows in a random square."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        label = index % 3
        pixels = generator.integers(0, 160, (32, 32, 3), dtype=np.uint8)
        top, left = generator.integers(0, 20, 2)
        pixels[top : top + 12, left : left + 12, 2 - label] += 90
        path = folder / LABELS[label] / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def randomise(network: nn.Module) -> None:
    """Gives every batch normalisation values that a training could have given it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                values.data.normal_(std=0.2)
            for values in (module.running_var, module.weight):
                values.data.uniform_(0.5, 2.0)


class Folder(unittest.TestCase):
    """Tests that need a folder of their own, and a cache that isn't the user's."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        patch = mock.patch.dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache"))
        patch.start()
        self.addCleanup(patch.stop)
