"""Trains a network on a zip or a folder of class folders.

    python3 train.py --net nano --data cifar10/train.zip --epochs 120 --out runs/nano

Writes to --out: best.pt (the weights' moving average at its best validation accuracy), last.pt (everything --resume
needs), log.json and curves.svg. A validation part is held out of the data, or is the data's own folder val; test pictures have
no place here. What was taken is printed first: classes, pictures, and files that were passed over.
"""

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

import checkpoint
import command
import data
import parallel
from augmentation import Augmentation, Batch, batches, sides
from checkpoint import Spec
from nets import NETS, stem
from objective import Distillation, MovingAverage, losses, parameter_groups, rate_factor
from parallel import Alone
from report import draw_curves, write_log
from start import start_from
from teach import taught_logits

SAVED_EVERY = 30.0
"""Seconds from one checkpoint to the next, if epochs are shorter: on a GPU they take seconds, and writing is a part of them."""

SHOWN_EVERY = 16
"""Steps from one loss in the progress bar to the next."""


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
    parser.add_argument("--warm-up", type=float, default=0.05, help="share of the schedule, at the start, in which the rate rises")
    parser.add_argument("--cool-down", type=float, default=0.95, help="share, at the end, in which the rate falls")
    parser.add_argument("--decay", type=float, default=5e-4, help="weight decay")
    parser.add_argument("--average", type=float, default=0.999, help="decay of the weights' moving average")
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    parser.add_argument("--shift", type=int, help="largest random shift in pixels; default: an eighth of the side")
    parser.add_argument("--early-side", type=int, help="side of the crops in the early epochs; default: --size")
    parser.add_argument("--early-resize", action="store_true", help="resize whole pictures to --early-side instead of cropping them")
    parser.add_argument("--early", type=float, help="share of the schedule with --early-side; default: until the rate falls")
    parser.add_argument("--cutout", type=int, default=0, help="side of the erased square in pixels")
    parser.add_argument("--cutmix", type=float, default=0.0, help="share of pictures that get a piece of another picture")
    parser.add_argument("--distort", type=float, default=0.0, help="share of pictures that TrivialAugment changes")
    parser.add_argument("--no-mirror", action="store_true", help="do not mirror pictures, if left and right matter (arrows, signs, letters)")
    parser.add_argument("--plain", type=float, default=0.0, help="share of the schedule, at the end, without --cutmix and --distort")
    parser.add_argument("--no-auxiliary", action="store_true", help="train without auxiliary classifiers")
    parser.add_argument("--validation", type=float, default=0.1, help="share of each class that is held out")
    parser.add_argument("--teacher", type=Path, help="teacher to distil from: a checkpoint, or logits that teach.py wrote")
    parser.add_argument("--teacher-weight", type=float, default=0.7, help="share of the teacher's loss")
    parser.add_argument("--temperature", type=float, default=4.0, help="temperature of the distillation")
    parser.add_argument("--start", type=Path, help="network to start from: exported (ONNX), int8 (.tin), or Caffe's (ONNX)")
    parser.add_argument("--freeze-stem", action="store_true", help="do not train the layers in front of the first module")
    parser.add_argument("--resume", action="store_true", help="go on from last.pt in --out")
    parser.add_argument("--bf16", action="store_true", help="multiply in bfloat16 (faster with AVX-512 BF16 and CUDA)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--processes", type=int, default=1, help="processes of one thread that train together (CPU)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    for name in ("cutmix", "distort", "plain"):
        if not 0 <= getattr(options, name) <= 1:
            parser.error(f"--{name} is a share: 0 to 1")
    if not 0 < options.validation < 1:
        parser.error("--validation is a share between 0 and 1")
    if options.minutes is not None and not options.minutes > 0:
        parser.error("--minutes: give more than none")
    if options.epochs < 1 or (options.size or 1) < 1:
        parser.error("--epochs, --size: one is the least")
    if options.batch < 2:
        parser.error("--batch: two are the least")
    if options.processes < 1:
        parser.error("--processes: one is the least")
    if options.processes > 1 and options.threads:
        parser.error("--threads is for one process; of --processes each has one thread")
    if (options.early is not None or options.early_resize) and not options.early_side:
        parser.error("--early and --early-resize need --early-side")
    return options


@torch.no_grad()
def accuracy(network: nn.Module, pictures: data.Pictures, batch: int = 500) -> float:
    """Share of the pictures whose highest score is their class; in float32, without augmentation."""
    network.eval()
    right = 0
    for pixels, targets in zip(pictures.pixels.split(batch), pictures.targets.split(batch)):
        right += (network(data.normalise(pixels))[0].argmax(1) == targets).sum().item()
    return right / len(pictures)


class Trainer:
    """One training run: the network, its optimiser, its moving average and its log.

    With several processes each has its own, all alike; the first one validates and writes.
    """

    def __init__(self, options: argparse.Namespace, group: Alone) -> None:
        self.options, self.group = options, group
        size = options.size or NETS[options.net].size
        self.shift = size // 8 if options.shift is None else options.shift
        pictures = data.load(options.data, size)
        if options.teacher and options.teacher.suffix == ".npz":
            pictures.taught = taught_logits(options.teacher, pictures, options.validation, options.seed)
        parts = data.split(pictures, options.validation, options.seed)
        if group.rank == 0:
            notes = [*pictures.notes, *([] if options.no_mirror else sides(pictures.labels))]
            print(f"{options.data}:", *data.account(*parts, notes), sep="\n  ", flush=True)
        self.train_part, self.validation_part = (part.to(options.device) for part in parts)
        self.spec = Spec(options.net, size, pictures.labels)
        torch.manual_seed(options.seed)
        self.network = self.spec.build(not options.no_auxiliary).to(options.device)
        if options.start and not options.resume:
            start_from(self.network, options.start, self.train_part)
        self.frozen = stem(self.network) if options.freeze_stem else []
        for module in self.frozen:
            module.requires_grad_(False)
        torch.manual_seed(options.seed + group.rank)
        groups = parameter_groups(self.network, options.decay)
        self.optimizer = torch.optim.SGD(groups, lr=options.rate, momentum=0.9, nesterov=True)
        self.average = MovingAverage(self.network, options.average)
        self.averaged = self.spec.build(not options.no_auxiliary).to(options.device)
        self.distillation = self._distillation()
        # Below any accuracy: the first epoch's network is kept, however bad.
        self.best, self.seconds, self.epoch = -1.0, 0.0, 0
        self.best_weights: dict[str, Tensor] | None = None
        self.saved = time.monotonic()
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
        if self.train_part.taught is not None:
            return Distillation(None, 0, self.options.teacher_weight, self.options.temperature)
        teacher, spec = checkpoint.load(self.options.teacher)
        if spec.labels != self.spec.labels:
            raise data.DataError(f"{self.options.teacher}: the teacher knows other classes: {', '.join(spec.labels)}")
        teacher = teacher.to(self.options.device)
        return Distillation(teacher, spec.size, self.options.teacher_weight, self.options.temperature)

    def resume(self) -> None:
        """Continues from last.pt; the next epoch draws what it would have drawn without the break."""
        path = self.options.out / "last.pt"
        state = checkpoint.read(path)
        if state["spec"] != asdict(self.spec):
            its = f"{state['spec']['net']}, {state['spec']['size']} pixels, {', '.join(state['spec']['labels'])}"
            raise data.DataError(f"{path}: is a training of another network or of other classes: {its}; give another --out")
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.weights = {name: value.to(self.options.device) for name, value in state["average"].items()}
        self.average.steps = state["steps"]
        self.best, self.seconds, self.epoch = state["best"], state["seconds"], state["epoch"]
        if not (self.options.out / "best.pt").exists():
            self.best = -1.0
        self.log["epochs"] = state["epochs"]

    def progress(self, done: float, started: float) -> float:
        """How much of the schedule is over, 0 to 1: by epochs, or by time where that is further."""
        share = done / self.options.epochs
        if self.options.minutes is not None:
            share = max(share, (self.seconds + time.monotonic() - started) / (60 * self.options.minutes))
        return share

    def augmentation(self, progress: float) -> Augmentation:
        """How the pictures of an epoch are augmented that begins at this progress."""
        options, side = self.options, self.spec.size
        early = progress < (1 - options.cool_down if options.early is None else options.early)
        smaller = options.early_side if early else None
        plain = progress >= 1 - options.plain
        cutmix, distort = (0.0, 0.0) if plain else (options.cutmix, options.distort)
        if options.early_resize:
            return Augmentation(side, self.shift, options.cutout, cutmix, distort, smaller, not options.no_mirror)
        return Augmentation(smaller or side, self.shift, options.cutout, cutmix, distort, mirror=not options.no_mirror)

    def step(self, batch: Batch) -> Tensor:
        """One optimiser step; the sum of each classifier's loss over the batch, then how many were right.

        They stay on the device, which would stand still if each step waited for them.
        """
        with torch.autocast(self.options.device.split(":")[0], torch.bfloat16, enabled=self.options.bf16):
            outputs = self.network(batch.x)
            teacher = batch.taught
            if self.distillation and teacher is None:
                teacher = self.distillation.logits(batch.x)
        loss, parts = losses(outputs, batch.targets, self.options.smoothing, self.distillation, teacher)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update(self.network)
        right = (outputs[0].argmax(1) == batch.targets.argmax(1)).sum()
        return torch.stack([*(part.detach() * len(batch) for part in parts), right])

    @torch.no_grad()
    def meet(self) -> None:
        """Makes weights, statistics and momenta the means of all processes."""
        shared = [value for value in self.network.state_dict().values() if value.is_floating_point()]
        shared += [state["momentum_buffer"] for state in self.optimizer.state.values()]
        self.group.average(shared)

    def run_epoch(self) -> float:
        """Trains for one epoch, or until the time is over; returns the schedule's progress."""
        options, started = self.options, time.monotonic()
        seed = options.seed * 100_003 + self.epoch
        generator = torch.Generator(options.device).manual_seed(seed)
        # What TrivialAugment and dropout draw from: each process its own, and again after a break.
        torch.manual_seed(seed * self.group.size + self.group.rank)
        # Every process has its own part of what would be so many batches.
        together = options.batch * self.group.size
        count = -(-len(self.train_part) // together)
        how = self.augmentation(self.group.agree(self.progress(self.epoch, started)))
        stream = batches(self.train_part, together, generator, how, (self.group.rank, self.group.size))
        self.network.train()
        for module in self.frozen:
            module.eval()
        sums, seen, factor, progress = torch.zeros((), device=options.device), 0, 0.0, 0.0
        silent = True if self.group.rank else None
        bar = tqdm(stream, total=count, desc=f"epoch {self.epoch + 1}", leave=False, disable=silent)
        for index, batch in enumerate(bar):
            progress = self.progress(self.epoch + index / count, started)
            if index % self.group.steps == 0:
                self.meet()
                progress = self.group.agree(progress)
                if progress >= 1:
                    break
            factor = rate_factor(progress, options.warm_up, options.cool_down)
            for group in self.optimizer.param_groups:
                group["lr"] = options.rate * factor
            found = self.step(batch)
            sums, seen = sums + found, seen + len(batch)
            if index % SHOWN_EVERY == 0:
                bar.set_postfix(loss=f"{found[0].item() / len(batch):.3f}", refresh=False)
        self.meet()
        sums = sums.tolist()
        self.seconds += time.monotonic() - started
        self.epoch += 1
        progress = max(progress, self.progress(self.epoch, time.monotonic()))
        if seen and self.group.rank == 0:
            *parts, train_accuracy = (total / seen for total in sums)
            self.finish_epoch(parts, train_accuracy, options.rate * factor)
        due = progress >= 1 or time.monotonic() - self.saved >= SAVED_EVERY
        if due and self.group.rank == 0 and self.log["epochs"]:
            self.save()
        return self.group.agree(progress)

    def finish_epoch(self, parts: list[float], train_accuracy: float, rate: float) -> None:
        """Validates the moving average, and keeps it if it is the best.

        Raises:
            DataError: there is nothing left to keep.
        """
        if not all(map(math.isfinite, parts)):
            self.save_best()
            advice = f"train again with a lower --rate than {self.options.rate}"
            raise data.DataError(f"epoch {self.epoch}: the loss is no longer a number; {advice}")
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
            self.best_weights = {name: value.clone() for name, value in self.average.weights.items()}
            self.log["best"] = {"epoch": self.epoch, "validation_accuracy": round(validation, 4)}
        losses_text = " ".join(f"{part:.3f}" for part in parts)
        tqdm.write(
            f"epoch {self.epoch}: losses {losses_text}, train {train_accuracy:.2%}, validation {validation:.2%}, "
            f"{self.seconds:.0f} s"
        )

    def save_best(self) -> None:
        """Writes the best weights, if that hasn't been done."""
        if self.best_weights is not None:
            checkpoint.save(self.options.out / "best.pt", self.spec, self.best_weights, validation_accuracy=self.best)
            self.best_weights = None

    def save(self) -> None:
        """Writes both checkpoints, the log and the curves."""
        out, self.saved = self.options.out, time.monotonic()
        self.save_best()
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


def train(group: Alone, options: argparse.Namespace) -> dict[str, Any]:
    """Runs the training the options describe, as one process of the group, and returns its log.

    Raises:
        DataError: it ended before there was a network to keep.
    """
    trainer = Trainer(options, group)
    if options.resume:
        trainer.resume()
    while trainer.epoch < options.epochs:
        if trainer.run_epoch() >= 1:
            break
    best = options.out / "best.pt"
    if group.rank == 0 and not (trainer.log["epochs"] and best.exists()):
        raise data.DataError(f"{best}: not written, since no epoch was finished; give more time, or more pictures")
    if group.rank == 0 and trainer.best == 0:
        print(f"warning: {best} is right about none of the held-out pictures; train longer, or with more pictures")
    return trainer.log


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs the training the arguments describe and returns its log."""
    options = arguments(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.processes == 1:
        return train(Alone(), options)
    if options.device != "cpu":
        raise ValueError(f"--processes {options.processes} is for --device cpu, not {options.device}")
    # Decoded once, before all of them want the pictures; and what is wrong with these is told once.
    data.split(data.load(options.data, options.size or NETS[options.net].size), options.validation, options.seed)
    parallel.run(options.processes, train, options)
    return json.loads((options.out / "log.json").read_text())


if __name__ == "__main__":
    command.run("train.py", main)
