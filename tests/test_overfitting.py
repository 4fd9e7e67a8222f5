"""Whether the discriminator learns its images by heart: training against held out."""

import csv

import composing
import pytest
import torch

from ganlab.callbacks import Overfitting
from ganlab.callbacks.overfitting import overfitting
from ganlab.config import build
from ganlab.networks.base import Condition
from ganlab.nn.randomness import keyed_generator
from ganlab.run import train
from ganlab.runs.classes import count_classes
from ganlab.runs.recipes import build_system, check_config

NUM = 6
EMOJI = {"_target_": "ganlab.data.emoji", "variants": False, "resolution": 64}
SMALL = [
    "data=emoji",
    "data.split=train",
    "data.variants=false",
    "data.batch_size=8",
    "kimg=0.016",
    "scores=null",
    "trainer=cpu",
    "callbacks=none",
    "+callbacks.overfitting._target_=ganlab.callbacks.Overfitting",
    "+callbacks.overfitting.every_kimg=0.008",
    f"+callbacks.overfitting.num={NUM}",
    "+callbacks.overfitting.batch_size=4",
]


def test_the_measure_goes_from_images_of_training_to_generated_ones():
    """Equation 1 by hand: (3 - 1) / (3 + 1); equal to training: 0; equal to fakes: 1."""
    training, held_out = torch.tensor([2.0, 4.0]), torch.tensor([0.0, 2.0])
    fakes = torch.tensor([-3.0, 1.0])
    assert overfitting(training, held_out, fakes) == 0.5
    assert overfitting(training, training.flip(0), fakes) == 0.0
    assert overfitting(training, fakes, fakes) == 1.0


def images_of(data, count):
    """The first of those that the observer chooses, and their classes."""
    chosen = torch.randperm(len(data.dataset), generator=keyed_generator("overfitting", 0))
    chosen = chosen[:count].sort().values
    return data.dataset.images(chosen) / 127.5 - 1, torch.as_tensor(data.dataset.labels)[chosen]


@pytest.mark.parametrize("conditional", [False, True], ids=["plain", "classes"])
def test_what_is_logged_is_what_the_final_discriminator_says(conditional, tmp_path):
    """Its logits computed from the checkpoint: reals of both sides, none of them in both."""
    words = ["model=stylegan2", *SMALL, *(["model/conditioner=labels"] if conditional else [])]
    config = composing.composed("train", words, tmp_path)
    train(config)
    with (tmp_path / "metrics.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    settings = check_config(count_classes(config), "train")
    system = build_system(settings)
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    system.load_state_dict(checkpoint["state_dict"])
    networks = system.discriminator.eval(), system.generator_ema
    told = {"training": {}, "held_out": {"split": "test"}}
    for name, changed in told.items():
        data = build({**settings["data"], **changed}, "data")
        data.prepare_data()
        data.setup("fit")
        images, labels = images_of(data, NUM)
        condition = Condition(label=labels) if conditional else None
        expected = networks[0](images[:4], condition and Condition(label=labels[:4]))
        rest = networks[0](images[4:], condition and Condition(label=labels[4:]))
        assert float(row[f"logit/{name}"]) == pytest.approx(
            torch.cat([expected, rest]).mean().item(), rel=1e-4, abs=1e-5
        )
    mean = {name: float(row[f"logit/{name}"]) for name in (*told, "generated")}
    assert len({*mean.values()}) == 3
    measure = (mean["training"] - mean["held_out"]) / (mean["training"] - mean["generated"])
    assert float(row["overfitting"]) == pytest.approx(measure, rel=1e-4)


def test_a_run_that_is_watched_so_ends_at_the_same_weights(tmp_path):
    ends = []
    for name, words in {"watched": SMALL, "alone": SMALL[:-4]}.items():
        train(composing.composed("train", ["model=stylegan2", *words], tmp_path / name))
        checkpoint = torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True)
        ends.append(checkpoint["state_dict"])
    assert all(torch.equal(ends[0][name], tensor) for name, tensor in ends[1].items())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["data=synthetic", "model=dcgan"], r"callbacks\.overfitting .* data=synthetic"),
        (["data=emoji", "model=dcgan"], r"callbacks\.overfitting .* data\.split=train"),
        (
            ["data=emoji", "data.split=train", "model=vae"],
            r"callbacks\.overfitting .*discriminator",
        ),
        (["data=emoji", "data.split=train", "model=lapgan"], r"callbacks\.overfitting .*alone"),
    ],
    ids=["no sides", "both sides", "no discriminator", "parts of reals"],
)
def test_what_cannot_be_measured_is_refused_by_name(words, named, tmp_path):
    kept = [word for word in SMALL if not word.startswith("data")]
    with pytest.raises(ValueError, match=named):
        train(composing.composed("train", [*words, "data.batch_size=8", *kept], tmp_path))


@pytest.mark.parametrize(("name", "value"), [("num", 1), ("batch_size", 0), ("every_kimg", 0)])
def test_numbers_that_cannot_be_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Overfitting(**{"every_kimg": 1.0, name: value})


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_emoji_lies_on_both_sides(split):
    data = build({**EMOJI, "split": split, "num": 40}, "data")
    other = data.held_out()
    data.prepare_data()
    data.setup("fit")
    mine = {image.numpy().tobytes() for image in data.dataset.images(torch.arange(40))}
    theirs = other.dataset.images(torch.arange(len(other.dataset)))
    assert len(theirs) > 700, "data.num is of this side alone"
    assert not mine & {image.numpy().tobytes() for image in theirs}
    assert {data.source.split, other.source.split} == {"train", "test"}
