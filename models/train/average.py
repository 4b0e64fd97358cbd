"""Averages the weights of two exported networks, the one trained on from the other.

    python3 average.py nano.onnx longer.onnx --data cifar10/train.zip --out average.onnx

Where both lie in one valley of the loss, what lies between them is often better than either (Wortsman et al. 2022, "Model
soups"). How much each counts is chosen on the validation part, which must be the one that was held out of both trainings.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper
from tqdm import tqdm

import command
import data
import exported
from data import DataError
from evaluate import labelled, session_accuracy

STEPS = 8
"""The shares that are tried are multiples of one STEPS-th."""


def between(first: ModelProto, second: ModelProto, share: float) -> ModelProto:
    """`first` with weights that are `share` of the way to those of `second`.

    Raises:
        DataError: the networks differ in more than their weights.
    """
    shapes = [[tuple(entry.dims) for entry in model.graph.initializer] for model in (first, second)]
    operators = [[node.op_type for node in model.graph.node] for model in (first, second)]
    if shapes[0] != shapes[1] or operators[0] != operators[1]:
        raise DataError("the two files are different networks; average one with what was trained on from it")
    model = ModelProto()
    model.CopyFrom(first)
    for entry, a, b in zip(model.graph.initializer, first.graph.initializer, second.graph.initializer):
        value = (1 - share) * numpy_helper.to_array(a) + share * numpy_helper.to_array(b)
        entry.CopyFrom(numpy_helper.from_array(value.astype(np.float32), a.name))
    return model


def main(argv: list[str] | None = None) -> float:
    """Writes the best average of the files the arguments name; returns the second one's share of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="pictures that both were trained on: zip or folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--validation", type=float, default=0.1, help="share of each class that was held out")
    parser.add_argument("--seed", type=int, default=0, help="seed of both trainings")
    options = parser.parse_args(argv)
    labels = exported.labels(options.first)
    if labels != exported.labels(options.second):
        raise DataError(f"{options.second}: knows other classes than {options.first}")
    first, second = exported.read(options.first), exported.read(options.second)
    pictures = labelled(options.data, exported.side(options.first), labels)
    _, held_out = data.split(pictures, options.validation, options.seed)
    shares = [step / STEPS for step in range(STEPS + 1)]
    found = {}
    for share in tqdm(shares, desc="averaging", leave=False, disable=None):
        found[share] = session_accuracy(between(first, second, share).SerializeToString(), held_out)
        tqdm.write(f"{share:.3f} of {options.second.name}: validation {found[share]:.2%}")
    best = max(shares, key=lambda share: found[share])
    partial = options.out.with_suffix(".partial.onnx")
    onnx.save(between(first, second, best), partial)
    partial.replace(options.out)
    print(f"{options.out}: {best:.3f} of {options.second.name}, validation {found[best]:.2%}")
    return best


if __name__ == "__main__":
    command.run("average.py", main)
