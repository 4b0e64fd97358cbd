"""Top-1 accuracy of a checkpoint or of an exported file on labelled pictures.

    python3 evaluate.py runs/nano/best.pt --data cifar10/test.zip

For the test set: once, when nothing is left to choose.
"""

import argparse
import sys
import unicodedata
from pathlib import Path

import numpy as np
import onnxruntime

import checkpoint
import command
import data
import exported
from train import accuracy


def session_accuracy(model: str | bytes, pictures: data.Pictures) -> float:
    """Share of the pictures whose highest score in ONNX Runtime is their class; `model` is a file's path or content."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    right = 0
    for pixels, target in zip(pictures.pixels.numpy(), pictures.targets.tolist()):
        image = pixels.transpose(2, 0, 1)[None].astype(np.float32)
        right += int(session.run(None, {name: image})[0].argmax() == target)
    return right / len(pictures)


def onnx_accuracy(path: Path, source: Path) -> tuple[float, int]:
    """Accuracy of an exported file in ONNX Runtime, and the number of pictures."""
    pictures = labelled(source, exported.side(path), exported.labels(path), test=True)
    return session_accuracy(str(path), pictures), len(pictures)


def labelled(source: Path, size: int, labels: list[str], test: bool = False) -> data.Pictures:
    """The pictures of `source`, or with `test` those for tests, if it has such; its classes must be the network's.

    What there is to say of them is printed to standard error.
    """
    pictures = data.load(source, size, test)
    for line in pictures.notes:
        print(f"{source}: {line}", file=sys.stderr)
    # A network may have been trained where names came with decomposed characters.
    if pictures.labels != [unicodedata.normalize("NFC", label) for label in labels]:
        its = ", ".join(pictures.labels)
        raise data.DataError(f"{source}: its classes, {its}, are not the network's, which are {', '.join(labels)}")
    return pictures


def main(argv: list[str] | None = None) -> None:
    """Evaluates the file the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a checkpoint, or an .onnx that export.py wrote")
    parser.add_argument("--data", type=Path, required=True, help="zip or folder with CLASS/NAME.jpg in it")
    options = parser.parse_args(argv)
    if options.model.suffix == ".onnx":
        share, count = onnx_accuracy(options.model, options.data)
    else:
        network, spec = checkpoint.load(options.model)
        pictures = labelled(options.data, spec.size, spec.labels, test=True)
        share, count = accuracy(network, pictures), len(pictures)
    print(f"{options.model}: top-1 {share:.2%} on {count} pictures of {options.data.name}")


if __name__ == "__main__":
    command.run("evaluate.py", main)
