"""Inception v3, torchvision's, with the interface of this folder's networks: training returns a list of logits."""

from torch import Tensor
from torchvision import models


class InceptionV3(models.Inception3):
    """Inception v3 for 299x299 pictures, 24 million parameters (Szegedy et al. 2015).

    Parameter names are torchvision's, so its files load as they are. Training needs the full size,
    for the auxiliary classifier; without it 75x75 is the least.
    """

    def __init__(self, classes: int = 1000, auxiliary: bool = True) -> None:
        super().__init__(num_classes=classes, aux_logits=auxiliary, transform_input=False, init_weights=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        logits, extra = self._forward(x)
        return [logits] if extra is None or not self.training else [logits, extra]
