#!/usr/bin/env python3
"""A second implementation of .tin files, in numpy, from docs/format.md and docs/arithmetic.md alone.

Usage: tin.py FILE.tin [INPUT.npy]

Runs the file on its self-test's input, or on an int8 array of shape (height, width, channels), and prints one line per
step: index, CRC-32 of the output, operator, name. It is slow and checks little: it computes what the pages say.
"""

import math
import re
import struct
import sys
import zlib

import numpy as np

MAGIC = b"\x89TIN\r\n\x1a\n"
NONE = 65535
KINDS = {1: "tensors", 2: "steps", 3: "labels", 4: "preprocessing", 5: "provenance", 6: "self-test", 7: "label ids"}
OPERATORS = ["convolution", "max pool", "average pool", "LRN", "addition", "rescale", "softmax", "sigmoid"]
# No text may have these: C0, DELETE and C1, separators of lines, what turns the direction of text.
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
# A label of a file without ids that has one of WordNet in front of its name.
WORDNET = re.compile("(n[0-9]{8}) +(.*[^ ]) *")
NAME_LIMIT, LABEL_LIMIT, PROVENANCE_LIMIT = 255, 255, 4096
LEAST_SCALE = 2.0**-126
TYPES = [np.dtype("<i1"), np.dtype("<i4"), np.dtype("<u2")]


def lines(sections, kind):
    """The lines of a section of text; none where the file has no such section."""
    text = sections.get(kind, (1, b""))[1].decode()
    return text.removesuffix("\n").split("\n") if text else []


class Tensor:
    def __init__(self, record):
        self.offset, self.height, self.width, self.channels, self.stride = struct.unpack_from("<5I", record, 0)
        kind, self.zero_point, self.stored_rows = struct.unpack_from("<BbH", record, 20)
        (self.scale,) = struct.unpack_from("<f", record, 24)
        self.type = TYPES[kind]

    def is_whole(self):
        return self.stored_rows == 0

    def bytes_of(self, marks):
        """The tensor's elements in an array of one mark for each byte of the arena: (height, width, bytes of a pixel)."""
        size = self.type.itemsize
        strides = (self.width * self.stride * size, self.stride * size, 1)
        shape = (self.height, self.width, self.channels * size)
        return np.ndarray(shape, np.bool_, marks, self.offset, strides)

    def view(self, arena):
        """The tensor as an array of (height, width, channels) over the bytes of the arena."""
        size = self.type.itemsize
        strides = (self.width * self.stride * size, self.stride * size, size)
        shape = (self.height, self.width, self.channels)
        return np.ndarray(shape, self.type, arena, self.offset, strides)


class Step:
    def __init__(self, record, file):
        self.operator, self.min, self.max = struct.unpack_from("<Bbb", record, 0)
        self.input, self.second_input, self.output = struct.unpack_from("<3H", record, 4)
        name, length = struct.unpack_from("<IH", record, 12)
        self.name = file[name : name + length].decode()
        self.record = record


