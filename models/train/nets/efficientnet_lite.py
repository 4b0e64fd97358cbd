"""EfficientNet-Lite0 to fine-tune from ImageNet's weights: a teacher, never deployed.

Its batch normalisations are folded into its convolutions, and what fine-tuning on a CPU can't afford or needn't change is
frozen: the depthwise convolutions, the stem and the first blocks.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Expansion, output channels, blocks, stride of the first one, kernel of the depthwise convolution. Tan and Le 2019,
# "EfficientNet", table 1; the Lite variants leave out squeeze-and-excitation and use ReLU6.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM, HEAD = 32, 1280
EPSILON = 1e-3
FROZEN_BLOCKS = 3
SIDE = 96
"""Side that every picture is enlarged or shrunk to, in pixels."""

Weights = dict[str, Tensor]


class Folded(nn.Module):
    """A convolution with its batch normalisation folded in, and ReLU6 or nothing behind it.

    A stride of 2 pads as TensorFlow does: more at the bottom and at the right.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, active: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=0 if stride == 2 else kernel // 2, groups=groups)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.stride == (2, 2):
            total = self.conv.kernel_size[0] - 2
            before, after = total // 2, total - total // 2
            x = functional.pad(x, (before, after, before, after))
        x = self.conv(x)
        return functional.hardtanh(x, 0.0, 6.0, inplace=True) if self.active else x

    @torch.no_grad()
    def take(self, weights: Weights, conv: str, norm: str) -> None:
        """Takes a convolution and its batch normalisation out of a state dict."""
        factor = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
        self.conv.weight.copy_(weights[f"{conv}.weight"] * factor[:, None, None, None])
        self.conv.bias.copy_(weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * factor)


class Block(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; the input added where the shapes are the same."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = Folded(inputs, inner, 1, 1, 1, True) if expansion > 1 else None
        self.depthwise = Folded(inner, inner, kernel, stride, inner, True)
        self.project = Folded(inner, outputs, 1, 1, 1, False)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """RGB pixels, 0 to 255, of any size in; logits out."""

    def __init__(self, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = Folded(3, STEM, 3, 2, 1, True)
        self.blocks = nn.ModuleList()
        inputs = STEM
        for expansion, outputs, count, stride, kernel in STAGES:
            for index in range(count):
                self.blocks.append(Block(inputs, outputs, expansion, kernel, stride if index == 0 else 1))
                inputs = outputs
        self.head = Folded(inputs, HEAD, 1, 1, 1, True)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(HEAD, classes)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        frozen = [self.stem, *self.blocks[:FROZEN_BLOCKS], *(block.depthwise for block in self.blocks)]
        for module in frozen:
            module.requires_grad_(False)

    def take(self, weights: Weights) -> None:
        """Takes ImageNet's weights, named as in efficientnet_lite_pytorch; the last layer stays as it is."""
        self.stem.take(weights, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            names = [("_expand_conv", block.expand), ("_depthwise_conv", block.depthwise), ("_project_conv", block.project)]
            present = [(name, layer) for name, layer in names if layer is not None]
            for number, (name, layer) in enumerate(present, 3 - len(present)):
                layer.take(weights, f"_blocks.{index}.{name}", f"_blocks.{index}._bn{number}")
        self.head.take(weights, "_conv_head", "_bn1")

    def forward(self, pixels: Tensor) -> Tensor:
        x = functional.interpolate((pixels - 127.0) / 128.0, (SIDE, SIDE), mode="bilinear")
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        return self.fc(self.dropout(self.head(x).mean((2, 3))))
