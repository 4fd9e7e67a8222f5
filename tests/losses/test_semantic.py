"""Equations 3 and 4 of the semantic pyramid, at the scale that ganlab settles."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from ganlab.losses import diversity, reconstruction
from ganlab.losses.semantic import distance


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def told(features, masks):
    return SimpleNamespace(features=features, masks=masks)


def by_loops(a, b, mask, standardize):
    """Distance of one sample's maps (C, H, W), even sizes, by its definition."""
    channels, height, width = a.shape
    wins = [
        (y, x)
        for y in range(0, height, 2)
        for x in range(0, width, 2)
        if mask[0, y : y + 2, x : x + 2].min() == 1
    ]
    seen = torch.cat([each[:, y : y + 2, x : x + 2].flatten() for each in (a, b) for y, x in wins])
    if standardize == "concatenation":
        seen = torch.cat([a.flatten(), b.flatten()])
    mean, std = seen.mean(), seen.std(correction=0)
    terms = [
        ((a[c, y : y + 2, x : x + 2].max() - mean) / std)
        - ((b[c, y : y + 2, x : x + 2].max() - mean) / std)
        for c in range(channels)
        for y, x in wins
    ]
    return torch.stack(terms).abs().mean()


class TestReconstruction:
    def masks(self):
        whole = torch.ones(2, 1, 8, 8)
        part = whole.clone()
        part[:, :, 1:4, 2:7] = 0
        return {"whole": whole, "part": part}

    def test_is_zero_on_itself(self):
        maps, vectors = drawn(2, 3, 8, 8), drawn(2, 5)
        for mask in self.masks().values():
            assert not distance(maps, maps, mask).any()
        assert not distance(vectors, vectors, torch.ones(2, 1)).any()

    @pytest.mark.parametrize("standardize", ["concatenation", "kept"])
    @pytest.mark.parametrize("name", ["whole", "part"])
    def test_equals_its_definition(self, name, standardize):
        a, b = drawn(2, 3, 8, 8), 3 + drawn(2, 3, 8, 8, seed=1)
        b[..., 1:4, 2:7] *= 5
        mask = self.masks()[name]
        expected = [by_loops(*each, standardize) for each in zip(a, b, mask, strict=True)]
        torch.testing.assert_close(distance(a, b, mask, standardize), torch.stack(expected))

    @pytest.mark.parametrize(
        ("standardize", "expected"), [("concatenation", 2 / 3), ("kept", 2.0), (None, 2 / 3)]
    )
    def test_what_a_crop_hides_counts_for_the_scale_or_not(self, standardize, expected):
        """Kept are 0 and 2, of mean 1 and deviation 1: 2 apart. Hidden are 1 -+ sqrt(17): all have
        the variance (1 + 1 + 17 + 17) / 4 = 9, and what is kept is 2 / 3 apart.
        """
        a, b = torch.zeros(1, 1, 4, 4), torch.full((1, 1, 4, 4), 2.0)
        a[..., 2:], b[..., 2:] = 1 - 17**0.5, 1 + 17**0.5
        mask = torch.ones(1, 1, 4, 4)
        mask[..., 2:] = 0
        told_apart = {} if standardize is None else {"standardize": standardize}
        torch.testing.assert_close(distance(a, b, mask, **told_apart), torch.tensor([expected]))

    def test_the_loss_hands_its_reading_on(self):
        features = {"fine": drawn(2, 3, 8, 8)}
        found = {"fine": 3 + drawn(2, 3, 8, 8, seed=1)}
        found["fine"][..., 1:4, 2:7] *= 5
        masks = {"fine": self.masks()["part"]}
        for reading in ("concatenation", "kept"):
            value = reconstruction(
                *(drawn(2, 1, 8, 8), drawn(2, 4), told(features, masks), lambda images: found),
                weight=1.0,
                standardize=reading,
            )
            expected = distance(features["fine"], found["fine"], masks["fine"], reading).mean()
            assert value == expected

    def test_vectors_are_standardized_together_and_not_pooled(self):
        a, b = drawn(2, 6), drawn(2, 6, seed=1)
        both = torch.cat([a, b], 1)
        expected = ((a - b) / both.std(1, correction=0, keepdim=True)).abs().mean(1)
        torch.testing.assert_close(distance(a, b, torch.ones(2, 1)), expected)

    def test_sees_nothing_of_a_window_that_is_partly_masked_where_the_kept_ones_count(self):
        a, b, mask = drawn(2, 3, 8, 8), drawn(2, 3, 8, 8, seed=1), self.masks()["part"]
        windows = F.interpolate(F.max_pool2d(1 - mask, 2), scale_factor=2.0) > 0
        assert windows.sum() > (mask == 0).sum()  # windows cut by the mask's edge are out, too
        changed = torch.where(windows, 1e3 * drawn(2, 3, 8, 8, seed=2), b)
        assert torch.equal(distance(a, changed, mask, "kept"), distance(a, b, mask, "kept"))
        changed = changed.requires_grad_()
        distance(a, changed, mask, "kept").sum().backward()
        assert not changed.grad[windows.expand_as(b)].any()
        assert changed.grad[~windows.expand_as(b)].any()

    def test_sees_everything_else(self):
        a, b, mask = drawn(2, 3, 8, 8), drawn(2, 3, 8, 8, seed=1), self.masks()["part"]
        moved = b.clone()
        moved[:, :, 6, 6] += 10
        assert (distance(a, moved, mask) != distance(a, b, mask)).all()

    def test_is_blind_to_a_common_scale_and_to_a_shift_within_a_window(self):
        a, b, mask = drawn(2, 3, 8, 8), drawn(2, 3, 8, 8, seed=1), torch.ones(2, 1, 8, 8)
        torch.testing.assert_close(distance(5 * a + 2, 5 * b + 2, mask), distance(a, b, mask))
        flipped = b.unflatten(3, (4, 2)).flip(4).flatten(3)  # neighbours change places
        torch.testing.assert_close(distance(a, flipped, mask), distance(a, b, mask))

    def test_odd_sizes_and_single_cells_count_whole(self):
        a, mask = drawn(2, 3, 7, 7), torch.ones(2, 1, 7, 7)
        b = a.clone()
        b[:, :, 6, 6] += 9  # the last row and column are windows as well
        assert (distance(a, b, mask) > 0).all()
        assert distance(drawn(2, 3, 1, 1), drawn(2, 3, 1, 1, seed=1), torch.ones(2, 1, 1, 1)).all()

    def test_a_sample_that_is_wholly_masked_is_at_distance_0(self):
        mask = torch.ones(2, 1, 8, 8)
        mask[1] = 0
        found = distance(drawn(2, 3, 8, 8), drawn(2, 3, 8, 8, seed=1), mask)
        assert found[0] > 0
        assert found[1] == 0

    def test_sums_the_levels_that_are_told_and_looks_at_no_other(self):
        features = {"fine": drawn(2, 3, 8, 8), "coarse": drawn(2, 5), "masked": drawn(2, 5)}
        found = {name: stage + drawn(*stage.shape, seed=3) for name, stage in features.items()}
        masks = {"fine": torch.ones(2, 1, 8, 8), "coarse": torch.ones(2, 1)}
        value = reconstruction(
            drawn(2, 1, 8, 8), drawn(2, 4), told(features, masks), lambda images: found, weight=0.5
        )
        expected = sum(distance(features[n], found[n], m).mean() for n, m in masks.items())
        torch.testing.assert_close(value, 0.5 * expected)

    def test_needs_to_know_what_was_told(self):
        with pytest.raises(ValueError, match=r"model\.conditioner"):
            reconstruction(drawn(2, 1, 8, 8), drawn(2, 4), None, lambda images: {})