class Model:
    def __init__(self, file):
        self.file = file
        if file[:8] != MAGIC:
            raise ValueError("not a .tin file")
        major, _, checksum, length, activations = struct.unpack_from("<HHIII", file, 8)
        if major != 1 or length != len(file):
            raise ValueError(f"major version {major}, {len(file)} bytes of {length}")
        if zlib.crc32(file[16:], zlib.crc32(file[:12])) != checksum:
            raise ValueError("the checksum is wrong")
        self.input, self.logits, self.probabilities, count = struct.unpack_from("<4H", file, 28)
        self.activations = activations
        sections = {}
        for index in range(count):
            kind, size, offset, length = struct.unpack_from("<HHII", file, 48 + 12 * index)
            sections[KINDS.get(kind, kind)] = (size, file[offset : offset + length])

        def records(kind):
            size, data = sections[kind]
            return [data[at : at + size] for at in range(0, len(data), size)]

        self.tensors = [Tensor(record) for record in records("tensors")]
        self.steps = [Step(record, file) for record in records("steps")]
        self.seed, self.hashes = None, []
        if "self-test" in sections:
            size, data = sections["self-test"]
            self.seed, count = struct.unpack_from("<II", data, 0)
            self.hashes = list(struct.unpack_from(f"<{count}I", data, size))
        self.check_texts(sections)
        self.labels = self.find_labels(sections)
        self.check_scales(sections)
        self.check_reads()

    def check_texts(self, sections):
        """Texts are UTF-8 without control characters, in lines that are not too long."""
        texts = [(step.name, NAME_LIMIT) for step in self.steps]
        for kind, limit in [("labels", LABEL_LIMIT), ("label ids", LABEL_LIMIT), ("provenance", PROVENANCE_LIMIT)]:
            texts += [(line, limit) for line in lines(sections, kind)]
        for text, limit in texts:
            if CONTROL.search(text) or len(text.encode()) > limit:
                raise ValueError(f"a text has control characters or more than {limit} bytes: {text[:80]!a}")

    def find_labels(self, sections):
        """Id and name of each class; the id is `None` where there is none."""
        names, ids = lines(sections, "labels"), lines(sections, "label ids")
        classes = self.tensors[self.logits].channels
        if names and len(names) != classes:
            raise ValueError(f"{len(names)} labels for {classes} classes")
        if ids and len(ids) != len(names):
            raise ValueError(f"{len(ids)} ids for {len(names)} labels")
        if ids:
            return [(line or None, name) for line, name in zip(ids, names)]
        parted = [(WORDNET.fullmatch(name), name) for name in names]
        return [(found[1], found[2]) if found else (None, name) for found, name in parted]

    def check_scales(self, sections):
        """Scales are positive and normal, means finite."""
        scales, means = [tensor.scale for tensor in self.tensors], []
        if "preprocessing" in sections:
            record = sections["preprocessing"][1]
            used = 1 if record[0] == 2 else 3
            given = struct.unpack_from("<3f", record, 16)
            # Those of channels that are not there are finite, no more.
            scales += given[:used]
            means = struct.unpack_from("<3f", record, 4) + given[used:]
        if not all(LEAST_SCALE <= scale < math.inf for scale in scales) or not all(map(math.isfinite, means)):
            raise ValueError("a scale is not positive and normal, or a mean not finite")

    def check_reads(self):
        """Every byte that is read is the input's or was written by an earlier step."""
        written = np.zeros(self.activations, np.bool_)
        self.tensors[self.input].bytes_of(written)[...] = True
        for step in self.steps:
            for index in (step.input, step.second_input):
                if index != NONE and self.tensors[index].is_whole() and not self.tensors[index].bytes_of(written).all():
                    raise ValueError(f"step {step.name} reads what nothing wrote")
            out = self.tensors[step.output]
            if out.is_whole():
                out.bytes_of(written)[...] = True
        for index in (self.logits, self.probabilities):
            if index != NONE and not self.tensors[index].bytes_of(written).all():
                raise ValueError(f"nothing writes all of the result, tensor {index}")

    def table(self, offset, count, kind):
        return np.frombuffer(self.file, kind, count, offset)

    def run(self, picture):
        """Yields each step with its output."""
        arena = bytearray(self.activations)
        self.tensors[self.input].view(arena)[...] = picture
        # Steps that are linked give what they give one after the other. What is handed over without having all its rows
        # in the arena is kept here.
        handed_over = {}

        def read(index):
            return handed_over[index] if index in handed_over else self.tensors[index].view(arena).copy()

        for step in self.steps:
            out = self.tensors[step.output]
            # Copies, because LRN, addition and rescale may write over what they read.
            indices = [index for index in (step.input, step.second_input) if index != NONE]
            inputs = [self.tensors[index] for index in indices]
            arrays = [read(index) for index in indices]
            result = RUN[step.operator](self, step, inputs, arrays, out)
            assert result.shape == (out.height, out.width, out.channels), (step.name, result.shape)
            if out.is_whole():
                out.view(arena)[...] = result
                yield step, out.view(arena)
            else:
                handed_over[step.output] = result.astype(out.type)
                yield step, handed_over[step.output]


def requantize(value, multiplier, shift):
    """`(v * m + 2^(s-1)) >> s`, exact in 64 bits."""
    value, multiplier, shift = (np.asarray(array, np.int64) for array in (value, multiplier, shift))
    return (value * multiplier + (np.int64(1) << (shift - 1))) >> shift


def store(step, out, value):
    """An int8 output: zero point and range; an int32 output: neither."""
    if out.type == TYPES[1]:
        return np.clip(value, -(2**31), 2**31 - 1)
    return np.clip(value + out.zero_point, step.min, step.max)


def window_of(step):
    return struct.unpack_from("<8H", step.record, 20)


def windows(array, window, fill):
    """All windows as an array of (rows, columns, kernel height, kernel width, channels)."""
    kh, kw, sh, sw, top, left, bottom, right = window
    height, width, _ = array.shape
    padded = np.pad(array, ((top, bottom), (left, right), (0, 0)), constant_values=fill)
    rows, columns = (height + top + bottom - kh) // sh + 1, (width + left + right - kw) // sw + 1
    views = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(0, 1))
    return views[::sh, ::sw].transpose(0, 1, 3, 4, 2)[:rows, :columns]


