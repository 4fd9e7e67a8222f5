"""requirements.lock: what the suite is run with, every package of it."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

import lock  # noqa: E402

LINES = lock.FILE.read_text().splitlines()
PINS = dict(line.split("==") for line in LINES[1:])
ASKED = lock.asked((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("each", ASKED, ids=lambda each: each.name)
def test_every_dependency_is_pinned_to_a_version_that_is_allowed(each):
    assert each.specifier.contains(PINS[canonicalize_name(each.name)])


def test_it_agrees_with_the_constraints():
    said = re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert said
    assert {name: PINS[name] for name, _ in said} == dict(said)


def test_all_dependencies_are_read_from_the_project_file():
    text = (ROOT / "pyproject.toml").read_text()
    names = {each.name for each in ASKED}
    assert {"torch", "wandb", "pytest", "lmdb"} <= names
    assert text.count('\n  "torch>=') == 1


@pytest.mark.skipif(
    not LINES[0].startswith(f"# Python {sys.version_info[0]}.{sys.version_info[1]};"),
    reason="the lock is of another Python",
)
def test_what_dependencies_need_is_pinned_too():
    assert lock.closure(ASKED).keys() == PINS.keys()


def test_what_is_needed_is_followed_through_packages_and_extras(monkeypatch):
    needs = {"a": ["b>=1", "c; extra == 'more'"], "b": ["d; python_version < '3'"], "c": ["b"]}
    versions = {"a": "1.0+cpu", "b": "2.0", "c": "3.0", "d": "4.0"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(lock, "version", version)
    monkeypatch.setattr(lock, "requires", needs.get)
    assert lock.closure([Requirement("a"), Requirement("e")]) == {"a": "1.0", "b": "2.0"}
    assert lock.closure([Requirement("a[more]")]) == {"a": "1.0", "b": "2.0", "c": "3.0"}
