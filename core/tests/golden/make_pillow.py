#!/usr/bin/env python3
"""Writes the golden data of image_pillow.rs beside this file.

pillow.tsv, pillow.bin: pictures resized by Pillow. A line of the table is one picture; its output's bytes follow one
another in the .bin. The source pictures aren't stored: they come from a linear congruential generator that the test
repeats.

Up to version 12 Pillow resizes horizontally first. Version 13 resizes some pictures that lose more of their height
than of their width vertically first, and then rounds at another point; the table's last column says so.

geometry.tsv: sizes and crops by the formulas of torchvision (transforms/functional.py: _compute_resized_output_size
and center_crop) and TensorFlow (python/ops/image_ops_impl.py: central_crop), in Python's own floats and rounding.

Needs numpy and Pillow (made with 13.0.0): python3 make_pillow.py
"""

import random
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent


def noise(seed, length):
    """The high bytes of a linear congruential generator's states (constants of Numerical Recipes)."""
    state, values = seed, bytearray()
    for _ in range(length):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values.append(state >> 24)
    return bytes(values)


def resized_size(width, height, side):
    short, long = (width, height) if width <= height else (height, width)
    new_short, new_long = side, int(side * long / short)
    return (new_short, new_long) if width <= height else (new_long, new_short)


def crop_offset(resized, output):
    return int(round((resized - output) / 2.0))


def central_crop(side, thousandths):
    return int((side - side * Fraction(thousandths, 1000)) / 2)


def plan(kind, amount, width, height, out_width, out_height):
    """Source rectangle (x, y, width, height), resized size, crop offset."""
    source, resized, crop = (0, 0, width, height), (out_width, out_height), (0, 0)
    if kind == "shorter":
        resized = resized_size(width, height, amount)
        crop = (crop_offset(resized[0], out_width), crop_offset(resized[1], out_height))
    elif kind == "central":
        x, y = central_crop(width, amount), central_crop(height, amount)
        source = (x, y, width - 2 * x, height - 2 * y)
    return source, resized, crop


def resize(picture, size):
    """What Pillow makes of the picture, and which direction it filters first."""
    bilinear = Image.Resampling.BILINEAR
    resized = picture.resize(size, bilinear)
    if resized == picture.resize((size[0], picture.height), bilinear).resize(size, bilinear):
        return resized, "horizontal"
    assert resized == picture.resize((picture.width, size[1]), bilinear).resize(size, bilinear)
    return resized, "vertical"


def pixels(mode, kind, amount, width, height, out_width, out_height, seed):
    channels = 3 if mode == "RGB" else 1
    source, resized, crop = plan(kind, amount, width, height, out_width, out_height)
    picture = Image.frombytes(mode, (width, height), noise(seed, width * height * channels))
    x, y, source_width, source_height = source
    picture, first = resize(picture.crop((x, y, x + source_width, y + source_height)), resized)
    picture = picture.crop((crop[0], crop[1], crop[0] + out_width, crop[1] + out_height))
    return np.asarray(picture).tobytes(), first


CASES = [
    # mode, resize, amount, picture, output
    ("RGB", "stretch", 0, (16, 12), (16, 12)),
    ("RGB", "stretch", 0, (16, 12), (16, 5)),
    ("RGB", "stretch", 0, (16, 12), (7, 12)),
    ("RGB", "stretch", 0, (8, 8), (4, 4)),
    ("RGB", "stretch", 0, (37, 23), (11, 13)),
    ("RGB", "stretch", 0, (11, 13), (37, 23)),
    ("RGB", "stretch", 0, (13, 40), (29, 9)),
    ("RGB", "stretch", 0, (40, 13), (9, 29)),
    ("RGB", "stretch", 0, (1, 1), (1, 1)),
    ("RGB", "stretch", 0, (1, 1), (5, 3)),
    ("RGB", "stretch", 0, (1, 17), (4, 6)),
    ("RGB", "stretch", 0, (17, 1), (6, 4)),
    ("RGB", "stretch", 0, (9, 31), (1, 1)),
    ("RGB", "stretch", 0, (100, 99), (99, 1)),
    ("RGB", "stretch", 0, (320, 240), (32, 32)),
    ("RGB", "stretch", 0, (20000, 3), (33, 7)),
    ("RGB", "stretch", 0, (3, 20000), (2, 64)),
    ("L", "stretch", 0, (64, 48), (28, 28)),
    ("L", "stretch", 0, (28, 28), (64, 48)),
    ("L", "stretch", 0, (31, 1), (7, 7)),
    ("RGB", "shorter", 32, (64, 48), (28, 28)),
    ("RGB", "shorter", 33, (48, 65), (28, 29)),
    ("RGB", "shorter", 64, (640, 480), (56, 56)),
    ("RGB", "shorter", 24, (7, 5), (24, 24)),
    ("RGB", "shorter", 10, (10, 1), (10, 10)),
    ("RGB", "shorter", 20, (50, 20), (19, 15)),
    ("L", "shorter", 16, (400, 31), (16, 16)),
    ("RGB", "central", 875, (64, 48), (24, 24)),
    ("RGB", "central", 875, (33, 21), (29, 29)),
    ("RGB", "central", 1, (9, 9), (3, 3)),
    ("RGB", "central", 500, (40, 30), (20, 16)),
]


def write_pixels():
    table, data = ["# mode resize amount width height output_width output_height seed first"], bytearray()
    for seed, (mode, kind, amount, size, output) in enumerate(CASES, 1):
        values, first = pixels(mode, kind, amount, *size, *output, seed)
        table.append("\t".join(map(str, [mode, kind, amount, *size, *output, seed, first])))
        data += values
    (HERE / "pillow.tsv").write_text("\n".join(table) + "\n")
    (HERE / "pillow.bin").write_bytes(data)
    print(len(CASES), "pictures,", len(data), "bytes")


def write_geometry():
    table = ["# resize amount width height output_width output_height"
             " source_x source_y source_width source_height resized_width resized_height crop_x crop_y"]
    chosen = random.Random(2)
    known = [("shorter", 256, 500, 375, 224, 224), ("shorter", 256, 375, 500, 224, 224),
             ("shorter", 256, 500, 333, 224, 224), ("shorter", 255, 640, 480, 224, 224),
             ("shorter", 224, 224, 224, 224, 224), ("shorter", 256, 20000, 1, 224, 224),
             ("shorter", 342, 1, 20000, 299, 299), ("central", 875, 640, 480, 299, 299),
             ("central", 875, 299, 301, 299, 299), ("central", 1000, 3, 1, 299, 299),
             ("central", 1, 1, 2, 8, 8), ("stretch", 0, 640, 480, 96, 64)]
    for _ in range(150):
        side = chosen.randint(1, 600)
        width, height = chosen.randint(1, 2000), chosen.randint(1, 2000)
        output = (chosen.randint(1, side), chosen.randint(1, side))
        known.append(("shorter", side, width, height, *output))
    for _ in range(50):
        size = chosen.randint(1, 2000), chosen.randint(1, 2000)
        known.append(("central", chosen.randint(1, 1000), *size, 64, 48))
    for case in known:
        source, resized, crop = plan(*case)
        table.append("\t".join(map(str, [*case, *source, *resized, *crop])))
    (HERE / "geometry.tsv").write_text("\n".join(table) + "\n")
    print(len(known), "geometries")


write_pixels()
write_geometry()
