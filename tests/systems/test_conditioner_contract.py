"""Every conditioner keeps the promises of systems/conditioning.py; new ones are found unasked."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
import torch
from mirrors import FASHION
from torch import Tensor

import ganlab.systems
from ganlab.config import MODEL_PARTS
from ganlab.data.batch import Batch
from ganlab.features import FashionVGG
from ganlab.networks import semantic_pyramid
from ganlab.systems.conditioning import Conditioner
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.stored_images import Positions

MODULES = [
    importlib.import_module(f"ganlab.systems.{found.name}")
    for found in pkgutil.iter_modules(ganlab.systems.__path__)
]
KINDS = sorted(
    {
        member
        for module in MODULES
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Conditioner) and member.__module__ == module.__name__
    },
    key=lambda kind: kind.__name__,
)
# Values by parameter name; one that is not here must have a default.
GIVEN = {"num_labels": 3, "extractor": FashionVGG}
NUM, SIDE = 6, 32


def each(kinds):
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__)


@pytest.fixture
def batch():
    rng = torch.Generator().manual_seed(3)
    images = torch.rand(NUM, 1, SIDE, SIDE, generator=rng) * 2 - 1
    return Batch(images, torch.arange(NUM) % 3, torch.arange(NUM))


@pytest.fixture
def serving(batch, kind):
    """A conditioner of the kind that serves a small system."""
    taken = inspect.signature(kind).parameters if "__init__" in vars(kind) else {}
    missing = [n for n, p in taken.items() if p.default is p.empty and n not in GIVEN]
    assert not missing, f"say in GIVEN of this file what a {kind.__name__} is given: {missing}"
    values = {name: GIVEN[name] for name in taken if name in GIVEN}
    values = {name: each() if inspect.isclass(each) else each for name, each in values.items()}
    small = {"latent_dim": 4, "embedding_dim": 4, "width": 4, "max_width": 8}
    generator = semantic_pyramid.Generator(SIDE, 1, FASHION, num_classes=10, **small)
    stored = ((batch.image + 1) * 127.5).round().to(torch.uint8)
    data = SimpleNamespace(dataset=Stored(stored))
    conditioner = kind(**values)
    draws, cpu = StepRandomness(0, 0, 0, 1), torch.device("cpu")
    system = SimpleNamespace(generator=generator, device=cpu, data=data, randomness=draws)
    conditioner.preflight()
    conditioner.attach(system)
    return conditioner


class Stored:
    """The images of the batch as a data set has them."""

    def __init__(self, images: Tensor):
        self.stored = images

    def __len__(self) -> int:
        return len(self.stored)

    def images(self, rows: Tensor) -> Tensor:
        return self.stored[rows]


def tensors(condition):
    """Every tensor of a condition, by name."""
    for name, value in vars(condition).items():
        parts = value if isinstance(value, Mapping) else {"": value}
        yield from ((f"{name}.{part}", each) for part, each in parts.items() if each is not None)


@each(KINDS)
def test_what_is_trained_on_are_images_of_the_batch_each_with_its_condition(kind, serving, batch):
    kept, condition = serving(batch)
    assert len(kept) == len(kept.image) == len(kept.index)
    assert torch.equal(kept.image, batch.image[kept.index])
    for name, value in tensors(condition) if condition is not None else ():
        assert len(value) == len(kept), name


@each(KINDS)
def test_a_step_tells_the_same_whenever_it_is_asked_and_leaves_the_global_stream(
    kind, serving, batch
):
    before = torch.get_rng_state()
    first, second = serving(batch), serving(batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0].index, second[0].index)
    pairs = zip(*(dict(tensors(c)).items() for _, c in (first, second) if c), strict=True)
    for (name, one), (_, other) in pairs:
        assert torch.equal(one, other), name


@each([kind for kind in KINDS if kind.at is not None])
def test_an_address_is_told_the_same_in_any_batch(kind, serving):
    together, alone = serving.at([4, 1, 5]), serving.at([1])
    for (name, several), (_, one) in zip(tensors(together), tensors(alone), strict=True):
        torch.testing.assert_close(several[1:2], one, msg=lambda text, name=name: f"{name} {text}")
        assert len(several) == 3


@each([kind for kind in KINDS if kind.references is not None])
def test_references_are_what_addresses_are_told_of(kind, serving, batch):
    found = serving.references([NUM + 2, 0])
    torch.testing.assert_close(found, batch.image[[2, 0]], atol=1 / 127, rtol=0)


@each([kind for kind in KINDS if kind not in (Conditioner, Positions)])  # an album's own
def test_a_config_may_name_it(kind):
    assert f"{kind.__module__}.{kind.__name__}" in MODEL_PARTS
