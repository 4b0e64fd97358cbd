#!/usr/bin/env python3
"""Compares .tin files with themselves: does the second implementation get the self-test's hashes?

Usage: check.py FILE.tin...

Prints every step that differs. Exit code 1 if any does, 2 if a file has no self-test.
"""

import sys

import tin


def check(path):
    model = tin.load(path)
    if model.seed is None:
        print(f"{path}: no self-test in it")
        return 2
    same = True
    for index, (step, crc) in enumerate(tin.hashes(model, tin.test_picture(model))):
        if crc != model.hashes[index]:
            same = False
            operator = tin.OPERATORS[step.operator]
            print(f"{path}: step {index} ({operator}, {step.name}): {crc:08x}, the file has {model.hashes[index]:08x}")
    if same:
        print(f"{path}: {len(model.steps)} steps agree")
    return 0 if same else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(max(check(path) for path in sys.argv[1:]))
