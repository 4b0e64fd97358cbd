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
from onnx import numpy_helper
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision import models

import average
import checkpoint
import data
import evaluate
import export
import parallel
import teach
import tin
import train
from augmentation import Augmentation, augment, batches, distort
from nets import NETS
from nets.convolution import Convolution
from nets.efficientnet_lite import STAGES, EfficientNetLite0, Folded
from nets.googlenet import GoogLeNet
from nets.inception_v3 import InceptionV3
from objective import losses, rate_factor
from start import start_from

LABELS = ["blue", "green", "red"]
ARTEFACTS = Path(__file__).parents[1] / "artefacts"


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

    def test_a_start_from_an_int8_file(self) -> None:
        """Each weight is within half a step of the float network's that was quantised."""
        graph = onnx.load(ARTEFACTS / "nano" / "nano.onnx").graph
        values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
        layers = {node.name: node for node in graph.node if node.op_type in ("Conv", "Gemm")}
        found = tin.convolutions(ARTEFACTS / "nano.tin")
        self.assertEqual(set(found), set(layers))
        for name, (weight, _) in found.items():
            expected = values[layers[name].input[1]].reshape(weight.shape)
            step = np.abs(expected).max((1, 2, 3), keepdims=True) / 127
            self.assertLess((np.abs(weight - expected) / step).max(), 0.501)

        synthetic(self.folder / "pictures", 90)
        pictures = data.load(self.folder / "pictures", 32)
        spec = checkpoint.Spec("nano", 32, [str(number) for number in range(10)])
        ours, theirs = spec.build(False), spec.build(False)
        start_from(ours, ARTEFACTS / "nano.tin", pictures)
        start_from(theirs, ARTEFACTS / "nano" / "nano.onnx", pictures)
        x = data.normalise(pictures.pixels)
        with torch.no_grad():
            logits, expected = ours.eval()(x)[0], theirs.eval()(x)[0]
        self.assertLess((logits - expected).square().mean() / expected.square().mean(), 0.01)

    def test_what_is_no_int8_file_is_refused(self) -> None:
        whole = (ARTEFACTS / "nano.tin").read_bytes()
        flipped = whole[:-1] + bytes([whole[-1] ^ 1])
        damaged = {"short.tin": whole[: len(whole) // 2], "other.tin": b"not one" * 20, "flipped.tin": flipped}
        for name, content in damaged.items():
            (self.folder / name).write_bytes(content)
            with self.subTest(name), self.assertRaisesRegex(ValueError, name):
                tin.convolutions(self.folder / name)

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

    def test_a_stem_stays_as_it_starts(self) -> None:
        synthetic(self.folder / "pictures", 60)
        start = ARTEFACTS / "nano" / "nano.onnx"
        common = ["--net", "nano", "--data", str(self.folder / "pictures"), "--start", str(start), "--device", "cpu"]
        train.main([*common, "--freeze-stem", "--epochs", "1", "--rate", "1", "--out", str(self.folder / "run")])
        trained, _ = checkpoint.load(self.folder / "run" / "last.pt")
        started = NETS["nano"].build(3, False)
        start_from(started, start, data.split(data.load(self.folder / "pictures", 32), 0.1)[0])
        for (name, value), expected in zip(trained.state_dict().items(), started.state_dict().values()):
            if value.is_floating_point():
                with self.subTest(name):
                    self.assertEqual(torch.equal(value, expected), name.startswith("conv"))

    def test_two_processes_learn(self) -> None:
        synthetic(self.folder / "pictures", 360)
        out = self.folder / "run"
        log = train.main(["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(out), "--batch", "16",
                          "--epochs", "2", "--device", "cpu", "--processes", "2"])
        first, second = log["epochs"]
        self.assertLess(second["losses"][0], first["losses"][0])
        self.assertGreater(second["validation_accuracy"], 0.5)


def meet(group: parallel.Group, folder: Path) -> None:
    """What each of the processes below does: it averages, agrees and writes what came of it."""
    whole, part = torch.full((2, 3), float(group.rank)), torch.arange(4.0) * (group.rank + 1)
    group.average([whole, part])
    torch.save({"whole": whole, "part": part, "agreed": group.agree(7.0 + group.rank)}, folder / str(group.rank))


def fail(group: parallel.Group, path: Path) -> None:
    """What a process does whose file isn't there."""
    path.read_bytes()


class Processes(Folder):
    def test_they_take_the_means_and_the_first_ones_word(self) -> None:
        parallel.run(2, meet, self.folder)
        for rank in range(2):
            found = torch.load(self.folder / str(rank), weights_only=True)
            self.assertTrue(torch.equal(found["whole"], torch.full((2, 3), 0.5)))
            self.assertTrue(torch.equal(found["part"], torch.arange(4.0) * 1.5))
            self.assertEqual(found["agreed"], 7.0)

    def test_a_failure_is_told_in_a_line(self) -> None:
        with self.assertRaisesRegex(ValueError, "^FileNotFoundError: .*missing"):
            parallel.run(2, fail, self.folder / "missing")


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
                inner, block, first = inputs * expansion, f"_blocks.{index}", 0 if expansion > 1 else 1
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
        logits = teach.taught_logits(out / "logits.npz", data.load(Path(pictures), 32))
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
            teach.taught_logits(out / "logits.npz", fewer)

    def test_every_picture_keeps_its_teachers_logits(self) -> None:
        count = 30
        pixels = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1).expand(count, 4, 4, 3)
        taught = torch.stack([torch.arange(count) / 10, torch.zeros(count)], 1)
        pictures = data.Pictures(pixels, torch.arange(count) % 3, LABELS, taught)
        training, _ = data.split(pictures, 0.1)
        seen = []
        for index in range(2):
            generator = torch.Generator().manual_seed(1)
            for batch in batches(training, 10, generator, Augmentation(4), (index, 2)):
                whose = batch.x[:, 0, 0, 0] / data.SCALE + data.MEAN
                torch.testing.assert_close(whose / 10, batch.taught[:, 0] - batch.taught[:, 1])
                self.assertTrue(torch.equal(whose.long() % 3, batch.targets.argmax(1)))
                seen += whose.tolist()
        self.assertEqual(len(set(seen)), len(training))


class Gradients(unittest.TestCase):
    def test_they_are_pytorchs_own(self) -> None:
        torch.manual_seed(6)
        for kernel, stride, side in ((1, 1, 9), (3, 1, 4), (5, 1, 3), (5, 1, 2), (3, 1, 7), (3, 2, 4)):
            for needed in (True, False):
                with self.subTest(kernel=kernel, stride=stride, side=side, needed=needed):
                    ours = Convolution(6, 10, kernel, stride).to(memory_format=torch.channels_last)
                    theirs = nn.Conv2d(6, 10, kernel, stride, kernel // 2, bias=False)
                    theirs.load_state_dict(ours.state_dict())
                    x = torch.randn(3, 6, side, side).to(memory_format=torch.channels_last)
                    inputs = [x.clone().requires_grad_(needed) for _ in range(2)]
                    outputs = [layer(value) for layer, value in zip((ours, theirs), inputs)]
                    torch.testing.assert_close(*outputs)
                    for output in outputs:
                        output.square().sum().backward()
                    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-4, atol=1e-4)
                    if needed:
                        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-4)


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
        crops, _ = augment(pixels, torch.Generator().manual_seed(3), Augmentation(12, shift=2))
        padded = np.pad(pixels.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        for crop, picture in zip(crops.numpy(), padded):
            windows = [picture[y : y + 12, x : x + 12] for y in range(9) for x in range(9)]
            self.assertTrue(any((crop == w).all() or (crop == w[:, ::-1]).all() for w in windows))

    def test_resized_batches_are_pillows(self) -> None:
        pixels = torch.randint(0, 256, (6, 16, 16, 3), dtype=torch.uint8)
        pictures = data.Pictures(pixels, torch.arange(6), list("abcdef"))
        stream = batches(pictures, 6, torch.Generator().manual_seed(3), Augmentation(16, resized=12))
        batch = next(stream)
        found = (batch.x / data.SCALE + data.MEAN).permute(0, 2, 3, 1).numpy()
        for picture, target in zip(found, batch.targets.argmax(1)):
            wanted = np.asarray(Image.fromarray(pixels[target].numpy()).resize((12, 12), Image.Resampling.BILINEAR))
            # Pillow rounds twice.
            apart = min(np.abs(picture - sides).max() for sides in (wanted, wanted[:, ::-1]))
            self.assertLess(apart, 1.1)

    def test_a_pasted_piece_counts_by_its_pixels(self) -> None:
        count, side = 64, 8
        colours = torch.arange(count, dtype=torch.uint8)
        pixels = colours.reshape(count, 1, 1, 1).expand(count, side, side, 3)
        taught = torch.eye(count) * 4
        labels = [f"{index:02}" for index in range(count)]
        pictures = data.Pictures(pixels, torch.arange(count), labels, taught)
        how = Augmentation(side, cutmix=0.5)
        batch = next(batches(pictures, count, torch.Generator().manual_seed(2), how))
        found = (batch.x[:, 0] / data.SCALE + data.MEAN).long().reshape(count, -1)
        shares = torch.stack([(found == colour).float().mean(1) for colour in range(count)], 1)
        torch.testing.assert_close(batch.targets, shares)
        torch.testing.assert_close(batch.taught.softmax(1), shares @ taught.softmax(1))
        mixed = (shares < 1).all(1)
        self.assertTrue(0.25 < mixed.float().mean() < 0.65)
        self.assertGreater((1 - shares[mixed].amax(1)).mean(), 0.1)

    def test_an_erased_square_is_grey(self) -> None:
        pixels = torch.full((200, 16, 16, 3), 7, dtype=torch.uint8)
        crops, share = augment(pixels, torch.Generator().manual_seed(2), Augmentation(16, cutout=4))
        erased = (crops == int(data.MEAN)).all(3)
        self.assertTrue(((crops == 7).all(3) ^ erased).all())
        self.assertEqual(erased.sum((1, 2)).max(), 16)
        # Its centre is anywhere: of a side of 16, 13 positions show it whole.
        self.assertAlmostEqual((erased.sum((1, 2)) == 16).float().mean().item(), (13 / 16) ** 2, delta=0.1)
        self.assertEqual(share.sum(), 0)

    def test_a_share_is_distorted_and_a_seed_repeats_it(self) -> None:
        pixels = torch.randint(0, 256, (300, 16, 16, 3), dtype=torch.uint8)
        before = pixels.clone()
        seen = []
        for _ in range(2):
            torch.manual_seed(5)
            seen.append(distort(pixels, torch.Generator().manual_seed(2), 0.5))
        self.assertTrue(torch.equal(*seen))
        self.assertTrue(torch.equal(pixels, before))
        changed = (seen[0] != pixels).flatten(1).any(1).float().mean().item()
        # A few operations, such as the identity, change nothing.
        self.assertTrue(0.35 < changed < 0.5, changed)

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
