"""A run ends where its score no longer improves, by a rule of the system."""

import functools
import signal

import pytest
import torch

from ganlab.config import ConfigError
from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import vanilla
from ganlab.runs.settings import check_stopping
from ganlab.systems import GAN, Checkpointing
from ganlab.systems.checkpoint import load_checkpoint
from ganlab.systems.early_stopping import Patience
from ganlab.systems.scorer import Scorer, Scoring
from ganlab.systems.signals import TIME_UP
from ganlab.systems.trainer import make_trainer


class Scripted(Scorer):
    """Scores every 8 images, as a list says."""

    def __init__(self, values, metric="fid", way="min", unfinished=0):
        self.values, self.metric, self.way = values, metric, way
        self.unfinished, self.at = unfinished, 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.at = pl_module.images_seen

    @property
    def newest(self):
        number = self.at // 8 - 1
        if number < 0:
            return None
        unfinished = number < self.unfinished
        return Scoring(self.at, self.metric, self.values[number], self.way, unfinished)

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def waited(values, patience, **options):
    """How many scorings in a row have not improved after each."""
    found = []
    scorer = Scripted(values, **options)
    for number in range(len(values)):
        scorer.at = 8 * (number + 1)
        patience.look([Scorer(), scorer])
        patience.look([scorer])  # the same once more says nothing
        found.append(patience.waited)
    return found


def test_scorings_without_an_improvement_are_counted():
    assert waited([9, 8, 8, 8.5, 7, 7], Patience(2)) == [0, 0, 1, 2, 0, 1]
    assert waited([9, 8.9, 8.8, 8.4], Patience(2, min_delta=0.5)) == [0, 1, 2, 0]
    assert waited([0.1, 0.2, 0.2], Patience(2), metric="recall", way="max") == [0, 0, 1]
    assert waited([9, float("nan"), 8], Patience(2)) == [0, 1, 0]
    assert waited([9, 9, 9, 10, 11], Patience(2), unfinished=3) == [0, 0, 0, 0, 1]


def test_what_was_never_finite_stops_nothing():
    patience = Patience(2)
    assert waited([float("nan"), float("inf"), float("nan")], patience) == [0, 0, 0]
    assert not patience.exhausted
    assert waited([float("nan"), 9, float("inf"), 9], Patience(2)) == [0, 0, 1, 2]
    older = Patience(2)
    older.load_state_dict({"best": None, "metric": "fid", "waited": 3, "looked_at": 24})
    assert not older.exhausted


def test_a_branch_has_a_patience_of_its_own():
    patience, scorer = Patience(2), Scripted([5, 6, 7, 9, 9, 9])
    for scorer.at in (8, 16, 24):
        patience.look([scorer])
    assert (patience.best, patience.waited, patience.exhausted) == (5, 2, True)
    patience.anew([scorer])
    patience.look([scorer])  # the score of the run it left
    assert (patience.best, patience.waited, patience.exhausted) == (None, 0, False)
    for scorer.at in (32, 40, 48):
        patience.look([scorer])
    assert (patience.best, patience.waited) == (9, 2)


def test_another_metric_begins_anew():
    patience = Patience(2)
    waited([9, 9], patience)
    patience.look([Scripted([0, 0, 70], metric="kid")])
    scorer = Scripted([0, 0, 70], metric="kid")
    scorer.at = 24
    patience.look([scorer])
    assert (patience.metric, patience.best, patience.waited) == ("kid", 70, 0)


@pytest.mark.parametrize("options", [{"patience": 0}, {"patience": 2.5}, {"min_delta": -1.0}])
def test_what_no_rule_can_be(options):
    with pytest.raises(ValueError, match=rf"stop\.{next(iter(options))}="):
        Patience(**options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": {"patience": 3}, "scores": {"every_kimg": None}}, "score_every_kimg=50"),
        ({"stop": {"patience": 3}, "scores": None, "score_every_kimg": 1}, "score_every_kimg=50"),
        ({"stop": {"patience": 3}, "scores": {}, "score_every_kimg": 1}, "score_every_kimg=50"),
        (
            {"stop": {"patience": 3}, "scores": {"every_kimg": 1, "suite": None}},
            "scores.suite=null leaves none",
        ),
        ({"stop": {"patients": 3}}, r"stop=.* should be a mapping of patience and min_delta"),
        ({"stop": 3}, r"stop=3 should be a mapping"),
        ({"max_hours": 0}, r"max_hours=0 should be a number of hours"),
    ],
)
def test_keys_that_cannot_be_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_stopping(settings)
    scores = {"every_kimg": 1}  # which may be said there alone
    check_stopping({"stop": {"patience": 3}, "scores": scores, "score_every_kimg": None})
    check_stopping({"max_hours": 1})