def round_up(value):
    return (value + 3) // 4 * 4


def convolution(model, step, inputs, arrays, out):
    window = window_of(step)
    groups, weights_at, table_at, winograd_at = struct.unpack_from("<4I", step.record, 36)
    kh, kw = window[:2]
    inside, outputs = inputs[0].channels // groups, out.channels // groups
    depth = kh * kw * inside
    depthwise = groups > 1 and inside == 1 and outputs == 1
    patches = windows(arrays[0].astype(np.int64), window, inputs[0].zero_point)
    entries = round_up(out.channels) if depthwise else groups * round_up(outputs)
    bias, multiplier, shift, sums = model.table(table_at, 4 * entries, "<i4").reshape(4, entries)
    if depthwise:
        weights = model.table(weights_at, depth * out.channels, "<i1").reshape(kh, kw, out.channels)
        acc = (patches * weights.astype(np.int64)).sum(axis=(2, 3))
        assert (weights.sum(axis=(0, 1), dtype=np.int64) == sums[: out.channels]).all(), step.name
        used = np.arange(out.channels)
    else:
        padded_outputs, padded_depth = round_up(outputs), round_up(depth)
        size = groups * padded_outputs * padded_depth
        blocks = model.table(weights_at, size, "<i1").reshape(groups, padded_outputs // 4, padded_depth // 4, 4, 4)
        matrices = blocks.transpose(0, 1, 3, 2, 4).reshape(groups, padded_outputs, padded_depth).astype(np.int64)
        assert (matrices.sum(axis=2).reshape(-1) == sums).all(), step.name
        if winograd_at:
            transformed = model.table(winograd_at, 16 * inside * padded_outputs, "<i2")
            assert (transformed == winograd(matrices[0, :, :depth])).all(), step.name
        acc = np.concatenate(
            [
                patches[..., group * inside : (group + 1) * inside].reshape(*patches.shape[:2], depth)
                @ matrices[group, :outputs, :depth].T
                for group in range(groups)
            ],
            axis=2,
        )
        used = np.concatenate([group * padded_outputs + np.arange(outputs) for group in range(groups)])
    acc = acc + bias[used]
    assert (np.abs(acc) < 2**31).all(), step.name
    return store(step, out, requantize(acc, multiplier[used], shift[used]))


def winograd(weights):
    """The transformed weights of a 3x3 convolution, from (outputs, depth)."""
    outputs = len(weights)
    kernels = weights.reshape(outputs, 3, 3, -1)
    g = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])
    positions = np.einsum("ya,xb,oabi->oyxi", g, g, kernels)
    # [o / 2][o % 2][position][i / 4][i % 4 / 2][i % 2], to [o / 2][position][i / 4][i % 2][o % 2][i % 4 / 2].
    return positions.reshape(outputs // 2, 2, 16, -1, 2, 2).transpose(0, 2, 3, 5, 1, 4).reshape(-1)


def max_pool(model, step, inputs, arrays, out):
    # Below every int8, so that padding is never the largest.
    largest = windows(arrays[0].astype(np.int64), window_of(step), -999).max(axis=(2, 3))
    assert (largest > -999).all(), step.name
    return np.clip(largest, step.min, step.max)


def average_pool(model, step, inputs, arrays, out):
    window = window_of(step)
    counted = struct.unpack_from("<4H", step.record, 36)
    offset, entries = struct.unpack_from("<2I", step.record, 44)
    # Padding counts nothing in the sum: it is 0 after the zero point has been subtracted.
    sums = windows(arrays[0].astype(np.int64) - inputs[0].zero_point, window, 0).sum(axis=(2, 3))
    # One wherever a position counts: the input and the counted padding around it.
    top, left, bottom, right = counted
    ones = np.ones((arrays[0].shape[0] + top + bottom, arrays[0].shape[1] + left + right, 1), np.int64)
    rest = tuple(pad - part for pad, part in zip(window[4:], counted))
    divisors = windows(ones, window[:4] + rest, 0).sum(axis=(2, 3))
    rules = {divisor: (m, s) for divisor, m, s in model.table(offset, 3 * entries, "<i4").reshape(-1, 3).tolist()}
    multiplier = np.vectorize(lambda divisor: rules[divisor][0])(divisors)
    shift = np.vectorize(lambda divisor: rules[divisor][1])(divisors)
    return store(step, out, requantize(sums, multiplier, shift))


def lrn(model, step, inputs, arrays, out):
    size, offset, entries, index_shift, shift = struct.unpack_from("<5I", step.record, 20)
    table = model.table(offset, entries, "<u2").astype(np.int64)
    d = arrays[0].astype(np.int64) - inputs[0].zero_point
    result = np.empty_like(d)
    for c in range(d.shape[2]):
        first, last = max(c - (size - 1) // 2, 0), min(c + size // 2, d.shape[2] - 1)
        total = (d[:, :, first : last + 1] ** 2).sum(axis=2)
        result[:, :, c] = (d[:, :, c] * table[total >> index_shift] + (1 << (shift - 1))) >> shift
    return store(step, out, result)


def addition(model, step, inputs, arrays, out):
    first, second, shift = struct.unpack_from("<iiI", step.record, 20)
    a, b = (array.astype(np.int64) - tensor.zero_point for array, tensor in zip(arrays, inputs))
    # Python's integers: half of 2^62 and two products of 40 bits are near the end of 64.
    exact = a.astype(object) * first + b.astype(object) * second + (1 << (shift - 1))
    return store(step, out, (exact >> shift).astype(np.int64))


def rescale(model, step, inputs, arrays, out):
    multiplier, shift = struct.unpack_from("<iI", step.record, 20)
    return store(step, out, requantize(arrays[0].astype(np.int64) - inputs[0].zero_point, multiplier, shift))


def softmax_of(model, step, logits):
    multiplier, shift, offset = struct.unpack_from("<iII", step.record, 20)
    tables = model.table(offset, 32 + 256, "<u4").tolist()
    whole, fraction = tables[:32], tables[32:]
    largest = max(logits)

    def power(logit):
        t = (min(largest - logit, 2**31 - 1) * multiplier + (1 << (shift - 1))) >> shift
        return 0 if t >= 8192 else (whole[t >> 8] * fraction[t & 255]) >> 30

    powers = [power(logit) for logit in logits]
    total = sum(powers)
    return [(e * 65535 + total // 2) // total for e in powers]


def softmax(model, step, inputs, arrays, out):
    return np.array(softmax_of(model, step, arrays[0].reshape(-1).tolist())).reshape(arrays[0].shape)


def sigmoid(model, step, inputs, arrays, out):
    # Each logit by itself: its part beside a logit of 0.
    logits = arrays[0].reshape(-1).tolist()
    return np.array([softmax_of(model, step, [0, logit])[1] for logit in logits]).reshape(arrays[0].shape)


RUN = [convolution, max_pool, average_pool, lrn, addition, rescale, softmax, sigmoid]


def mix(word):
    word = word ^ (word >> 16)
    word = word * 0x85EBCA6B & 0xFFFFFFFF
    word = word ^ (word >> 13)
    word = word * 0xC2B2AE35 & 0xFFFFFFFF
    return word ^ (word >> 16)


def self_test_input(seed, height, width, channels):
    """The picture that a seed makes."""
    y, x, c = np.meshgrid(*(np.arange(n, dtype=np.uint64) for n in (height, width, channels)), indexing="ij")

    def lattice(octave, v, h):
        cell = mix(seed ^ mix(8 * c + octave))
        return (mix(cell ^ mix((0x9E3779B9 * v + h) & 0xFFFFFFFF)) >> 24).astype(np.int64)

    total = lattice(7, y, x)
    for octave, (log2, weight) in enumerate([(5, 8), (3, 4), (1, 3)]):
        side = 1 << log2
        v, h = y >> log2, x >> log2
        down, right = (y % side).astype(np.int64), (x % side).astype(np.int64)
        upper = lattice(octave, v, h) * (side - right) + lattice(octave, v, h + 1) * right
        lower = lattice(octave, v + 1, h) * (side - right) + lattice(octave, v + 1, h + 1) * right
        total = total + weight * ((upper * (side - down) + lower * down) // side**2)
    return np.clip(((total - 2048) * 3) >> 4, -128, 127)


def load(path):
    with open(path, "rb") as file:
        return Model(file.read())


def hashes(model, picture):
    """Yields each step with the CRC-32 of its output."""
    for step, output in model.run(picture):
        yield step, zlib.crc32(np.ascontiguousarray(output).tobytes())


def test_picture(model):
    tensor = model.tensors[model.input]
    return self_test_input(model.seed, tensor.height, tensor.width, tensor.channels)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    model = load(sys.argv[1])
    picture = np.load(sys.argv[2]) if len(sys.argv) == 3 else test_picture(model)
    for index, (step, crc) in enumerate(hashes(model, picture)):
        print(f"{index} {crc:08x} {OPERATORS[step.operator]} {step.name}")


if __name__ == "__main__":
    main()
