"""The log of a training run, as JSON and as curves."""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "tinception"
matplotlib.rcParams["svg.fonttype"] = "none"
from matplotlib import pyplot  # noqa: E402 - the backend is chosen before pyplot is imported


def write_log(path: Path, log: dict[str, Any]) -> None:
    """Writes the log: the settings, then one line for each epoch."""
    head = {name: value for name, value in log.items() if name != "epochs"}
    lines = ",\n".join("    " + json.dumps(epoch) for epoch in log["epochs"])
    text = json.dumps(head, indent=2).rstrip("}").rstrip()
    path.write_text(f'{text},\n  "epochs": [\n{lines}\n  ]\n}}\n')


def draw_curves(path: Path, log: dict[str, Any]) -> None:
    """Losses on the left, accuracies on the right, over the epochs."""
    epochs = log["epochs"]
    axis = [epoch["epoch"] for epoch in epochs]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for index, name in enumerate(["classifier", "auxiliary 1", "auxiliary 2"][: len(epochs[0]["losses"])]):
        left.plot(axis, [epoch["losses"][index] for epoch in epochs], label=name, linewidth=1)
    left.set(xlabel="epoch", ylabel="training loss")
    right.plot(axis, [100 * epoch["train_accuracy"] for epoch in epochs], label="training, augmented", linewidth=1)
    right.plot(axis, [100 * epoch["validation_accuracy"] for epoch in epochs], label="validation", linewidth=1)
    right.set(xlabel="epoch", ylabel="top-1, %")
    for plot in (left, right):
        plot.grid(alpha=0.3)
        plot.legend(frameon=False)
    figure.suptitle(f"{log['spec']['net']}, {log['spec']['size']}x{log['spec']['size']}")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
