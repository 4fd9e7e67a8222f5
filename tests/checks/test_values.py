"""Every key of every model's config with values that no run can have: one line that names the key.

Or a run: never a traceback, a hang, or a file outside the run's directory. Keys are found in the
composed configs; values are a curated list and, bounded and seeded, whatever hypothesis thinks of.
"""

import shutil

import fuzzing
import pytest
import torch
from fuzzing import NASTY, altered, drawn, keys, meanings, parent_of, tiny, verdict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from ganlab.checks.ranges import RANGES, numbers, range_problem, text_of
from ganlab.cli import conf_dir
from ganlab.config import ConfigError
from ganlab.run import train

MODELS = sorted(
    path.stem
    for path in (conf_dir() / "model").glob("[!_]*.yaml")
    if "Pretrained" not in path.read_text()  # which makes images and is not trained
)
QUICK = ("dcgan", "progan", "vae", "vanilla")  # a system, growth and a loss of every kind
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner)
)

pytestmark = pytest.mark.usefixtures("hydra_is_clean")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A run directory below the working one; what a run leaves elsewhere in it is found."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ganlab.runs.outcome.write_report", lambda directory: None)
    return tmp_path


def problem(config, key, value, bench):
    """What is wrong with how a value ends, files beside the run's directory included, or None."""
    wrong = fuzzing.problem(train, config, key, value)
    left = [path for path in bench.iterdir() if path.name not in ("run", "cache")]
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if left and not key.endswith(("directory", "cache_dir", "cache")):  # keys of places
        return f"{key}={text_of(value)}: left {[path.name for path in left]}"
    return wrong


@pytest.mark.parametrize(
    "model",
    [model if model in QUICK else pytest.param(model, marks=pytest.mark.slow) for model in MODELS],
)
def test_a_sample_of_values_runs_or_is_refused_by_its_key(model, bench):
    config = tiny(model, bench / "run")
    found = [problem(config, key, value, bench) for key, value in drawn(config, 0.01, seed=0)]
    assert not list(filter(None, found))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", MODELS)
def test_every_value_of_every_key_runs_or_is_refused_by_its_key(model, bench):
    """A key that a model before has alike, target and value, is tried with the first of them."""
    configs = {name: tiny(name, bench / "run") for name in MODELS[: MODELS.index(model) + 1]}
    config = configs.pop(model)
    before = {pair for each in configs.values() for pair in meanings(each).items()}
    fresh = [key for key, meaning in meanings(config).items() if (key, meaning) not in before]
    found = [problem(config, key, value, bench) for key in fresh for value in NASTY]
    assert not list(filter(None, found))


