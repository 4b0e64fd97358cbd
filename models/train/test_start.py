"""Tests of what a training starts from."""

import unittest
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch.nn import functional

import checkpoint
import data
import export
import exported
import tin
from fixtures import ARTEFACTS, LABELS, Folder, randomise, synthetic
from nets import NETS
from start import start_from


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


class Start(Folder):
    def test_a_start_computes_what_the_exported_file_does(self) -> None:
        synthetic(self.folder / "pictures", 90)
        pictures = data.load(self.folder / "pictures", 32)
        spec = checkpoint.Spec("nano", 32, LABELS)
        torch.manual_seed(2)
        network, started = spec.build(auxiliary=False), spec.build(auxiliary=True)
        randomise(network)
        path = self.folder / "nano.onnx"
        export.to_onnx(network.eval(), spec, path)
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

    def test_an_int8_file_is_exported(self) -> None:
        """The weights stay what the file stands for, and the answers are close to the float network's."""
        path, peer = self.folder / "nano.onnx", ARTEFACTS / "nano" / "nano.onnx"
        export.main([str(ARTEFACTS / "nano.tin"), "--net", "nano", "--out", str(path)])
        self.assertEqual(exported.labels(path), exported.labels(peer))
        self.assertEqual(exported.side(path), 32)
        expected = tin.convolutions(ARTEFACTS / "nano.tin")
        graph = onnx.load(path).graph
        values = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
        layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
        self.assertEqual({node.name for node in layers}, set(expected))
        for node in layers:
            weight, _ = expected[node.name]
            np.testing.assert_allclose(values[node.input[1]].reshape(weight.shape), weight, rtol=1e-4, atol=1e-6)
        pixels = np.random.default_rng(3).integers(0, 256, (1, 3, 32, 32)).astype(np.float32)
        ours, theirs = (onnxruntime.InferenceSession(str(file)).run(None, {"pixels": pixels})[0] for file in (path, peer))
        self.assertLess(np.square(ours - theirs).mean() / np.square(theirs).mean(), 0.01)
        with self.assertRaisesRegex(data.DataError, "nano.tin: convolution 1 is not the"):
            export.main([str(ARTEFACTS / "nano.tin"), "--net", "googlenet", "--out", str(self.folder / "other.onnx")])

    def test_labels_of_an_int8_file_have_ids_in_front_where_there_are_any(self) -> None:
        labels = tin.labels(ARTEFACTS / "googlenet.tin")
        self.assertEqual((len(labels), labels[967]), (1000, "n07920052 espresso"))
        self.assertEqual(tin.labels(ARTEFACTS / "nano.tin")[3], "cat")

    def test_an_int8_file_of_another_resolution_is_not_exported(self) -> None:
        """GoogLeNet and its variant for small pictures have the same weights."""
        with self.assertRaisesRegex(data.DataError, "googlenet-64.tin: convolution 4 gives 16x16 pixels"):
            export.from_int8(ARTEFACTS / "googlenet-64.tin", "googlenet")

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


if __name__ == "__main__":
    unittest.main()
