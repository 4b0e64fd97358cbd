"""What takes both Python and the program: the book's commands for own classes, and a start from int8.

Needs cargo, or the path of the program in TINCEPTION_PROGRAM; about a minute on two cores.
"""

import json
import sys
import unittest
from pathlib import Path

import torch

import checkpoint
import data
import tin
from fixtures import LABELS, Folder, program, randomise, run, synthetic
from start import start_from

HERE = Path(__file__).parent


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

    def test_a_start_from_an_imported_network(self) -> None:
        """An int8 file of a checkpoint that Python has not exported gives back what the checkpoint computes."""
        synthetic(self.folder / "pictures", 12)
        pictures = data.load(self.folder / "pictures", 32)
        x = data.normalise(pictures.pixels)
        for name in ("nano", "book"):
            with self.subTest(name):
                torch.manual_seed(1)
                spec = checkpoint.Spec(name, 32, LABELS)
                network, started = spec.build(False), spec.build(False)
                randomise(network)
                files = [self.folder / f"{name}.{suffix}" for suffix in ("pt", "onnx", "tin")]
                checkpoint.save(files[0], spec, network.state_dict())
                run(program(), "import", files[0], "--arch", name, "-o", files[1])
                run(program(), "quantize", files[1], "--calibration", self.folder / "pictures", "-o", files[2])
                self.assertEqual(tin.labels(files[2]), LABELS)
                start_from(started, files[2], pictures)
                with torch.no_grad():
                    logits, expected = started.eval()(x)[0], network.eval()(x)[0]
                self.assertLess((logits - expected).square().mean() / expected.square().mean(), 0.01)


if __name__ == "__main__":
    unittest.main()
