"""Two ranks are one process with the double batch: every model whose samples do not mix.

Where they do mix, in a relativistic loss or batch statistics, two ranks are one process that
averages the gradients of the two shards. `test_ddp.py` has the fully connected GAN and DCGAN,
`test_growing_ddp.py` ProGAN.
"""

import csv
import math
import socket
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mirrors import FASHION
from processes import two_ranks
from rank_runs import (
    ACCUMULATED,
    CALM,
    ELSEWHERE,
    MODELS,
    left,
    precision_of,
    rank_work,
    rank_work_in_parts,
    trained,
)
from torch.nn import functional as F

from ganlab.cli import conf_dir
from ganlab.data.batch import Batch
from ganlab.features import FashionVGG
from ganlab.losses import LeastSquares, diversity, reconstruction
from ganlab.networks import dcgan, msg_gan, semantic_pyramid, vae
from ganlab.systems.randomness import StepRandomness
from ganlab.systems.semantic import PyramidFeatures

RECIPE_HAS = {
    "stylegan": ["penalty/r1", "growth/level"],
    "stylegan2": ["penalty/r1", "penalty/path_length"],
    "stylegan2_ada": ["augment/p", "augment/r_t"],
    "r3gan": ["penalty/r1", "penalty/r2"],
    "msg_gan": ["penalty/gradient_penalty", "penalty/drift"],
}


def trained_by(work, folder):
    """The folder in which a pair of processes has worked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (folder / "port").write_text(str(free.getsockname()[1]))
    two_ranks(work, folder)
    return folder


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Every recipe trained by one pair of processes."""
    return trained_by(rank_work, tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def ranks_in_parts(tmp_path_factory):
    """The same of those that go by parts of a batch."""
    return trained_by(rank_work_in_parts, tmp_path_factory.mktemp("parts"))


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def assert_equal(two, one, name):
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-5, msg=lambda text: f"{name}: {text}")
    elif isinstance(one, dict):
        assert two.keys() == one.keys()
        for key in one:
            assert_equal(two[key], one[key], f"{name}.{key}")
    else:
        assert two == one, name


def curves(run):
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    return [{name: float(cell) for name, cell in row.items() if cell} for row in rows]


@pytest.mark.parametrize("name", list(MODELS))
def test_two_ranks_equal_one_process_with_the_double_batch(ranks, tmp_path, name):
    """Weights, running means of styles and path lengths, and what is logged of both networks."""
    with precision_of(name):
        trained(tmp_path, *MODELS[name], *CALM)
    assert_same_run(ranks / name, tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ACCUMULATED))
def test_two_ranks_in_two_parts_equal_one_process_with_the_whole_batch(
    ranks_in_parts, tmp_path, name
):
    """Of the same, without a part: the step of eight images, two at a time on each rank."""
    with precision_of(name):
        trained(tmp_path, *ACCUMULATED[name], *CALM)
    assert_same_run(ranks_in_parts / name, tmp_path, name)


def assert_same_run(run, other, name):
    one, two = left(other), left(run)
    assert two["images_seen"] == one["images_seen"]
    assert_equal(two["state_dict"], one["state_dict"], name)
    ours, theirs = curves(run), curves(other)
    assert len(ours) == len(theirs) > 1
    names = {"loss/generator", "sign/fake", "grad_norm/discriminator", *RECIPE_HAS.get(name, [])}
    assert names <= set().union(*theirs)
    for row, other in zip(ours, theirs, strict=True):
        assert row.keys() == other.keys()
        for key in row:
            assert math.isclose(row[key], other[key], rel_tol=1e-3, abs_tol=1e-5), key


def hinge(real, fake):
    """Eq. of the relativistic average hinge, written out."""
    above, below = real - fake.mean(), fake - real.mean()
    return F.relu(1 - above).mean() + F.relu(1 + below).mean()


def averaged(network, losses):
    network.zero_grad()
    for loss in losses:
        (loss / len(losses)).backward()


def notes_of(run):
    """What each rank trained on, batch by batch: pairs of notes."""
    return list(zip(*(torch.load(run / f"notes{rank}.pt") for rank in (0, 1)), strict=True))


def test_a_relativistic_loss_equals_one_process_that_averages_the_shards_gradients(ranks):
    run = ranks / "relativistic"
    torch.manual_seed(0)  # the networks as the recipe makes them
    generator = msg_gan.Generator(16, 3, latent_dim=8, width=4, max_width=8)
    discriminator = msg_gan.Discriminator(16, 3, width=4, max_width=8, group_size=2)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=0.003, betas=(0.0, 0.99), eps=1e-3)
        for network in (generator, discriminator)
    ]
    for shards in notes_of(run):
        reals = [discriminator.views(shard["image"]) for shard in shards]
        losses = []
        for shard, real in zip(shards, reals, strict=True):
            fake = [image.detach() for image in generator(shard["latents"]["discriminator"])]
            losses.append(hinge(discriminator(real), discriminator(fake)))
        averaged(discriminator, losses)
        optimizers[1].step()
        losses = [
            hinge(discriminator(generator(shard["latents"]["generator"])), discriminator(real))
            for shard, real in zip(shards, reals, strict=True)
        ]
        averaged(generator, losses)
        optimizers[0].step()
    state = left(run)["state_dict"]
    for prefix, network in (("generator", generator), ("discriminator", discriminator)):
        for name, value in network.state_dict().items():
            assert_equal(state[f"{prefix}.{name}"], value, name)


