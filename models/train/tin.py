"""Reads the weights of an int8 file (.tin) back as floats; `docs/format.md` says what lies where."""

import struct
import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x89TIN\r\n\x1a\n"
TENSORS, STEPS, LABELS, LABEL_IDS = 1, 2, 3, 7
CONVOLUTION = 0


class FormatError(ValueError):
    """The file is no .tin file that this reader knows."""


def sections(content: bytes) -> dict[int, tuple[int, list[bytes]]]:
    """The section table: kind -> offset and records of each section."""
    if content[:8] != MAGIC or struct.unpack_from("<H", content, 8)[0] != 1:
        raise FormatError("not a .tin file of format 1")
    if struct.unpack_from("<I", content, 12)[0] != zlib.crc32(content[:12] + content[16:]):
        raise FormatError("is damaged: its checksum does not match")
    (count,) = struct.unpack_from("<H", content, 34)
    found = {}
    for index in range(count):
        kind, size, offset, length = struct.unpack_from("<HHII", content, 48 + 12 * index)
        found[kind] = (offset, [content[at : at + size] for at in range(offset, offset + length, size)])
    return found


def filters(content: bytes, offset: int, outputs: int, depth: int) -> NDArray[np.int8]:
    """Weights of one group, (outputs, depth), out of their blocks of 4 outputs by 4 deep."""
    rows, columns = -(-outputs // 4), -(-depth // 4)
    blocks = np.frombuffer(content, np.int8, 16 * rows * columns, offset).reshape(rows, columns, 4, 4)
    return blocks.transpose(0, 2, 1, 3).reshape(4 * rows, 4 * columns)[:outputs, :depth]


def convolutions(path: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Name -> weights (outputs, inputs, height, width) and biases of every convolution, the linear layer among them.

    Each is what its int8 weights stand for: within half a step of what was quantised.

    Raises:
        FormatError: no .tin file, a damaged one, or one with grouped convolutions.
    """
    content = path.read_bytes()
    try:
        return _convolutions(content)
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from error


def labels(path: Path) -> list[str]:
    """What the file calls its classes, as the lines of a label file: an id, where there is one, and a name.

    Raises:
        FormatError: no .tin file, a damaged one, or one without classes.
    """
    try:
        table = sections(path.read_bytes())
        sources = table[LABELS], table.get(LABEL_IDS, (0, []))
        names, ids = (b"".join(letters).decode().splitlines() for _, letters in sources)
        return [f"{label_id} {name}".strip() for label_id, name in zip_longest(ids, names, fillvalue="")]
    except (struct.error, KeyError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from error


def side(path: Path) -> int:
    """The side of the pictures that the file takes, in pixels.

    Raises:
        FormatError: no .tin file, or a damaged one.
    """
    content = path.read_bytes()
    try:
        tensors = sections(content)[TENSORS][1]
        (index,) = struct.unpack_from("<H", content, 28)
        return struct.unpack_from("<I", tensors[index], 4)[0]
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from error


def output_sides(path: Path) -> dict[str, int]:
    """Name -> height of its output, in pixels, of every convolution, the linear layer among them.

    Raises:
        FormatError: no .tin file, or a damaged one.
    """
    content = path.read_bytes()
    try:
        table = sections(content)
        tensors = table[TENSORS][1]
        steps = convolution_steps(content, table[STEPS][1])
        return {name: struct.unpack_from("<I", tensors[target], 4)[0] for name, _, _, target in steps}
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise FormatError(f"{path}: {error}") from error


def convolution_steps(content: bytes, steps: list[bytes]) -> Iterator[tuple[str, bytes, int, int]]:
    """Name, record, index of the input's and of the output's tensor of every convolution."""
    for step in steps:
        if step[0] == CONVOLUTION:
            source, _, target, name_at, name_length = struct.unpack_from("<HHH2xIH", step, 4)
            yield content[name_at : name_at + name_length].decode(), step, source, target


def _convolutions(content: bytes) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    table = sections(content)
    tensors = table[TENSORS][1]
    found = {}
    for name, step, source, target in convolution_steps(content, table[STEPS][1]):
        height, width = struct.unpack_from("<HH", step, 20)
        groups, weights_at, channels_at = struct.unpack_from("<III", step, 36)
        if groups != 1:
            raise FormatError("has a convolution in groups, which this reader doesn't know")
        inputs, outputs = (struct.unpack_from("<I", tensors[index], 12)[0] for index in (source, target))
        (zero_point,) = struct.unpack_from("<b", tensors[source], 21)
        input_scale, output_scale = (struct.unpack_from("<f", tensors[index], 24)[0] for index in (source, target))
        stored = filters(content, weights_at, outputs, height * width * inputs).astype(np.float64)
        padded = 4 * -(-outputs // 4)
        channels = np.frombuffer(content, "<i4", 4 * padded, channels_at).reshape(4, padded)[:, :outputs]
        bias, multiplier, shift, total = channels.astype(np.float64)
        # multiplier / 2^shift is what a step of the sums is in steps of the output.
        sum_scale = multiplier / 2.0**shift * output_scale
        weight = (stored * (sum_scale / input_scale)[:, None]).reshape(outputs, height, width, inputs)
        # The file's bias has the input's zero point in it.
        bias = (bias + zero_point * total) * sum_scale
        found[name] = (weight.transpose(0, 3, 1, 2).astype(np.float32), bias.astype(np.float32))
    return found
