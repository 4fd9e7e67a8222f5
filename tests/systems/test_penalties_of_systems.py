"""R1 and R2 whose strength is left to the resolution and the batch."""

import pytest
import torch
from torch import nn

from ganlab.systems import R1, R2
from ganlab.systems.penalties import report_strengths


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3 * 8 * 8))

    def forward(self, images, condition=None):
        return images.flatten(1) @ self.weight


@pytest.mark.parametrize("kind", [R1, R2])
@pytest.mark.parametrize(
    ("gamma", "expected"), [(10.0, 10.0), ("auto", 0.0002 * 64**2 / 16), (0, 0.0)]
)
def test_of_a_linear_discriminator_is_half_gamma_times_its_squared_weight(kind, gamma, expected):
    discriminator, images = Linear(), torch.randn(5, 3, 8, 8)
    value = kind(gamma, resolution=64, batch_size=16)(discriminator, images, images, None, None)
    torch.testing.assert_close(value, expected / 2 * discriminator.weight.square().sum())


def test_auto_shows_its_derivation_and_a_number_says_nothing(capsys):
    report_strengths({"r1": R1("auto", 32, 64), "other": R1(10.0), "plain": lambda: None})
    assert capsys.readouterr().out == (
        "R1 gamma=auto: 0.0002 * resolution^2 / batch = 0.0002 * 32^2 / 64 = 0.0032\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": "auto"}, r"gamma=auto needs data\.resolution .*, got None and None"),
        (
            {"gamma": "auto", "resolution": 32, "batch_size": 0},
            r"gamma.* data\.batch_size .*got 32 and 0",
        ),
        (
            {"gamma": "auto", "resolution": 32, "batch_size": -4},
            r"gamma.* data\.batch_size .*got 32 and -4",
        ),
        (
            {"gamma": "auto", "resolution": 0, "batch_size": 4},
            r"gamma.* data\.resolution .*got 0 and 4",
        ),
        ({"gamma": "much"}, r"gamma must be auto or at least 0, got much"),
        ({"gamma": -1.0}, r"gamma must be auto or at least 0"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=rf"model\.penalties\.r1\.{message}"):
        R1(**options)
    with pytest.raises(ValueError, match=rf"model\.penalties\.r2\.{message}"):
        R2(**options)


def test_each_looks_at_its_side():
    bent = nn.Sequential(nn.Flatten(), nn.Linear(12, 1), nn.Tanh(), nn.Flatten(0))
    real, fake = torch.randn(2, 5, 3, 2, 2)

    def judge(images, condition=None):
        return bent(images)

    assert torch.equal(R1()(judge, real, fake, None, None), R2()(judge, fake, real, None, None))
    assert not torch.equal(R1()(judge, real, fake, None, None), R2()(judge, real, fake, None, None))
