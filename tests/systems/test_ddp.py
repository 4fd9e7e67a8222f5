"""Two processes are one process with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ganlab.networks import dcgan

ROOT = Path(__file__).parents[2]
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
COMMON = [
    "data=synthetic",
    "data.num=64",
    "data.batch_size=8",
    "kimg=0.048",
    "callbacks=none",
    "scores=null",
    "checkpoint_every_kimg=null",
    "+model.penalties.r1._target_=ganlab.losses.r1",
    "+model.penalties.r1._partial_=true",
    "+model.penalties.r1.gamma=1.0",
]
VANILLA = [
    "model=vanilla",
    "data.resolution=16",
    "model.generator.hidden=[32]",
    "model.discriminator.hidden=[16]",
]
DCGAN = [
    "model=dcgan",
    "data.resolution=32",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "~model.penalties.r1",
]


def train(run, *arguments):
    run.mkdir(parents=True)
    notes = [
        "allow_targets=[spies]",
        "+callbacks.notes._target_=spies.Notes",
        f"+callbacks.notes.directory={run}",
    ]
    done = subprocess.run(
        [sys.executable, "train.py", *COMMON, *arguments, *notes, f"hydra.run.dir={run}"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state, [torch.load(path) for path in sorted(run.glob("notes*.pt"))]


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory):
    root = tmp_path_factory.mktemp("vanilla")
    return train(root / "one", *VANILLA), train(root / "two", *VANILLA, *TWO)


@pytest.fixture(scope="module")
def two_rank_dcgan(tmp_path_factory):
    return train(tmp_path_factory.mktemp("dcgan") / "two", *DCGAN, *TWO)


def test_weights_equal_those_of_one_process_r1_included(vanilla):
    (one, _), (two, _) = vanilla
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)


def test_ranks_take_disjoint_strided_shares(vanilla):
    (_, [whole]), (_, ranks) = vanilla
    for step, batch in enumerate(whole):
        shares = [notes[step]["index"].tolist() for notes in ranks]
        assert not set(shares[0]) & set(shares[1])
        assert shares == [batch["index"].tolist()[rank::2] for rank in (0, 1)]
        for rank, notes in enumerate(ranks):
            for purpose, latents in notes[step]["latents"].items():
                assert torch.equal(latents, batch["latents"][purpose][rank::2])


def test_gradients_differ_between_ranks_before_they_are_averaged(vanilla):
    _, (_, ranks) = vanilla
    for ours, theirs in zip(*ranks, strict=True):
        assert not torch.allclose(ours["gradient"], theirs["gradient"])


def networks():
    """The networks as the recipe makes them: built in this order from seed 0."""
    torch.manual_seed(0)
    generator = dcgan.Generator(resolution=32, channels=3, latent_dim=100, width=4)
    return generator, dcgan.Discriminator(resolution=32, channels=3, width=4)


def averaged(network, losses):
    """Gradients of the mean of the shards' losses, one backward each."""
    network.zero_grad()
    for loss in losses:
        (loss / len(losses)).backward()


def test_dcgan_equals_one_process_that_averages_the_gradients_of_the_two_shards(two_rank_dcgan):
    """Batch statistics are those of a shard, so the oracle runs each shard by itself."""
    state, ranks = two_rank_dcgan
    generator, discriminator = networks()
    settings = {"lr": 2e-4, "betas": (0.5, 0.999)}
    of_generator = torch.optim.Adam(generator.parameters(), **settings)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), **settings)
    for shards in zip(*ranks, strict=True):
        losses = []
        for shard in shards:
            fake = generator(shard["latents"]["discriminator"]).detach()
            real_logits, fake_logits = discriminator(shard["image"]), discriminator(fake)
            losses.append(F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
        averaged(discriminator, losses)
        of_discriminator.step()
        losses = [
            F.softplus(-discriminator(generator(shard["latents"]["generator"]))).mean()
            for shard in shards
        ]
        averaged(generator, losses)
        of_generator.step()
    for prefix, network in (("generator", generator), ("discriminator", discriminator)):
        for name, value in network.named_parameters():
            torch.testing.assert_close(
                state[f"{prefix}.{name}"], value.detach(), rtol=0, atol=1e-5, msg=name
            )
