"""The VAE's training: the paper's objective, one clock, one checkpoint, an autoencoder at 0."""

import copy
import math

import pytest
import torch
from lightning import Callback
from torch import nn
from torch.nn import functional as F

from ganlab.callbacks.progress import losses
from ganlab.data import ImageData
from ganlab.data.synthetic import Synthetic
from ganlab.networks import base
from ganlab.networks.dcgan import Generator
from ganlab.networks.vae import Encoder
from ganlab.systems import ExponentialAverage
from ganlab.systems.nonfinite import NonFiniteError
from ganlab.systems.trainer import make_trainer
from ganlab.systems.vae import VAE

SMALL = {"resolution": 32, "channels": 1, "latent_dim": 6, "width": 4}


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-3)


def vae(kl_weight=1.0, seed=0, **options):
    torch.manual_seed(seed)
    return VAE(Encoder(**SMALL), Generator(**SMALL), adam, kl_weight, **options)


def data(batch_size=16):
    return ImageData(Synthetic(num=64), resolution=32, channels=1, batch_size=batch_size)


def fit(system, *callbacks, **trainer):
    runner = make_trainer(accelerator="cpu", callbacks=list(callbacks), **trainer)
    runner.fit(system, datamodule=data())
    return system


class Watched(Callback):
    """Keeps each batch, and each code's noise, of a run."""

    def __init__(self):
        self.images, self.noise, self.clock = [], [], []

    def on_train_start(self, trainer, pl_module):
        drawn = pl_module.noise

        def noted(n):
            self.noise.append(drawn(n))
            return self.noise[-1]

        pl_module.noise = noted

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.images.append(batch.image)
        self.clock.append(pl_module.images_seen)


def by_hand(system, images, noise, kl_weight):
    """The same run as a bare loop: cross-checked by formulas written out here."""
    optimizer = torch.optim.Adam(
        [*system.encoder.parameters(), *system.generator.parameters()], lr=1e-3
    )
    for number, batch in enumerate(images):
        mean, log_variance = system.encoder(batch)
        code = mean
        if kl_weight:
            code = mean + torch.sqrt(log_variance.exp()) * noise[number]
        loss = F.mse_loss(system.generator(code), batch, reduction="sum") / 2 / len(batch)
        if kl_weight:
            variance = log_variance.exp()
            kl = (variance + mean**2 - 1 - variance.log()).sum() / 2 / len(batch)
            loss = loss + kl_weight * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return system


@pytest.mark.parametrize("kl_weight", [1.0, 0.3, 0.0])
def test_a_run_is_the_bare_loop(kl_weight):
    """At weight 0 the loop is that of an autoencoder: no noise is drawn, the code is the mean."""
    system, watched = vae(kl_weight, kimg=0.064), Watched()
    expected = copy.deepcopy(system).train()
    fit(system, watched)
    assert watched.clock == [16, 32, 48, 64]
    assert len(watched.noise) == (4 if kl_weight else 0)
    by_hand(expected, watched.images, watched.noise, kl_weight)
    for part in ("encoder", "generator"):
        ours, theirs = getattr(system, part).state_dict(), getattr(expected, part).state_dict()
        for name, value in ours.items():
            torch.testing.assert_close(value, theirs[name], msg=f"{part}.{name}")


def test_an_autoencoder_leaves_the_variance_alone():
    system = vae(0.0, kimg=0.016)
    before = copy.deepcopy(system.encoder.to_log_variance.state_dict())
    fit(system)
    after = system.encoder.to_log_variance.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert set(system.running_means.read()) >= {"loss/reconstruction"}
    assert "loss/kl" not in system.running_means.read()


