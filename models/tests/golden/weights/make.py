"""Makes the files of weights beside it, with PyTorch and safetensors.

    python3 make.py

Each holds the same two tensors: `conv.weight`, shape (2, 3, 1, 1), element i being i / 4 - 0.5, and `conv.bias`, shape
(2,), [1, -2].
"""

import os
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
WEIGHT = (torch.arange(6) / 4 - 0.5).reshape(2, 3, 1, 1)
BIAS = torch.tensor([1.0, -2.0])


class Evil:
    """Pickled, this is a call of the system's shell: it would make a file named `run` in the current folder."""

    def __reduce__(self):
        return os.system, ("touch run",)


state = OrderedDict([("conv.weight", WEIGHT), ("conv.bias", BIAS)])
torch.save(state, HERE / "zip.pth")
torch.save(state, HERE / "stream.pth", _use_new_zipfile_serialization=False)
torch.save({name: value.half() for name, value in state.items()}, HERE / "half.pth")
torch.save({f"module.{name}": value for name, value in state.items()}, HERE / "parallel.pth")
spec = {"net": "nano", "size": 32, "labels": ["cat", "dog"]}
torch.save({"spec": spec, "weights": state, "average": {"conv.bias": BIAS + 1}, "epoch": 3}, HERE / "checkpoint.pt")
# Channels last, and a view of a larger storage: elements not in order.
views = {"conv.weight": WEIGHT.contiguous(memory_format=torch.channels_last), "conv.bias": torch.tensor([9.0, 1.0, -2.0])[1:]}
torch.save(views, HERE / "views.pth")
torch.save({**state, "extra": Evil()}, HERE / "evil.pth")
torch.save({**state, "extra": Evil()}, HERE / "evil_stream.pth", _use_new_zipfile_serialization=False)
torch.save(state, HERE / "protocol4.pth", pickle_protocol=4)
save_file(dict(state), HERE / "plain.safetensors")
