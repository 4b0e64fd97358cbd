"""Writes the tables of docs/performance.md and its plot from the measurements beside this file; see `update`."""

import json
import re
from collections import defaultdict
from pathlib import Path

from plot import plot

HERE = Path(__file__).parent
PAGE = HERE.parent / "performance.md"

# The runtimes' own instruction counts for the float network or its int8 form, in millions, counted the same way.
ELSEWHERE = [
    ("ncnn 2026-10, int8", {"cortex-a72": 304, "cortex-a76": 179, "max": 130}),
    ("LiteRT 2.3 with XNNPACK, int8", {"cortex-a72": 597, "cortex-a76": 230, "max": 196}),
    ("MNN 3.6, int8", {"cortex-a72": 492, "cortex-a76": 290, "max": 242}),
    ("ONNX Runtime 1.32, int8", {"cortex-a72": 598, "cortex-a76": 291, "max": 268}),
    ("ncnn 2026-10, float32", {"cortex-a72": 325, "cortex-a76": 325}),
    ("tract 0.23.9, float32", {"cortex-a72": 1253, "cortex-a76": 1253}),
]
NAMES = {"max": "i8mm (QEMU's `max`)", "cortex-a72": "Cortex-A72", "cortex-a76": "Cortex-A76", "cortex-a53": "Cortex-A53",
         "cortex-a55": "Cortex-A55"}
# What the multiplies alone allow: multiply-accumulates per instruction. NEON: SMULL, SMLAL2 and SADALP for 16; by
# Winograd an SMLAL does 4 products, each worth 2.25 of the direct way.
FLOORS = {
    "neon": [("multiplies alone, direct", 16 / 3), ("multiplies alone, Winograd", 9.0)],
    "dotprod": [("SDOT alone", 16.0)],
    "i8mm": [("SMMLA alone", 32.0)],
}


def table(head, rows):
    """A Markdown table; all columns but the first are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def millions(count):
    return f"{count / 1e6:.1f}"


def peers(report):
    engines = report["engines"]
    rows = [
        [name, engine["backend"], f"{engine['median_ms']:.2f}", f"{engine['best_round_ms']:.2f}",
         f"{engine['worst_round_ms']:.2f}"]
        for name, engine in engines.items()
    ]
    ratios = [
        [f"{r['ours']} / {r['theirs']}", f"{r['ratio']:.3f}", f"{r['lowest']:.3f}", f"{r['highest']:.3f}", r["limit"]]
        for r in report["ratios"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return "\n\n".join([
        f"{report['model']}, one picture, one thread, {report['processor']}; {versions}; {report['rounds']} rounds.",
        table(["engine", "runs on", "median ms", "best round", "worst round"], rows),
        table(["ratio of medians", "", "lowest round", "highest round", "limit"], ratios),
    ])


def totals(report):
    counts = {entry["cpu"]: entry for entry in report["instructions"]}
    head = ["millions of instructions"] + [NAMES[cpu] for cpu in counts]
    ours = ["**tinception**"] + [f"**{millions(entry['per_picture'])}** ({entry['backend']})" for entry in counts.values()]
    rows = [[name] + [numbers.get(cpu, "-") for cpu in counts] for name, numbers in ELSEWHERE]
    return table(head, [ours, *rows])


def shares(report, key, title):
    """Instructions summed over the steps with the same key, and the multiply-accumulates that one does."""
    processors = report["instructions"]
    sums, macs = defaultdict(lambda: [0] * len(processors)), {}
    for index, processor in enumerate(processors):
        for name in {key(step) for step in processor["steps"]}:
            macs[name] = sum(step["macs"] for step in processor["steps"] if key(step) == name)
        for step in processor["steps"]:
            sums[key(step)][index] += step["instructions"]
    head = [title, "million MACs"]
    for processor in processors:
        head += [f"{NAMES[processor['cpu']]}, million instructions", "MACs each"]
    rows = []
    for name, instructions in sums.items():
        row = [name, millions(macs[name]) if macs[name] else ""]
        for count in instructions:
            row += [f"{count / 1e6:.2f}", f"{macs[name] / count:.2f}" if macs[name] else ""]
        rows.append(row)
    return table(head, rows)


def module(step):
    return step["steps"][0].partition("/")[0]


def operators(step):
    return " + ".join(dict.fromkeys(step["operators"]))


def loops(report):
    rows = [
        [loop["backend"], NAMES[loop["cpu"]] + (" (borrowed)" if loop["borrowed"] else ""), loop["macs"],
         loop["instructions"], loop["multiplies"], loop["cycles"], loop["peak_cycles"], loop["macs_per_cycle"],
         loop["peak_macs_per_cycle"]]
        for loop in report["loops"]
    ]
    head = ["backend", "model of", "MACs", "instructions", "multiplies", "cycles", "cycles at peak", "MACs a cycle",
            "at peak"]
    return f"LLVM {report['llvm']}.\n\n" + table(head, rows)


def together(names):
    """`inception_3a/1x1 + 3x3_reduce`: the module once."""
    first, *others = names
    return " + ".join([first, *(name.rpartition("/")[2] for name in others)])


def panels(report):
    """For each processor the layers' multiply-accumulates per instruction, and the floors."""
    for entry in report["instructions"]:
        layers = [step for step in entry["steps"] if step["macs"] > 0]
        bars = [(together(step["steps"]), step["macs"] / step["instructions"]) for step in layers]
        title = f"{NAMES[entry['cpu']].replace('`', '')}, {entry['backend']}"
        yield title, bars, FLOORS.get(entry["backend"], [])


def main():
    read = {name: json.loads((HERE / f"{name}.json").read_text()) for name in ("peers", "instructions", "loops")}
    (HERE / "layers.svg").write_text(plot(list(panels(read["instructions"]))))
    sections = {
        "peers": peers(read["peers"]),
        "totals": totals(read["instructions"]),
        "modules": shares(read["instructions"], module, "part"),
        "operators": shares(read["instructions"], operators, "operators"),
        "loops": loops(read["loops"]),
    }
    page = PAGE.read_text()
    for name, text in sections.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page, found = re.subn(pattern, lambda match: f"{match[1]}{text}\n{match[2]}", page, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"{PAGE}: {found} sections {name}")
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
