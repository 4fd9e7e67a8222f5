"""Learning rates along the clock: closed forms, and what a training and a resume make of them."""

import math
from functools import partial

import pytest
import torch
from lightning import Callback

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import vanilla
from ganlab.systems import GAN, Checkpointing
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.optimizers import lazy_adam
from ganlab.systems.schedules import Schedule
from ganlab.systems.trainer import make_trainer


@pytest.mark.parametrize(
    ("options", "images", "expected"),
    [
        ({"shape": "constant"}, 10**9, 1.0),
        ({"shape": "constant", "warmup_kimg": 10}, 0, 1 / 10_000),
        ({"shape": "constant", "warmup_kimg": 10}, 4_999, 0.5),
        ({"shape": "constant", "warmup_kimg": 10}, 10_000, 1.0),
        ({"shape": "linear"}, 0, 1.0),
        ({"shape": "linear"}, 25_000, 0.75),
        ({"shape": "linear", "final": 0.2}, 50_000, 0.6),
        ({"shape": "linear", "final": 0.2, "warmup_kimg": 60}, 80_000, 0.6),
        ({"shape": "linear", "final": 0.2}, 10**9, 0.2),
        ({"shape": "cosine"}, 25_000, (1 + math.sqrt(0.5)) / 2),
        ({"shape": "cosine", "final": 0.1}, 50_000, 0.55),
        ({"shape": "cosine"}, 100_000, 0.0),
        ({"shape": "cosine", "initial": 0.2, "final": 1.0}, 50_000, 0.6),
        ({"shape": "linear", "initial": 0.4, "warmup_kimg": 20}, 60_000, 0.2),
        ({"shape": "constant", "initial": 0.3, "warmup_kimg": 10}, 4_999, 0.15),
    ],
)
def test_shapes(options, images, expected):
    assert Schedule(until_kimg=100, **options)(images) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "steps"}, r"model\.schedule .*: shape=steps should be constant, linear, cosine"),
        ({"final": 1.5}, r"model\.schedule .*: final=1.5 should be from 0.0 to 1.0"),
        ({"initial": -0.1}, r"model\.annealing: initial=-0.1 should be from 0.0 to 1.0"),
        (
            {"warmup_kimg": 9, "until_kimg": 9},
            r"warmup_kimg=9 should be at least 0 and below until_kimg=9",
        ),
    ],
)
def test_what_no_schedule_can_be(options, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**options)


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        self.seen.append((pl_module.images_before, *rates))


def fit(directory, kimg, ckpt=None):
    torch.manual_seed(0)
    sizes = {"resolution": 8, "channels": 1}
    generator = vanilla.Generator(hidden=(8,), latent_dim=4, **sizes)
    discriminator = vanilla.Discriminator(hidden=(8,), **sizes)
    factories = (
        partial(torch.optim.Adam, lr=0.1),
        partial(lazy_adam, lr=0.1, betas=(0.0, 0.9), interval=4),
    )
    schedule = Schedule("cosine", until_kimg=0.064, final=0.1, warmup_kimg=0.016)
    made = GAN(generator, discriminator, Nonsaturating(), *factories, kimg=kimg, schedule=schedule)
    rates, trainer = Rates(), None
    data = synthetic(num=40, resolution=8, channels=1, batch_size=8, seed=3)
    trainer = make_trainer("cpu", callbacks=[rates, Checkpointing(directory)])
    trainer.fit(made, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return made, rates.seen


def test_rates_follow_the_clock_and_a_resume_goes_on_with_them(tmp_path):
    whole, seen = fit(tmp_path / "whole", 0.08)
    schedule = whole.schedule
    assert [images for images, *_ in seen] == [8 * step for step in range(10)]
    for images, first, second in seen:
        assert first == pytest.approx(0.1 * schedule(images), rel=1e-12)
        assert second == pytest.approx(0.08 * schedule(images), rel=1e-12)  # 4 / 5 of 0.1
    fit(tmp_path / "half", 0.04)
    half, rest = fit(tmp_path / "half", 0.08, tmp_path / "half" / "last.ckpt")
    assert rest == seen[5:]
    ends = [load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "half")]
    weights = [end["state_dict"] for end in ends]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert half.images_seen == 80
