"""What the step does for generators with styles: mixing, noise, mean style, penalties of G."""

from functools import partial

import pytest
import torch
from lightning import Callback
from spies import watch_latents
from torch import nn

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import base, dcgan
from ganlab.systems import GAN
from ganlab.systems.drawing import Drawing
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.trainer import make_trainer

L, W = 4, 3


class Styled(base.StyleGenerator):
    """Styles are the latents; a layer paints its rows of the image with its own style and noise."""

    def __init__(self):
        super().__init__()
        self.resolution, self.channels, self.latent_dim = 32, 1, W
        self.style_sizes = [32] * L
        self.paint = nn.Linear(W, 32 * 8)
        self.register_buffer("mean_style", torch.zeros(W))
        self.register_buffer("mean_path_length", torch.zeros(()))
        self.calls = []

    def map(self, latents, condition=None):
        return latents[:, None].expand(-1, L, -1)

    def update_mean_style(self, styles):
        self.calls.append(("mean", styles[:, 0].mean(dim=0)))

    def synthesize(self, styles, noise="random"):
        drawn = self.draw_noise((len(styles), 1, 1, 1)) if self.draw_noise else None
        self.calls.append(("synthesize", styles.detach().clone(), drawn, noise))
        return self.paint(styles).reshape(-1, 1, 32, 32)

    def forward(self, latents, condition=None):
        return self.synthesize(self.map(latents, condition), "const")


def trained(steps=2, **options):
    torch.manual_seed(0)
    generator = Styled()
    adam = partial(torch.optim.Adam, lr=1e-3)
    discriminator = dcgan.Discriminator(32, 1, 4)
    kimg = 8 * steps / 1000
    system = GAN(generator, discriminator, Nonsaturating(), adam, adam, kimg=kimg, **options)
    system.drawn = {}
    forget = watch_latents(
        lambda purpose, latents: system.drawn.update({(purpose, system.images_before): latents})
    )
    data = synthetic(num=32, resolution=32, channels=1, batch_size=8, seed=0)
    make_trainer("cpu", callbacks=[Callback()]).fit(system, datamodule=data)
    forget()
    return system


