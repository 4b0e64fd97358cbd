"""Makes the goldens of `tests/nets`: what PyTorch computes with weights that both sides generate.

    python3 make.py

For each network `NAME.txt` lists the tensors of its state dict, auxiliary classifiers included, and `NAME.bin` holds the
logits for one picture as little-endian 32-bit floats. The networks are torchvision's own and those of `models/train`.

The generator: element `i` of the tensor `name` is `u * scale + offset` with u from -1 to 1, the upper 24 bits of
SplitMix64's output number `i + 1` for the seed FNV-1a(name).
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torchvision import models

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "models/train"))

from nets import NETS  # noqa: E402

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
BATCH_NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
# Scale and offset of a batch normalisation's tensors.
STATISTICS = {"weight": (0.2, 1.0), "bias": (0.1, 0.0), "running_mean": (0.1, 0.0), "running_var": (0.5, 1.0)}


def uniform(name: str, count: int) -> np.ndarray:
    """`count` numbers from -1 to 1 for a name, as 64-bit floats."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0


def generated(name: str, shape: list[int]) -> torch.Tensor:
    """The tensor of this name: He's initialisation for weights (He et al. 2015), small biases, plausible statistics."""
    part = name.rsplit(".", 1)[1]
    if part == "num_batches_tracked":
        return torch.tensor(1)
    if len(shape) > 1:
        scale, offset = (6.0 / np.prod(shape[1:])) ** 0.5, 0.0
    elif ".bn." in name:
        scale, offset = STATISTICS[part]
    else:
        scale, offset = 0.1, 0.0
    values = uniform(name, int(np.prod(shape))) * scale + offset
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def listing(state: dict[str, torch.Tensor]) -> str:
    """One line per tensor, `name sizes`; the five of a batch normalisation share one, `name.* channels`."""
    lines = []
    for name, tensor in state.items():
        front, part = name.rsplit(".", 1)
        if front.endswith(".bn"):
            if part == BATCH_NORM[0]:
                lines.append(f"{front}.* {len(tensor)}")
        else:
            lines.append(" ".join([name, *map(str, tensor.shape)]))
    return "\n".join(lines) + "\n"


def networks() -> dict[str, tuple[torch.nn.Module, int]]:
    """Each network with the side of its picture."""
    own = {name: (NETS[name].build(10, True), NETS[name].size) for name in ["nano", "book", "googlenet-fine"]}
    return own | {
        "googlenet": (NETS["googlenet"].build(10, True), 64),
        "googlenet-torchvision": (models.googlenet(weights=None, init_weights=False), 224),
        "inception-v3": (models.inception_v3(weights=None, init_weights=False), 299),
    }


for name, (network, size) in networks().items():
    state = network.state_dict()
    (HERE / f"{name}.txt").write_text(listing(state))
    network.load_state_dict({key: generated(key, list(tensor.shape)) for key, tensor in state.items()})
    # The picture is generated in NHWC order.
    picture = torch.from_numpy(uniform("picture", size * size * 3).astype(np.float32)).reshape(1, size, size, 3)
    with torch.no_grad():
        logits = network.eval()(picture.permute(0, 3, 1, 2))
    logits = (logits[0] if isinstance(logits, list) else logits)[0]
    logits.numpy().astype("<f4").tofile(HERE / f"{name}.bin")
    print(f"{name}: {size}x{size}, {len(logits)} logits, largest {logits.abs().max():.3f}")
