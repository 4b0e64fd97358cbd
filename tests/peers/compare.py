"""Times the engines by turns and prints medians and ratios as JSON; see `run`."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

import prepare

# Ours, theirs, and the largest ratio of their medians.
LIMITS = [
    ("tinception", "onnxruntime int8", 0.35),
    ("tinception", "openvino int8", 1.15),
    ("tinception", "tract float", 0.11),
    # ONNX Runtime picks its instructions by CPUID and cannot be told to use less.
    ("tinception avx2", "onnxruntime int8", 1.0),
]


class Worker:
    """A Python peer in a process of its own."""

    def __init__(self, engine, model, picture):
        script = Path(__file__).with_name("worker.py")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, script, engine, model, picture], **pipes)
        self.backend = engine
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"{engine} does not run {model}")

    def times(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Program:
    """`tinception bench`, a new process each time."""

    def __init__(self, program, model, backend=None):
        self.command = [program, "bench", "--json", "--model", model, "--threads", "1"]
        self.environment = os.environ | ({"TINCEPTION_BACKEND": backend} if backend else {})
        self.last = self.bench(3)
        self.backend = self.last["backend"]
        if backend and self.backend != backend:
            raise SystemExit(f"TINCEPTION_BACKEND={backend} gave the backend {self.backend}")

    def bench(self, runs):
        command = [*self.command, "--runs", str(runs)]
        done = subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)

    def times(self, seconds):
        """Only the median is known."""
        self.last = self.bench(max(3, round(seconds * 1e3 / self.last["median_ms"])))
        return [self.last["median_ms"]]


def processor():
    """The processor's name and its instruction sets, as far as Linux tells them."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    return facts.get("model name", platform.machine()), facts.get("flags", "").split()


def measure(engines, rounds, seconds):
    """For each engine the median of each round. Every other round goes the other way round."""
    medians = {name: [] for name in engines}
    for number in range(rounds):
        order = list(engines) if number % 2 == 0 else list(reversed(engines))
        for name in order:
            medians[name].append(statistics.median(engines[name].times(seconds)))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return medians


def ratio(medians, ours, theirs, limit):
    """The ratio of the medians; beside it the least and the largest of a single round, which show the noise."""
    value = statistics.median(medians[ours]) / statistics.median(medians[theirs])
    rounds = sorted(a / b for a, b in zip(medians[ours], medians[theirs]))
    return {
        "ours": ours,
        "theirs": theirs,
        "ratio": round(value, 4),
        "lowest": round(rounds[0], 4),
        "highest": round(rounds[-1], 4),
        "limit": limit,
        "met": value <= limit,
    }


def main():
    parser = argparse.ArgumentParser(prog="tests/peers/run")
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--calibration", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--seconds", type=float, default=0.8, metavar="S", help="for each engine in each round")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--program", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for path in (arguments.model, arguments.calibration):
        if not path.exists():
            parser.error(f"{path} does not exist")

    name, flags = processor()
    files = prepare.photos(arguments.calibration)
    qdq = prepare.quantized_onnx(arguments.model, files, arguments.cache)
    tin = prepare.quantized_tin(arguments.program, arguments.model, arguments.calibration, arguments.cache)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.npy"
        np.save(picture, prepare.picture(files[0]))
        engines = {
            "onnxruntime int8": Worker("onnxruntime", qdq, picture),
            "openvino int8": Worker("openvino", qdq, picture),
            "tract float": Program(arguments.program, arguments.model),
            "tinception": Program(arguments.program, tin),
        }
        if "avx2" in flags:
            engines["tinception avx2"] = Program(arguments.program, tin, "avx2")
        medians = measure(engines, arguments.rounds, arguments.seconds)
    ratios = [ratio(medians, *limit) for limit in LIMITS if limit[0] in medians]
    report = {
        "model": arguments.model.name,
        "processor": name,
        "threads": 1,
        "versions": {package: version(package) for package in ("onnxruntime", "openvino")},
        "rounds": arguments.rounds,
        "load_average": os.getloadavg()[0],
        "engines": {
            engine: {
                "backend": engines[engine].backend,
                "median_ms": round(statistics.median(times), 3),
                "best_round_ms": round(min(times), 3),
                "worst_round_ms": round(max(times), 3),
            }
            for engine, times in medians.items()
        },
        "ratios": ratios,
    }
    print(json.dumps(report, indent=2))
    if arguments.check and not all(entry["met"] for entry in ratios):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