@pytest.mark.parametrize("examples", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_whatever_hypothesis_thinks_of_runs_or_is_refused(examples, bench):
    configs = {model: tiny(model, bench / "run") for model in MODELS}
    places = [(model, key) for model, config in configs.items() for key in keys(config)]

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.sampled_from(places), ANYTHING)
    def holds(place, value):
        model, key = place
        assert problem(configs[model], key, value, bench) is None

    holds()


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        ("dcgan", "model.generator_optimizer.lr", "abc"),
        ("dcgan", "model.generator_optimizer.betas", []),
        ("dcgan", "model.generator_optimizer.betas", [0.5, 1.0]),
        ("dcgan", "model.generator.channels", 0),
        ("dcgan", "model.generator.latent_dim", 0),
        ("dcgan", "data.batch_size", 10**12),
        ("dcgan", "allow_targets", [-1, 2]),
        ("dcgan", "callbacks.health.num", 10**12),
        ("dcgan", "callbacks.sample_grid.every_kimg", float("inf")),
        ("progan", "model.growth.fade_kimg", float("nan")),
        ("progan", "model.penalties.gradient_penalty", "abc"),
        ("progan", "model.penalties.gradient_penalty", {"_target_": "torch.nn.ReLU"}),
        ("progan", "model.penalties.gradient_penalty.target", 1e-320),
        ("stylegan", "model.generator.norm.eps", 0),
        ("stylegan2", "model.generator.mapping_layers", 10**9),
        ("stylegan2", "model.generator.clamp", 1e-320),
        ("vae", "model.encoder", 5),
        ("vae", "metrics.num_fake", None),
        ("vae", "logger", 0.5),
        ("dcgan", "trainer", {}),
        ("dcgan", "metrics", {}),
        ("dcgan", "metrics.metrics", {}),
        ("dcgan", "scores.suite", {"_target_": "ganlab.features.Classifier"}),
        ("dcgan", "metrics.extractor", {"_target_": "ganlab.metrics.Rarity"}),
        ("dcgan", "data", {}),
    ],
)
def test_a_value_that_no_run_can_have_is_refused_by_its_own_key(model, key, value, bench):
    with pytest.raises(ConfigError) as caught:
        train(altered(tiny(model, bench / "run"), key, value))
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        "trainer.precision",
        "model.generator.channels",
        "model.discriminator.resolution",
        "model.discriminator.channels",
    ],
)
def test_a_key_taken_out_is_its_default_and_refused_where_that_does_not_fit(key, bench):
    config = OmegaConf.create(OmegaConf.to_container(tiny("dcgan", bench / "run")))
    node, name = parent_of(config, key)
    del node[name]
    said = verdict(train, config, key)
    assert said == ("runs" if key == "trainer.precision" else "refused")


def test_a_rate_of_zero_is_a_rate_of_growing_networks_too(bench):
    """Their schedule multiplies by a share of the rate, which 0 has none of."""
    config = altered(tiny("progan", bench / "run"), "model.generator_optimizer.lr", 0)
    assert train(config)["status"] == "done"


def test_more_memory_than_there_is_is_refused_before_it_is_asked_for(bench, monkeypatch):
    config = tiny("dcgan", bench / "run")
    monkeypatch.setattr("ganlab.runs.admission.available", lambda accelerator: 1000)
    with pytest.raises(ConfigError, match=r"memory .* lower data\.batch_size=8"):
        train(config)


def test_the_least_memory_is_below_what_a_step_takes_and_grows_with_the_batch():
    """Of linear layers by hand: weights, gradients and two moments; the batch; each output once."""
    from ganlab.networks.vanilla import Discriminator, Generator
    from ganlab.systems.memory import layers

    with torch.device("meta"):
        options = {"resolution": 8, "channels": 1, "hidden": [16]}
        pair = torch.nn.Module()
        pair.generator = Generator(latent_dim=4, **options)
        pair.discriminator = Discriminator(**options, pieces=None, dropout=0.0, input_dropout=0.0)
        pair.generator_ema = pair.generator
        pair.networks = lambda: {"generator": pair.generator, "discriminator": pair.discriminator}
    assert layers(pair, 6) == 2 * layers(pair, 3) > 0


def test_numbers_of_a_key_are_checked_at_any_depth_and_what_is_built_is_not():
    assert list(numbers([1, [2.5, {"a": 3, "b": True}], "x", None])) == [1, 2.5, 3]
    assert list(numbers({"_target_": "x", "lr": 1e9})) == []
    assert range_problem("model", "betas", [0.0, 1.0]) == str(RANGES["betas"])
    assert range_problem("model", "betas", [0.0, 0.99]) is None
    assert range_problem("scores", "batch_size", 2**17) is not None
    assert range_problem("data", "batch_size", 2**17) is None
    assert range_problem("model", "taps", [1] * 65) == "a list of at most 64"
    assert range_problem("model", "taps", [1] * 64) is None


@pytest.mark.parametrize("value", [10**400, -(10**400), "x" * 10**5, [1] * 10**5])
def test_a_huge_value_is_shown_short(value):
    assert len(text_of(value)) < 100
