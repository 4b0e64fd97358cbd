"""A convolution whose weights' gradient comes from a matrix product, where that is the faster way.

With AVX2, oneDNN's gradient of the weights is about half as fast as its forward pass. For kernels 1x1, and for larger
ones on few pixels, gathering the patches (im2col) and one matrix product take 0.4 to 0.7 of its time (Zen 3, GoogLeNet's
shapes, batches of 128): 8 to 10 % of a whole step. In bfloat16 on AMX only few pixels are slow there: gathering
theirs makes training 1.2 times as fast (GoogLeNet at 64x64), with more pixels in the modules 1.04 to 1.1 times.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

FEW_PIXELS = 16
"""Largest area of the output, in pixels, for which the patches of a larger kernel are gathered."""


def patches(x: Tensor, kernel: int) -> Tensor:
    """(pixels, kernel * kernel * channels) of an NHWC tensor, one row a pixel; stride 1, same padding."""
    margin = kernel // 2
    padded = functional.pad(x, (0, 0, margin, margin, margin, margin))
    windows = padded.unfold(1, kernel, 1).unfold(2, kernel, 1)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(-1, kernel * kernel * x.shape[3])


class _SameConvolution(torch.autograd.Function):
    """Stride 1, same padding, no bias; NCHW in shape, channels last in memory."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv2d(x, weight, padding=weight.shape[2] // 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        outputs, inputs, kernel, _ = weight.shape
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = torch.nn.grad.conv2d_input(x.shape, weight, gradient, padding=kernel // 2)
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, outputs)
        columns = x.permute(0, 2, 3, 1)
        columns = columns.reshape(-1, inputs) if kernel == 1 else patches(columns, kernel)
        for_weight = (rows.t() @ columns).view(outputs, kernel, kernel, inputs).permute(0, 3, 1, 2)
        return for_x, for_weight


class Convolution(nn.Conv2d):
    """`nn.Conv2d` without bias and with same padding, its gradient computed in the faster way."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel_size[0]
        few = x.shape[2] * x.shape[3] <= FEW_PIXELS
        on_cpu = self.training and self.stride == (1, 1) and x.device.type == "cpu"
        if on_cpu and few and torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            return _SameConvolution.apply(x.to(kind), self.weight.to(kind))
        if on_cpu and (few or kernel == 1) and not torch.is_autocast_enabled("cpu"):
            return _SameConvolution.apply(x, self.weight)
        return super().forward(x)
