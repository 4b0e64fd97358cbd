"""nano: the reduced Inception for microcontrollers, 32x32 pictures."""

import torch
from torch import Tensor, nn

from .blocks import AuxiliaryClassifier, BasicConv2d, Inception, initialise


class Nano(nn.Module):
    """Four inception modules behind two convolutions.

    Its bounds: 12.5 million multiply-accumulates, a file of 100 KB and 48 KB of activations in int8. The widest pair of
    tensors that live at once is the second module's input and output at 16x16. Every channel count is a multiple of 4,
    every activation a ReLU, so that the int8 kernels have no remainder and zero is the lower end of every range.
    """

    def __init__(self, classes: int = 10, auxiliary: bool = True) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(3, 16, 3)
        self.conv2 = BasicConv2d(16, 32, 3, stride=2)
        self.inception3a = Inception(32, 16, 16, 24, 8, 16, 8, split_five=True)
        self.inception3b = Inception(64, 16, 24, 32, 8, 16, 8, split_five=True)
        self.maxpool3 = nn.MaxPool2d(2)
        self.inception4a = Inception(72, 32, 24, 40, 12, 24, 16, split_five=True)
        self.inception4b = Inception(112, 32, 28, 48, 12, 24, 16, split_five=True)
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
