"""What training minimises, and how its steps are sized."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

AUXILIARY_WEIGHT = 0.3
"""How much each auxiliary loss counts (Szegedy et al. 2014, section 5)."""


class Distillation:
    """A trained teacher whose softened probabilities the student also learns (Hinton et al. 2015).

    Args:
        teacher: the network, in evaluation mode; none where the pictures come with a teacher's logits.
        size: the side of the pictures the teacher was trained on; the student's are resized to it.
        weight: share of the teacher's loss; the labels have the rest.
        temperature: what both logits are divided by.
    """

    def __init__(self, teacher: nn.Module | None, size: int, weight: float, temperature: float) -> None:
        self.teacher, self.size, self.weight, self.temperature = teacher, size, weight, temperature

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """What the teacher says of the student's batch `x`."""
        if x.shape[-1] != self.size:
            x = functional.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)
        return self.teacher(x)[0].float()

    def loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Divergence of the softened probabilities, times the squared temperature to keep the gradient's size."""
        target = functional.log_softmax(teacher / self.temperature, 1)
        guess = functional.log_softmax(student / self.temperature, 1)
        return self.temperature**2 * functional.kl_div(guess, target, reduction="batchmean", log_target=True)


def losses(
    outputs: list[Tensor],
    targets: Tensor,
    smoothing: float,
    distillation: Distillation | None = None,
    teacher: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    """The loss to minimise, and the loss of each classifier: the main one first, then the auxiliary ones."""
    parts = []
    for logits in outputs:
        part = functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
        if distillation is not None:
            soft = distillation.loss(logits.float(), teacher)
            part = (1 - distillation.weight) * part + distillation.weight * soft
        parts.append(part)
    return parts[0] + AUXILIARY_WEIGHT * sum(parts[1:]), parts


def rate_factor(progress: float, warm_up: float, cool_down: float) -> float:
    """The learning rate at `progress` (0 to 1) as a share of its peak.

    It climbs linearly for the first `warm_up` of the schedule and falls as half a cosine during the last `cool_down`.
    Between them it stays at the peak: there a run can be stopped and resumed with another end.
    """
    if progress < warm_up:
        return max(progress, 1e-3) / warm_up
    fall = (progress - (1 - cool_down)) / cool_down
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, fall))))


class MovingAverage:
    """Exponential moving average of a network's weights and batch-norm statistics; what is validated and kept.

    The decay grows towards its final value, so that early averages aren't ruled by the random start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        averages, values = [], []
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                averages.append(self.weights[name])
                values.append(value)
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1 - decay)


def parameter_groups(network: nn.Module, decay: float) -> list[dict]:
    """Weight decay for the weights of convolutions and linear layers; none for biases and batch norm."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
