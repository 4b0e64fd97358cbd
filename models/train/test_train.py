"""Tests of the training: `python3 -m unittest` in this folder, about a minute on two cores."""

import os
import tempfile
import threading
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import onnxruntime
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision import models

import average
import checkpoint
import data
import evaluate
import export
import train
from nets import NETS
from nets.googlenet import GoogLeNet
from nets.inception_v3 import InceptionV3
from objective import losses, rate_factor
from start import start_from

LABELS = ["blue", "green", "red"]


def synthetic(folder: Path, count: int, seed: int = 0) -> None:
    """`count` noisy 32x32 pictures in which a brighter channel, the class, shows in a random square."""
    generator = np.random.default_rng(seed)
    for index in range(count):
        label = index % 3
        pixels = generator.integers(0, 160, (32, 32, 3), dtype=np.uint8)
        top, left = generator.integers(0, 20, 2)
        pixels[top : top + 12, left : left + 12, 2 - label] += 90
        path = folder / LABELS[label] / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def randomise(network: nn.Module) -> None:
    """Gives every batch normalisation values that a training could have given it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                values.data.normal_(std=0.2)
            for values in (module.running_var, module.weight):
                values.data.uniform_(0.5, 2.0)


def caffe_googlenet(path: Path, alpha: float) -> None:
    """Writes a network as Caffe's GoogLeNet is: pixels unscaled, biases, response normalisation, 3 classes.

    Its first convolution sees one pixel at a time, so that it doesn't matter which colour the padding is.
    """
    torch.manual_seed(4)
    network = NETS["googlenet"].build(3, False)
    randomise(network)
    weight = network.conv1.conv.weight.data
    weight.copy_(functional.pad(weight[:, :, 3:4, 3:4] / 64, (3, 3, 3, 3)))
    export.to_onnx(network.eval(), checkpoint.Spec("googlenet", 48, LABELS), path)
    model = onnx.load(path)
    nodes = list(model.graph.node)
    first = next(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    nodes[first].input[0] = "pixels"
    del nodes[:first]
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    pool = next(node for node in nodes if node.op_type == "MaxPool")
    last = next(node for node in nodes if node.input[0] == convolutions[2].output[0])
    for number, node in enumerate((pool, last)):
        output = f"normalised {number}"
        for reader in nodes:
            reader.input[:] = [output if name == node.output[0] else name for name in reader.input]
        fields = {"size": 5, "alpha": alpha, "beta": 0.75, "bias": 1.0}
        nodes.insert(nodes.index(node) + 1, onnx.helper.make_node("LRN", [node.output[0]], [output], **fields))
    nodes.append(onnx.helper.make_node("Identity", [convolutions[1].output[0]], ["after conv2"]))
    inner = onnx.helper.make_tensor_value_info("after conv2", onnx.TensorProto.FLOAT, [1, 64, 12, 12])
    model.graph.output.append(inner)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)


class Folder(unittest.TestCase):
    """Tests that need a folder of their own, and a cache that isn't the user's."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        patch = mock.patch.dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache"))
        patch.start()
        self.addCleanup(patch.stop)


