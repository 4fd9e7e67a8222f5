"""The one training step against loops written out by hand."""

import copy
import functools

import pytest
import torch
from lightning import Callback
from spies import watch_latents
from torch import nn
from torch.nn import functional as F

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating, Relativistic, gradient_penalty, r1
from ganlab.networks import dcgan, vanilla
from ganlab.networks.base import Generator
from ganlab.systems import GAN, Checkpointing, ExponentialAverage
from ganlab.systems.trainer import make_trainer, quieten

BATCH = 8
ADAM = functools.partial(torch.optim.Adam, lr=1e-3, betas=(0.5, 0.9))


def images():
    data = synthetic(num=40, resolution=32, channels=1, batch_size=BATCH, seed=3)
    data.prepare_data()
    data.setup("fit")
    return data


def small(batch_norm=False):
    torch.manual_seed(0)
    generator = dcgan.Generator(resolution=32, channels=1, latent_dim=6, width=4)
    discriminator = dcgan.Discriminator(resolution=32, channels=1, width=4, batch_norm=batch_norm)
    return generator, discriminator


def system(steps, **options):
    options = {"loss": Nonsaturating(), **options}
    return GAN(
        *options.pop("networks", None) or small(),
        generator_optimizer=ADAM,
        discriminator_optimizer=ADAM,
        kimg=steps * BATCH / 1000,
        **options,
    )


def fit(gan, *callbacks, data=None):
    quieten()
    trainer = make_trainer("cpu", callbacks=list(callbacks))
    trainer.fit(gan, datamodule=data or images())
    return gan


class Recorded:
    """Notes each step's reals and latents, so that a loop outside can use the same ones."""

    def __init__(self, gan):
        self.reals, self.latents = [], []
        views = gan.discriminator.views

        def noted_views(image):
            self.reals.append(image.clone())
            return views(image)

        gan.discriminator.views = noted_views
        self.forget = watch_latents(lambda *drawn: self.latents.append(drawn))


def close(network, other):
    for (name, ours), theirs in zip(
        network.state_dict().items(), other.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("critic_steps", [1, 3])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_step_equals_a_loop_written_out(critic_steps, batch_norm):
    gan = system(
        6,
        networks=small(batch_norm),
        critic_steps=critic_steps,
        ema=ExponentialAverage(half_life_kimg=0.05, ramp=None),
    )
    generator, discriminator = copy.deepcopy(gan.generator), copy.deepcopy(gan.discriminator)
    average = copy.deepcopy(generator)
    notes = Recorded(gan)
    fit(gan)
    notes.forget()
    of_generator, of_discriminator = ADAM(generator.parameters()), ADAM(discriminator.parameters())
    latents = iter(notes.latents)
    for step, real in enumerate(notes.reals, 1):
        fake = generator(next(latents)[1]).detach()
        real_logits, fake_logits = discriminator(real), discriminator(fake)
        loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        if step % critic_steps:
            continue
        loss = F.softplus(-discriminator(generator(next(latents)[1]))).mean()
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
        beta = 0.5 ** (critic_steps * BATCH / 50)
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
                slow.mul_(beta).add_((1 - beta) * fast)
            for slow, fast in zip(average.buffers(), generator.buffers(), strict=True):
                slow.copy_(fast)
    close(gan.generator, generator)
    close(gan.generator_ema, average)
    if not batch_norm:  # D's running statistics also see the generator's step
        close(gan.discriminator, discriminator)


def test_gradient_norms_are_those_of_the_losses_without_lazy_penalties():
    def strong(discriminator, real, fake, condition, uniform):
        return 1e6 * next(discriminator.parameters()).square().sum()

    alone = fit(system(1)).running_means.read()
    lazy = fit(
        system(1, penalties={"strong": strong}, intervals={"strong": 2})
    ).running_means.read()
    assert lazy["penalty/strong"] > 0
    assert lazy["grad_norm/discriminator"] == alone["grad_norm/discriminator"]


@pytest.mark.parametrize("interval", [1, 2])
def test_penalties_are_added_or_lazily_descended_with_their_interval(interval):
    """R1 of the reals every step inside the loss, or every second step by itself and doubled."""
    gan = system(
        4,
        penalties={"r1": functools.partial(r1, gamma=2.0)},
        intervals={"r1": interval},
    )
    generator, discriminator = copy.deepcopy(gan.generator), copy.deepcopy(gan.discriminator)
    notes = Recorded(gan)
    fit(gan)
    notes.forget()
    of_generator, of_discriminator = ADAM(generator.parameters()), ADAM(discriminator.parameters())
    latents = iter(notes.latents)

    def descend(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def penalty(real):
        real = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
        return 2.0 / 2 * sum(g.square().sum() for g in gradient) / len(real)

    for step, real in enumerate(notes.reals):
        fake = generator(next(latents)[1]).detach()
        loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake)).mean()
        if interval == 1:
            descend(of_discriminator, loss + penalty(real))
        else:
            descend(of_discriminator, loss)
            if step % 2 == 0:
                descend(of_discriminator, 2 * penalty(real))
        descend(of_generator, F.softplus(-discriminator(generator(next(latents)[1]))).mean())
    close(gan.discriminator, discriminator)
    close(gan.generator, generator)


