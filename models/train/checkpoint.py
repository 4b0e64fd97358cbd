"""Checkpoints: what a trained network needs to be built again, and its weights."""

from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from nets import NETS


@dataclass(frozen=True)
class Spec:
    """A network without its weights: its name in `NETS`, the side of its pictures in pixels, its classes in order."""

    net: str
    size: int
    labels: list[str]

    def build(self, auxiliary: bool) -> nn.Module:
        return NETS[self.net].build(len(self.labels), auxiliary).to(memory_format=torch.channels_last)


def save(path: Path, spec: Spec, weights: dict[str, torch.Tensor], **extra: Any) -> None:
    """Writes a checkpoint so that a crash leaves the old file or the new one, never half of one."""
    partial = path.with_suffix(".partial")
    torch.save({"spec": asdict(spec), "weights": weights, **extra}, partial)
    partial.replace(path)


def read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint; tensors and plain values only, nothing in the file is executed.

    Raises:
        ValueError: the file is none.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path}: no checkpoint, or a damaged one") from error
    if not isinstance(content, dict) or not {"spec", "weights"} <= content.keys():
        raise ValueError(f"{path}: no checkpoint that train.py wrote")
    return content


def load(path: Path) -> tuple[nn.Module, Spec]:
    """The network of a checkpoint, without its auxiliary classifiers, ready to predict.

    Of a checkpoint to go on from (last.pt) it takes the weights' moving average.
    """
    content = read(path)
    spec = Spec(**content["spec"])
    network = spec.build(auxiliary=False)
    left_over = network.load_state_dict(content.get("average", content["weights"]), strict=False)
    wrong = left_over.missing_keys + [
        name for name in left_over.unexpected_keys if not name.startswith(("aux1.", "aux2.", "AuxLogits."))
    ]
    if wrong:
        raise ValueError(f"{path}: not the weights of {spec.net}: {', '.join(wrong[:4])}")
    return network.eval(), spec
