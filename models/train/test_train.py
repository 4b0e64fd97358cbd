"""Tests of the training: its runs, its processes, its losses, its averages."""

import argparse
import io
import os
import signal
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import torch
from torch.nn import functional

import average
import checkpoint
import command
import data
import evaluate
import export
import exported
import parallel
import train
from fixtures import ARTEFACTS, LABELS, Folder, randomise, synthetic
from nets import NETS
from objective import losses, rate_factor
from start import start_from


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

        path = self.folder / "nano.onnx"
        export.main([str(out / "best.pt"), "--out", str(path)])
        network, spec = checkpoint.load(out / "best.pt")
        pictures = data.load(self.folder / "pictures", spec.size)
        share, count = evaluate.onnx_accuracy(path, self.folder / "pictures")
        self.assertEqual(count, 360)
        self.assertEqual(exported.labels(path), LABELS)
        self.assertAlmostEqual(share, train.accuracy(network, pictures), delta=1.5 / 360)

    def test_short_epochs_share_a_checkpoint(self) -> None:
        synthetic(self.folder / "pictures", 60)
        words = ["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(self.folder / "run"), "--device", "cpu",
                 "--epochs", "3", "--batch", "16", "--average", "0.5"]
        for every, expected in ((0.0, 3), (1e9, 1)):
            with self.subTest(every), mock.patch.object(train, "SAVED_EVERY", every):
                with mock.patch("checkpoint.save", wraps=checkpoint.save) as save:
                    log = train.main(words)
                written = [call.args[0].name for call in save.call_args_list]
                self.assertEqual(written.count("last.pt"), expected)
                self.assertEqual(checkpoint.read(self.folder / "run" / "last.pt")["epoch"], 3)
                best = checkpoint.read(self.folder / "run" / "best.pt")["validation_accuracy"]
                self.assertAlmostEqual(best, max(epoch["validation_accuracy"] for epoch in log["epochs"]), delta=1e-4)

    def words(self, *more: str) -> list[str]:
        """A training of a few small pictures."""
        synthetic(self.folder / "pictures", 18)
        return ["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(self.folder / "run"), "--device", "cpu",
                "--batch", "8", "--epochs", "1", *more]

    def test_a_training_ends_with_a_network_or_with_an_error(self) -> None:
        best, told = self.folder / "run" / "best.pt", io.StringIO()
        with self.assertRaisesRegex(data.DataError, "best.pt: not written, since no epoch was finished"):
            train.main(self.words("--minutes", "1e-9"))
        self.assertFalse(best.exists())
        with mock.patch("train.accuracy", return_value=0.0), mock.patch("sys.stdout", told):
            train.main(self.words())
        self.assertEqual(checkpoint.read(best)["validation_accuracy"], 0.0)
        self.assertIn("18 pictures in 3 classes: 15 to train on, 3 held out", told.getvalue())
        self.assertIn("best.pt is right about none of the held-out pictures", told.getvalue())
        # An earlier one's file is none of this one's.
        with self.assertRaisesRegex(data.DataError, "no epoch was finished"):
            train.main(self.words("--minutes", "1e-9"))

    def test_a_training_that_diverges_is_told(self) -> None:
        with self.assertRaisesRegex(data.DataError, "epoch 1: the loss is no longer a number; train again with a lower --rate than 1e"):
            train.main(self.words("--rate", "1e30", "--warm-up", "0"))

    def test_other_classes_are_not_gone_on_with(self) -> None:
        train.main(self.words())
        (self.folder / "pictures" / "red").rename(self.folder / "pictures" / "violet")
        with self.assertRaisesRegex(data.DataError, "last.pt: is a training of .* other classes: nano, 32 pixels, blue, green, red"):
            train.main(["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(self.folder / "run"), "--device", "cpu",
                        "--epochs", "2", "--resume"])

    @unittest.skipUnless(torch.cuda.is_available(), "no GPU")
    def test_a_gpu_trains(self) -> None:
        source = self.folder / "pictures"
        synthetic(source, 360)
        words = ["--net", "nano", "--data", str(source), "--device", "cuda", "--bf16", "--epochs", "2", "--batch", "64", "--cutout", "8",
                 "--cutmix", "0.2", "--distort", "0.5", "--start", str(ARTEFACTS / "nano" / "nano.onnx")]
        train.main([*words, "--out", str(self.folder / "teacher")])
        log = train.main([*words, "--out", str(self.folder / "run"), "--teacher", str(self.folder / "teacher" / "best.pt")])
        first, second = log["epochs"]
        self.assertLess(second["losses"][0], first["losses"][0])

    def test_a_teacher_is_followed(self) -> None:
        """Both kinds of teacher say green of every picture; so does the student then, whatever the labels say."""
        source = self.folder / "pictures"
        synthetic(source, 120)
        spec = checkpoint.Spec("nano", 32, LABELS)
        teacher = spec.build(auxiliary=False)
        with torch.no_grad():
            teacher.fc.weight.zero_()
            teacher.fc.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
        checkpoint.save(self.folder / "teacher.pt", spec, teacher.state_dict())
        pictures = data.load(source, 32)
        words = {"logits": teacher.fc.bias.detach().repeat(120, 1).numpy(), "labels": np.array(LABELS)}
        np.savez(self.folder / "logits.npz", targets=pictures.targets.numpy(), held_out=np.array([0.1, 0]), **words)
        for name in ("teacher.pt", "logits.npz"):
            with self.subTest(name):
                out = self.folder / f"student of {name}"
                train.main(["--net", "nano", "--data", str(source), "--device", "cpu", "--epochs", "3", "--batch", "16",
                            "--average", "0.5", "--out", str(out), "--teacher", str(self.folder / name),
                            "--teacher-weight", "1", "--temperature", "1"])
                student, _ = checkpoint.load(out / "last.pt")
                with torch.no_grad():
                    said = student(data.normalise(pictures.pixels))[0].argmax(1)
                self.assertEqual(said.tolist(), [LABELS.index("green")] * 120)

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

    def test_two_processes_end_with_the_same_weights(self) -> None:
        synthetic(self.folder / "pictures", 60)
        options = train.arguments(["--net", "nano", "--data", str(self.folder / "pictures"), "--out", str(self.folder),
                                   "--batch", "8", "--device", "cpu", "--processes", "2"])
        parallel.run(2, train_and_keep, options)
        first, second = (torch.load(self.folder / str(rank), weights_only=True) for rank in range(2))
        self.assertFalse(torch.equal(first["before"], second["before"]))
        self.assertTrue(torch.equal(first["after"], second["after"]))

    def test_options_that_would_do_nothing_are_refused(self) -> None:
        common = ["--net", "nano", "--data", "pictures", "--out", "run"]
        cases = {"--early 0.3": "need --early-side", "--early-resize": "need --early-side", "--processes 0": "one is the least",
                 "--processes 2 --threads 2": "--threads is for one", "--cutmix 2": "--cutmix is a share", "--validation 1": "is a share between",
                 "--epochs 0": "one is the least", "--batch 1": "two are the least", "--minutes 0": "give more than none"}
        for words, expected in cases.items():
            told = io.StringIO()
            with self.subTest(words), self.assertRaises(SystemExit) as refused, mock.patch("sys.stderr", told):
                train.arguments([*common, *words.split()])
            self.assertEqual(refused.exception.code, 2)
            self.assertIn(expected, told.getvalue())

    def test_bad_files_end_a_command_with_one_line_and_code_2(self) -> None:
        for name in ("bad.pt", "bad.onnx"):
            path = self.folder / name
            path.write_bytes(b"neither this nor that")
            told = io.StringIO()
            with self.subTest(name), self.assertRaises(SystemExit) as ended, mock.patch("sys.stderr", told):
                command.run("evaluate.py", lambda: evaluate.main([str(path), "--data", str(self.folder)]))
            self.assertEqual(ended.exception.code, 2)
            self.assertRegex(told.getvalue(), f"^evaluate.py: .*{name}: no .*\n$")


