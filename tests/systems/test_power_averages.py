"""Power-function averages: the paper's numbers, quadrature, direct integration, an exact resume."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import vanilla
from ganlab.systems import GAN, Checkpointing, Growth
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.power_averages import PowerAverages, combination, exponent, overlap
from ganlab.systems.trainer import make_trainer


def profile(tau, time, gamma):
    """Eq. 1: the weight of the network of time tau in the average at `time`."""
    return (gamma + 1) * tau**gamma / time ** (gamma + 1) if tau <= time else 0.0


@pytest.mark.parametrize(("length", "gamma"), [(0.05, 16.97), (0.10, 6.94), (0.25, 0.72)])
def test_exponents_are_the_papers(length, gamma):
    """gamma = 16.97 and 6.94 of section 3.1; and the standard deviation by quadrature."""
    found = exponent(length)
    assert found == pytest.approx(gamma, abs=0.01)
    mean = quad(lambda tau: tau * profile(tau, 1.0, found), 0, 1)[0]
    square = quad(lambda tau: (tau - mean) ** 2 * profile(tau, 1.0, found), 0, 1)[0]
    assert square**0.5 == pytest.approx(length, rel=1e-6)


def product(a, p, b, q):
    """Of two profiles, by quadrature."""
    return quad(lambda x: profile(x, a, p) * profile(x, b, q), 0, min(a, b))[0]


def test_overlaps_are_integrals():
    times, gammas = [3.0, 3.0, 8.0, 5.0], [6.94, 16.97, 6.94, 0.5]
    t, g = np.array(times), np.array(gammas)
    found = overlap(t[:, None], g[:, None], t, g)
    for i, (a, p) in enumerate(zip(times, gammas, strict=True)):
        for j, (b, q) in enumerate(zip(times, gammas, strict=True)):
            assert found[i, j] == pytest.approx(product(a, p, b, q), rel=1e-6)


def trajectory(steps, seed=0):
    """Images seen after each of so many uneven steps, and a weight that wanders with them."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(1, 9, steps))
    return [0, *times.tolist()], np.cumsum(rng.normal(size=steps)).tolist()


def integrated(times, values, gamma, until=None):
    """The average by its definition: the integral of tau^gamma times a weight that is a step."""
    edges = np.asarray(times[: until + 1] if until else times, float) ** (gamma + 1)
    share = np.diff(edges) / edges[-1]
    return float(share @ np.asarray(values[: len(share)]))


def followed(times, values, lengths):
    """The averages after every step, by the class."""
    network = nn.Linear(1, 1, bias=False).double()
    averages, found = PowerAverages(lengths), []
    averages.follow(network)
    for before, after, value in zip(times[:-1], times[1:], values, strict=True):
        nn.init.constant_(network.weight, value)
        averages.update(network, before, after)
        found.append([float(each.weight) for each in averages.networks])
    return averages, found


def test_following_is_direct_integration():
    times, values = trajectory(200)
    averages, found = followed(times, values, (0.05, 0.1))
    for at in (1, 7, 200):
        for gamma, value in zip(averages.exponents, found[at - 1], strict=True):
            assert value == pytest.approx(integrated(times, values, gamma, at), rel=1e-9)
    assert found[0] == [values[0]] * 2, "what was before the first step has no weight"


def test_any_length_is_rebuilt_from_kept_averages():
    """Against the average of that length, had it been followed; lengths that were not kept."""
    times, values = trajectory(2000, seed=3)
    averages, found = followed(times, values, (0.05, 0.1))
    kept = range(100, 2001, 100)
    moments = [float(times[at]) for at in kept for _ in range(2)]
    gammas = averages.exponents * len(kept)
    stored = np.array([value for at in kept for value in found[at - 1]])
    spread = np.std(values)
    for length in (0.03, 0.07, 0.12, 0.2):
        weights, error = combination(moments, gammas, moments[-1], exponent(length))
        assert error < 0.05
        direct = integrated(times, values, exponent(length))
        assert weights @ stored == pytest.approx(direct, abs=0.02 * spread)
    earlier = times[1500]
    weights, _ = combination(moments, gammas, float(earlier), exponent(0.08))
    direct = integrated(times, values, exponent(0.08), 1500)
    assert weights @ stored == pytest.approx(direct, abs=0.02 * spread)


def test_a_kept_average_is_itself():
    weights, error = combination([5.0, 5.0, 9.0], [6.94, 16.97, 6.94], 5.0, 16.97)
    assert weights == pytest.approx([0, 1, 0], abs=1e-9)
    assert error == pytest.approx(0, abs=1e-6)
    _, error = combination([5.0], [6.94], 5.0, 16.97)
    assert error > 0.1


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([], r"lengths=\[\] must be some, each once"),
        ([0.1, 0.1], "each once"),
        ([0.3], r"model\.power_averages\.lengths: .* at most 0\.28: 0\.3"),
        ([1e-200], r"model\.power_averages\.lengths: .* at least 0\.0001, .*: 1e-200"),
        ([0.0], "above 0"),
    ],
)
def test_lengths_that_cannot_be_are_refused_by_their_key(lengths, message):
    with pytest.raises(ValueError, match=message):
        PowerAverages(lengths)


def made(kimg, averages=None, **options):
    torch.manual_seed(0)
    sizes = {"resolution": 8, "channels": 1}
    networks = (
        vanilla.Generator(hidden=(8,), latent_dim=4, **sizes),
        vanilla.Discriminator(hidden=(8,), **sizes),
    )
    optimizers = (torch.optim.Adam, torch.optim.Adam)
    given = {"kimg": kimg, "power_averages": averages, **options}
    return GAN(*networks, Nonsaturating(), *optimizers, **given)


def fit(system, directory, ckpt=None):
    data = synthetic(num=40, resolution=8, channels=1, batch_size=8, seed=3)
    trainer = make_trainer("cpu", callbacks=[Checkpointing(directory)])
    trainer.fit(system, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return load_checkpoint(directory / "last.ckpt")["state_dict"]


def test_a_run_is_the_same_beside_them_and_resumes_to_the_bit(tmp_path):
    plain = fit(made(0.08, critic_steps=2), tmp_path / "plain")
    whole = fit(made(0.08, PowerAverages(), critic_steps=2), tmp_path / "whole")
    assert plain.keys() < whole.keys()
    assert all(torch.equal(value, whole[name]) for name, value in plain.items())
    fit(made(0.04, PowerAverages(), critic_steps=2), tmp_path / "half")
    last = tmp_path / "half" / "last.ckpt"
    half = fit(made(0.08, PowerAverages(), critic_steps=2), tmp_path / "half", last)
    assert half.keys() == whole.keys()
    assert all(torch.equal(value, half[name]) for name, value in whole.items())
    first, second = (
        {n: v for n, v in whole.items() if n.startswith(f"power_averages.networks.{at}.")}
        for at in (0, 1)
    )
    assert len(first) == len(second) > 0
    assert not all(map(torch.equal, first.values(), second.values()))


def test_networks_that_grow_are_refused():
    from ganlab.networks import progan

    sizes = {"resolution": 8, "channels": 1, "width": 2, "max_width": 4}
    networks = progan.Generator(latent_dim=4, **sizes), progan.Discriminator(**sizes)
    rest = (Nonsaturating(), torch.optim.Adam, torch.optim.Adam)
    with pytest.raises(ValueError, match=r"model\.power_averages are of networks that do not grow"):
        GAN(*networks, *rest, growth=Growth(8), power_averages=PowerAverages())
