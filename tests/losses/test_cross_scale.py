"""losses.cross_scale: closed forms, whom the gradient reaches, and a training that heeds it."""

import pytest
import torch

from ganlab.losses import cross_scale
from ganlab.nn.resample import upsample_nearest


def test_scales_of_one_image_cost_nothing():
    coarse = torch.randint(-8, 9, (3, 2, 4, 4)).float()
    scales = [coarse, upsample_nearest(coarse), upsample_nearest(coarse, 4)]
    assert cross_scale(scales, None, None, None) == 0


def test_it_is_the_mean_over_scales_of_the_mean_squared_difference():
    finest = torch.zeros(2, 1, 8, 8)
    scales = [torch.full((2, 1, 2, 2), 3.0), torch.full((2, 1, 4, 4), 1.0), finest]
    assert cross_scale(scales, None, None, None, weight=0.5) == 0.5 * (9 + 1) / 2
    finest[:, :, :2, :2] = torch.tensor([[0.0, 4.0], [8.0, 4.0]])  # a square of mean 4
    by_hand = 0.5 * (((3 - 1) ** 2 + 3 * 3**2) / 4 + ((1 - 4) ** 2 + 15 * 1) / 16) / 2
    assert cross_scale(scales, None, None, None, weight=0.5).item() == pytest.approx(by_hand)


def test_coarse_scales_are_pulled_and_the_anchor_is_not():
    scales = [torch.randn(2, 1, 4 << k, 4 << k, dtype=torch.float64) for k in range(3)]
    for each in scales:
        each.requires_grad_()
    cross_scale(scales, None, None, None).backward()
    assert scales[2].grad is None
    shrunk = torch.nn.functional.avg_pool2d(scales[2].detach(), 4)
    expected = 0.1 * 2 * (scales[0].detach() - shrunk) / scales[0].numel() / 2
    torch.testing.assert_close(scales[0].grad, expected)


def test_images_of_one_scale_are_refused():
    for images in (torch.zeros(2, 1, 4, 4), [torch.zeros(2, 1, 4, 4)]):
        with pytest.raises(ValueError, match="model=msg_gan"):
            cross_scale(images, None, None, None)
