"""Writes a trained network as ONNX: no auxiliary classifiers, batch of one, weights inside the file.

    python3 export.py runs/nano/best.pt --out nano.onnx
    python3 export.py nano.tin --net nano --out nano.onnx    # the float network that an int8 file stands for

The file takes RGB pixels, 0 to 255, as floats in NCHW; it normalises them itself, so nobody has to repeat the
training's mean and scale. Its answer is checked against PyTorch's before the file gets its name.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

import checkpoint
import command
import data
import tin
from checkpoint import Spec
from data import DataError, Pictures
from nets import NETS
from start import LINEAR, on_blocks, start_from

TOLERANCE = 1e-4
"""Largest difference from PyTorch that passes, as a share of the largest logit."""


class Deployed(nn.Module):
    """The network as it is used: pixels in, logits out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network((pixels - data.MEAN) * data.SCALE)[0]


def inline_identities(model: onnx.ModelProto) -> None:
    """Removes the `Identity` nodes with which the exporter makes equal weights share their bytes."""
    graph = model.graph
    sources = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity"}
    kept = [node for node in graph.node if node.op_type != "Identity"]
    for node in kept:
        for index, name in enumerate(node.input):
            while name in sources:
                name = sources[name]
            node.input[index] = name
    del graph.node[:]
    graph.node.extend(kept)


def to_onnx(network: nn.Module, spec: Spec, path: Path, opset: int = 13, fold: bool = True) -> None:
    """Exports `network`, a batch-norm folded into its convolution or kept, and names its classes in the metadata."""
    deployed = Deployed(network).eval()
    mode = torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings():
        # Opsets before 18 need PyTorch's first exporter, which says that it is no longer the default.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed,
            (torch.zeros(1, 3, spec.size, spec.size),),
            str(path),
            dynamo=False,
            training=mode,
            do_constant_folding=fold,
            opset_version=opset,
            input_names=["pixels"],
            output_names=["logits"],
        )
    model = onnx.load(path)
    inline_identities(model)
    model.graph.name = spec.net
    preprocessing = f"order=rgb mean=0,0,0 scale=1,1,1 resize=shorter:{spec.size}"
    properties = {"labels": "\n".join(spec.labels), "input": "RGB, 0 to 255", "preprocessing": preprocessing}
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def difference(network: nn.Module, spec: Spec, path: Path, pictures: int = 8) -> float:
    """Largest difference between the file in ONNX Runtime and PyTorch, as a share of the largest logit."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    deployed = Deployed(network).eval()
    generator = np.random.default_rng(1)
    worst = 0.0
    for _ in range(pictures):
        pixels = generator.integers(0, 256, (1, 3, spec.size, spec.size)).astype(np.float32)
        with torch.no_grad():
            expected = deployed(torch.from_numpy(pixels)).numpy()
        (found,) = session.run(None, {"pixels": pixels})
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    return worst


def from_int8(path: Path, net: str) -> tuple[nn.Module, Spec]:
    """The float network that an int8 file stands for: each weight is its int8 value times the channel's scale.

    Raises:
        DataError: the file's layers are not those of the network.
    """
    spec = Spec(net, tin.side(path), tin.labels(path))
    network = spec.build(auxiliary=False)
    # They give the batch normalisations their statistics; which ones makes no difference to what the network computes.
    noise = torch.randint(256, (64, spec.size, spec.size, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    start_from(network, path, Pictures(noise, torch.zeros(len(noise), dtype=torch.long), spec.labels))
    check_resolutions(network, spec, path)
    return network.eval(), spec


@torch.no_grad()
def check_resolutions(network: nn.Module, spec: Spec, path: Path) -> None:
    """Sees that the convolutions of both have the same outputs' sides: some networks differ in a pool's stride alone.

    Raises:
        DataError: they have not.
    """
    sides = tin.output_sides(path)
    # By name, as `start.read_tin` has them; the linear layer is none of the network's blocks.
    expected = [sides[name] for name in sorted(sides) if name not in LINEAR]
    found = []
    blank = torch.zeros(1, 3, spec.size, spec.size)
    on_blocks(network, blank, lambda block, x: found.append(-(-x.shape[2] // block.conv.stride[0])))
    if found != expected:
        index, (its, ours) = next((i, pair) for i, pair in enumerate(zip(expected, found), 1) if pair[0] != pair[1])
        raise DataError(f"{path}: convolution {index} gives {its}x{its} pixels, in {spec.net} {ours}x{ours}; it is another network")


def main(argv: list[str] | None = None) -> None:
    """Exports the checkpoint or the int8 file the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="checkpoint (.pt) or int8 file (.tin)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--opset", type=int, default=13, choices=range(13, 18))
    parser.add_argument("--keep-batch-norm", action="store_true", help="do not fold batch normalisation into the convolutions")
    parser.add_argument("--net", choices=NETS, help="architecture of an int8 file")
    options = parser.parse_args(argv)
    if options.checkpoint.suffix == ".tin":
        if not options.net:
            parser.error("an int8 file needs --net")
        network, spec = from_int8(options.checkpoint, options.net)
    else:
        network, spec = checkpoint.load(options.checkpoint)
    partial = options.out.with_suffix(".partial.onnx")
    to_onnx(network, spec, partial, options.opset, not options.keep_batch_norm)
    worst = difference(network, spec, partial)
    if not worst <= TOLERANCE:
        partial.unlink()
        raise ValueError(f"{options.out}: differs from PyTorch by {worst:.2e} of the largest logit; not written")
    partial.replace(options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, within {worst:.1e} of PyTorch")


if __name__ == "__main__":
    command.run("export.py", main)
