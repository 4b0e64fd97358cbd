"""Building blocks of the networks. Tensors are NCHW; names of parameters are those of torchvision's GoogLeNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .convolution import Convolution


class BasicConv2d(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = Convolution(inputs, outputs, kernel_size, stride)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def join(branches: list[Tensor]) -> Tensor:
    """Concatenates on the channels.

    The gradient of a branch is a slice of the joined one; the ReLU's backward pass is several times faster on the CPU
    where it is made contiguous first.
    """
    for branch in branches:
        if branch.requires_grad:
            branch.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
    return torch.cat(branches, 1)


class Inception(nn.Module):
    """The inception module: four branches over one input, joined on the channels.

    1x1; 1x1 -> 3x3; 1x1 -> 5x5; 3x3 max pool of stride 1 -> 1x1 (Szegedy et al. 2014, "Going deeper with
    convolutions", figure 2b).

    Args:
        inputs: channels of the input.
        one: channels of the 1x1 branch.
        reduce_three, three: channels of the 3x3 branch, before and after its 3x3 convolution.
        reduce_five, five: channels of the 5x5 branch, likewise.
        pool: channels of the pool projection.
        split_five: build the 5x5 as two 3x3, as the book does; otherwise it is one 5x5.
    """

    def __init__(
        self,
        inputs: int,
        one: int,
        reduce_three: int,
        three: int,
        reduce_five: int,
        five: int,
        pool: int,
        split_five: bool = False,
    ) -> None:
        super().__init__()
        self.branch1 = BasicConv2d(inputs, one, 1)
        self.branch2 = nn.Sequential(BasicConv2d(inputs, reduce_three, 1), BasicConv2d(reduce_three, three, 3))
        if split_five:
            fives = [BasicConv2d(reduce_five, five, 3), BasicConv2d(five, five, 3)]
        else:
            fives = [BasicConv2d(reduce_five, five, 5)]
        self.branch3 = nn.Sequential(BasicConv2d(inputs, reduce_five, 1), *fives)
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), BasicConv2d(inputs, pool, 1))
        self.outputs = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        return join([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)])


class AuxiliaryClassifier(nn.Module):
    """A classifier on an inner layer: it feeds gradient into the depth while training, and is discarded afterwards.

    Average pool to 4x4, 1x1 convolution, linear, dropout, linear (Szegedy et al. 2014, section 5).

    Args:
        inputs: channels of the inner layer.
        classes: number of classes.
        channels: channels of the 1x1 convolution.
        hidden: width of the first linear layer.
        dropout: probability of dropping a hidden value.
    """

    def __init__(
        self, inputs: int, classes: int, channels: int = 128, hidden: int = 1024, dropout: float = 0.7
    ) -> None:
        super().__init__()
        self.conv = BasicConv2d(inputs, channels, 1)
        self.fc1 = nn.Linear(channels * 4 * 4, hidden)
        self.fc2 = nn.Linear(hidden, classes)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(x, (4, 4))
        x = torch.flatten(self.conv(x), 1)
        x = functional.relu(self.fc1(x), inplace=True)
        return self.fc2(functional.dropout(x, self.dropout, self.training))


def initialise(network: nn.Module) -> None:
    """He initialisation of every convolution; linear layers from a narrow normal distribution."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
