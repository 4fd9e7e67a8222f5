"""What the doctor prints of this machine, and what it keeps to itself."""

import getpass
import platform
from importlib.metadata import version
from pathlib import Path

import pytest

from ganlab.runs import doctor

REQUIRED = ["torch>=2.6", 'ray>=2.40; extra == "ray"', 'nosuch-thing<2,>=1; extra == "mine"']


@pytest.fixture
def asked(monkeypatch):
    monkeypatch.setattr(doctor, "requires", lambda name: REQUIRED)


def test_requirements_are_taken_apart(asked):
    assert list(doctor.requirements()) == [
        ("torch", ">=2.6", None),
        ("ray", ">=2.40", "ray"),
        ("nosuch-thing", "<2,>=1", "mine"),
    ]


def test_versions_are_those_that_are_installed(asked):
    lines = list(doctor.versions())
    assert f"torch {version('torch')} (asked for: >=2.6)" in lines
    assert any(platform.python_version() in line for line in lines)


def test_a_missing_part_says_how_it_is_had(asked):
    assert "mine: without nosuch-thing: pip install ganlab[mine]" in list(doctor.parts())


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        (None, "~/.cache/ganlab"),
        ("XDG_CACHE_HOME", "the folder of XDG_CACHE_HOME"),
        ("GANLAB_CACHE", "the folder of GANLAB_CACHE"),
    ],
)
def test_kept_files_are_summed_and_their_place_names_nobody(tmp_path, monkeypatch, variable, told):
    """A folder of the user's home is called after the user's work as well as any other."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("GANLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "of-somebody"
    if variable is not None:
        monkeypatch.setenv(variable, str(folder))
    assert list(doctor.cache_sizes(folder)) == [f"none yet, in {told}"]
    (folder / "faces").mkdir(parents=True)
    (folder / "faces" / "a.pt").write_bytes(bytes(1_500_000))
    (folder / "faces" / "b.pt").write_bytes(bytes(500_000))
    (folder / "of-a-client").mkdir()
    (folder / "of-a-client" / "c.pt").write_bytes(bytes(250_000))
    (folder / "patients.pt").write_bytes(bytes(250_000))
    lines = list(doctor.cache_sizes(folder))
    assert lines[:2] == ["faces: 2.0 MB", "other files: 0.5 MB"]
    assert lines[2].startswith(f"in {told}, ")


def test_the_report_names_no_user_and_no_host(tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "of-somebody"))
    text = doctor.report()
    assert [line for line in text.splitlines() if not line.startswith(" ") and line] == [
        "versions",
        "devices",
        "optional parts",
        "kept files",
    ]
    assert platform.node() not in text
    assert "of-somebody" not in text
    assert f"/{getpass.getuser()}/" not in text
