import functools
import resource
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from lightning import Callback

from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import dcgan
from ganlab.systems import GAN, Checkpointing
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint
from ganlab.systems.random_state import random_state, set_random_state
from ganlab.systems.scorer import Scorer
from ganlab.systems.trainer import make_trainer, quieten

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


def gan(kimg):
    torch.manual_seed(0)
    generator = dcgan.Generator(resolution=32, channels=1, latent_dim=6, width=4)
    discriminator = dcgan.Discriminator(resolution=32, channels=1, width=4)
    made = GAN(generator, discriminator, Nonsaturating(), ADAM, ADAM, kimg=kimg)
    made.recipe = {"model": {"width": 4}, "seed": 0}
    return made


def fit(kimg, *callbacks, ckpt=None):
    quieten()
    made = gan(kimg)
    data = synthetic(num=40, resolution=32, channels=1, batch_size=8, seed=3)
    trainer = make_trainer("cpu", callbacks=list(callbacks))
    trainer.fit(made, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return made


def test_file_is_plain_data_and_describes_itself(tmp_path):
    made = fit(0.04, Checkpointing(tmp_path))
    state = load_checkpoint(tmp_path / "last.ckpt")
    assert state["recipe"] == made.recipe
    assert state["images_seen"] == 40
    assert len(state["optimizer_states"]) == 2
    prefixes = {name.split(".")[0] for name in state["state_dict"]}
    assert prefixes == {"generator", "discriminator", "generator_ema"}
    assert not list(tmp_path.glob("*.partial*"))


class Improves(Scorer):
    """A scoring callback that is pleased once, at a given count."""

    improved = False

    def __init__(self, at):
        self.at = at

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.improved = pl_module.images_seen == self.at


def test_best_is_the_state_whose_score_improved(tmp_path):
    fit(0.08, Improves(at=24), Checkpointing(tmp_path, every_kimg=0.016))
    assert load_checkpoint(tmp_path / "best.ckpt")["images_seen"] == 24
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 80


def test_a_run_that_goes_back_before_its_best_has_a_best_of_what_follows(tmp_path):
    """The file is of a future that did not happen; one that the run has had stays its best."""
    fit(0.04, Improves(16), Checkpointing(tmp_path, None, keep_every_kimg=0.008))
    assert load_checkpoint(tmp_path / "best.ckpt")["images_seen"] == 16
    for back, best in (("000000008", None), ("000000024", 1.0)):
        scorer = Improves(10**9)
        scorer.best = 1.0
        fit(0.04, scorer, Checkpointing(tmp_path, None), ckpt=tmp_path / "kept" / f"{back}.ckpt")
        assert scorer.best == best


def test_what_was_kept_beyond_the_moment_that_a_run_is_forced_back_to_is_renamed(tmp_path):
    kept = tmp_path / "kept"
    fit(0.032, Checkpointing(tmp_path, None, keep_every_kimg=0.008))
    whole = (kept / "000000024.ckpt").read_bytes()
    for exact in (True, False, False):
        made = gan(0.016)
        made.exact_resume = exact
        data = synthetic(num=40, resolution=32, channels=1, batch_size=8, seed=3)
        trainer = make_trainer("cpu", callbacks=[Checkpointing(tmp_path, None)])
        trainer.fit(made, datamodule=data, ckpt_path=kept / "000000016.ckpt", weights_only=True)
        (kept / "000000040.ckpt").touch()  # of a second course
        left = {path.name for path in kept.glob("*.left")}
        assert left >= ({"000000024.1.left", "000000032.1.left"} if not exact else set())
        assert exact == (kept / "000000024.ckpt").exists()
    assert (kept / "000000024.1.left").read_bytes() == whole
    assert {"000000040.1.left", "000000040.2.left"} <= {path.name for path in kept.iterdir()}
    assert {"000000008.ckpt", "000000016.ckpt"} <= {path.name for path in kept.iterdir()}


def test_a_kill_between_the_two_names_costs_neither(tmp_path, monkeypatch):
    """A state that is known to be the best is never the last without being the best on disk."""
    replace = Path.replace

    def killed(path, target):
        if not path.name.startswith("best") and (tmp_path / "best.ckpt").exists():
            raise SystemExit("killed")
        return replace(path, target)

    words = (tmp_path, 0.016)
    monkeypatch.setattr(Path, "replace", killed)
    monkeypatch.setattr(Checkpointing, "on_exception", lambda *arguments: None)
    checkpointing = Checkpointing(*words)
    with pytest.raises(SystemExit):
        fit(0.08, Improves(at=24), checkpointing)
    checkpointing.stops.give_back()  # as `on_exception` would have
    monkeypatch.undo()
    assert load_checkpoint(tmp_path / "best.ckpt")["images_seen"] == 24
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 16
    fit(0.08, Improves(at=24), Checkpointing(*words), ckpt=tmp_path / "last.ckpt")
    assert load_checkpoint(tmp_path / "best.ckpt")["images_seen"] == 24


class DiskFills(Callback):
    """No file of this process can grow beyond `size` bytes from one count of images to another."""

    def __init__(self, after, until, size=5000):
        self.after, self.until, self.size = after, until, size
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        full = self.after <= pl_module.images_seen < self.until
        size = self.size if full else self.before[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self.before[1]))

    def on_exception(self, trainer, pl_module, exception):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