def fit(directory, values, kimg=0.08, patience=2, ckpt=None, **options):
    torch.manual_seed(0)
    adam = functools.partial(torch.optim.Adam, lr=1e-3)
    networks = (
        vanilla.Generator(resolution=8, channels=1, hidden=(8,), latent_dim=4),
        vanilla.Discriminator(resolution=8, channels=1, hidden=(8,)),
    )
    made = GAN(*networks, Nonsaturating(), adam, adam, kimg=kimg)
    made.patience = Patience(patience)
    checkpointing = Checkpointing(directory, None, **options)
    data = synthetic(num=40, resolution=8, channels=1, batch_size=8, seed=3)
    trainer = make_trainer("cpu", callbacks=[Scripted(values), checkpointing])
    trainer.fit(made, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return made, checkpointing


def test_a_run_from_another_runs_checkpoint_waits_as_long_as_any(tmp_path):
    """A score that the other run was told just before the checkpoint is none of its own."""
    fit(tmp_path / "run", VALUES)
    last = tmp_path / "run" / "last.ckpt"
    values = [9, 8, 8, 8, 1, 7, 7, 7, 7, 7]
    branch, _ = fit(tmp_path / "branch", values, ckpt=last)
    assert branch.images_seen == 72  # of the scorings after 40 images the second and third
    assert (branch.patience.best, branch.patience.waited) == (7, 2)


def test_a_branch_with_nothing_left_to_train_leaves_a_checkpoint(tmp_path):
    fit(tmp_path / "run", VALUES, patience=None, kimg=0.024)
    last = tmp_path / "run" / "last.ckpt"
    fit(tmp_path / "branch", VALUES, patience=None, kimg=0.024, ckpt=last)
    left = load_checkpoint(tmp_path / "branch" / "last.ckpt")
    assert left["images_seen"] == 24
    for name, value in load_checkpoint(last)["state_dict"].items():
        assert torch.equal(value, left["state_dict"][name])


def test_a_run_that_goes_back_to_its_end_has_it_as_its_last(tmp_path):
    fit(tmp_path, VALUES, patience=None, kimg=0.04, keep_every_kimg=0.016)
    fit(tmp_path, VALUES, patience=None, kimg=0.016, ckpt=tmp_path / "kept" / "000000016.ckpt")
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 16


def test_a_run_goes_back_to_one_of_its_own_that_stayed_as_it_was(tmp_path):
    fit(tmp_path, VALUES, patience=None, kimg=0.024, keep_every_kimg=0.008)
    again, _ = fit(tmp_path, VALUES, ckpt=tmp_path / "kept" / "000000024.ckpt")
    assert again.images_seen == 40
    assert (again.patience.best, again.patience.waited) == (8, 2)


VALUES = [9, 8, 8, 8, 7, 7, 7, 7, 7, 7]


def test_a_training_ends_in_the_batch_after_its_patience_does(tmp_path):
    made, _ = fit(tmp_path, VALUES)  # the fourth scoring, after 32 images, is one too many
    assert made.images_seen == load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 40
    assert made.complete
    assert "fid has not improved on 8 by more than 0 in 2 scorings" in made.patience.told
    assert fit(tmp_path / "longer", VALUES, patience=6)[0].images_seen == 80
    assert fit(tmp_path / "never", VALUES, patience=None)[0].images_seen == 80


def test_a_resume_goes_on_counting(tmp_path):
    fit(tmp_path, VALUES, kimg=0.024)  # one scoring has not improved yet
    again, _ = fit(tmp_path, VALUES, ckpt=tmp_path / "last.ckpt")
    assert again.images_seen == 40
    whole = load_checkpoint(tmp_path / "last.ckpt")["state_dict"]
    fit(tmp_path / "whole", VALUES)
    for name, value in load_checkpoint(tmp_path / "whole" / "last.ckpt")["state_dict"].items():
        assert torch.equal(value, whole[name])
    ended, _ = fit(tmp_path, VALUES, ckpt=tmp_path / "last.ckpt")
    assert ended.images_seen == 40  # it had ended
    longer, _ = fit(tmp_path, VALUES, ckpt=tmp_path / "last.ckpt", patience=6)
    assert longer.images_seen == 80


def test_a_run_that_used_up_its_hours_saves_and_goes_on_later(tmp_path):
    stopped, checkpointing = fit(tmp_path, VALUES, patience=None, max_hours=1e-9)
    assert stopped.images_seen == 8
    assert checkpointing.signal == TIME_UP == signal.SIGALRM
    fit(tmp_path, VALUES, patience=None, ckpt=tmp_path / "last.ckpt", max_hours=1.0)
    fit(tmp_path / "whole", VALUES, patience=None)
    ends = [load_checkpoint(each / "last.ckpt") for each in (tmp_path, tmp_path / "whole")]
    assert ends[0]["images_seen"] == ends[1]["images_seen"] == 80
    for name, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][name])


def test_kept_checkpoints_stay(tmp_path):
    fit(tmp_path, VALUES, patience=None, keep_every_kimg=0.032)
    kept = sorted((tmp_path / "kept").iterdir())
    assert [path.name for path in kept] == ["000000032.ckpt", "000000064.ckpt"]
    assert [load_checkpoint(path)["images_seen"] for path in kept] == [32, 64]
    fit(tmp_path / "short", VALUES, patience=None, kimg=0.032)
    same = load_checkpoint(tmp_path / "short" / "last.ckpt")["state_dict"]
    for name, value in load_checkpoint(kept[0])["state_dict"].items():
        assert torch.equal(value, same[name])