def test_relativistic_generator_sees_the_reals():
    gan = system(2, loss=Relativistic())
    seen = []
    original = gan.loss.generator
    gan.loss.generator = lambda fake, real: seen.append(real) or original(fake, real)
    fit(gan)
    assert len(seen) == 2
    assert all(real.shape == (BATCH,) for real in seen)


def test_trainable_flags_come_back_even_when_a_loss_raises():
    gan = system(3)

    def broken(*arguments):
        raise RuntimeError("broken loss")

    gan.loss.generator = broken
    with pytest.raises(RuntimeError, match="broken loss"):
        fit(gan)
    assert all(p.requires_grad for p in gan.generator.parameters())
    assert all(p.requires_grad for p in gan.discriminator.parameters())
    assert not any(p.requires_grad for p in gan.generator_ema.parameters())


def test_average_stays_in_evaluation_mode():
    gan = fit(system(1, networks=small(batch_norm=True)))
    gan.train()
    assert gan.generator.training
    assert not any(module.training for module in gan.generator_ema.modules())


def test_no_host_read_between_ticks(monkeypatch):
    """The guard's look at the loss aside, which an accelerator is spared."""
    gan = system(5)
    monkeypatch.setattr(gan, "guard", lambda *arguments: None)
    readers = ("item", "tolist", "__bool__", "__float__", "__int__")
    originals = {name: getattr(torch.Tensor, name) for name in readers}
    reads, watching = [], []

    def counted(name):
        def read(self):
            if watching:
                reads.append((name, self))
            return originals[name](self)

        return read

    for name in readers:
        monkeypatch.setattr(torch.Tensor, name, counted(name))

    class Watch(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            watching.append(True)

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            watching.clear()

    fit(gan, Watch())
    float(torch.zeros(1))
    # Adam on the CPU reads its own step counters; nothing else may.
    counters = {
        id(state["step"]) for each in gan.trainer.optimizers for state in each.state.values()
    }
    assert reads, "Adam's reads show that the watch works"
    assert [name for name, read in reads if id(read) not in counters] == []


@pytest.mark.parametrize("critic_steps", [1, 2, 5])
@pytest.mark.parametrize("interval", [1, 3])
def test_checkpoints_count_images_whatever_the_steps(tmp_path, monkeypatch, critic_steps, interval):
    saved = []

    def save(self, trainer, system, *names):
        saved.append(system.images_seen)
        self.saved_at = system.images_seen

    monkeypatch.setattr(Checkpointing, "save", save)
    gan = system(
        25,
        critic_steps=critic_steps,
        penalties={"r1": functools.partial(r1, gamma=1.0)},
        intervals={"r1": interval},
    )
    fit(gan, Checkpointing(tmp_path, every_kimg=0.03))
    assert gan.images_seen == 200
    assert saved[:6] == [32, 64, 96, 120, 152, 184]  # the first batch end past 30, 60, 90, ...
    assert saved[6:] in ([], [200])


def test_half_precision_with_a_penalty_is_refused():
    gan = system(1, penalties={"gp": functools.partial(gradient_penalty, weight=10.0)})
    trainer = make_trainer("cpu")
    trainer._accelerator_connector.precision_plugin.precision = "16-mixed"
    with pytest.raises(ValueError, match=r"trainer\.precision=16-mixed.*gp.*bf16-mixed"):
        trainer.fit(gan, datamodule=images())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"critic_steps": 0}, r"model\.critic_steps"),
        ({"intervals": {"r2": 4}}, r"model\.intervals.*r2"),
        (
            {"networks": (nn.Identity(), small()[1])},
            r"model\.generator: Identity is no ganlab",
        ),
        ({"networks": (small()[0], nn.Identity())}, r"model\.discriminator: Identity is no "),
        ({"networks": (Generator(), small()[1])}, "sets no latent_dim, resolution, channels"),
    ],
)
def test_bad_options_name_their_key(options, message):
    with pytest.raises(ValueError, match=message):
        system(1, **options)


def test_watching_does_not_change_the_weights(tmp_path):
    from ganlab.callbacks import Health, MetricsLog, Progress, SampleGrid, Throughput

    def networks():
        torch.manual_seed(0)
        generator = vanilla.Generator(32, 1, 6, hidden=[8])
        return generator, vanilla.Discriminator(32, 1, hidden=[8])  # dropout: global randomness

    alone = fit(system(6, networks=networks()))
    watched = fit(
        system(6, networks=networks()),
        SampleGrid(tmp_path, 0.016, num=4),
        Progress(0.016),
        Throughput(0.016),
        Health(0.016, num=8),
        MetricsLog(0.016),
    )
    for ours, theirs in zip(
        alone.state_dict().values(), watched.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)
