"""Tests of the pictures and of their augmentation."""

import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import torch
from PIL import Image

import data
from augmentation import TOGETHER, Augmentation, augment, batches, distort, distort_together, sides
from fixtures import LABELS, Folder, synthetic


class Pictures(Folder):
    def test_crops_are_windows_of_the_reflected_picture(self) -> None:
        pixels = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8)
        crops, _ = augment(pixels, torch.Generator().manual_seed(3), Augmentation(12, shift=2))
        padded = np.pad(pixels.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        for crop, picture in zip(crops.numpy(), padded):
            windows = [picture[y : y + 12, x : x + 12] for y in range(9) for x in range(9)]
            self.assertTrue(any((crop == w).all() or (crop == w[:, ::-1]).all() for w in windows))

    def test_mirroring_can_be_left_out(self) -> None:
        pixels = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 16, 1).expand(200, 16, 16, 3)
        rises = {}
        for mirror in (True, False):
            crops, _ = augment(pixels, torch.Generator().manual_seed(3), Augmentation(12, mirror=mirror))
            rises[mirror] = (crops[:, 0, 1:, 0].int() > crops[:, 0, :-1, 0].int()).all(1).float().mean().item()
        self.assertEqual(rises[False], 1.0)
        self.assertTrue(0.4 < rises[True] < 0.6, rises)

    def test_what_a_mirror_may_swap_is_told(self) -> None:
        for labels in (["left", "right"], ["turn_left", "stop"], ["arrow up", "none"], ["Links", "Rechts"], list("0123"), ["b", "d", "none"]):
            with self.subTest(labels):
                self.assertRegex(sides(labels)[0], f"pictures are mirrored.*{labels[0]}.*--no-mirror")
        for labels in (["cat", "ship"], ["right", "wrong"], ["leftovers", "bright"], ["x", "other"]):
            with self.subTest(labels):
                self.assertEqual(sides(labels), [])

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

    def test_groups_share_an_operation(self) -> None:
        """Alike pictures, so that a group's are alike afterwards; those behind the share stay as they are."""
        pixels = torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8).repeat(10 * TOGETHER, 1, 1, 1)
        before = pixels.clone()
        torch.manual_seed(5)
        found = distort_together(pixels, 0.8)
        self.assertTrue(torch.equal(pixels, before))
        self.assertEqual((found.shape, found.dtype, found.is_contiguous()), (pixels.shape, torch.uint8, True))
        groups = found.unflatten(0, (-1, TOGETHER))
        self.assertTrue((groups == groups[:, :1]).all())
        changed = (groups[:, 0] != pixels[0]).flatten(1).any(1)
        self.assertFalse(changed[8:].any())
        self.assertGreater(changed[:8].sum(), 3)
        self.assertGreater(len(groups[:8, 0].flatten(1).unique(dim=0)), 3)
        self.assertTrue(torch.equal(distort_together(pixels, 0.0), before))

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


if __name__ == "__main__":
    unittest.main()
