"""Every feature extractor keeps the promises of features/base.py; new ones are found unasked."""

import inspect

import pytest
import torch
from omegaconf import OmegaConf

import ganlab.features
from ganlab.cli import conf_dir
from ganlab.features import Extractor, Module, StagedExtractor

BASES = {Extractor, StagedExtractor}
EXTRACTORS = [
    found
    for name in ganlab.features.__all__
    if inspect.isclass(found := getattr(ganlab.features, name))
    and issubclass(found, Extractor)
    and found not in {*BASES, Module}  # of a user's network: test_module.py
]


def each(kinds):
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__)


def on_meta(extractor, n=3):
    """Features and logits of n images without memory, and so without weights."""
    with torch.device("meta"):
        grid = extractor.fitted(torch.empty(n, extractor.channels, 64, 64))
        return extractor.build().eval()(grid)


@each(EXTRACTORS)
def test_construction_is_cheap_and_says_what_scores_record(kind):
    before = torch.get_rng_state()
    extractor = kind()
    assert torch.equal(torch.get_rng_state(), before)
    assert extractor.network is None
    assert not list(extractor.parameters())
    assert extractor.name.isidentifier()
    assert extractor.resize
    assert extractor.channels in (1, 3)


@each(EXTRACTORS)
def test_its_network_gives_as_many_features_as_it_says_and_logits(kind):
    extractor = kind()
    features, logits = on_meta(extractor)
    assert features.shape == (3, extractor.feature_dim)
    assert logits.ndim == 2
    assert len(logits) == 3
    if issubclass(kind, StagedExtractor):
        assert logits.shape[1] == extractor.num_classes
    if extractor.class_names:
        assert len(extractor.class_names) == logits.shape[1]


@each([kind for kind in EXTRACTORS if issubclass(kind, StagedExtractor)])
def test_stages_are_those_it_names_and_end_in_the_logits(kind):
    extractor = kind()
    shapes = extractor.stage_shapes(64)
    assert tuple(shapes) == extractor.stage_names
    assert shapes[extractor.stage_names[-1]] == (extractor.num_classes,)
    sizes = [shape[-1] for shape in shapes.values() if len(shape) == 3]
    assert sizes == sorted(sizes, reverse=True)


@each(EXTRACTORS)
def test_it_stays_in_evaluation_mode_and_takes_no_memory_before_it_is_asked(kind):
    extractor = kind().train()
    assert not extractor.training
    assert extractor.state_dict() == {}


@each(EXTRACTORS)
def test_a_config_chooses_it(kind):
    configs = [OmegaConf.load(path) for path in (conf_dir() / "features").glob("[!_]*.yaml")]
    assert f"ganlab.features.{kind.__name__}" in {config.get("_target_") for config in configs}