def passes(system):
    """Synthesis passes of training, two a step: D's, then G's."""
    return [call for call in system.generator.calls if call[0] == "synthesize"]


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_each_sample_takes_its_later_styles_from_a_second_latent(probability):
    system = trained(mixing_probability=probability)
    seen = set()
    for i, (_, styles, _, noise) in enumerate(passes(system)):
        purpose, images = ("discriminator", "generator")[i % 2], 8 * (i // 2)
        first = system.drawn[purpose, images]
        assert noise == "random"
        if not probability:
            assert torch.equal(styles, first[:, None].expand(-1, L, -1))
            continue
        second = system.drawn[f"{purpose}/mixing", images]
        for sample, a, b in zip(styles, first, second, strict=True):
            of_a = [bool(torch.equal(layer, a)) for layer in sample]
            of_b = [bool(torch.equal(layer, b)) for layer in sample]
            place = sum(of_a)
            assert of_a == [True] * place + [False] * (L - place)
            assert of_b == [not each for each in of_a]
            seen.add(place)
    assert seen == (set(range(1, L)) if probability else set())


def test_noise_is_a_function_of_seed_clock_and_purpose():
    noises = [noise for _, _, noise, _ in passes(trained())]
    again = [noise for _, _, noise, _ in passes(trained())]
    assert all(torch.equal(a, b) for a, b in zip(noises, again, strict=True))
    assert len({tuple(noise.flatten().tolist()) for noise in noises}) == len(noises) == 4


def test_mean_style_is_told_the_unmixed_styles_of_g_once_a_step():
    system = trained(mixing_probability=1.0)
    means = [call[1] for call in system.generator.calls if call[0] == "mean"]
    expected = [system.drawn["generator", images].mean(dim=0) for images in (0, 8)]
    assert len(means) == 2
    for mean, latents in zip(means, expected, strict=True):
        torch.testing.assert_close(mean, latents)


@pytest.mark.parametrize("critic_steps", [1, 2])
@pytest.mark.parametrize("interval", [1, 2])
def test_penalties_of_g_are_due_every_kth_step_and_k_times_as_strong(interval, critic_steps):
    calls = []

    def penalty(generator, styles, condition, normal):
        assert generator.draw_noise is not None
        calls.append((styles, normal((8, 2))))
        return generator.paint.weight.mean() * 0 + 3.0

    system = trained(
        8,
        generator_penalties={"lengths": penalty},
        intervals={"lengths": interval},
        critic_steps=critic_steps,
    )
    assert len(calls) == 8 // critic_steps // interval
    assert len({float(styles[0, 0, 0]) for styles, _ in calls}) == len(calls)
    assert all(normal.shape == (8, 2) for _, normal in calls)
    assert system.running_means.read()["penalty/lengths"] == pytest.approx(3.0)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_penalties_of_g_see_styles_mixed_as_those_of_its_loss(probability):
    """Karras' code penalizes the path of a training pass, mixing and all."""
    seen = []

    def penalty(generator, styles, condition, normal):
        seen.append(styles)
        return generator.paint.weight.mean() * 0

    system = trained(generator_penalties={"lengths": penalty}, mixing_probability=probability)
    for styles, images in zip(seen, (0, 8), strict=True):
        first = system.drawn["lengths", images]
        last = system.drawn["lengths/mixing" if probability else "lengths", images]
        assert torch.equal(styles[:, 0], first)
        assert torch.equal(styles[:, -1], last)


def test_the_condition_reaches_the_mapping_of_a_penalty():
    told, generator = [], Styled()
    generator.map = lambda latents, condition: told.append(condition) or latents
    drawing = Drawing(generator, StepRandomness(seed=0, images_seen=0))
    assert torch.equal(drawing.styles("lengths", 2, "a condition"), drawing.latents("lengths", 2))
    assert told == ["a condition"]
    bare = Drawing(dcgan.Generator(32, 1, W, 4), StepRandomness(seed=0, images_seen=0))
    assert torch.equal(bare.styles("lengths", 2, None), bare.latents("lengths", 2))  # no styles


def test_a_lazy_penalty_pulls_k_times_as_hard(monkeypatch):
    """Plain SGD at rate 1 on a penalty of slope 1: each due step moves the weight by k."""
    weights = []

    class Recording(torch.optim.SGD):
        def step(self, closure=None):
            weight = self.param_groups[0]["params"][0]
            before = weight.detach().clone()
            super().step(closure)
            weights.append(float((weight.detach() - before).mean()))

    def slope(generator, styles, condition, normal):
        return generator.paint.weight.sum()

    class Flat(Nonsaturating):
        @staticmethod
        def generator(fake, real=None):
            return fake.sum() * 0

    torch.manual_seed(0)
    system = GAN(
        Styled(),
        dcgan.Discriminator(32, 1, 4),
        Flat(),
        partial(Recording, lr=1.0),
        torch.optim.Adam,
        generator_penalties={"slope": slope},
        intervals={"slope": 4},
        kimg=0.064,
    )
    data = synthetic(num=32, resolution=32, channels=1, batch_size=8, seed=0)
    make_trainer("cpu").fit(system, datamodule=data)
    assert weights == pytest.approx([0.0, -4.0, *[0.0] * 4, -4.0, *[0.0] * 3], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing_probability": 1.5}, r"mixing_probability must be from 0\.0 to 1\.0"),
        ({"intervals": {"r2": 4}}, r"intervals names no penalty"),
        *(
            (
                {"generator_penalties": {"a": max}, "intervals": {"a": every}},
                rf"model\.intervals\.a must be a whole number .*, got {every}",
            )
            for every in (0, -2, 1.5, True)
        ),
        (
            {"generator_penalties": {"a": partial(max, weight=-2.0)}},
            r"model\.generator_penalties\.a\.weight must be at least 0, got -2\.0",
        ),
        ({"critic_steps": 0}, r"critic_steps must be at least 1"),
        ({"penalties": {"a": 1}, "generator_penalties": {"a": 1}}, r"share \['a'\]"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    adam = torch.optim.Adam
    with pytest.raises(ValueError, match=message):
        GAN(Styled(), dcgan.Discriminator(32, 1, 4), Nonsaturating(), adam, adam, **options)


def test_mixing_without_styles_is_refused():
    networks = dcgan.Generator(32, 1, 8, 4), dcgan.Discriminator(32, 1, 4)
    adam = torch.optim.Adam
    with pytest.raises(ValueError, match=r"mixing_probability=0\.9 needs a generator with styles"):
        GAN(*networks, Nonsaturating(), adam, adam, mixing_probability=0.9)
