"""scripts/install with stand-ins for Python: which environment it keeps, which it makes anew."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = '#!/bin/sh\necho "$@" >> pip.txt\n'
NO_PIP = '#!/bin/sh\necho "No module named pip" >&2\nexit 1\n'
MAKER = """#!/bin/sh
[ "$1" = --version ] && exit 0
echo "$@" >> made.txt
mkdir -p .venv/bin
cp good .venv/bin/python
"""


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def install(tmp_path):
    """Run it where the environment's Python is this script; what was made, what installed."""
    root = tmp_path / "a project"
    (root / "scripts").mkdir(parents=True)
    for name in ("scripts/install", "constraints.txt"):
        shutil.copy(ROOT / name, root / name)
    script(root / "good", GOOD)
    maker = script(tmp_path / "my python", MAKER)

    def run(python=None):
        if python:
            script(root / ".venv/bin/python", python)
        environment = os.environ | {"PYTHON": str(maker)}
        command = [str(root / "scripts/install"), "."]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        made = root / "made.txt"
        installed = (root / "pip.txt").read_text().splitlines()[-1]
        return made.read_text().splitlines() if made.exists() else [], installed

    return run


@pytest.mark.parametrize("python", [None, NO_PIP])
def test_an_environment_without_pip_is_made_anew(install, python):
    made, installed = install(python)
    assert made == ["-m venv --clear .venv"]
    assert installed.endswith("install -c constraints.txt -e .")


def test_a_good_environment_is_kept(install):
    made, installed = install(GOOD)
    assert made == []
    assert installed.endswith("install -c constraints.txt -e .")