class Kept(Callback):
    """What last.ckpt holds at the start of each batch."""

    def __init__(self, directory):
        self.last, self.counts = directory / "last.ckpt", {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.last.is_file():
            self.counts[pl_module.images_seen] = load_checkpoint(self.last)["images_seen"]


def test_full_disk_costs_one_checkpoint_and_not_the_run(tmp_path):
    kept = Kept(tmp_path)
    with pytest.warns(UserWarning, match=r"32 images was not written .*one before it is kept"):
        fit(0.08, kept, DiskFills(32, 48), Checkpointing(tmp_path, every_kimg=0.016))
    assert kept.counts == {16: 16, 24: 16, 32: 16, 40: 16, 48: 48, 56: 48, 64: 64, 72: 64}
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 80
    assert not list(tmp_path.glob("*.partial*"))


def test_a_run_whose_final_state_finds_no_room_is_not_done(tmp_path):
    checkpointing = Checkpointing(tmp_path, every_kimg=0.016)
    with (
        pytest.warns(UserWarning, match="80 images was not written"),
        pytest.raises(OSError, match=r"final checkpoint could not be written .*last\.ckpt"),
    ):
        fit(0.08, DiskFills(80, 1000), checkpointing)
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] in (64, 80)


def test_one_state_that_finds_no_room_is_told_once(tmp_path):
    checkpointing = Checkpointing(tmp_path)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(OSError, match="free some space"):
            fit(0.08, DiskFills(80, 1000), checkpointing)
    assert sum("was not written" in str(each.message) for each in told) == 1


def test_a_directory_that_was_taken_away_is_no_full_disk(tmp_path):
    checkpointing = Checkpointing(tmp_path, taken=lambda: True)
    with (
        pytest.warns(UserWarning, match="moved or removed"),
        pytest.raises(OSError, match="moved or removed") as error,
    ):
        fit(0.016, checkpointing)
    assert "free some space" not in str(error.value)


def test_the_machines_temporary_folder_is_not_used(tmp_path, monkeypatch):
    """It may be smaller than a checkpoint."""

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    for name in ("mkstemp", "NamedTemporaryFile", "TemporaryFile", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    fit(0.04, Checkpointing(tmp_path))
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 40


def test_random_state_of_an_accelerator_is_that_of_its_own_device(monkeypatch):
    """Whatever others the machine has; a run that moved to a CPU has no such stream."""
    streams = {torch.device("cuda", i): torch.full((4,), i, dtype=torch.uint8) for i in range(8)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", streams.__getitem__)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda new, on: streams.update({on: new}))
    state = random_state(torch.device("cuda", 3))
    set_random_state(state, torch.device("cuda", 0))
    assert int(streams[torch.device("cuda", 0)][0]) == 3
    set_random_state(state, torch.device("cpu"))
    of_cpu = random_state(torch.device("cpu"))
    assert of_cpu["cuda"] is None
    set_random_state(of_cpu, torch.device("cuda", 1))
    assert int(streams[torch.device("cuda", 1)][0]) == 1


def test_poisoned_weights_never_replace_a_good_checkpoint(tmp_path):
    class Poison(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if pl_module.images_seen == 32:
                pl_module.generator_ema.to_image.weight.data.fill_(float("inf"))

    with pytest.warns(UserWarning, match=r"not saving: generator.*to_image\.weight is not finite"):
        fit(0.032, Poison(), Checkpointing(tmp_path, every_kimg=0.016))
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 16


@pytest.mark.parametrize("stop_at", [0.016, 0.024, 0.040])
def test_continued_run_is_the_uninterrupted_one(tmp_path, stop_at):
    """Batch norm's statistics, both Adam states and the counters included."""
    whole = fit(0.064)
    fit(stop_at, Checkpointing(tmp_path))
    continued = fit(0.064, Checkpointing(tmp_path), ckpt=tmp_path / "last.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(continued.state_dict()[name], value), name
    assert continued.running_means.read() == whole.running_means.read()
    for ours, theirs in zip(continued.trainer.optimizers, whole.trainer.optimizers, strict=True):
        for one, other in zip(ours.state.values(), theirs.state.values(), strict=True):
            assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_error_inside_a_step_leaves_the_last_checkpoint_alone(tmp_path):
    class Breaks(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if pl_module.images_seen == 24:
                pl_module.train_generator = None  # D's step is done when this is noticed

    with pytest.raises(TypeError):
        fit(0.064, Breaks(), Checkpointing(tmp_path, every_kimg=0.016))
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 16


def test_callbacks_answer_after_a_resume_the_step_a_crash_kept_from_them(tmp_path):
    class Notes(Callback):
        def __init__(self, breaks_at=None):
            self.breaks_at, self.seen = breaks_at, []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if pl_module.images_seen == self.breaks_at:
                raise RuntimeError("out of luck")
            self.seen.append((pl_module.images_before, pl_module.images_seen))

    crashed, resumed, whole = Notes(breaks_at=24), Notes(), Notes()
    with pytest.raises(RuntimeError):
        fit(0.04, crashed, Checkpointing(tmp_path, every_kimg=0.016))
    assert load_checkpoint(tmp_path / "last.ckpt")["images_seen"] == 24
    fit(0.04, resumed, Checkpointing(tmp_path, every_kimg=0.016), ckpt=tmp_path / "last.ckpt")
    fit(0.04, whole)
    assert crashed.seen + resumed.seen == whole.seen


def test_missing_file_names_its_neighbours(tmp_path):
    (tmp_path / "best.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"no such file; there are best\.ckpt"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_directory_is_answered_with_a_file_to_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"is a directory; name a file"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_cut_off_file_is_said_to_be_damaged(tmp_path, share):
    fit(0.008, Checkpointing(tmp_path))
    whole = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(tmp_path / "last.ckpt")
