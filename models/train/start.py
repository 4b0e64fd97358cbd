"""Where training starts from, if not from random weights.

That is a network that export.py wrote, an int8 file (.tin) made from one, or Caffe's GoogLeNet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from tqdm import tqdm

import data
import exported
import tin
from data import DataError, Pictures
from nets.blocks import BasicConv2d
from nets.googlenet import FEATURES, BookGoogLeNet, GoogLeNet

PIXELS = 4_096_000
"""From how many pixels of training pictures the statistics of the batch normalisations are taken."""

CAFFE_MEAN = (104.0, 117.0, 123.0)
"""What Caffe's GoogLeNet has subtracted from blue, green and red, 0 to 255 (bvlc_googlenet's train_val.prototxt)."""

LINEAR = ("/network/fc/Gemm", "fc")
"""What the linear layer is called in an int8 file, made from what export.py or `tinception import` wrote."""

Layer = tuple[Tensor, Tensor]
"""Weights and biases."""


@dataclass
class Source:
    """What a file gives: its convolutions in the order they run, its linear layer, its response normalisation."""

    convolutions: list[Layer]
    linear: Layer
    response: nn.LocalResponseNorm | None


def read(path: Path) -> Source:
    """Reads an exported network, its batch normalisations folded, an int8 file, or Caffe's GoogLeNet.

    The last is known by its local response normalisations; its first convolution is rewritten to take what the
    networks of this folder take.
    """
    if path.suffix == ".tin":
        return read_tin(path)
    graph = exported.read(path).graph
    values = {entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy()) for entry in graph.initializer}
    found: dict[str, list[Layer]] = {"Conv": [], "Gemm": []}
    response = None
    for node in graph.node:
        if node.op_type == "BatchNormalization":
            raise DataError(f"{path}: {node.name} is not folded; export it without --keep-batch-norm")
        if node.op_type == "LRN":
            # The defaults are ONNX's.
            fields = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0}
            fields |= {field.name: onnx.helper.get_attribute_value(field) for field in node.attribute}
            response = nn.LocalResponseNorm(fields["size"], fields["alpha"], fields["beta"], fields["bias"])
        if node.op_type in found:
            found[node.op_type].append((values[node.input[1]], values[node.input[2]]))
    if len(found["Gemm"]) != 1:
        raise DataError(f"{path}: has {len(found['Gemm'])} linear layers (Gemm), not one; it is another network")
    if response is not None:
        found["Conv"][0] = for_our_pixels(found["Conv"][0])
    return Source(found["Conv"], found["Gemm"][0], response)


def read_tin(path: Path) -> Source:
    """Reads an int8 file, made from what export.py or `tinception import` wrote: their names are known."""
    layers = {name: (torch.from_numpy(w), torch.from_numpy(b)) for name, (w, b) in tin.convolutions(path).items()}
    linear = next((name for name in LINEAR if name in layers), None)
    if linear is None:
        raise DataError(f"{path}: has no linear layer named fc; it is another network")
    weight, bias = layers.pop(linear)
    # By name, since steps that run together stand together; in these networks the names' order is that of the layers.
    return Source([layers[name] for name in sorted(layers)], (weight.flatten(1), bias), None)


def for_our_pixels(layer: Layer) -> Layer:
    """Rewrites a convolution over BGR pixels less `CAFFE_MEAN` for RGB pixels as `data.normalise` makes them.

    The sums stay the same but where the convolution sees its zero padding, which stands for another colour.
    """
    weight, bias = layer
    offset = data.MEAN - torch.tensor(CAFFE_MEAN)
    bias = bias + (weight * offset[:, None, None]).sum((1, 2, 3))
    return weight.flip(1) / data.SCALE, bias


def on_blocks(network: nn.Module, x: Tensor, visit: Callable[[BasicConv2d, Tensor], None]) -> None:
    """Lets `x` pass through the network, and `visit` see each convolution with its input before it runs."""
    blocks = [module for module in network.modules() if isinstance(module, BasicConv2d)]
    hooks = [block.register_forward_pre_hook(lambda block, inputs: visit(block, inputs[0])) for block in blocks]
    network.eval()
    network(x)
    for hook in hooks:
        hook.remove()


def measure(block: BasicConv2d, x: Tensor) -> None:
    """Takes the statistics of a block's batch normalisation from its input `x`."""
    variance, mean = torch.var_mean(block.conv(x), (0, 2, 3), correction=0)
    block.bn.running_mean.copy_(mean)
    block.bn.running_var.copy_(variance)


