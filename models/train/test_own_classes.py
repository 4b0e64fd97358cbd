"""The README's three commands, as a newcomer runs them: own pictures in folders, to an int8 model that knows them.

Needs cargo, or the path of the program in TINCEPTION_PROGRAM; about a minute on two cores.
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

from test_train import LABELS, Folder, synthetic

HERE = Path(__file__).parent


def run(*command: object) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def program() -> Path:
    """The program `tinception`, built if it isn't named."""
    named = os.environ.get("TINCEPTION_PROGRAM")
    if named:
        return Path(named)
    manifest = HERE.parent.parent / "Cargo.toml"
    built = run("cargo", "build", "-p", "tinception", "--locked", "--message-format=json", "--manifest-path", manifest)
    executables = [json.loads(line).get("executable") for line in built.splitlines()]
    return next(Path(path) for path in executables if path)


class OwnClasses(Folder):
    def test_three_commands_then_classify(self) -> None:
        pictures, fresh = self.folder / "pictures", self.folder / "fresh"
        synthetic(pictures, 450)
        synthetic(fresh, 60, seed=1)
        run_folder, onnx, tin = (self.folder / name for name in ("mine", "mine.onnx", "mine.tin"))
        tinception = program()

        run(sys.executable, HERE / "train.py", "--net", "nano", "--data", pictures, "--epochs", 6, "--batch", 32,
            "--out", run_folder, "--device", "cpu", "--threads", 2)
        run(sys.executable, HERE / "export.py", run_folder / "best.pt", "--out", onnx)
        run(tinception, "quantize", onnx, "--calibration", pictures, "-o", tin)

        files = sorted(fresh.rglob("*.png"))
        classified = json.loads(run(tinception, "classify", *files, "--model", tin, "--json"))
        self.assertEqual(len(classified), 60)
        right = sum(entry["top"][0]["label"] == Path(entry["file"]).parent.name for entry in classified)
        self.assertEqual({entry["top"][0]["label"] for entry in classified}, set(LABELS))
        self.assertGreaterEqual(right, 54, f"{right} of 60 pictures that training has not seen")


if __name__ == "__main__":
    unittest.main()
