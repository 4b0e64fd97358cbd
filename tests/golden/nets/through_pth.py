"""torchvision's own files through the program: saved weights -> `tinception import` -> float logits, against PyTorch.

    python3 through_pth.py PATH/TO/tinception

Every network gets random weights as torchvision initialises them, and statistics from noise; `torch.save` writes them, as
an archive and as the older stream of pickles. The program's float logits for a picture must equal PyTorch's within a
thousandth of the largest.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import models

TOLERANCE = 1e-3
NETWORKS = {
    "googlenet-torchvision": (lambda: models.googlenet(weights=None, init_weights=True), 224),
    "inception-v3": (lambda: models.inception_v3(weights=None, init_weights=True), 299),
}


def run(*arguments: object) -> str:
    return subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True, text=True).stdout


def main(program: str) -> None:
    generator = np.random.default_rng(7)
    for name, (build, size) in NETWORKS.items():
        torch.manual_seed(7)
        network = build()
        with torch.no_grad():
            network.train()(torch.randn(8, 3, size, size))
        network.eval()
        pixels = generator.integers(0, 256, (size, size, 3), np.uint8)
        picture = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            expected = network((picture - 127.5) / 127.5)[0].numpy()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            Image.fromarray(pixels).save(path / "picture.png")
            for kind, archive in [("archive", True), ("stream", False)]:
                torch.save(network.state_dict(), path / "net.pth", _use_new_zipfile_serialization=archive)
                run(program, "import", path / "net.pth", "--arch", name, "-o", path / "net.onnx", "--resize", "stretch")
                options = ["--model", path / "net.onnx", "--top", "1000", "--json"]
                (result,) = json.loads(run(program, "classify", path / "picture.png", *options))
                found = np.zeros(1000)
                for row in result["top"]:
                    found[row["class"]] = row["logit"]
                apart = np.abs(found - expected).max() / np.abs(expected).max()
                print(f"{name}, {kind}: {apart:.1e} of the largest logit apart")
                if not apart <= TOLERANCE:
                    sys.exit("that is too much")


if __name__ == "__main__":
    main(sys.argv[1])
