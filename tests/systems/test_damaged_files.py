"""What a run reads back: checked, or not taken up."""

import functools
import os
import random
import threading
from pathlib import Path

import pytest
import torch

import ganlab
from ganlab.data import synthetic
from ganlab.losses import Nonsaturating
from ganlab.networks import vanilla
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.storage.archive import write_archive
from ganlab.systems import GAN, Checkpointing
from ganlab.systems.checkpoint import CheckpointError, load_checkpoint
from ganlab.systems.checkpoint_io import CheckpointWriter
from ganlab.systems.trainer import make_trainer, quieten

ADAM = functools.partial(torch.optim.Adam, lr=1e-3)


def fit(kimg, *callbacks, opened=None, ckpt=None, **options):
    quieten()
    torch.manual_seed(0)
    generator = vanilla.Generator(resolution=8, channels=1, latent_dim=3, hidden=[6])
    discriminator = vanilla.Discriminator(resolution=8, channels=1, hidden=[6])
    made = GAN(generator, discriminator, Nonsaturating(), ADAM, ADAM, kimg=kimg)
    data = synthetic(num=40, resolution=8, channels=1, batch_size=8, seed=3, **options)
    trainer = make_trainer("cpu", callbacks=list(callbacks))
    trainer.strategy.checkpoint_io.opened |= opened or {}
    trainer.fit(made, datamodule=data, ckpt_path=ckpt, weights_only=True)
    return made


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


@pytest.fixture
def last(tmp_path):
    fit(0.024, Checkpointing(tmp_path / "run"))
    return tmp_path / "run" / "last.ckpt"


def test_a_flipped_bit_in_a_checkpoint_never_changes_what_is_loaded(last):
    whole, expected, draw = last.read_bytes(), load_checkpoint(last), random.Random(1)
    said = []
    for _ in range(120):
        changed = bytearray(whole)
        changed[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        last.write_bytes(changed)
        try:
            found = load_checkpoint(last)
        except CheckpointError as error:
            said.append(str(error))
        else:
            assert equal(found, expected)
    assert len(said) > 20
    assert all(text.startswith(f"ckpt={last}: ") and "\n" not in text for text in said)


def test_evaluation_and_resume_refuse_a_damaged_weight_by_its_record(last):
    state = load_checkpoint(last)["state_dict"]
    weight = next(w for name, w in state.items() if name.startswith("generator_ema."))
    whole = last.read_bytes()
    at = whole.index(weight.numpy().tobytes())
    last.write_bytes(whole[: at + 3] + bytes([whole[at + 3] ^ 64]) + whole[at + 4 :])
    for opened in (load_checkpoint, open_checkpoint, CheckpointWriter().load_checkpoint):
        with pytest.raises(CheckpointError, match=r"last\.ckpt: .*record archive/data/\d+ is dam"):
            opened(last)
    with pytest.raises(CheckpointError, match="checksum"):
        fit(0.048, ckpt=last)


def test_a_run_goes_on_from_what_was_checked_and_not_from_what_lies_there_by_then(last):
    whole = fit(0.048)
    opened = {str(last): load_checkpoint(last)}
    last.write_bytes(b"something else by now")
    continued = fit(0.048, opened=opened, ckpt=last)
    assert equal(dict(continued.state_dict()), dict(whole.state_dict()))


def test_a_later_format_is_refused_with_the_version_that_wrote_it(last, tmp_path):
    content = load_checkpoint(last)
    assert (content["format"], content["version"]) == (1, ganlab.__version__)
    for form in (2, 99, "2", None, 0, 1.0, True):
        write_archive({**content, "format": form, "version": "9.8.7"}, last)
        with pytest.raises(CheckpointError, match=r"format .*, written by ganlab 9\.8\.7; this is"):
            load_checkpoint(last)
    older = {key: value for key, value in content.items() if key not in ("format", "version")}
    write_archive(older, last)
    assert equal(load_checkpoint(last), older)


def test_a_pipe_given_as_a_checkpoint_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.ckpt")
    said = []

    def act():
        for opened in (load_checkpoint, open_checkpoint):
            with pytest.raises(CheckpointError, match=r"pipe\.ckpt is no file but a pipe"):
                opened(tmp_path / "pipe.ckpt")
            said.append(opened)

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(10)
    assert said == [load_checkpoint, open_checkpoint]


def test_a_full_disk_is_said_in_words_and_not_as_an_assertion(tmp_path, monkeypatch):
    writer, place = CheckpointWriter(), tmp_path / "last.ckpt.partial"
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: opened(Path("/dev/full"), mode))
    writer.save_checkpoint({"w": torch.zeros(100_000)}, place)
    assert writer.failure == "no space left on device"


@pytest.mark.parametrize("damage", ["zeroed", "truncated", "flipped", "described"])
def test_a_damaged_cache_of_images_is_made_anew_and_the_weights_are_the_same(tmp_path, damage):
    options = {"memory_budget_mb": 0, "cache_dir": str(tmp_path)}
    whole = fit(0.048, **options)
    ((pixels,), (described,)) = (list(tmp_path.glob(f"*.{kind}")) for kind in ("npy", "json"))
    content = pixels.read_bytes()
    middle = len(content) // 2
    changed = {
        "zeroed": content[:middle] + bytes(len(content) - middle),
        "truncated": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "described": content,
    }[damage]
    pixels.write_bytes(changed)
    if damage == "described":
        described.write_bytes(bytes(100))
    with pytest.warns(UserWarning, match=r"decoded images in .*\.npy are damaged .* made anew"):
        again = fit(0.048, **options)
    assert equal(dict(again.state_dict()), dict(whole.state_dict()))
    assert pixels.read_bytes() == content