class TestDiversity:
    def test_on_pairs_by_hand(self):
        """|z1 - z2| has means 1 and 3, |x1 - x2| 2 and 0.5: (1 / 2 + 3 / 0.5) / 2."""
        latents = torch.tensor([[0.0, 0], [1, 1], [2, 0], [4, -2]])  # pairs 0 and 2, 1 and 3
        images = torch.zeros(4, 1, 2, 2)
        images[2] = torch.tensor([[4.0, 0], [0, -4]])
        images[3] = 0.5
        value = diversity(images, latents, None, None, weight=1.0)
        torch.testing.assert_close(value, torch.tensor((1 / 2 + 3 / 0.5) / 2))
        torch.testing.assert_close(diversity(images, latents, None, None), 0.1 * value)

    def test_equal_images_cost_much_and_equal_latents_nothing(self):
        images, latents = torch.zeros(2, 1, 2, 2), torch.tensor([[0.0], [1.0]])
        torch.testing.assert_close(
            diversity(images, latents, None, None, weight=1.0), torch.tensor(1e8)
        )
        assert diversity(images, torch.zeros(2, 1), None, None) == 0

    def test_descending_it_moves_the_images_of_a_pair_apart(self):
        images = drawn(4, 1, 2, 2).requires_grad_()
        diversity(images, drawn(4, 3, seed=1), None, None).backward()
        with torch.no_grad():
            moved = images - 0.1 * images.grad
        before, after = ((x[:2] - x[2:]).abs().mean() for x in (images, moved))
        assert after > before

    def test_an_odd_batch_has_no_pairs(self):
        with pytest.raises(ValueError, match="takes pairs, and the batch has 3 images"):
            diversity(torch.zeros(3, 1, 2, 2), torch.zeros(3, 1), None, None)
