"""Tests of the teacher that is made for a training."""

import unittest
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import checkpoint
import data
import export
import teach
import train
from fixtures import LABELS, Folder, synthetic
from nets.efficientnet_lite import STAGES, EfficientNetLite0, Folded


class Teaching(Folder):
    def weights(self) -> dict[str, torch.Tensor]:
        """Random weights, named and shaped as ImageNet's."""
        torch.manual_seed(8)
        found: dict[str, torch.Tensor] = {}

        def layer(conv: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
            found[f"{conv}.weight"] = torch.randn(outputs, inputs, kernel, kernel) * (inputs * kernel**2) ** -0.5
            for name in ("weight", "bias", "running_mean", "running_var"):
                found[f"{norm}.{name}"] = torch.rand(outputs) + (0.0 if name == "running_mean" else 0.5)

        layer("_conv_stem", "_bn0", 32, 3, 3)
        inputs, index = 32, 0
        for expansion, outputs, count, _, kernel in STAGES:
            for _ in range(count):
                inner, block = inputs * expansion, f"_blocks.{index}"
                if expansion > 1:
                    layer(f"{block}._expand_conv", f"{block}._bn0", inner, inputs, 1)
                layer(f"{block}._depthwise_conv", f"{block}._bn1", inner, 1, kernel)
                layer(f"{block}._project_conv", f"{block}._bn2", outputs, inner, 1)
                inputs, index = outputs, index + 1
        layer("_conv_head", "_bn1", 1280, 320, 1)
        return found

    def test_folding_changes_nothing(self) -> None:
        weights = self.weights()
        x = torch.randn(2, 96, 12, 12)
        folded = Folded(96, 96, 3, 2, 96, True)
        folded.take(weights, "_blocks.1._depthwise_conv", "_blocks.1._bn1")
        norm = [weights[f"_blocks.1._bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        # TensorFlow's padding for a stride of 2 and an even side: one row and column, behind.
        padded = functional.pad(x, (0, 1, 0, 1))
        y = functional.conv2d(padded, weights["_blocks.1._depthwise_conv.weight"], stride=2, groups=96)
        expected = functional.relu6(functional.batch_norm(y, *norm, eps=1e-3))
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)

    def test_a_teacher_is_made_and_followed(self) -> None:
        synthetic(self.folder / "pictures", 60)
        path, out, pictures = self.folder / "lite.pth", self.folder / "teacher", str(self.folder / "pictures")
        torch.save(self.weights(), path)
        common = ["--data", pictures, "--side", "32", "--minutes", "0.05", "--out", str(out), "--weights"]
        torch.manual_seed(0)
        other = self.folder / "nano.onnx"
        spec = checkpoint.Spec("nano", 32, LABELS)
        export.to_onnx(spec.build(auxiliary=False).eval(), spec, other)
        teach.main([*common, str(path), "--with", str(other), "--net", "nano"])
        logits = teach.taught_logits(out / "logits.npz", data.load(Path(pictures), 32), 0.1, 0)
        self.assertEqual(logits.shape, (60, 3))
        train.main(["--net", "nano", "--data", pictures, "--out", str(self.folder / "run"), "--epochs", "1",
                    "--device", "cpu", "--teacher", str(out / "logits.npz")])
        self.assertTrue((self.folder / "run" / "best.pt").exists())

        again, expected = EfficientNetLite0(3), torch.load(out / "teacher.pt", weights_only=True)
        teach.begin(again, out / "teacher.pt")
        self.assertTrue(all(torch.equal(value, expected[name]) for name, value in again.state_dict().items()))
        for wrong in ({"_conv_stem.weight": torch.zeros(3)}, {"fc.weight": torch.zeros(3)}):
            torch.save(wrong, path)
            with self.assertRaisesRegex(data.DataError, "lite.pth: neither EfficientNet-Lite0's weights nor a teacher"):
                teach.main([*common, str(path)])
        fewer = data.Pictures(torch.zeros(9, 4, 4, 3, dtype=torch.uint8), torch.arange(9) % 3, LABELS)
        with self.assertRaisesRegex(data.DataError, "logits.npz: was made for other pictures: 60 of blue"):
            teach.taught_logits(out / "logits.npz", fewer, 0.1, 0)
        with self.assertRaisesRegex(data.DataError, "train with --validation 0.1 --seed 0"):
            teach.taught_logits(out / "logits.npz", data.load(Path(pictures), 32), 0.1, 1)
        for content in ({"logits": np.zeros(3)}, None):
            path = self.folder / "other.npz"
            np.savez(path, **content) if content else path.write_bytes(b"PK no zip")
            with self.assertRaisesRegex(data.DataError, "other.npz: not what teach.py writes"):
                teach.taught_logits(path, fewer, 0.1, 0)


if __name__ == "__main__":
    unittest.main()
