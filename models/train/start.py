"""Where training starts from, if not from random weights: a network that export.py wrote."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import data
from data import DataError, Pictures
from nets.blocks import BasicConv2d

PICTURES = 1000
"""How many training pictures the statistics of the batch normalisations are taken from."""


Layer = tuple[Tensor, Tensor]
"""Weights and biases."""


def layers(path: Path) -> tuple[list[Layer], Layer]:
    """A file's convolutions, batch normalisation folded into them, in the order they run, and its linear layer."""
    graph = onnx.load(path).graph
    values = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}
    found: dict[str, list[Layer]] = {"Conv": [], "Gemm": []}
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            raise DataError(f"{path}: {node.name} is not folded; export it without --keep-batch-norm")
        if node.op_type in found:
            found[node.op_type].append((values[node.input[1]], values[node.input[2]]))
    if len(found["Gemm"]) != 1:
        raise DataError(f"{path}: has {len(found['Gemm'])} linear layers (Gemm), not one; it is another network")
    return found["Conv"], found["Gemm"][0]


@torch.no_grad()
def start_from(network: nn.Module, path: Path, pictures: Pictures) -> None:
    """Gives `network` the weights of the exported file, so that it computes what the file does.

    Each convolution gets its batch normalisation back: every filter is scaled to length 1, which a batch normalisation
    undoes, and the normalisation's statistics are those of the first pictures. Auxiliary classifiers keep their random
    weights.

    Raises:
        DataError: the file's layers are not those of the network.
    """
    pending, (last_weight, last_bias) = layers(path)
    count = len(pending)

    def fill(block: BasicConv2d, inputs: tuple[Tensor]) -> None:
        if not pending or pending[0][0].shape != block.conv.weight.shape:
            shape = tuple(block.conv.weight.shape)
            raise DataError(f"{path}: convolution {count - len(pending) + 1} is not the {shape} that the network has")
        weight, bias = pending.pop(0)
        length = weight.flatten(1).norm(dim=1).clamp(min=1e-6)
        block.conv.weight.copy_(weight / length[:, None, None, None])
        sums = block.conv(inputs[0])
        variance, mean = torch.var_mean(sums, (0, 2, 3), correction=0)
        block.bn.running_mean.copy_(mean)
        block.bn.running_var.copy_(variance)
        block.bn.weight.copy_(length * (variance + block.bn.eps).sqrt())
        block.bn.bias.copy_(length * mean + bias)

    blocks = [module for module in network.modules() if isinstance(module, BasicConv2d)]
    hooks = [block.register_forward_pre_hook(fill) for block in blocks]
    network.eval()
    network(data.normalise(pictures.pixels[:PICTURES]))
    for hook in hooks:
        hook.remove()
    if pending:
        raise DataError(f"{path}: {len(pending)} convolutions are left over; it is another network")
    network.fc.weight.copy_(last_weight)
    network.fc.bias.copy_(last_bias)
