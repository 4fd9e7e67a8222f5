"""`study.label` and `study.labels`: which classes a conditional generator is told."""

import json

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from pyramid_toys import Mirror
from study_toys import ConvGenerator, Data, System, suite, trainer
from styled_toys import run, small_stylegan2

from ganlab.cli import conf_dir
from ganlab.features import FashionVGG
from ganlab.networks.base import Condition
from ganlab.sampling import Sampler
from ganlab.studies import ActivationRates, Samples, Scores, SequentialAblation, Study, Truncation
from ganlab.systems.conditioning import Labels
from ganlab.systems.semantic import PyramidFeatures

STUDIES = sorted(path.stem for path in (conf_dir() / "study").glob("[!_]*.yaml"))
COLOURS = ("amber", "blue", "brown")


def told(*labels):
    """What addresses 0, 1, ... are told, said one by one."""
    return lambda addresses: Condition(label=torch.tensor([labels[i] for i in addresses]))


def test_chosen_classes_take_the_place_of_those_by_address():
    generator = small_stylegan2(num_labels=3)
    sampler = Sampler(generator, condition_at=Labels(3).at)
    expected = Sampler(generator, condition_at=told(2, 0, 2, 0, 2)).images(range(5))
    chosen = Sampler(generator, condition_at=Labels(3).at, labels=[2, 0])
    assert torch.equal(chosen.images(range(5)), expected)
    assert torch.equal(chosen.paint(chosen.styles(range(5)), range(5)), expected)
    assert not torch.equal(sampler.images(range(5)), expected)
    assert Sampler(generator, labels=[1]).condition([7]).label.tolist() == [1]
    assert chosen.stated.endswith("told class 2, 0")


def test_everything_else_that_is_told_stays():
    coarse = torch.ones(1, 1, 4, 4)
    sampler = Sampler(
        small_stylegan2(num_labels=3),
        condition_at=lambda addresses: Condition(torch.zeros(1, dtype=torch.int64), coarse=coarse),
        labels=[1],
    )
    assert sampler.condition([0]).label.tolist() == [1]
    assert sampler.condition([0]).coarse is coarse


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({"label": 1}, [1]),
        ({"label": "blue"}, [1]),
        ({"labels": [2, "amber"]}, [2, 0]),
        ({"labels": 2}, [2]),
    ],
)
def test_a_study_paints_the_classes_that_are_named(tmp_path, options, labels):
    generator = small_stylegan2(num_labels=3)
    question = Samples(directory=tmp_path, num=4, form="npz", **options)
    run(question, generator, Labels(3, COLOURS))
    found = np.load(tmp_path / "samples.npz")
    assert found["arr_1"].tolist() == (labels * 4)[:4]
    expected = Sampler(generator, labels=labels).images(range(4)).clamp(-1, 1)
    assert np.abs(found["arr_0"][..., 0] - (expected[:, 0].numpy() + 1) * 127.5).max() <= 0.5 + 1e-3
    assert json.loads((tmp_path / "samples.json").read_text())["labels"] == labels


def test_words_are_the_datas_where_the_generator_has_none():
    class Named(Data):
        content_key = "known"

        def __init__(self):
            super().__init__()
            self.dataset.class_names = ["cat", "dog", "eel"]

    class Closed(Data):
        @property
        def content_key(self):
            raise AssertionError("numbers need no images")

    for label, data in (("dog", Named()), (1, Closed())):
        system, study = System(small_stylegan2(num_labels=3)), Study(Samples(num=1, label=label))
        system.conditioner = Labels(3)
        trainer(study).test(system, datamodule=data, verbose=False)
        assert study.bench(study_trainer(study, data), system).labels == [1]


def test_a_number_written_as_text_is_that_number():
    """A data set's names may be numbers in another order, as folders sort: 0, 10, 2."""

    class Folders(Data):
        content_key = "known"

        def __init__(self):
            super().__init__()
            self.dataset.class_names = ["0", "10", "2"]

    system = System(small_stylegan2(num_labels=3))
    system.conditioner = Labels(3)
    for labels in ([2, 1], ["2", "1"], [2, "1"]):
        study = Study(Samples(num=1, labels=labels))
        assert study.bench(study_trainer(study, Folders()), system).labels == [2, 1]


def study_trainer(study, data):
    found = trainer(study)
    found.datamodule = data
    return found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 3}, r"study\.label=3 is no class; there are 3: amber, blue, brown"),
        ({"labels": [0, "green"]}, r"study\.labels=green is no class"),
        ({"label": -1}, r"study\.label=-1 is no class"),
    ],
)
def test_an_unknown_class_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(Samples(num=1, **options), small_stylegan2(num_labels=3), Labels(3, COLOURS))


def test_classes_of_an_unconditional_generator_are_refused():
    with pytest.raises(ValueError, match=r"study\.label=1: this .* is unconditional"):
        run(Truncation(suite=None, label=1), small_stylegan2())
    with pytest.raises(ValueError, match=r"study\.label: .* is not told any class"):
        Sampler(ConvGenerator(), labels=[0])


def test_two_answers_and_no_class_are_refused():
    with pytest.raises(ValueError, match=r"study\.label and study\.labels are two answers"):
        Samples(label=1, labels=[2])
    with pytest.raises(ValueError, match=r"study\.labels=\[\] names no class"):
        Samples(labels=[])


def test_scores_say_the_class_they_are_of():
    generator = small_stylegan2(num_labels=3)
    found = {}
    for label in (None, 0, 1):
        study, system = Scores(suite(), label=label), System(generator)
        system.conditioner = Labels(3)
        trainer(study).test(system, datamodule=Data(), verbose=False)
        found[label] = study.records[0]["value"]
        assert study.records[0].get("classes") == (None if label is None else str(label))
    assert len(set(found.values())) == 3


def test_rates_and_detections_of_other_classes_are_refused(tmp_path):
    generator, labels = small_stylegan2(num_labels=3), Labels(3)
    run(ActivationRates(directory=tmp_path, num_latents=8, label=1), generator, labels)
    given = {"rates_file": tmp_path, "num_latents": 8, "latents": [1], "rates": [0.5]}
    run(SequentialAblation(**given, label=1), generator, labels)
    with pytest.raises(ValueError, match=r"their study\.label is 1, not 2"):
        run(SequentialAblation(**given, label=2), generator, labels)
    with pytest.raises(ValueError, match=r"their study\.label is 1, not None"):
        run(SequentialAblation(**given), generator, labels)


def test_a_semantic_pyramid_is_told_its_classifiers_classes():
    """Its conditioner tells features too; what is chosen is the class alone."""
    conditioner = PyramidFeatures(FashionVGG())
    assert conditioner.class_names[8] == "Bag"
    system, study = System(Mirror()), Study(Samples(num=2, label="Bag"))
    system.conditioner = conditioner
    assert study.bench(study_trainer(study, Data()), system).sampler.labels == [8]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_options(study):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("evaluate", [f"study={study}", "study.label=1", "ckpt=x"])
    assert {"label", "labels"} <= set(config.study)
