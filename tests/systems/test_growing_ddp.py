"""Two processes that grow are one process with the same global batch, across every boundary."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = (
    pytest.mark.slow
)  # each rank starts by itself; `test_rank_equality` asks it of every model

ROOT = Path(__file__).parents[2]
# 4x4 for 2 steps, a fade of 2, 8x8 for 2, a fade of 4 smaller batches, 16x16 to the end.
RECIPE = [
    "model=progan",
    "data=synthetic",
    "data.num=64",
    "data.resolution=16",
    "data.batch_size=8",
    "kimg=0.08",
    "model.generator.latent_dim=8",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "model.discriminator.group_size=2",
    "model.growth.stable_kimg=0.016",
    "model.growth.fade_kimg=0.016",
    "model.growth.batch_sizes={16:4}",
    "model.growth.learning_rates={16:0.0015}",
    # Without momentum Adam's step is gradient / |gradient|: where that is near 0, rounding decides
    # the sign. A larger eps takes this away and leaves the rest of the method.
    "+model.generator_optimizer.eps=0.001",
    "+model.discriminator_optimizer.eps=0.001",
    "callbacks=none",
    "scores=null",
    "checkpoint_every_kimg=null",
    "allow_targets=[spies]",
    "+callbacks.notes._target_=spies.Notes",
]
TWO = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]


def grown(run, *arguments):
    """Final weights, and what each rank noted of every batch."""
    run.mkdir()
    places = [f"+callbacks.notes.directory={run}", f"hydra.run.dir={run}"]
    done = subprocess.run(
        [sys.executable, "train.py", *RECIPE, *arguments, *places],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"},
        capture_output=True,
        text=True,
        timeout=240,  # a rank that waits for the other would hang
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state, [torch.load(path) for path in sorted(run.glob("notes*.pt"))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("growing")
    return grown(root / "one"), grown(root / "two", *TWO)


def test_two_ranks_equal_one_process_with_the_double_batch(runs):
    (one, _), (two, _) = runs
    assert one.keys() == two.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5, msg=name)
        else:
            assert two[name] == value == {"level": 2, "alpha": 1.0}


def test_ranks_share_the_batches_of_every_level(runs):
    (_, [whole]), (_, ranks) = runs
    sizes = [len(batch["index"]) for batch in whole]
    assert sizes == [8] * 7 + [4] * 6
    for step, batch in enumerate(whole):
        shares = [notes[step]["index"].tolist() for notes in ranks]
        assert shares == [batch["index"].tolist()[rank::2] for rank in (0, 1)]
