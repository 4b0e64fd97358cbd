"""Augmentation: pictures are cropped, mirrored, distorted, erased and pasted into each other, in whole batches."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from data import MEAN, Pictures, normalise

DISTORT = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR, fill=int(MEAN))
"""One random operation of random strength on shape or colour (Mueller and Hutter 2021, "TrivialAugment")."""

TOGETHER = 16
"""How many pictures share an operation on a GPU, where one by one would take longer than training them."""


SIDED = {"left", "right", "links", "rechts", "gauche", "droite", "izquierda", "derecha", "sinistra", "destra", "esquerda", "direita",
         "arrow", "arrows", "clockwise", "counterclockwise", "anticlockwise", "cw", "ccw"}  # fmt: skip
"""Words in the names of classes that a mirror may swap."""


@dataclass(frozen=True)
class Augmentation:
    """What happens to a picture before the network sees it.

    Attributes:
        side: of the random crop, in pixels.
        shift: how many pixels a crop may reach over the picture's edges, where it sees the reflection.
        cutout: side of the grey square in a crop, in pixels (DeVries and Taylor 2017).
        cutmix: share of the crops that get a piece of another one instead (Yun et al. 2019).
        distort: share of the pictures that TrivialAugment changes first.
        resized: side that the crops are resized to, in pixels.
        mirror: whether every other crop is mirrored.
    """

    side: int
    shift: int = 0
    cutout: int = 0
    cutmix: float = 0.0
    distort: float = 0.0
    resized: int | None = None
    mirror: bool = True


@dataclass
class Batch:
    """Augmented, normalised pictures.

    Attributes:
        x: float32, (pictures, 3, height, width).
        targets: float32, (pictures, classes): how much of each class is to be seen.
        taught: the teacher's logits, mixed likewise, if there are any.
    """

    x: Tensor
    targets: Tensor
    taught: Tensor | None

    def __len__(self) -> int:
        return len(self.targets)


def sides(labels: list[str]) -> list[str]:
    """A warning, if the names say that classes may be each other's mirror images."""
    words = {label: set(re.findall(r"[^\W\d_]+", label.casefold())) & SIDED for label in labels}
    found = [label for label in labels if words[label]]
    if set().union(*words.values()) <= {"right"}:
        # Of right and wrong, perhaps.
        found = []
    characters = [label for label in labels if len(label) == 1]
    found = found or (characters if len(characters) > 1 else [])
    if not found:
        return []
    return [f"warning: pictures are mirrored, which may make one class of another ({', '.join(found[:4])}); --no-mirror leaves it out"]


def distort(pixels: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """Lets TrivialAugment, which draws from torch's own generator, change a share of the pictures; uint8 NHWC."""
    distorted = pixels.clone()
    chosen = torch.rand(len(pixels), generator=generator) < share
    for index in chosen.nonzero().flatten().tolist():
        distorted[index] = torch.from_numpy(np.array(DISTORT(Image.fromarray(distorted[index].numpy()))))
    return distorted


def distort_together(pixels: Tensor, share: float) -> Tensor:
    """`distort` in groups. Those in front are changed: a batch's order is random."""
    count = round(share * len(pixels))
    groups = pixels[:count].permute(0, 3, 1, 2).split(TOGETHER)
    distorted = [DISTORT(group).permute(0, 2, 3, 1) for group in groups] if count else []
    return torch.cat([*distorted, pixels[count:]]).contiguous()


def augment(pixels: Tensor, generator: torch.Generator, how: Augmentation) -> tuple[Tensor, Tensor]:
    """Random crops, mirrored or not if that is wanted, and of each the share that was pasted in from the one before it, 0 to 1.

    uint8 NHWC in and out; every picture draws its own. The generator is on the pictures' device, so that a GPU doesn't
    wait for each draw.
    """
    count, height, width, _ = pixels.shape
    device, side = pixels.device, how.side
    if how.distort > 0:
        on_cpu = device.type == "cpu"
        pixels = distort(pixels, generator, how.distort) if on_cpu else distort_together(pixels, how.distort)

    def draw(high: int) -> Tensor:
        return torch.randint(high, (count, 1), generator=generator, device=device)

    def positions(length: int) -> Tensor:
        steps = torch.arange(side, device=device) + draw(length - side + 2 * how.shift + 1) - how.shift
        steps = steps.abs()
        return torch.where(steps >= length, 2 * (length - 1) - steps, steps)

    rows, columns = positions(height), positions(width)
    if how.mirror:
        columns = torch.where(draw(2) == 1, columns.flip(1), columns)
    picture = torch.arange(count, device=device)[:, None, None]
    crops = pixels[picture, rows[:, :, None], columns[:, None, :]]
    if how.cutout == 0 and how.cutmix == 0:
        return crops, torch.zeros(count, device=device)
    draws = torch.rand((2, count, 1), generator=generator, device=device)
    pasted = draws[0] < how.cutmix
    # The square root: a piece's share of the crop is uniform.
    square = torch.where(pasted, (side * draws[1].sqrt()).round(), float(how.cutout))
    steps = torch.arange(side, device=device)
    starts = (draw(side) - square // 2, draw(side) - square // 2)
    inside_rows, inside_columns = ((steps >= start) & (steps < start + square) for start in starts)
    inside = inside_rows[:, :, None] & inside_columns[:, None, :]
    filling = crops.roll(1, 0).masked_fill(~pasted[..., None, None], int(MEAN))
    share = inside.float().mean((1, 2)) * pasted[:, 0]
    return torch.where(inside[..., None], filling, crops), share


def mix(values: Tensor, share: Tensor) -> Tensor:
    """Of each picture's values, less by the share of it that was pasted over, plus that of the picture before it."""
    return values + share[:, None] * (values.roll(1, 0) - values)


def batches(
    pictures: Pictures, batch: int, generator: torch.Generator, how: Augmentation, part: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """One epoch of batches in random order; a last one with a single picture for a process is left out (batch norm).

    `part` (index, count) is a process's share of every batch; all `count` processes draw the same order, and each its
    own crops.
    """
    order = torch.randperm(len(pictures), generator=generator, device=generator.device)
    index, count = part
    if count > 1:
        generator = torch.Generator(generator.device).manual_seed(generator.initial_seed() * count + index)
    for together in order.split(batch):
        if len(together) >= 2 * count:
            drawn = pictures.subset(together[index::count])
            crops, share = augment(drawn.pixels, generator, how)
            x = normalise(crops)
            if how.resized:
                x = functional.interpolate(x, (how.resized, how.resized), mode="bilinear", antialias=True)
            targets = mix(functional.one_hot(drawn.targets, len(drawn.labels)).float(), share)
            taught = None if drawn.taught is None else mix(drawn.taught.softmax(1), share).clamp(min=1e-9).log()
            yield Batch(x, targets, taught)