def train_and_keep(group: parallel.Group, options: argparse.Namespace) -> None:
    """Trains for an epoch in one of several processes, and keeps a layer as it was before the last meeting and after."""
    trainer = train.Trainer(options, group)
    layer = trainer.network.conv1.conv.weight
    kept = {}
    meet, trainer.finish_epoch = trainer.meet, lambda *_: None

    def observed() -> None:
        kept["before"] = layer.detach().clone()
        meet()
        kept["after"] = layer.detach().clone()

    trainer.meet = observed
    trainer.run_epoch()
    torch.save(kept, options.out / str(group.rank))


def meet(group: parallel.Group, folder: Path) -> None:
    """What each of the processes below does: it averages, agrees and writes what came of it."""
    whole, part = torch.full((2, 3), float(group.rank)), torch.arange(4.0) * (group.rank + 1)
    group.average([whole, part])
    torch.save({"whole": whole, "part": part, "agreed": group.agree(7.0 + group.rank)}, folder / str(group.rank))


def fail(group: parallel.Group, path: Path) -> None:
    """What a process does whose file isn't there."""
    path.read_bytes()


def die(group: parallel.Group) -> None:
    """What the system does to a process when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


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

    def test_a_killed_process_is_told_in_a_line(self) -> None:
        with self.assertRaisesRegex(ValueError, "^process . terminated with signal SIGKILL; memory"):
            parallel.run(2, die)


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


if __name__ == "__main__":
    unittest.main()
