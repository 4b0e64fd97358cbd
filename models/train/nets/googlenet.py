"""GoogLeNet: the book's network for 32x32 pictures and the ImageNet network of 22 layers.

In training mode `forward` returns the logits of the classifier and of both auxiliary classifiers; otherwise, or
without auxiliary classifiers, the list has the classifier's logits alone.
"""

import torch
from torch import Tensor, nn

from .blocks import AuxiliaryClassifier, BasicConv2d, Inception, initialise

# Input channels; 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection. Szegedy et al. 2014, table 1.
MODULES = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}

FEATURES = 1024
"""Channels of 5b."""


class NineModules(nn.Module):
    """What both networks share: the nine inception modules and the auxiliary classifiers behind 4a and 4d."""

    def __init__(self, classes: int, auxiliary: bool, split_five: bool) -> None:
        super().__init__()
        for name, channels in MODULES.items():
            setattr(self, f"inception{name}", Inception(*channels, split_five=split_five))
        self.auxiliary = auxiliary
        if auxiliary:
            self.aux1 = AuxiliaryClassifier(512, classes)
            self.aux2 = AuxiliaryClassifier(528, classes)

    def stages(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The nine modules, with `maxpool3` and `maxpool4` of the subclass between them.

        Returns the features of 5b and the auxiliary logits, if the network trains and has them.
        """
        extra = []
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4a(x)
        if self.auxiliary and self.training:
            extra.append(self.aux1(x))
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        if self.auxiliary and self.training:
            extra.append(self.aux2(x))
        x = self.maxpool4(self.inception4e(x))
        return self.inception5b(self.inception5a(x)), extra


class BookGoogLeNet(NineModules):
    """The book's network: 32x32 pictures, 3x3 stem, the 5x5 as two 3x3, a 4096-input head (1.5 GMAC).

    The average pool of 7 with stride 1 sees 8x8 features, so 2x2x1024 values reach the linear layer.
    """

    def __init__(self, classes: int = 10, auxiliary: bool = True) -> None:
        super().__init__(classes, auxiliary, split_five=True)
        self.conv1 = BasicConv2d(3, 192, 3)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, padding=1)
        self.maxpool4 = nn.MaxPool2d(3, stride=2, padding=1)
        self.avgpool = nn.AvgPool2d(7, stride=1)
        self.fc = nn.Linear(2 * 2 * FEATURES, classes)
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, extra = self.stages(self.conv1(x))
        return [self.fc(torch.flatten(self.avgpool(x), 1)), *extra]


class GoogLeNet(NineModules):
    """The ImageNet network: 7x7 stem, ceil-mode pools, true 5x5, batch normalisation; any size from 32 upwards.

    torchvision's network is this one with a 3x3 where the 5x5 should be.
    """

    def __init__(self, classes: int = 1000, auxiliary: bool = True, dropout: float = 0.2) -> None:
        super().__init__(classes, auxiliary, split_five=False)
        self.conv1 = BasicConv2d(3, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(FEATURES, classes)
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.conv3(self.conv2(self.maxpool1(self.conv1(x))))
        x, extra = self.stages(self.maxpool2(x))
        return [self.fc(self.dropout(torch.flatten(self.avgpool(x), 1))), *extra]


class GoogLeNetFine(GoogLeNet):
    """The ImageNet network for small pictures: the pool in front of 3a keeps the resolution.

    At 64x64 the modules see 16x16, 8x8 and 4x4 values a channel, where the ImageNet network has 8x8, 4x4 and 2x2 left.
    The layers and their weights are those of `GoogLeNet`, which it can start from; 399 million multiply-accumulates,
    not 129.
    """

    def __init__(self, classes: int = 10, auxiliary: bool = True, dropout: float = 0.2) -> None:
        super().__init__(classes, auxiliary, dropout)
        self.maxpool2 = nn.MaxPool2d(3, stride=1, padding=1)
