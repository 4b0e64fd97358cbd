"""Trains a network on a zip or a folder of class folders.

    python3 train.py --net nano --data cifar10/train.zip --epochs 120 --out runs/nano

Writes to --out: best.pt (the weights' moving average at its best validation accuracy), last.pt (everything --resume
needs), log.json and curves.svg. A validation part is held out of the data; test pictures have no place here.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import checkpoint
import data
from checkpoint import Spec
from nets import NETS
from objective import Distillation, MovingAverage, losses, parameter_groups, rate_factor
from report import draw_curves, write_log
from start import start_from


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", choices=NETS, required=True)
    parser.add_argument("--data", type=Path, required=True, help="zip or folder with CLASS/NAME.jpg in it")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and curves")
    parser.add_argument("--size", type=int, help="side of the pictures in pixels; default: the network's own")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--minutes", type=float, help="end the schedule after this time, if the epochs take longer")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.1, help="peak learning rate")
    parser.add_argument("--warm-up", type=float, default=0.05, help="share of the schedule the rate climbs in")
    parser.add_argument("--cool-down", type=float, default=0.95, help="share, at the end, in which the rate falls")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the weights' moving average")
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    parser.add_argument("--shift", type=int, help="largest random shift in pixels; default: an eighth of the side")
    parser.add_argument("--early-side", type=int, help="side of the random crops until the rate falls; default: --size")
    parser.add_argument("--cutout", type=int, default=0, help="side of the erased square in pixels")
    parser.add_argument("--no-auxiliary", action="store_true", help="train without auxiliary classifiers")
    parser.add_argument("--validation", type=float, default=0.1, help="share of each class that is held out")
    parser.add_argument("--teacher", type=Path, help="checkpoint of a trained network to distil from")
    parser.add_argument("--teacher-weight", type=float, default=0.7, help="share of the teacher's loss")
    parser.add_argument("--temperature", type=float, default=4.0, help="temperature of the distillation")
    parser.add_argument("--start", type=Path, help="exported network, or Caffe's GoogLeNet, to start from (ONNX)")
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (faster with AVX-512 BF16 and CUDA)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


@torch.no_grad()
def accuracy(network: nn.Module, pictures: data.Pictures, batch: int = 500) -> float:
    """Share of the pictures whose highest score is their class; in float32, without augmentation."""
    network.eval()
    right = 0
    for pixels, targets in zip(pictures.pixels.split(batch), pictures.targets.split(batch)):
        right += (network(data.normalise(pixels))[0].argmax(1) == targets).sum().item()
    return right / len(pictures)


class Trainer:
    """One training run: the network, its optimiser, its moving average and its log."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        size = options.size or NETS[options.net].size
        self.shift = size // 8 if options.shift is None else options.shift
        pictures = data.load(options.data, size).to(options.device)
        self.train_part, self.validation_part = data.split(pictures, options.validation, options.seed)
        self.spec = Spec(options.net, size, pictures.labels)
        torch.manual_seed(options.seed)
        self.network = self.spec.build(not options.no_auxiliary).to(options.device)
        if options.start and not options.resume:
            start_from(self.network, options.start, self.train_part)
        groups = parameter_groups(self.network, options.decay)
        self.optimizer = torch.optim.SGD(groups, lr=options.rate, momentum=0.9, nesterov=True)
        self.average = MovingAverage(self.network, options.average)
        self.averaged = self.spec.build(not options.no_auxiliary).to(options.device)
        self.distillation = self._distillation()
        self.best, self.seconds, self.epoch = 0.0, 0.0, 0
        settings = {name: value.name if isinstance(value, Path) else value for name, value in vars(options).items()}
        self.log: dict[str, Any] = {
            "spec": asdict(self.spec),
            "settings": settings,
            "train_pictures": len(self.train_part),
            "validation_pictures": len(self.validation_part),
            "epochs": [],
        }

    def _distillation(self) -> Distillation | None:
        if self.options.teacher is None:
            return None
        teacher, spec = checkpoint.load(self.options.teacher)
        if spec.labels != self.spec.labels:
            raise data.DataError(f"{self.options.teacher}: the teacher knows other classes: {', '.join(spec.labels)}")
        teacher = teacher.to(self.options.device)
        return Distillation(teacher, spec.size, self.options.teacher_weight, self.options.temperature)

    def resume(self) -> None:
        """Continues from last.pt; the next epoch draws what it would have drawn without the break."""
        state = checkpoint.read(self.options.out / "last.pt")
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights = {name: value.to(self.options.device) for name, value in state["average"].items()}
        self.average.steps = state["steps"]
        self.best, self.seconds, self.epoch = state["best"], state["seconds"], state["epoch"]
        self.log["epochs"] = state["epochs"]

    def progress(self, done: float, started: float) -> float:
        """How much of the schedule is over, 0 to 1: by epochs, or by time where that is further."""
        share = done / self.options.epochs
        if self.options.minutes is not None:
            share = max(share, (self.seconds + time.monotonic() - started) / (60 * self.options.minutes))
        return share

    def step(self, x: Tensor, targets: Tensor) -> tuple[list[float], int]:
        """One optimiser step; the loss of each classifier and how many of the batch were right."""
        with torch.autocast(self.options.device.split(":")[0], torch.bfloat16, enabled=self.options.bf16):
            outputs = self.network(x)
            teacher = self.distillation.logits(x) if self.distillation else None
        loss, parts = losses(outputs, targets, self.options.smoothing, self.distillation, teacher)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update(self.network)
        return [part.item() for part in parts], (outputs[0].argmax(1) == targets).sum().item()

    def run_epoch(self) -> float:
        """Trains for one epoch, or until the time is over; returns the schedule's progress."""
        options, started = self.options, time.monotonic()
        generator = torch.Generator().manual_seed(options.seed * 100_003 + self.epoch)
        count = -(-len(self.train_part) // options.batch)
        early = self.epoch / options.epochs < 1 - options.cool_down
        side = options.early_side if early and options.early_side else self.spec.size
        stream = data.batches(self.train_part, options.batch, generator, side, self.shift, options.cutout)
        self.network.train()
        sums, right, seen, factor, progress = None, 0, 0, 0.0, 0.0
        bar = tqdm(stream, total=count, desc=f"epoch {self.epoch + 1}", leave=False, disable=None)
        for index, (x, targets) in enumerate(bar):
            progress = self.progress(self.epoch + index / count, started)
            if progress >= 1:
                break
            factor = rate_factor(progress, options.warm_up, options.cool_down)
            for group in self.optimizer.param_groups:
                group["lr"] = options.rate * factor
            parts, hits = self.step(x, targets)
            sums = [a + b * len(x) for a, b in zip(sums or [0.0] * len(parts), parts)]
            right, seen = right + hits, seen + len(x)
            bar.set_postfix(loss=f"{parts[0]:.3f}", refresh=False)
        self.seconds += time.monotonic() - started
        self.epoch += 1
        if seen:
            self.finish_epoch([total / seen for total in sums], right / seen, options.rate * factor)
        return max(progress, self.progress(self.epoch, time.monotonic()))

    def finish_epoch(self, parts: list[float], train_accuracy: float, rate: float) -> None:
        """Validates the moving average, keeps it if it is the best, and writes log, curves and checkpoint."""
        out = self.options.out
        self.averaged.load_state_dict(self.average.weights)
        validation = accuracy(self.averaged, self.validation_part)
        line = {
            "epoch": self.epoch,
            "rate": round(rate, 6),
            "losses": [round(part, 4) for part in parts],
            "train_accuracy": round(train_accuracy, 4),
            "validation_accuracy": round(validation, 4),
            "seconds": round(self.seconds),
        }
        self.log["epochs"].append(line)
        if validation > self.best:
            self.best = validation
            self.log["best"] = {"epoch": self.epoch, "validation_accuracy": round(validation, 4)}
            checkpoint.save(out / "best.pt", self.spec, self.average.weights, validation_accuracy=validation)
        checkpoint.save(
            out / "last.pt",
            self.spec,
            self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            average=self.average.weights,
            steps=self.average.steps,
            best=self.best,
            seconds=self.seconds,
            epoch=self.epoch,
            epochs=self.log["epochs"],
        )
        write_log(out / "log.json", self.log)
        draw_curves(out / "curves.svg", self.log)
        losses_text = " ".join(f"{part:.3f}" for part in parts)
        tqdm.write(
            f"epoch {self.epoch}: losses {losses_text}, train {train_accuracy:.2%}, validation {validation:.2%}, "
            f"{self.seconds:.0f} s"
        )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs the training the arguments describe and returns its log."""
    options = arguments(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(options)
    if options.resume:
        trainer.resume()
    while trainer.epoch < options.epochs:
        if trainer.run_epoch() >= 1:
            break
    return trainer.log


if __name__ == "__main__":
    try:
        main()
    except (data.DataError, ValueError, FileNotFoundError) as error:
        sys.exit(f"train.py: {error}")