def test_noise_is_addressed_by_seed_and_clock():
    system, again, other = vae(kimg=0.048), vae(kimg=0.048), vae(kimg=0.048)
    other.seed = 5
    drawn = []
    for each in (system, again, other):
        watched = Watched()
        fit(each, watched)
        drawn.append(torch.stack(watched.noise))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].unique(dim=0).shape[0] == 3, "each step has noise of its own"


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = fit(vae(kimg=0.064))
    half = vae(kimg=0.032)
    runner = make_trainer(accelerator="cpu")
    runner.fit(half, datamodule=data())
    runner.save_checkpoint(tmp_path / "half.ckpt")
    resumed = vae(seed=9, kimg=0.064)
    make_trainer(accelerator="cpu").fit(
        resumed, datamodule=data(), ckpt_path=tmp_path / "half.ckpt", weights_only=True
    )
    assert resumed.images_seen == whole.images_seen == 64
    assert resumed.running_means.read() == whole.running_means.read()
    ours, theirs = resumed.state_dict(), whole.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_averages_follow_by_their_half_life_and_always_evaluate():
    """One batch as long as the half-life: every parameter half way from start to now."""
    system = vae(kimg=0.016, ema=ExponentialAverage(half_life_kimg=0.016, ramp=None))
    start = copy.deepcopy(system)
    fit(system).train()
    for name in ("encoder", "generator"):
        average = getattr(system, f"{name}_ema")
        before = dict(getattr(start, name).named_parameters())
        assert not average.training
        now = dict(getattr(system, name).named_parameters())
        for key, parameter in average.named_parameters():
            assert not parameter.requires_grad
            torch.testing.assert_close(parameter, (before[key] + now[key]).detach() / 2)
        assert any(not torch.equal(before[key], now[key]) for key in now)


def test_without_an_average_the_networks_stand_in_its_place():
    assert vae().ema == ExponentialAverage()
    system = vae(kimg=0.016, ema=None)
    fit(system)
    for name in ("encoder", "generator"):
        average, network = (system.networks()[key].state_dict() for key in (f"{name}_ema", name))
        assert [key for key in network if not torch.equal(average[key], network[key])] == []


def test_reconstructions_come_from_the_averages():
    system = vae().eval()
    images = torch.rand(3, 1, 32, 32) * 2 - 1
    decoded = system.reconstruct(images)
    assert decoded.shape == images.shape
    assert torch.equal(decoded, system.generator_ema(system.encoder_ema(images)[0]))


def test_a_run_stops_before_a_bad_loss_reaches_the_weights():
    system = vae(kimg=0.064)
    system.encoder.to_mean.weight.data.view(-1)[0] = math.nan
    before = copy.deepcopy(system.generator.state_dict())
    with pytest.raises(NonFiniteError, match=r"first bad tensor: encoder\.to_mean\.weight"):
        fit(system)
    after = system.generator.state_dict()
    weights = [name for name, _ in system.generator.named_parameters()]
    assert all(torch.equal(before[name], after[name]) for name in weights)


def test_progress_names_the_losses_of_an_autoencoder():
    means = {"loss/reconstruction": 24.0, "loss/kl": 12.5}
    assert losses(means) == "reconstruction 24.000 kl 12.500"


@pytest.mark.parametrize(
    ("encoder", "generator", "weight", "named"),
    [
        ({}, {}, -1.0, r"model\.kl_weight"),
        ({"latent_dim": 5}, {}, 1.0, r"encoder\.latent_dim=5 .* model\.generator\.latent_dim=6"),
        ({}, {"prior": "uniform"}, 1.0, r"model\.generator\.prior must be normal"),
    ],
)
def test_what_cannot_be_is_refused_by_name(encoder, generator, weight, named):
    with pytest.raises(ValueError, match=named):
        VAE(Encoder(**{**SMALL, **encoder}), Generator(**{**SMALL, **generator}), adam, weight)


@pytest.mark.parametrize(
    ("encoder", "generator", "named"),
    [
        (nn.Identity(), Generator(**SMALL), r"model\.encoder: Identity is no ganlab.*Encoder"),
        (Encoder(**SMALL), nn.Identity(), r"model\.generator: Identity is no ganlab.*Generator"),
        (Encoder(**SMALL), base.Generator(), "sets no latent_dim, resolution, channels"),
    ],
)
def test_halves_of_ones_own_are_refused_by_key(encoder, generator, named):
    with pytest.raises(ValueError, match=named):
        VAE(encoder, generator, adam)
