"""Strengths, betas and averages along the clock, in each batch and after a resume."""

from functools import partial

import pytest
import torch
from lightning import Callback

from ganlab.data import synthetic
from ganlab.losses import RelativisticPairing, r1, r2
from ganlab.networks import vanilla
from ganlab.systems import GAN, Checkpointing, ExponentialAverage
from ganlab.systems.augment import ADA
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.optimizers import lazy_adam
from ganlab.systems.schedules import Schedule
from ganlab.systems.trainer import make_trainer

BATCH = 8


def falling(**options):
    return Schedule("cosine", until_kimg=0.064, **options)


ANNEALING = {
    "r1": falling(final=0.1),
    "r2": falling(final=0.1),
    "beta2": falling(initial=0.5, final=1.0),
    "ema": falling(initial=0.0, final=1.0),
    "augment": falling(initial=0.0, final=1.0),
}


class Seen(Callback):
    """What the optimizers, the augmentation and the averages had in each batch."""

    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        betas = [optimizer.param_groups[0]["betas"] for optimizer in trainer.optimizers]
        p = None if pl_module.augment is None else float(pl_module.augment.p)
        self.rows.append((pl_module.images_before, betas, p, pl_module.running_means.read()))


def made(kimg, annealing, augment=None, **options):
    torch.manual_seed(0)
    sizes = {"resolution": 8, "channels": 1}
    networks = (
        vanilla.Generator(hidden=(8,), latent_dim=4, **sizes),
        vanilla.Discriminator(hidden=(8,), **sizes),
    )
    factories = (
        partial(torch.optim.Adam, lr=0.01, betas=(0.0, 0.9)),
        partial(lazy_adam, lr=0.01, betas=(0.0, 0.9), interval=4),
    )
    given = {
        "penalties": {"r1": partial(r1, gamma=2.0), "r2": partial(r2, gamma=2.0)},
        "ema": ExponentialAverage(0.1, None),
        "annealing": annealing,
        "augment": augment,
        "kimg": kimg,
    }
    return GAN(*networks, RelativisticPairing(), *factories, **(given | options))


def fit(system, directory=None, ckpt=None):
    seen = Seen()
    data = synthetic(num=40, resolution=8, channels=1, batch_size=BATCH, seed=3)
    kept = [] if directory is None else [Checkpointing(directory)]
    trainer = make_trainer("cpu", callbacks=[seen, *kept])
    trainer.fit(system, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return seen.rows


def weights(system):
    return {name: value.clone() for name, value in system.state_dict().items()}


def test_betas_and_p_follow_the_clock():
    rows = fit(made(0.08, ANNEALING, ADA(p=0.4)))
    assert [images for images, *_ in rows] == [BATCH * step for step in range(10)]
    for images, (first, lazy), p, _ in rows:
        share = ANNEALING["beta2"](images)
        assert first == (0.0, pytest.approx(0.9 * share, rel=1e-12))
        assert lazy == (0.0, pytest.approx((0.9 * share) ** 0.8, rel=1e-12))  # of 4 / 5
        assert p == pytest.approx(0.4 * ANNEALING["augment"](images), rel=1e-6)
    assert rows[0][1][0] == (0.0, 0.45)
    assert rows[-1][1][0] == (0.0, 0.9)


def test_a_penalty_at_a_share_is_one_of_that_strength():
    """Of constant shares: the same run as with strengths that are so large."""
    quarter = {name: Schedule("constant", initial=0.25) for name in ("r1", "r2", "ema")}
    annealed = made(0.04, quarter)
    fit(annealed)
    weak = {"r1": partial(r1, gamma=0.5), "r2": partial(r2, gamma=0.5)}
    plain = made(0.04, None, penalties=weak, ema=ExponentialAverage(0.025, None))
    fit(plain)
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(annealed)[name], value, rtol=1e-6, atol=1e-7)


def test_what_does_not_move_is_the_run_it_was():
    plain, still = made(0.04, None), made(0.04, {"r1": Schedule("constant")})
    fit(plain), fit(still)
    assert all(torch.equal(weights(still)[name], value) for name, value in weights(plain).items())


@pytest.mark.parametrize("lazily", [False, True])
def test_a_resume_goes_on_to_the_bit(tmp_path, lazily):
    intervals = {"intervals": {"r1": 2, "r2": 2}} if lazily else {}
    rows = fit(made(0.08, ANNEALING, ADA(p=0.4), **intervals), tmp_path / "whole")
    fit(made(0.04, ANNEALING, ADA(p=0.4), **intervals), tmp_path / "half")
    last = tmp_path / "half" / "last.ckpt"
    rest = fit(made(0.08, ANNEALING, ADA(p=0.4), **intervals), tmp_path / "half", last)
    assert [row[:3] for row in rest] == [row[:3] for row in rows[5:]]
    ends = [load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "half")]
    states = [end["state_dict"] for end in ends]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    moved = made(0.08, ANNEALING, ADA(p=0.4)).state_dict()
    assert not all(torch.equal(value, moved[name]) for name, value in states[0].items())


@pytest.mark.parametrize(
    ("annealing", "augment", "message"),
    [
        ({"r3": Schedule()}, None, r"model\.annealing\.r3 is of nothing here; there are r1, r2, b"),
        ({"augment": Schedule()}, None, r"annealing\.augment needs a fixed probability"),
        ({"augment": Schedule()}, ADA(), r"annealing\.augment .*: model/augment=ada model\.aug"),
    ],
)
def test_a_schedule_of_nothing_is_refused_by_its_key(annealing, augment, message):
    with pytest.raises(ValueError, match=message):
        made(0.04, annealing, augment)


def test_ada_refuses_to_follow_a_pairing_loss_by_name():
    with pytest.raises(ValueError, match=r"model\.loss=RelativisticPairing"):
        made(0.04, None, ADA())
