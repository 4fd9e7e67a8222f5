import numpy as np
import pytest
import torch

from ganlab.metrics import MultiScaleSimilarity
from ganlab.metrics.similarity import BETAS, check_scales, similarities


def images(num, size, seed, channels=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num, channels, size, size, generator=generator) * 2 - 1


def score(fake, **options):
    metric = MultiScaleSimilarity(**options)
    metric.update(fake, real=False)
    return metric.compute()["ms_ssim"].item()


@pytest.mark.parametrize("num_scales", [1, 2, 3])
def test_constant_images_in_closed_form(num_scales):
    """No contrast and no structure: the luminance term alone, to the coarsest scale's power."""
    a, b, c1 = 60.0, 180.0, (0.01 * 255) ** 2
    pair = torch.full((1, 1, 44, 44), a), torch.full((1, 1, 44, 44), b)
    luminance = (2 * a * b + c1) / (a**2 + b**2 + c1)
    power = BETAS[num_scales - 1] / sum(BETAS[:num_scales])
    assert similarities(*pair, num_scales).item() == pytest.approx(luminance**power, rel=1e-6)


def ssim_parts(a, b):
    """Means of luminance times contrast, and of contrast alone, one window after another."""
    weights = np.array(
        [[np.exp(-((y - 5) ** 2 + (x - 5) ** 2) / 4.5) for x in range(11)] for y in range(11)]
    )
    weights /= weights.sum()
    both, contrast = [], []
    for top in range(a.shape[0] - 10):
        for left in range(a.shape[1] - 10):
            p, q = (each[top : top + 11, left : left + 11] for each in (a, b))
            mp, mq = (weights * p).sum(), (weights * q).sum()
            vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
            cov = (weights * (p - mp) * (q - mq)).sum()
            contrast.append((2 * cov + 7.65**2) / (vp + vq + 7.65**2))
            both.append(contrast[-1] * (2 * mp * mq + 2.55**2) / (mp**2 + mq**2 + 2.55**2))
    return np.mean(both), np.mean(contrast)


@pytest.mark.parametrize(("height", "width", "num_scales"), [(24, 30, 2), (45, 47, 3), (12, 11, 1)])
def test_windows_lie_inside_the_images_at_every_scale(height, width, num_scales):
    """Like the authors' program: no border is padded, odd sides keep their last row."""
    generator = np.random.default_rng(7)
    a = generator.uniform(0, 255, (height, width))
    b = np.clip(a + generator.normal(0, 40, a.shape), 0, 255)
    wanted, x, y = 1.0, a, b
    powers = np.array([0.0448, 0.2856, 0.3001][:num_scales])
    for scale, power in enumerate(powers / powers.sum()):
        both, contrast = ssim_parts(x, y)
        wanted *= (both if scale == num_scales - 1 else contrast) ** power
        x, y = (
            np.array(
                [
                    [each[i : i + 2, j : j + 2].mean() for j in range(0, each.shape[1], 2)]
                    for i in range(0, each.shape[0], 2)
                ]
            )
            for each in (x, y)
        )
    found = similarities(*(torch.tensor(each)[None, None] for each in (a, b)), num_scales)
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_equal_images_are_at_one_and_noise_near_zero():
    grid = (images(4, 44, 1) + 1) * 127.5
    assert similarities(grid, grid, 3).tolist() == pytest.approx([1.0] * 4)
    assert similarities(grid, (images(4, 44, 2) + 1) * 127.5, 3).max() < 0.2


def test_a_collapsed_generator_scores_one():
    assert score(images(1, 22, 1).repeat(8, 1, 1, 1), num_pairs=4, num_scales=2) == pytest.approx(1)
    assert score(images(8, 22, 1), num_pairs=4, num_scales=2) < 0.3


def test_pairs_are_neighbours_by_index():
    fake = images(3, 22, 1).repeat_interleave(2, 0)  # pairs of equal images
    order = torch.tensor([5, 0, 3, 2, 1, 4])
    metric = MultiScaleSimilarity(num_pairs=3, num_scales=2, batch_size=2)
    for rows in order.split(4):
        metric.update(fake[rows], real=False, index=rows)
    assert metric.compute()["ms_ssim"].item() == pytest.approx(1)
    assert score(fake.roll(1, 0), num_pairs=3, num_scales=2) < 0.6


def test_only_paired_fakes_are_kept():
    fake = images(20, 22, 1)
    metric = MultiScaleSimilarity(num_pairs=3, num_scales=2)
    metric.update(images(4, 22, 2), real=True)
    for chunk in fake.split(4):
        metric.update(chunk, real=False)
    assert metric.compute()["ms_ssim"].item() == score(fake[:6], num_pairs=3, num_scales=2)
    assert len(metric.rows("fake")) == 6
    with pytest.raises(ValueError, match="no real images"):
        metric.rows("real")


def test_the_mean_is_over_pairs_whatever_the_batch():
    fake = images(14, 22, 1, channels=3)
    assert score(fake, num_pairs=7, num_scales=2, batch_size=2) == pytest.approx(
        score(fake, num_pairs=7, num_scales=2), rel=1e-12
    )


@pytest.mark.parametrize(("side", "fits"), [(176, 5), (99, 4), (44, 3), (28, 2), (22, 2), (11, 1)])
def test_what_fits(side, fits):
    check_scales(side, fits)
    pair = images(1, side, 1), images(1, side, 2)
    assert similarities(*pair, fits).isfinite().all()
    if fits < 5:
        with pytest.raises(ValueError, match=f"num_scales={fits + 1}.* set num_scales={fits}"):
            check_scales(side, fits + 1)


def test_what_does_not():
    with pytest.raises(ValueError, match="it takes 11 px and more"):
        check_scales(10, 1)
    with pytest.raises(ValueError, match="num_pairs=50 needs 100 generated images, not 99"):
        MultiScaleSimilarity(num_pairs=50).check_sizes(None, 99)
    with pytest.raises(ValueError, match=r"num_scales 1 \.\. 5"):
        MultiScaleSimilarity(num_scales=6)


def test_protocols():
    assert MultiScaleSimilarity().protocol == "pairs5000"
    assert MultiScaleSimilarity(num_pairs=10, num_scales=2).protocol == "pairs10_s2"
