"""From StyleGAN2 to R3GAN: rows of the ladder differ by what they name, sizes are as published."""

from itertools import pairwise

import composing
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from ganlab.cli import conf_dir
from ganlab.config import differences
from ganlab.networks import r3gan
from ganlab.run import build_system, check_config

PLACES = (nn.ModuleDict, nn.ModuleList, nn.Sequential, nn.Identity)
ROWS = [f"huang2024/{row}" for row in ("a", "b", "c1", "c", "d1", "d", "e1", "e")]
BOTH = ("model.generator.", "model.discriminator.")

# Keys of the config that a step of table 2 touches; a prefix stands for all below it.
WIDTHS = {part + key for part in BOTH for key in ("width", "max_width")}
STEPS = {
    "b": {
        *(part for part in BOTH),
        *("model.generator_optimizer.", "model.discriminator_optimizer."),
        *("model.generator_penalties.path_length", "model.intervals.", "model.mixing_probability"),
    },
    "c1": {"model.loss._target_"},
    "c": {"model.penalties.r2"},
    "d1": {part + "plain" for part in BOTH} | WIDTHS,
    "d": {"model.generator.skips"},
    "e1": {part + key for part in BOTH for key in ("expansion", "group_width")},
    "e": {part + "expansion" for part in BOTH} | WIDTHS,
}
# Kinds of modules that a step takes away, and that it adds; other rows change shapes alone.
GONE = {
    "b": {
        *("Block", "StyledConv", "ToImage", "JointMapping", "PixelNorm"),  # styles, noise, of z
        *("EqualizedConv2d", "EqualizedLinear", "MinibatchStd"),
        *("ResidualBlock", "ScaledLeakyReLU"),
    },
    "d1": {"PlainBlock", "PlainDown", "Flatten"},
}
NEW = {
    "b": {
        "Basis",
        "PlainBlock",
        "PlainDown",
        "Activation",
        "Resampling",
        "Conv2d",
        "Linear",
        "Flatten",
    },
    "d1": {"ResidualBlock", "Classifier"},
}
ALIKE = {(row, part) for row in ("c1", "c") for part in ("generator", "discriminator")}
ALIKE |= {("d", "discriminator")}  # networks that a step leaves as they are


pytestmark = pytest.mark.usefixtures("hydra_is_clean")


def settings_of(name):
    words = [f"experiment={name}"]
    return check_config(composing.composed("train", words, "unused"), "train")


@pytest.fixture(scope="module")
def rows():
    return {name: settings_of(name) for name in ROWS}


def built(settings):
    with torch.device("meta"):
        return build_system(settings)


def kinds(system):
    networks = (system.generator, system.discriminator)
    found = [module for network in networks for module in network.modules()]
    return {type(each).__name__ for each in found if not isinstance(each, PLACES)}


def shapes(system, part):
    return [tuple(p.shape) for p in getattr(system, part).parameters()]


def sizes(system):
    """Millions of parameters of G and D."""
    networks = (system.generator, system.discriminator)
    return [sum(p.numel() for p in network.parameters()) / 1e6 for network in networks]


@pytest.mark.parametrize(("lower", "upper"), list(pairwise(ROWS)), ids=lambda name: name[-2:])
def test_rows_differ_by_the_settings_and_the_modules_they_name(rows, lower, upper):
    step = upper.split("/")[1]
    expected = STEPS[step]
    found = {line.split(":")[0] for line in differences(rows[lower], rows[upper])}
    assert not {key for key in found if not key.startswith(tuple(expected))}
    assert all(any(key.startswith(name) for key in found) for name in expected)
    before, after = built(rows[lower]), built(rows[upper])
    gone, new = kinds(before) - kinds(after), kinds(after) - kinds(before)
    assert (gone, new) == (GONE.get(step, set()), NEW.get(step, set()))
    for part in ("generator", "discriminator"):
        same = shapes(before, part) == shapes(after, part)
        assert same == ((step, part) in ALIKE)


def test_the_published_sizes_and_the_table_are_those_of_the_rows(rows):
    table = OmegaConf.load(conf_dir() / "sweep" / "huang2024_ladder.yaml")
    assert table.hydra.sweeper.params.experiment.split(",") == ROWS
    assert list(table.grid.table.labels.experiment) == ROWS
    paper = {entry.experiment: entry for entry in table.grid.table.paper["values"]}
    assert list(paper) == ROWS
    for name, settings in rows.items():
        said = [f"{paper[name][part]:.3f}" for part in ("G", "D")]
        assert [f"{size:.3f}" for size in sizes(built(settings))] == said, name


def test_stripping_leaves_the_backbone_of_stylegan2_as_it_is(rows):
    """B's convolutions of 3x3 are A's, in both networks, but for the channel of the deviation."""

    def threes(name, part):
        found = [shape for shape in shapes(built(rows[name]), part) if shape[2:] == (3, 3)]
        return sorted((out, into - into % 2) for out, into, *_ in found)

    for part in ("generator", "discriminator"):
        assert threes("huang2024/a", part) == threes("huang2024/b", part)


@pytest.mark.parametrize(
    ("resolution", "width", "max_width", "options", "published"),
    [
        (32, 768, 768, {}, (20.73, 20.68)),  # Stacked MNIST
        (32, 768, 768, {"num_labels": 10}, (20.78, 21.28)),  # CIFAR-10
        (256, 96, 768, {}, (23.06, 23.01)),  # FFHQ
        (64, 384, 768, {}, (22.43, 22.38)),
        (32, 1536, 1536, {"num_labels": 1000, "group_width": 32}, (82.91, 86.55)),  # ImageNet
        (64, 1536, 1536, {"num_labels": 1000, "group_width": 32}, (103.57, 107.21)),
    ],
)
def test_networks_of_table_9_are_as_large_as_published(
    resolution, width, max_width, options, published
):
    given = {"width": width, "max_width": max_width, **options}
    with torch.device("meta"):
        pair = (r3gan.Generator(resolution, **given), r3gan.Discriminator(resolution, **given))
    found = [sum(p.numel() for p in each.parameters()) / 1e6 for each in pair]
    assert [f"{size:.2f}" for size in found] == [f"{size:.2f}" for size in published]


@pytest.mark.parametrize("name", ["ffhq256", "ffhq64", "cifar10"])
def test_full_trainings_anneal_as_table_9_says(name):
    system = built(settings_of(f"huang2024/{name}"))
    gamma, p = {"ffhq256": (150, 0.3), "ffhq64": (2, 0.3), "cifar10": (0.05, 0.55)}[name]
    half_life = 5000 if name == "cifar10" else 500
    for images, expected in (
        (0, (2e-4, gamma, 0.9, 0.0, 0.0)),
        (20_000_000, (5e-5, gamma / 10, 0.99, half_life, p)),
        (10_000_000, (1.25e-4, gamma * 0.55, 0.945, half_life / 2, p / 2)),
    ):
        system.images_before = images
        found = (
            2e-4 * system.schedule(images),
            system.penalties["r1"].gamma * system.share("r1"),
            0.99 * system.share("beta2"),
            system.ema.half_life_kimg * system.share("ema"),
            system.augment.fixed * system.share("augment"),
        )
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert system.penalties["r2"].gamma == gamma
        assert system.share("r2") == system.share("r1")