def fill(network: nn.Module, convolutions: list[Layer], x: Tensor, path: Path) -> None:
    """Gives the network's convolutions the file's weights while `x` passes through it.

    Each convolution gets its batch normalisation back: every filter is scaled to length 1, which a batch normalisation
    undoes, and the normalisation's statistics are those of `x`.
    """
    pending = list(convolutions)

    def take(block: BasicConv2d, block_input: Tensor) -> None:
        if not pending or pending[0][0].shape != block.conv.weight.shape:
            shape, number = tuple(block.conv.weight.shape), len(convolutions) - len(pending) + 1
            raise DataError(f"{path}: convolution {number} is not the {shape} that the network has")
        weight, bias = (value.to(block_input.device) for value in pending.pop(0))
        length = weight.flatten(1).norm(dim=1).clamp(min=1e-6)
        block.conv.weight.copy_(weight / length[:, None, None, None])
        measure(block, block_input)
        block.bn.weight.copy_(length * (block.bn.running_var + block.bn.eps).sqrt())
        block.bn.bias.copy_(length * block.bn.running_mean + bias)

    on_blocks(network, x, take)
    if pending:
        raise DataError(f"{path}: {len(pending)} convolutions are left over; it is another network")


def fill_with_response(network: nn.Module, source: Source, x: Tensor, path: Path) -> None:
    """`fill` for Caffe's GoogLeNet, whose response normalisations the network doesn't have.

    They take part while the batch normalisations get their scales, which then stand in for them; the statistics are
    taken again without them.
    """
    if not isinstance(network, GoogLeNet):
        raise DataError(f"{path}: has response normalisation, as Caffe's GoogLeNet has; only --net googlenet can use it")
    layers = (network.maxpool1, network.conv3)
    hooks = [layer.register_forward_hook(lambda _, __, y: source.response(y)) for layer in layers]
    fill(network, source.convolutions, x, path)
    for hook in hooks:
        hook.remove()
    on_blocks(network, x, measure)


@torch.no_grad()
def start_from(network: nn.Module, path: Path, pictures: Pictures) -> None:
    """Gives `network` the weights of the file, so that it computes what the file does.

    Caffe's GoogLeNet is computed but for its response normalisations. Auxiliary classifiers keep their random weights,
    and so does the last layer if the file knows another number of classes.

    Raises:
        DataError: the file's layers are not those of the network.
    """
    source = read(path)
    count = max(1, PIXELS // (pictures.pixels.shape[1] * pictures.pixels.shape[2]))
    # They lie sorted by class: steps through all of them see every class.
    x = data.normalise(pictures.pixels[:: -(-len(pictures) // count)])
    if source.response is None:
        fill(network, source.convolutions, x, path)
    else:
        fill_with_response(network, source, x, path)
    weight, bias = source.linear
    if path.suffix == ".tin" and isinstance(network, BookGoogLeNet):
        # An int8 file's linear layer sees the features of 5b position by position, PyTorch's channel by channel.
        weight = weight.unflatten(1, (-1, FEATURES)).transpose(1, 2).flatten(1)
    if weight.shape == network.fc.weight.shape:
        network.fc.weight.copy_(weight)
        network.fc.bias.copy_(bias)
    else:
        tqdm.write(f"{path}: its {len(weight)} classes are others than the pictures'; the last layer starts at random")
