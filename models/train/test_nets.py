"""Tests of the networks and of their export."""

import unittest
import warnings

import onnx
import torch
from torch import nn
from torchvision import models

import checkpoint
import export
from fixtures import LABELS, Folder
from nets import NETS
from nets.convolution import Convolution
from nets.googlenet import GoogLeNet
from nets.inception_v3 import InceptionV3


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

    def test_they_are_pytorchs_own_in_bfloat16(self) -> None:
        """Few pixels are gathered there, too; both round to 8 bits."""
        torch.manual_seed(7)
        for kernel, side in ((1, 4), (3, 4), (5, 2)):
            with self.subTest(kernel=kernel, side=side):
                layer = Convolution(16, 8, kernel, 1).to(memory_format=torch.channels_last)
                exact = nn.Conv2d(16, 8, kernel, 1, kernel // 2, bias=False)
                exact.load_state_dict(layer.state_dict())
                x = torch.randn(6, 16, side, side).to(memory_format=torch.channels_last).requires_grad_()
                with torch.autocast("cpu", torch.bfloat16):
                    output = layer(x)
                self.assertEqual(type(output.grad_fn).__name__, "_SameConvolutionBackward")
                output.float().square().sum().backward()
                same = x.detach().clone().requires_grad_()
                exact(same).square().sum().backward()
                for ours, theirs in ((layer.weight.grad, exact.weight.grad), (x.grad, same.grad)):
                    self.assertEqual(ours.dtype, torch.float32)
                    self.assertLess((ours - theirs).norm() / theirs.norm(), 0.02)


class Networks(unittest.TestCase):
    def test_every_network_trains_all_its_classifiers(self) -> None:
        counts = {"nano": 3, "book": 3, "googlenet": 3, "googlenet-fine": 3, "inception-v3": 2}
        self.assertEqual(set(counts), set(NETS))
        for name, count in counts.items():
            size = 64 if name == "googlenet" else NETS[name].size
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


class Export(Folder):
    def test_every_network_equals_pytorch(self) -> None:
        for name, size in (("nano", 32), ("book", 32), ("googlenet", 64), ("googlenet-fine", 64), ("inception-v3", 96)):
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