class Training(Folder):
    def test_two_epochs_then_export(self) -> None:
        synthetic(self.folder / "pictures", 360)
        out = self.folder / "run"
        common = ["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(out), "--batch", "16"]
        log = train.main([*common, "--epochs", "2", "--device", "cpu"])
        first, second = log["epochs"]
        self.assertEqual(len(first["losses"]), 3)
        for before, after in zip(first["losses"], second["losses"]):
            self.assertLess(after, before)
        self.assertEqual((log["train_pictures"], log["validation_pictures"]), (324, 36))
        self.assertIn("<svg", (out / "curves.svg").read_text())

        resumed = train.main([*common, "--epochs", "3", "--device", "cpu", "--resume"])
        self.assertEqual([epoch["epoch"] for epoch in resumed["epochs"]], [1, 2, 3])

        exported = self.folder / "nano.onnx"
        export.main([str(out / "best.pt"), "--out", str(exported)])
        network, spec = checkpoint.load(out / "best.pt")
        pictures = data.load(self.folder / "pictures", spec.size)
        share, count = evaluate.onnx_accuracy(exported, self.folder / "pictures")
        self.assertEqual(count, 360)
        self.assertEqual(evaluate.onnx_labels(exported), LABELS)
        self.assertAlmostEqual(share, train.accuracy(network, pictures), delta=1.5 / 360)

    def test_a_start_computes_what_the_exported_file_does(self) -> None:
        synthetic(self.folder / "pictures", 90)
        pictures = data.load(self.folder / "pictures", 32)
        spec = checkpoint.Spec("nano", 32, LABELS)
        torch.manual_seed(2)
        exported, started = spec.build(auxiliary=False), spec.build(auxiliary=True)
        randomise(exported)
        path = self.folder / "nano.onnx"
        export.to_onnx(exported.eval(), spec, path)
        start_from(started, path, pictures)
        self.assertLess(export.difference(started.eval(), spec, path), 1e-4)
        other = NETS["book"].build(3, False)
        with self.assertRaisesRegex(data.DataError, "nano.onnx: convolution 1 is not the"):
            start_from(other, path, pictures)

    def test_a_start_from_caffes_googlenet(self) -> None:
        pixels = torch.randint(0, 256, (6, 48, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
        pictures = data.Pictures(pixels, torch.arange(6) % 3, LABELS)
        # What Caffe's network sees: blue, green, red, less their means.
        seen = (pixels.flip(3) - torch.tensor([104.0, 117.0, 123.0])).permute(0, 3, 1, 2).numpy()
        for alpha in (1e-12, 0.05):
            with self.subTest(alpha=alpha):
                path = self.folder / f"caffe-{alpha}.onnx"
                caffe_googlenet(path, alpha)
                network = NETS["googlenet"].build(3, True)
                start_from(network, path, pictures)
                inner = []
                network.conv2.bn.register_forward_hook(lambda _, __, y: inner.append(y.clone()))
                logits = network.eval()(data.normalise(pixels))[0].detach().numpy()
                session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
                theirs = [session.run(["logits", "after conv2"], {"pixels": picture[None]}) for picture in seen]
                if alpha < 0.05:
                    expected = np.concatenate([answer[0] for answer in theirs])
                    self.assertLess(np.abs(logits - expected).max() / np.abs(expected).max(), 1e-3)
                # Response normalisation changes the values, not their means and deviations over the pictures.
                ours, features = inner[0].detach().numpy(), np.concatenate([answer[1] for answer in theirs])
                for statistic in (np.mean, np.std):
                    expected = statistic(features, (0, 2, 3))
                    difference = np.abs(statistic(ours, (0, 2, 3)) - expected).max()
                    self.assertLess(difference / np.abs(expected).max(), 1e-2)
        with self.assertRaisesRegex(data.DataError, "only --net googlenet"):
            start_from(NETS["nano"].build(3, False), path, pictures)

    def test_a_teacher_is_followed(self) -> None:
        synthetic(self.folder / "pictures", 60)
        common = ["--net", "nano", "--data", str(self.folder / "pictures"), "--device", "cpu", "--epochs", "1"]
        train.main([*common, "--out", str(self.folder / "teacher")])
        teacher = str(self.folder / "teacher" / "best.pt")
        train.main([*common, "--out", str(self.folder / "student"), "--teacher", teacher])
        self.assertTrue((self.folder / "student" / "best.pt").exists())


class Losses(unittest.TestCase):
    def test_both_auxiliary_losses_count(self) -> None:
        torch.manual_seed(0)
        targets = torch.tensor([0, 1, 2, 1])
        outputs = [torch.randn(4, 3, requires_grad=True) for _ in range(3)]
        total, parts = losses(outputs, targets, smoothing=0.0)
        expected = [functional.nll_loss(functional.log_softmax(logits, 1), targets).item() for logits in outputs]
        self.assertAlmostEqual(total.item(), expected[0] + 0.3 * expected[1] + 0.3 * expected[2], places=5)
        total.backward()
        for index, logits in enumerate(outputs):
            one_hot = functional.one_hot(targets, 3)
            gradient = (logits.detach().softmax(1) - one_hot) / 4 * (1.0 if index == 0 else 0.3)
            torch.testing.assert_close(logits.grad, gradient)

    def test_rate(self) -> None:
        self.assertAlmostEqual(rate_factor(0.05, 0.1, 0.4), 0.5)
        self.assertEqual(rate_factor(0.3, 0.1, 0.4), 1.0)
        self.assertAlmostEqual(rate_factor(0.8, 0.1, 0.4), 0.5)
        self.assertAlmostEqual(rate_factor(1.0, 0.1, 0.4), 0.0)


class Networks(unittest.TestCase):
    def test_every_network_trains_all_its_classifiers(self) -> None:
        for name, size, count in (("nano", 32, 3), ("book", 32, 3), ("googlenet", 64, 3), ("inception-v3", 299, 2)):
            with self.subTest(name), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                network = NETS[name].build(7, True)
                outputs = network.train()(torch.randn(2, 3, size, size))
                self.assertEqual([tuple(logits.shape) for logits in outputs], [(2, 7)] * count)
                sum(logits.square().sum() for logits in outputs).backward()
                self.assertTrue(all(parameter.grad is not None for parameter in network.parameters()))
                self.assertEqual(len(network.eval()(torch.randn(1, 3, size, size))), 1)

    def test_names_and_shapes_are_torchvisions(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = models.googlenet(weights=None, aux_logits=True, init_weights=False).state_dict()
            inception = models.inception_v3(weights=None, init_weights=False).state_dict()
            self.assertEqual(set(InceptionV3().state_dict()), set(inception))
        ours = GoogLeNet().state_dict()
        self.assertEqual(set(ours), set(theirs))
        different = {name for name in ours if ours[name].shape != theirs[name].shape}
        five = {name for name in ours if ".branch3.1.conv." in name}
        self.assertEqual(different, five)

    def test_nano_keeps_its_bounds(self) -> None:
        network = NETS["nano"].build(10, False).eval()
        macs, layers = [], [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for layer in layers:
            layer.register_forward_hook(
                lambda m, _, y: macs.append(m.weight.numel() * (y.shape[2] * y.shape[3] if y.ndim == 4 else 1))
            )
        network(torch.zeros(1, 3, 32, 32))
        stored = sum(m.weight.numel() + 16 * m.weight.shape[0] for m in layers)
        self.assertLessEqual(sum(macs), 12_500_000)
        self.assertLessEqual(stored, 100_000 - 8_000)


class Average(Folder):
    def test_the_best_share_on_held_out_pictures_is_taken(self) -> None:
        synthetic(self.folder / "pictures", 300)
        log = train.main(["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(self.folder / "run"),
                          "--batch", "16", "--epochs", "3", "--device", "cpu"])
        files = [self.folder / name for name in ("random.onnx", "trained.onnx", "average.onnx")]
        torch.manual_seed(1)
        spec = checkpoint.Spec("nano", 32, LABELS)
        untrained = spec.build(auxiliary=False)
        randomise(untrained)
        export.to_onnx(untrained.eval(), spec, files[0])
        export.main([str(self.folder / "run" / "best.pt"), "--out", str(files[1])])
        share = average.main([*map(str, files[:2]), "--data", str(self.folder / "pictures"), "--out", str(files[2])])
        pictures = data.load(self.folder / "pictures", 32)
        _, held_out = data.split(pictures, 0.1)
        best = evaluate.session_accuracy(str(files[2]), held_out)
        self.assertGreaterEqual(best, log["best"]["validation_accuracy"] - 1e-4)
        # Weights, compared one by one with what the share says.
        weights = [{e.name: onnx.numpy_helper.to_array(e) for e in onnx.load(f).graph.initializer} for f in files]
        for name, value in weights[2].items():
            expected = weights[0][name] + share * (weights[1][name] - weights[0][name])
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)

    def test_other_networks_are_refused(self) -> None:
        paths = []
        for name in ("nano", "book"):
            spec = checkpoint.Spec(name, 32, LABELS)
            paths.append(self.folder / f"{name}.onnx")
            export.to_onnx(spec.build(auxiliary=False).eval(), spec, paths[-1])
        with self.assertRaisesRegex(data.DataError, "different networks"):
            average.between(onnx.load(paths[0]), onnx.load(paths[1]), 0.5)


class Pictures(Folder):
    def test_crops_are_windows_of_the_reflected_picture(self) -> None:
        pixels = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8)
        crops = data.augment(pixels, torch.Generator().manual_seed(3), side=12, shift=2, cutout=0)
        padded = np.pad(pixels.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        for crop, picture in zip(crops.numpy(), padded):
            windows = [picture[y : y + 12, x : x + 12] for y in range(9) for x in range(9)]
            self.assertTrue(any((crop == w).all() or (crop == w[:, ::-1]).all() for w in windows))

    def test_parts_are_apart_and_balanced(self) -> None:
        pictures = data.Pictures(torch.arange(60).reshape(60, 1, 1, 1), torch.arange(60) % 3, LABELS)
        training, held_out = data.split(pictures, 0.1)
        self.assertEqual(torch.bincount(held_out.targets).tolist(), [2, 2, 2])
        everything = torch.cat([training.pixels, held_out.pixels]).flatten().sort().values
        self.assertEqual(everything.tolist(), list(range(60)))

    def test_two_can_decode_the_same_pictures_at_once(self) -> None:
        synthetic(self.folder / "pictures", 6)
        both_wrote, save = threading.Barrier(2, timeout=60), np.save

        def save_and_wait(*arguments) -> None:
            save(*arguments)
            both_wrote.wait()

        with mock.patch.object(np, "save", save_and_wait), ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: data.load(self.folder / "pictures", 32), range(2))
        self.assertTrue(torch.equal(first.pixels, second.pixels))
        self.assertEqual(len(list((self.folder / "cache" / "tinception").iterdir())), 1)

    def test_bad_sources_are_named(self) -> None:
        (self.folder / "empty").mkdir()
        (self.folder / "set" / "cat").mkdir(parents=True)
        (self.folder / "set" / "cat" / "broken.jpg").write_bytes(b"no picture")
        cases = {"empty": "no pictures", "set": "cat/broken.jpg", "missing.zip": "neither a folder nor a zip"}
        for name, expected in cases.items():
            with self.subTest(name), self.assertRaisesRegex(data.DataError, expected):
                data.load(self.folder / name, 32)


class Export(Folder):
    def test_every_network_equals_pytorch(self) -> None:
        for name, size in (("nano", 32), ("book", 32), ("googlenet", 64), ("inception-v3", 96)):
            for fold in (True, False):
                with self.subTest(net=name, fold=fold), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    torch.manual_seed(0)
                    spec = checkpoint.Spec(name, size, LABELS)
                    network = spec.build(auxiliary=False)
                    path = self.folder / "net.onnx"
                    export.to_onnx(network.eval(), spec, path, fold=fold)
                    self.assertLess(export.difference(network, spec, path, 2), 1e-4)
                    operators = {node.op_type for node in onnx.load(path).graph.node}
                    self.assertEqual("BatchNormalization" in operators, not fold)
                    self.assertNotIn("Identity", operators)


if __name__ == "__main__":
    unittest.main()
