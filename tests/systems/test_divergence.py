"""Which losses mean something, and what is noted of those that do not."""

import math
from types import SimpleNamespace

import pytest
import torch
from processes import two_ranks

from ganlab import losses
from ganlab.callbacks import MetricsLog
from ganlab.losses import adversarial
from ganlab.studies import Scores
from ganlab.systems.divergence import at_the_end, first_divergence, watch
from ganlab.systems.running_means import RunningMeans

LOSSES = [
    found
    for name in losses.__all__
    if (found := getattr(losses, name)).__module__ == adversarial.__name__
]


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("loss/generator", 2**16),
        ("loss/discriminator", 2**16),
        ("loss/kl", 2**16),
        ("loss/reconstruction", 2**24),
        ("penalty/r1", 2**24),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_loss_is_out_of_range_from_its_threshold_on(name, threshold, sign):
    assert first_divergence({name: sign * math.nextafter(threshold, 0)}) is None
    for value in (threshold, 2e18, math.inf):
        found = first_divergence({"sign/real": 0.5, name: sign * value})
        assert found == {"loss": name, "value": sign * value, "threshold": threshold}
    assert first_divergence({name: math.nan})["loss"] == name


def test_at_the_threshold_a_float_is_as_coarse_as_bf16_is_around_one():
    def step(at, towards):
        return abs(float(torch.nextafter(torch.tensor(at), torch.tensor(towards)) - at))

    assert step(2.0**16, math.inf) == torch.finfo(torch.bfloat16).eps
    assert step(2.0**16, 0.0) == torch.finfo(torch.bfloat16).eps / 2
    assert torch.tensor(2.0**24) + 1 == 2.0**24, "units are no longer told apart"


def test_what_is_no_loss_may_be_anything():
    assert first_divergence({"grad_norm/generator": 1e30, "sign/real": math.nan}) is None


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_no_loss_of_logits_that_occur_is_out_of_range(loss):
    """A critic's drift over thousands included; logits of others stay near their margins."""
    reach = 2e4 if loss is adversarial.Wasserstein else 100.0
    real, fake = torch.tensor([reach, -reach, reach]), torch.tensor([reach, reach, -reach])
    for drift in (0.0, reach):
        real, fake = real + drift, fake + drift
        values = {
            "loss/discriminator": float(loss.discriminator(real, fake)),
            "loss/generator": float(loss.generator(fake, real)),
        }
        assert first_divergence(values) is None, values


def system(seen=500, **means):
    found = SimpleNamespace(
        images_seen=seen, running_means=RunningMeans(), device=torch.device("cpu")
    )
    for name, value in means.items():
        found.running_means.add(f"loss/{name}", torch.tensor(float(value)))
    return found


TRAINER = SimpleNamespace(is_global_zero=True, world_size=1, loggers=[])


def test_the_first_finding_stays_and_is_said_once(capsys):
    run = system()
    assert not watch(TRAINER, run, {"loss/generator": 3.0})
    assert watch(TRAINER, run, {"loss/generator": -1e6})
    run.images_seen = 900
    assert watch(TRAINER, run, {"loss/generator": 1.0}), "what came back is still of a broken run"
    found = {"at_kimg": 0.5, "loss": "loss/generator", "value": -1e6, "threshold": 65536.0}
    assert at_the_end(run) == {"diverged": found}
    said = capsys.readouterr().err
    assert said.count("diverged") == 1
    assert "loss/generator was -1e+06 at 0.5 kimg, beyond 65536" in said
    run.running_means.reset()
    resumed = system()
    resumed.running_means.load_state_dict(run.running_means.state_dict())
    assert resumed.running_means.diverged == found


def test_each_row_of_the_log_is_looked_at():
    run = system(generator=1e9)
    MetricsLog(every_kimg=0.1).observe(TRAINER, run)
    assert run.running_means.diverged["value"] == pytest.approx(1e9)
    assert not run.running_means.read()


def test_steps_since_the_last_row_count_at_the_end():
    """With no callback to look at rows, those are all of them."""
    assert at_the_end(system(generator=1e9))["diverged"]["at_kimg"] == 0.5
    assert at_the_end(system(generator=5.0)) == {}


@pytest.mark.parametrize(
    "found", [3, [], {}, {"loss": 3}, {"loss": "a", "value": "x", "at_kimg": 1, "threshold": 2}]
)
def test_a_checkpoint_that_says_it_otherwise_says_nothing(found):
    tally = RunningMeans()
    tally.load_state_dict({"sums": {}, "counts": {}, "diverged": found})
    assert tally.diverged is None
    tally.load_state_dict({"sums": {}, "counts": {}})
    assert tally.diverged is None


def test_a_score_of_after_it_is_never_the_best():
    scores = Scores()
    scores.judge({"fid10k": 20.0})
    assert (scores.improved, scores.best) == (True, 20.0)
    scores.judge({"fid10k": 1.0}, eligible=False)
    assert (scores.improved, scores.best, scores.latest) == (False, 20.0, {"fid10k": 1.0})


def look(rank, world, folder):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world
    )
    run = system()
    trainer = SimpleNamespace(is_global_zero=rank == 0, world_size=world)
    diverged = watch(trainer, run, {"loss/generator": 1e9 if rank == 1 else 1.0})
    torch.save(
        {"diverged": diverged, "found": run.running_means.diverged}, f"{folder}/rank{rank}.pt"
    )
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_what_one_rank_sees_all_ranks_know(tmp_path):
    first, second = two_ranks(look, tmp_path)
    assert first == second
    assert first["diverged"]
    assert first["found"]["value"] == 1e9