def test_the_vae_equals_one_process_that_averages_the_shards_gradients(ranks):
    """Its batch norm takes the statistics of a shard; each rank has rows of the step's noise."""
    run = ranks / "vae"
    torch.manual_seed(0)  # the networks as the recipe makes them
    encoder = vae.Encoder(32, 3, latent_dim=8, width=4, max_width=512)
    decoder = dcgan.Generator(32, 3, latent_dim=8, width=4, max_width=512)
    both = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(both, lr=0.001, betas=(0.9, 0.999), eps=1e-3)
    for step, shards in enumerate(notes_of(run)):
        losses = []
        for rank, images in enumerate(shards):
            mean, log_variance = encoder(images)
            noise = StepRandomness(0, 8 * step, rank, 2).latents(decoder, "code", len(images))
            found = decoder(mean + (log_variance / 2).exp() * noise)
            apart = (found - images).square().sum((1, 2, 3)) / 2
            told = (log_variance.exp() + mean.square() - 1 - log_variance).sum(1) / 2
            losses.append((apart + told).mean())
        optimizer.zero_grad()
        (sum(losses) / 2).backward()
        optimizer.step()
    state = left(run)["state_dict"]
    for prefix, network in (("encoder", encoder), ("generator", decoder)):
        for name, value in network.named_parameters():
            assert_equal(state[f"{prefix}.{name}"], value.detach(), name)


def test_every_model_that_trains_is_asked_of_two_ranks():
    configs = (conf_dir() / "model").glob("[!_]*.yaml")
    trained_ones = {path.stem for path in configs if "Pretrained" not in path.read_text()}
    words = {word for each in MODELS.values() for word in each}
    missing = {name for name in trained_ones - ELSEWHERE.keys() if f"model={name}" not in words}
    assert not missing
    assert ELSEWHERE.keys() <= trained_ones


@dataclass
class Shard:
    """A whole process of its own: networks, whose power iterations advance, and what it is told."""

    rank: int

    def __post_init__(self):
        torch.manual_seed(0)
        self.conditioner = PyramidFeatures(FashionVGG(), crop_probability=0.5)
        self.conditioner.extractor.prepare()
        self.conditioner.extractor.double()
        narrow = {"resolution": 32, "num_classes": 10, "width": 4, "max_width": 8}
        self.generator = semantic_pyramid.Generator(
            stages=FASHION, latent_dim=8, embedding_dim=8, **narrow
        )
        self.discriminator = semantic_pyramid.Discriminator(**narrow)
        self.optimizers = {
            network: torch.optim.Adam(network.parameters(), 1e-4, betas=(0.0, 0.999), eps=1e-3)
            for network in (self.generator, self.discriminator)
        }

    def see(self, note, images_seen):
        draws = StepRandomness(0, images_seen, self.rank, 2)
        self.conditioner._system = SimpleNamespace(randomness=draws, device=torch.device("cpu"))
        batch = Batch(note["image"].double(), None, note["index"])
        (self.batch, self.told), self.latents = self.conditioner(batch), note["latents"]

    def loss_of_discriminator(self):
        with torch.no_grad():
            fake = self.generator(self.latents["discriminator"], self.told)
        real_logits = self.discriminator(self.batch.image, self.told)
        fake_logits = self.discriminator(fake, self.told)
        return LeastSquares().discriminator(real_logits, fake_logits)

    def loss_of_generator(self):
        latents = self.latents["generator"]
        images = self.generator(latents, self.told)
        terms = [
            term(images, latents, self.told, self.conditioner.stages)
            for term in (partial(reconstruction, standardize="concatenation"), diversity)
        ]
        logits = self.discriminator(images, self.told)
        return LeastSquares().generator(logits, None) + sum(terms)


def step_together(networks, losses, optimizers):
    """Every process descends the mean of all their gradients; without one, nothing moves."""
    for network, loss in zip(networks, losses, strict=True):
        network.zero_grad()
        loss.backward()
    for same in zip(*(network.parameters() for network in networks), strict=True):
        found = [each.grad for each in same]
        if found[0] is not None:
            mean = torch.stack(found).mean(0)
            for each in same:
                each.grad = mean.clone()
    for optimizer in optimizers:
        optimizer.step()


def train_together(shards, notes):
    for step, both in enumerate(notes):
        for shard, note in zip(shards, both, strict=True):
            shard.see(note, 2 * len(note["image"]) * step)
        for name in ("discriminator", "generator"):
            networks = [getattr(shard, name) for shard in shards]
            losses = [getattr(shard, f"loss_of_{name}")() for shard in shards]
            optimizers = [
                shard.optimizers[network] for shard, network in zip(shards, networks, strict=True)
            ]
            step_together(networks, losses, optimizers)


def test_the_pyramid_equals_one_process_that_averages_the_shards_gradients(ranks):
    """Batch norm's statistics and the pairs of the diversity loss are those of a shard."""
    run = ranks / "pyramid"
    with precision_of("pyramid"):
        shards = [Shard(0), Shard(1)]
        train_together(shards, notes_of(run))
    state = left(run)["state_dict"]
    for name in ("discriminator", "generator"):
        for key, value in getattr(shards[0], name).named_parameters():
            assert_equal(state[f"{name}.{key}"], value.detach(), key)
