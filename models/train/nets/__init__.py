"""The networks by name.

Each is built as `NETS[name].build(classes, auxiliary)`. In training mode its forward pass returns a list: the logits,
then those of the auxiliary classifiers; in evaluation mode the list has one entry.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from .googlenet import BookGoogLeNet, GoogLeNet, GoogLeNetFine
from .inception_v3 import InceptionV3
from .nano import Nano


@dataclass(frozen=True)
class Net:
    """A network and the side of the pictures it was designed for, in pixels."""

    build: Callable[[int, bool], nn.Module]
    size: int


NETS = {
    "nano": Net(Nano, 32),
    "book": Net(BookGoogLeNet, 32),
    "googlenet": Net(GoogLeNet, 224),
    "googlenet-fine": Net(GoogLeNetFine, 64),
    "inception-v3": Net(InceptionV3, 299),
}


def stem(network: nn.Module) -> list[nn.Module]:
    """The convolutions before the first inception module."""
    return [module for name, module in network.named_children() if name.lower().startswith("conv")]
