"""nano: the reduced Inception for microcontrollers, 32x32 pictures."""

import torch
from torch import Tensor, nn

from .blocks import AuxiliaryClassifier, BasicConv2d, Inception, initialise


class Nano(nn.Module):
    """Four inception modules behind two convolutions.

    Its bounds: 12.5 million multiply-accumulates, a file of 100 KB, 48 KB of activations and scratch in int8. Most
    lives at once in 3b: its input, the pooled copy of it and its output, 2 * 52 + 72 channels at 16x16, 45,056 bytes.
    Every channel count is a multiple of 4, every activation a ReLU, so that zero is the lower end of every range.
    A 3x3 convolution reads at most 28 channels, which keeps the scratch for 16 patches under 4 KB.
    """

    def __init__(self, classes: int = 10, auxiliary: bool = True) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(3, 16, 3)
        self.conv2 = BasicConv2d(16, 32, 3, stride=2)
        self.inception3a = Inception(32, 12, 16, 20, 8, 12, 8, split_five=True)
        self.inception3b = Inception(52, 16, 24, 32, 8, 16, 8, split_five=True)
        self.maxpool3 = nn.MaxPool2d(2)
        self.inception4a = Inception(72, 32, 24, 40, 12, 24, 16, split_five=True)
        self.inception4b = Inception(112, 32, 28, 52, 12, 24, 16, split_five=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.inception4b.outputs, classes)
        self.auxiliary = auxiliary
        if auxiliary:
            self.aux1 = AuxiliaryClassifier(self.inception3b.outputs, classes, 32, 128, dropout=0.2)
            self.aux2 = AuxiliaryClassifier(self.inception4a.outputs, classes, 32, 128, dropout=0.2)
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        extra = []
        x = self.inception3b(self.inception3a(self.conv2(self.conv1(x))))
        if self.auxiliary and self.training:
            extra.append(self.aux1(x))
        x = self.inception4a(self.maxpool3(x))
        if self.auxiliary and self.training:
            extra.append(self.aux2(x))
        x = self.inception4b(x)
        return [self.fc(torch.flatten(self.avgpool(x), 1)), *extra]
