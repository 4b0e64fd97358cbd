#!/usr/bin/env python3
"""Writes googlenet.bin, what ONNX Runtime computes in every layer of GoogLeNet: googlenet.py GOOGLENET.onnx

For each node in the file's order, but for the Flatten that moves nothing, two little-endian float32: the mean of its
output's magnitudes, and the sum of its elements in NHWC order, each weighted by its position modulo 7 minus 3, over
their number. Needs numpy, onnx and onnxruntime.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

model = onnx.load(sys.argv[1])
names = [node.output[0] for node in model.graph.node if node.op_type != "Flatten"]
del model.graph.output[:]
model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

# A picture with structure at several scales, the same in the test.
index = np.arange(224 * 224 * 3)
y, x, c = index // 672, index // 3 % 224, index % 3
picture = ((y * x // 64 + 40 * c) % 256 - 110).astype(np.float32).reshape(1, 224, 224, 3)

numbers = []
for values in session.run(names, {"data": np.ascontiguousarray(picture.transpose(0, 3, 1, 2))}):
    flat = (values.transpose(0, 2, 3, 1) if values.ndim == 4 else values).ravel().astype(np.float64)
    numbers += [np.abs(flat).mean(), (flat * (np.arange(flat.size) % 7 - 3)).mean()]
Path(__file__).with_suffix(".bin").write_bytes(np.array(numbers, "<f4").tobytes())
